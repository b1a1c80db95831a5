//! The promises of [`Users`](crate::Users).

use std::sync::Arc;

use foretell_types::{Role, TenantId, UserId, UserName};

use super::fixtures::{NOW, create_tenants, recorded, recorded_of, tenant};
use super::{at_once, refused};
use crate::{
    Act, AuditQuery, Door, NewSession, Page, PasswordHash, SessionRecord, StoreError, StoredUser,
    Stores, UserChange,
};

/// Checks [`Users`](crate::Users).
pub async fn users(stores: &Stores) {
    create_tenants(stores, 3).await;
    a_user_is_found_by_its_name(stores).await;
    id_and_name_are_given_once(stores).await;
    every_set_of_roles_comes_back(stores).await;
    a_change_changes_what_it_says(stores).await;
    a_rehashed_password_does_not_undo_a_new_one(stores).await;
    a_user_is_changed_by_its_owner_alone(stores).await;
    a_change_ends_sessions_and_a_rehashed_password_does_not(stores).await;
    a_change_is_recorded_with_what_was_before(stores).await;
    a_deleted_user_leaves_its_name_and_takes_its_sessions(stores).await;
    a_deleted_tenant_takes_its_users_along(stores).await;
    of_many_with_one_name_one_is_made(stores).await;
}

/// User `n` of a tenant, or of the operators.
pub(super) fn user(n: u8, tenant: Option<TenantId>) -> StoredUser {
    StoredUser {
        record: crate::UserRecord {
            id: user_id(n),
            name: user_name(n),
            tenant,
            roles: vec![Role::Uploader, Role::Auditor],
            created_at: NOW,
            password_at: NOW + 1,
            disabled_at: None,
        },
        password: password(n),
    }
}

/// A session of that user, with hash `n`.
pub(super) fn session(n: u8, user: &StoredUser) -> NewSession {
    NewSession {
        hash: [n; 32],
        password_at: user.record.password_at,
        record: SessionRecord {
            user: user.record.id.clone(),
            csrf: [n ^ 0x55; 32],
            begun_at: NOW + 2,
            used_at: NOW + 3,
            ends_at: NOW + 1_000,
        },
    }
}

fn user_id(n: u8) -> UserId {
    UserId::parse(&format!("usr_{n:016}")).unwrap()
}

fn user_name(n: u8) -> UserName {
    UserName::parse(&format!("user-{n}@example.com")).unwrap()
}

fn password(n: u8) -> PasswordHash {
    PasswordHash::new(format!("$argon2id$v=19$m=8,t=1,p=1$salt{n}$hash{n}"))
}

async fn create(stores: &Stores, user: &StoredUser) {
    stores.users.create(user, &recorded()).await.unwrap();
}

async fn found(stores: &Stores, user: &StoredUser) -> Option<StoredUser> {
    stores.users.find(&user.record.name).await.unwrap()
}

async fn a_user_is_found_by_its_name(stores: &Stores) {
    let users = &stores.users;
    assert_eq!(users.find(&user_name(1)).await.unwrap(), None);
    // Added in an order that neither names nor times have.
    let mut added = [
        user(3, Some(tenant(1))),
        user(1, Some(tenant(1))),
        user(2, Some(tenant(2))),
        user(4, None),
    ];
    added[1].record.created_at -= 1;
    added[3].record.disabled_at = Some(NOW + 9);
    for new in &added {
        create(stores, new).await;
        assert_eq!(found(stores, new).await.as_ref(), Some(new));
        let record = &new.record;
        let got = users.get(record.tenant.as_ref(), &record.id).await.unwrap();
        assert_eq!(got.as_ref(), Some(record));
    }
    let [three, one, two, four] = added.map(|new| new.record);
    assert_eq!(
        users.list(Some(&tenant(1))).await.unwrap(),
        [three, one],
        "in the order of addition"
    );
    assert_eq!(users.list(Some(&tenant(2))).await.unwrap(), [two]);
    assert_eq!(users.list(None).await.unwrap(), [four]);
    assert_eq!(users.list(Some(&tenant(9))).await.unwrap(), []);
}

