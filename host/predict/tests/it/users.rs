//! Users: who makes and changes them, and what becomes of who is in.

use std::sync::atomic::Ordering;

use foretell_predict::manage::{
    Act, AuditQuery, AuditRecord, LoggedIn, NewUserRequest, Page, PasswordRequest, UserRecord,
    UserRequest,
};
use foretell_predict::password::Password;
use foretell_predict::{Call, Credentials, PredictError};
use foretell_types::{ErrorKind, Role, Scope};
use serde_json::Value;

use crate::house::{House, OPERATOR, call, on};

pub(crate) const GOOD: &str = "correct horse battery";
pub(crate) const OTHER: &str = "staple correct horse";
pub(crate) const WRONG: &str = "wrong horse battery";

/// A house with tenant `a` and a key of its owner.
pub(crate) async fn house() -> (House, String) {
    let house = House::build().await;
    let key = owner(&house, "a").await;
    (house, key)
}

pub(crate) async fn owner(house: &House, tenant: &str) -> String {
    let scopes = ["infer", "models", "keys", "usage", "audit"];
    house.tenant(tenant, &scopes).await
}

pub(crate) fn request(name: &str, roles: &[&str]) -> NewUserRequest {
    NewUserRequest {
        name: name.to_owned(),
        password: Password::new(GOOD),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    }
}

pub(crate) async fn user(house: &House, by: &Call, name: &str, role: &str) -> UserRecord {
    let made = house.manager.create_user(by, request(name, &[role])).await;
    made.unwrap()
}

pub(crate) async fn log_in(
    house: &House,
    name: &str,
    password: &str,
) -> Result<LoggedIn, PredictError> {
    let password = Password::new(password);
    house.manager.log_in(&call(""), name, &password).await
}

/// A call with the session of a login.
pub(crate) fn with(login: &LoggedIn) -> Call {
    Call {
        credentials: Credentials::of_session(login.secret.expose().to_owned()),
        ..call("")
    }
}