async fn id_and_name_are_given_once(stores: &Stores) {
    let users = &stores.users;
    let before = users.list(Some(&tenant(1))).await.unwrap();
    let mut same_id = user(50, Some(tenant(1)));
    same_id.record.id = user_id(1);
    // Also where the other one is another tenant's, or an operator: names are the whole host's.
    let same_names = [2, 4].map(|taken| {
        let mut same_name = user(50, Some(tenant(1)));
        same_name.record.name = user_name(taken);
        same_name
    });
    for taken in same_names.iter().chain([&same_id]) {
        refused!(users.create(taken, &recorded()).await, Conflict);
    }
    let nobody = user(50, Some(tenant(9)));
    refused!(users.create(&nobody, &recorded()).await, NotFound);
    assert_eq!(
        users.list(Some(&tenant(1))).await.unwrap(),
        before,
        "a refused creation changes nothing"
    );
    assert_eq!(found(stores, &nobody).await, None);
}

async fn every_set_of_roles_comes_back(stores: &Stores) {
    for set in 0..1_u8 << Role::ALL.len() {
        let mut new = user(100 + set, None);
        new.record.roles = Role::ALL
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| set >> bit & 1 == 1)
            .map(|(_, role)| role)
            .collect();
        create(stores, &new).await;
        assert_eq!(found(stores, &new).await, Some(new));
    }
}

async fn a_change_changes_what_it_says(stores: &Stores) {
    let mut held = user(20, Some(tenant(1)));
    create(stores, &held).await;
    let access = |roles: Option<&[Role]>, door| UserChange::Access {
        roles: roles.map(<[Role]>::to_vec),
        door,
    };
    let steps = [
        access(Some(&[Role::Caller]), None),
        access(None, Some(Door::Closed(5))),
        // Closed since before.
        access(None, Some(Door::Closed(7))),
        access(Some(&[Role::Owner, Role::Caller]), Some(Door::Open)),
        access(None, None),
        UserChange::Password {
            hash: password(21),
            at: NOW + 70,
        },
        UserChange::Rehashed {
            from: password(21),
            to: password(22),
        },
    ];
    for step in steps {
        match &step {
            UserChange::Access { roles, door } => {
                if let Some(roles) = roles {
                    held.record.roles.clone_from(roles);
                }
                match door {
                    Some(Door::Open) => held.record.disabled_at = None,
                    Some(Door::Closed(_)) => held.record.disabled_at = Some(5),
                    None => {}
                }
            }
            UserChange::Password { hash, at } => {
                held.record.password_at = *at;
                held.password = hash.clone();
            }
            UserChange::Rehashed { to, .. } => held.password = to.clone(),
        }
        let id = &held.record.id;
        let changed = stores
            .users
            .change(Some(&tenant(1)), id, &step, recorded_of())
            .await
            .unwrap();
        assert_eq!(changed, held.record, "{step:?}");
        assert_eq!(found(stores, &held).await.as_ref(), Some(&held), "{step:?}");
    }
}

async fn a_rehashed_password_does_not_undo_a_new_one(stores: &Stores) {
    let held = user(23, None);
    create(stores, &held).await;
    let late = UserChange::Rehashed {
        from: password(99),
        to: password(98),
    };
    let changed = stores
        .users
        .change(None, &held.record.id, &late, recorded_of())
        .await;
    refused!(changed, Conflict);
    assert_eq!(found(stores, &held).await, Some(held));
}

async fn a_user_is_changed_by_its_owner_alone(stores: &Stores) {
    let users = &stores.users;
    let (mine, operator) = (user(30, Some(tenant(1))), user(31, None));
    create(stores, &mine).await;
    create(stores, &operator).await;
    let (one, two) = (tenant(1), tenant(2));
    let strangers = [
        (Some(&two), &mine),
        (None, &mine),
        (Some(&one), &operator),
        (Some(&two), &operator),
    ];
    let close = UserChange::Access {
        roles: None,
        door: Some(Door::Closed(1)),
    };
    for (stranger, held) in strangers {
        let id = &held.record.id;
        assert_eq!(users.get(stranger, id).await.unwrap(), None);
        refused!(
            users.change(stranger, id, &close, recorded_of()).await,
            NotFound
        );
        refused!(users.delete(stranger, id, recorded_of()).await, NotFound);
        assert_eq!(found(stores, held).await.as_ref(), Some(held));
    }
    let absent = user_id(99);
    refused!(
        users
            .change(Some(&one), &absent, &close, recorded_of())
            .await,
        NotFound
    );
    refused!(
        users.delete(Some(&one), &absent, recorded_of()).await,
        NotFound
    );
}