pub(crate) async fn is_in(house: &House, login: &LoggedIn) -> bool {
    let shown = house.sessions.principal(login.secret.expose()).await;
    match shown {
        Ok(_) => true,
        Err(PredictError::Unauthenticated(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

pub(crate) fn pass(house: &House, ms: i64) {
    house.now.fetch_add(ms, Ordering::Relaxed);
}

pub(crate) fn roles(roles: &[&str]) -> UserRequest {
    UserRequest {
        roles: Some(roles.iter().map(|role| (*role).to_owned()).collect()),
        disabled: None,
    }
}

pub(crate) fn password(old: Option<&str>, new: &str) -> PasswordRequest {
    PasswordRequest {
        old: old.map(Password::new),
        new: Password::new(new),
    }
}

/// Rows of an act, oldest first.
pub(crate) async fn records(house: &House, by: &Call, act: Act) -> Vec<AuditRecord> {
    let query = AuditQuery {
        act: Some(act),
        ..AuditQuery::default()
    };
    let page = house.manager.audit(by, query, Page::After(0), 1_000).await;
    page.unwrap()
}

#[tokio::test]
async fn nobody_makes_or_changes_a_user_that_may_more_than_itself() {
    let (house, key) = house().await;
    let (of_tenant, operator) = (on(OPERATOR, "a"), call(OPERATOR));
    let boss = user(&house, &of_tenant, "boss", "owner").await;
    let small = call(&house.key(&call(&key), &["keys", "infer"]).await);
    let none = call(&house.key(&call(&key), &["infer", "models"]).await);
    let cases = [
        (&small, &["caller"][..], None),
        (&small, &["uploader"], Some(ErrorKind::Forbidden)),
        (&small, &["caller", "auditor"], Some(ErrorKind::Forbidden)),
        (&small, &["operator"], Some(ErrorKind::Forbidden)),
        (&none, &["caller"], Some(ErrorKind::Forbidden)),
        (&of_tenant, &["owner", "auditor"], None),
        (&of_tenant, &["operator"], Some(ErrorKind::Forbidden)),
        (&of_tenant, &["fly"], Some(ErrorKind::InvalidInput)),
        (&of_tenant, &[], Some(ErrorKind::InvalidInput)),
        (&operator, &["operator"], None),
        (&operator, &["owner"], Some(ErrorKind::InvalidInput)),
        (
            &operator,
            &["operator", "caller"],
            Some(ErrorKind::InvalidInput),
        ),
    ];
    for (n, (by, roles, refused)) in cases.into_iter().enumerate() {
        let made = house
            .manager
            .create_user(by, request(&format!("user-{n}"), roles))
            .await;
        assert_eq!(made.err().map(|error| error.kind()), refused, "{roles:?}");
    }
    // Whoever sets an owner's password is an owner.
    let id = boss.id.as_str();
    let demoted = house.manager.set_user(&small, id, roles(&["caller"])).await;
    assert_eq!(demoted.unwrap_err().kind(), ErrorKind::Forbidden);
    let reset = house
        .manager
        .set_password(&small, id, password(None, OTHER))
        .await;
    assert_eq!(reset.unwrap_err().kind(), ErrorKind::Forbidden);
    let ended = house.manager.end_sessions(&small, id).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Forbidden);
    let deleted = house.manager.delete_user(&small, id).await;
    assert_eq!(deleted.unwrap_err().kind(), ErrorKind::Forbidden);
    log_in(&house, "boss", GOOD).await.unwrap();
}

#[tokio::test]
async fn another_tenants_users_look_like_users_that_do_not_exist() {
    let (house, key) = house().await;
    let (mine, stranger) = (call(&key), call(&owner(&house, "b").await));
    let alice = user(&house, &mine, "alice", "caller").await;
    let operator = user(&house, &call(OPERATOR), "root", "operator").await;
    assert_eq!(
        house.manager.users(&mine).await.unwrap(),
        std::slice::from_ref(&alice)
    );
    assert_eq!(house.manager.users(&stranger).await.unwrap(), []);
    let of_operators = house.manager.users(&call(OPERATOR)).await.unwrap();
    assert_eq!(of_operators, std::slice::from_ref(&operator));
    let absent = "usr_0000000000000000";
    for (by, id) in [
        (&stranger, alice.id.as_str()),
        (&stranger, operator.id.as_str()),
        (&mine, operator.id.as_str()),
        // An operator says which tenant is meant.
        (&call(OPERATOR), alice.id.as_str()),
        (&on(OPERATOR, "b"), alice.id.as_str()),
        (&stranger, absent),
        (&stranger, "no-id"),
    ] {
        let manager = &house.manager;
        let refusals = [
            manager.set_user(by, id, roles(&["caller"])).await.err(),
            manager
                .set_password(by, id, password(None, OTHER))
                .await
                .err(),
            manager.end_sessions(by, id).await.err(),
            manager.delete_user(by, id).await.err(),
        ];
        for refused in refusals {
            let refused = refused.unwrap();
            assert_eq!(refused.kind(), ErrorKind::NotFound, "{id}");
            if id != "no-id" {
                assert_eq!(refused.to_string(), format!("there is no user `{id}`"));
            }
        }
    }
    let prefixed = house.manager.users(&on(&key, "b")).await.unwrap_err();
    assert_eq!(prefixed.kind(), ErrorKind::NotFound);
    log_in(&house, "alice", GOOD).await.unwrap();
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_and_the_old_one_opens_nothing() {
    let (house, key) = house().await;
    let alice = user(&house, &call(&key), "alice", "caller").await;
    let id = alice.id.as_str();
    let (one, two) = (
        log_in(&house, "alice", GOOD).await.unwrap(),
        log_in(&house, "alice", GOOD).await.unwrap(),
    );
    // Its own: with the one until now.
    for (old, new, refused) in [
        (None, OTHER, ErrorKind::InvalidInput),
        (Some(WRONG), OTHER, ErrorKind::InvalidInput),
        (Some(GOOD), "short", ErrorKind::InvalidInput),
        (Some(GOOD), "alice in wonderland", ErrorKind::InvalidInput),
    ] {
        let set = house
            .manager
            .set_password(&with(&one), id, password(old, new))
            .await;
        assert_eq!(set.unwrap_err().kind(), refused, "{new}");
    }
    assert!(is_in(&house, &one).await);
    pass(&house, 1);
    let set = house
        .manager
        .set_password(&with(&one), id, password(Some(GOOD), OTHER))
        .await
        .unwrap();
    assert_eq!(set.password_at, alice.password_at + 1);
    assert!(!is_in(&house, &one).await && !is_in(&house, &two).await);
    log_in(&house, "alice", GOOD).await.unwrap_err();
    let three = log_in(&house, "alice", OTHER).await.unwrap();

    // Reset by the owner, who does not know the old one.
    let reset = house
        .manager
        .set_password(&call(&key), id, password(None, GOOD))
        .await;
    reset.unwrap();
    assert!(!is_in(&house, &three).await);
    log_in(&house, "alice", GOOD).await.unwrap();
}

#[tokio::test]
async fn other_roles_and_a_closed_door_end_all_sessions() {
    let (house, key) = house().await;
    let alice = user(&house, &call(&key), "alice", "caller").await;
    let id = alice.id.as_str();
    let before = log_in(&house, "alice", GOOD).await.unwrap();
    let set = house
        .manager
        .set_user(&call(&key), id, roles(&["auditor", "uploader"]))
        .await;
    let changed = set.unwrap();
    assert_eq!(changed.roles, [Role::Uploader, Role::Auditor]);
    assert!(!is_in(&house, &before).await);
    let after = log_in(&house, "alice", GOOD).await.unwrap();
    let (who, _) = house
        .sessions
        .principal(after.secret.expose())
        .await
        .unwrap();
    for scope in Scope::ALL {
        let may = !matches!(scope, Scope::Keys | Scope::Operator);
        assert_eq!(who.scopes.contains(scope), may, "{scope:?}");
    }
    let disable = UserRequest {
        roles: None,
        disabled: Some(true),
    };
    let disabled = house.manager.set_user(&call(&key), id, disable).await;
    disabled.unwrap();
    assert!(!is_in(&house, &after).await);
    let nothing = house
        .manager
        .set_user(&call(&key), id, UserRequest::default())
        .await;
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn the_first_operator_is_made_with_a_token_once() {
    let house = House::build().await;
    let manager = &house.manager;
    let void = manager.setup_token().await.unwrap().unwrap();
    let token = manager.setup_token().await.unwrap().unwrap();
    let good = Password::new(GOOD);
    let set_up = async |token: &str, name: &str, password: &str| {
        let password = Password::new(password);
        manager.set_up(&call(""), token, name, &password).await
    };
    for (token, name, password, refused) in [
        ("", "root", GOOD, ErrorKind::Unauthenticated),
        (void.expose(), "root", GOOD, ErrorKind::Unauthenticated),
        (token.expose(), "no name", GOOD, ErrorKind::InvalidInput),
        (token.expose(), "root", "short", ErrorKind::InvalidInput),
    ] {
        let made = set_up(token, name, password).await;
        assert_eq!(made.unwrap_err().kind(), refused, "{name} {password}");
    }
    let root = set_up(token.expose(), "root", GOOD).await.unwrap();
    assert_eq!((root.tenant, root.roles), (None, vec![Role::Operator]));
    let again = set_up(token.expose(), "root-2", GOOD).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unauthenticated);
    assert_eq!(manager.setup_token().await.unwrap(), None);

    let login = manager.log_in(&call(""), "root", &good).await.unwrap();
    let who = house.sessions.principal(login.secret.expose()).await;
    assert!(who.unwrap().0.is_operator());
    let made = records(&house, &call(OPERATOR), Act::UserCreate).await;
    assert_eq!(made.len(), 1);
    assert_eq!(&*made[0].entry.actor, "setup");
}

#[tokio::test]
async fn a_name_is_taken_on_the_whole_host_until_its_user_is_deleted() {
    let (house, key) = house().await;
    let other = call(&owner(&house, "b").await);
    let alice = user(&house, &call(&key), "alice", "caller").await;
    let taken = house
        .manager
        .create_user(&other, request("alice", &["caller"]));
    assert_eq!(taken.await.unwrap_err().kind(), ErrorKind::Conflict);
    for bad in ["", "Alice", "a b", "-a", "é", &"a".repeat(255)] {
        let made = house.manager.create_user(&other, request(bad, &["caller"]));
        assert_eq!(
            made.await.unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{bad}"
        );
    }
    house
        .manager
        .delete_user(&call(&key), alice.id.as_str())
        .await
        .unwrap();
    let next = user(&house, &other, "alice", "caller").await;
    assert_ne!(next.id, alice.id, "an id is never anybody else's");
}

#[tokio::test]
async fn every_act_is_recorded_and_a_failed_login_by_name_only_where_that_is_a_users() {
    let (house, key) = house().await;
    let by = call(&key);
    let alice = user(&house, &by, "alice", "caller").await;
    let id = alice.id.as_str();
    for (name, password) in [("alice", WRONG), ("my-secret-password", GOOD)] {
        log_in(&house, name, password).await.unwrap_err();
    }
    let login = log_in(&house, "alice", GOOD).await.unwrap();
    house.manager.log_out(&with(&login)).await.unwrap();
    let set = house.manager.set_user(&by, id, roles(&["uploader"])).await;
    set.unwrap();
    let set = house
        .manager
        .set_password(&by, id, password(None, OTHER))
        .await;
    set.unwrap();
    house.manager.delete_user(&by, id).await.unwrap();

    let own = on(OPERATOR, "a");
    let actor = house.manager.caller_of(&by).await.unwrap().actor.clone();
    for (act, actor) in [
        (Act::UserCreate, &*actor),
        (Act::SessionBegin, id),
        (Act::SessionEnd, id),
        (Act::UserSet, &*actor),
        (Act::UserPassword, &*actor),
        (Act::UserDelete, &*actor),
    ] {
        let rows = records(&house, &own, act).await;
        let [row] = &rows[..] else {
            panic!("{act}: {rows:?}")
        };
        assert_eq!((&*row.entry.actor, row.entry.object.as_str()), (actor, id));
        for secret in [GOOD, OTHER, "argon2"] {
            assert!(!row.entry.detail.contains(secret), "{act}");
        }
    }
    let changed = records(&house, &own, Act::UserSet).await;
    let detail: Value = serde_json::from_str(&changed[0].entry.detail).unwrap();
    assert_eq!(detail["before"]["roles"], serde_json::json!(["caller"]));
    assert_eq!(detail["after"]["roles"], serde_json::json!(["uploader"]));

    // The tenant sees who knocked at the door of a user of its own.
    let refused = records(&house, &own, Act::Refuse).await;
    let whats: Vec<_> = refused
        .iter()
        .map(|row| row.entry.object.as_str())
        .collect();
    assert_eq!(whats, ["login as alice"]);
    let all = records(&house, &call(OPERATOR), Act::Refuse).await;
    assert_eq!(all.len(), 2);
    for row in &all {
        assert_eq!(&*row.entry.actor, "", "nobody is known to have been it");
        let told = format!("{} {}", row.entry.object, row.entry.detail);
        assert!(!told.contains("my-secret-password"), "{told}");
    }
}