async fn a_change_ends_sessions_and_a_rehashed_password_does_not(stores: &Stores) {
    let (held, other) = (user(32, Some(tenant(1))), user(33, Some(tenant(1))));
    create(stores, &held).await;
    create(stores, &other).await;
    let others = session(33, &other);
    stores
        .sessions
        .create(&others, 9, &recorded())
        .await
        .unwrap();
    let steps = [
        UserChange::Rehashed {
            from: password(32),
            to: password(34),
        },
        UserChange::Access {
            roles: Some(vec![Role::Caller]),
            door: None,
        },
        UserChange::Password {
            hash: password(35),
            at: held.record.password_at,
        },
    ];
    for step in steps {
        let new = session(32, &held);
        // The first step has left its session.
        let _ended = stores
            .sessions
            .end(&crate::Ending::One(new.hash), &recorded())
            .await;
        stores.sessions.create(&new, 9, &recorded()).await.unwrap();
        let id = &held.record.id;
        stores
            .users
            .change(Some(&tenant(1)), id, &step, recorded_of())
            .await
            .unwrap();
        let is_in = stores.sessions.find(&new.hash).await.unwrap().is_some();
        assert_eq!(is_in, !step.ends_sessions(), "{step:?}");
        let is_in = stores.sessions.find(&others.hash).await.unwrap().is_some();
        assert!(is_in, "others' sessions go on: {step:?}");
    }
}

async fn a_change_is_recorded_with_what_was_before(stores: &Stores) {
    let held = user(36, Some(tenant(2)));
    create(stores, &held).await;
    let id = &held.record.id;
    let of = |object: &'static str| {
        let entry: crate::EntryOf<crate::UserRecord> =
            Arc::new(move |before: &crate::UserRecord| crate::Entry {
                act: Act::LimitsSet,
                object: format!("{object} {}", before.name),
                ..recorded()
            });
        entry
    };
    let close = UserChange::Access {
        roles: None,
        door: Some(Door::Closed(1)),
    };
    let one = tenant(1);
    refused!(
        stores
            .users
            .change(Some(&one), id, &close, of("refused"))
            .await,
        NotFound
    );
    let two = tenant(2);
    stores
        .users
        .change(Some(&two), id, &close, of("changed"))
        .await
        .unwrap();
    stores
        .users
        .delete(Some(&two), id, of("deleted"))
        .await
        .unwrap();
    let query = AuditQuery {
        act: Some(Act::LimitsSet),
        ..AuditQuery::default()
    };
    let rows = stores
        .audit
        .page(&query, Page::After(0), 100)
        .await
        .unwrap();
    let objects: Vec<_> = rows.into_iter().map(|row| row.entry.object).collect();
    let name = &held.record.name;
    assert_eq!(
        objects,
        [format!("changed {name}"), format!("deleted {name}")],
        "what is refused is not recorded"
    );
}

async fn a_deleted_user_leaves_its_name_and_takes_its_sessions(stores: &Stores) {
    let held = user(37, None);
    create(stores, &held).await;
    let new = session(37, &held);
    stores.sessions.create(&new, 9, &recorded()).await.unwrap();
    let deleted = stores
        .users
        .delete(None, &held.record.id, recorded_of())
        .await
        .unwrap();
    assert_eq!(deleted, held.record);
    assert_eq!(found(stores, &held).await, None);
    assert_eq!(stores.sessions.find(&new.hash).await.unwrap(), None);
    let mut next = user(38, Some(tenant(1)));
    next.record.name = held.record.name;
    create(stores, &next).await;
}

async fn a_deleted_tenant_takes_its_users_along(stores: &Stores) {
    let (gone, stays) = (user(40, Some(tenant(3))), user(41, Some(tenant(1))));
    for (n, held) in [(40, &gone), (41, &stays)] {
        create(stores, held).await;
        let new = session(n, held);
        stores.sessions.create(&new, 9, &recorded()).await.unwrap();
    }
    stores
        .tenants
        .delete(&tenant(3), NOW, &recorded())
        .await
        .unwrap();
    assert_eq!(found(stores, &gone).await, None);
    assert_eq!(stores.users.list(Some(&tenant(3))).await.unwrap(), []);
    assert_eq!(stores.sessions.find(&[40; 32]).await.unwrap(), None);
    assert_eq!(found(stores, &stays).await, Some(stays));
    assert!(stores.sessions.find(&[41; 32]).await.unwrap().is_some());
}

async fn of_many_with_one_name_one_is_made(stores: &Stores) {
    let calls = (0..16).map(|n| {
        let users = Arc::clone(&stores.users);
        let mut new = user(200 + n, Some(tenant(2)));
        new.record.name = user_name(200);
        async move { users.create(&new, &recorded()).await }
    });
    let answers = at_once(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(()) | Err(StoreError::Conflict(_))))
    );
}
