//! The promises of [`SessionStore`](crate::SessionStore).

use std::sync::Arc;

use super::fixtures::{NOW, create_tenants, recorded, recorded_of, tenant};
use super::users::{session, user};
use super::{at_once, refused};
use crate::{
    Door, Ending, NewSession, PasswordHash, SessionRecord, StoreError, StoredUser, Stores,
    UserChange,
};

/// More than any of these users has.
const MANY: u32 = 100;

/// Checks [`SessionStore`](crate::SessionStore).
pub async fn sessions(stores: &Stores) {
    create_tenants(stores, 1).await;
    a_session_is_found_with_its_user(stores).await;
    a_login_that_came_too_late_begins_nothing(stores).await;
    a_session_of_too_many_ends_the_oldest(stores).await;
    use_is_noted_and_never_taken_back(stores).await;
    sessions_end_one_by_one_or_all(stores).await;
    what_is_over_is_swept_and_nothing_else(stores).await;
    of_many_with_one_hash_one_begins(stores).await;
}

async fn create(stores: &Stores, user: &StoredUser) {
    stores.users.create(user, &recorded()).await.unwrap();
}

async fn begin(stores: &Stores, new: &NewSession) {
    let begun = stores.sessions.create(new, MANY, &recorded()).await;
    begun.unwrap();
}

async fn found(stores: &Stores, n: u8) -> Option<SessionRecord> {
    let found = stores.sessions.find(&[n; 32]).await.unwrap();
    found.map(|(session, _)| session)
}

/// Which of these sessions are there.
async fn there(stores: &Stores, of: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut there = Vec::new();
    for n in of {
        if found(stores, n).await.is_some() {
            there.push(n);
        }
    }
    there
}

async fn a_session_is_found_with_its_user(stores: &Stores) {
    let sessions = &stores.sessions;
    assert_eq!(sessions.find(&[1; 32]).await.unwrap(), None);
    for (n, tenant) in [(1, Some(tenant(1))), (2, None)] {
        let held = user(n, tenant);
        create(stores, &held).await;
        let new = session(n, &held);
        begin(stores, &new).await;
        let found = sessions.find(&new.hash).await.unwrap();
        assert_eq!(found, Some((new.record, held.record)));
    }
    // As the user is now, and not as it was.
    let (one, first) = (tenant(1), user(1, None).record.id);
    let rehashed = UserChange::Rehashed {
        from: user(1, None).password,
        to: PasswordHash::new("other".into()),
    };
    let changed = stores
        .users
        .change(Some(&one), &first, &rehashed, recorded_of())
        .await
        .unwrap();
    let (_, user) = sessions.find(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(user, changed);
}

async fn a_login_that_came_too_late_begins_nothing(stores: &Stores) {
    let sessions = &stores.sessions;
    let held = user(10, Some(tenant(1)));
    let absent = session(10, &held);
    refused!(sessions.create(&absent, MANY, &recorded()).await, Conflict);
    create(stores, &held).await;
    let before = NewSession {
        password_at: held.record.password_at - 1,
        ..session(10, &held)
    };
    refused!(sessions.create(&before, MANY, &recorded()).await, Conflict);
    let close = UserChange::Access {
        roles: None,
        door: Some(Door::Closed(1)),
    };
    let one = tenant(1);
    stores
        .users
        .change(Some(&one), &held.record.id, &close, recorded_of())
        .await
        .unwrap();
    let disabled = session(10, &held);
    refused!(
        sessions.create(&disabled, MANY, &recorded()).await,
        Conflict
    );
    assert_eq!(found(stores, 10).await, None);
}

async fn a_session_of_too_many_ends_the_oldest(stores: &Stores) {
    let (held, other) = (user(11, None), user(12, None));
    create(stores, &held).await;
    create(stores, &other).await;
    begin(stores, &session(12, &other)).await;
    for n in 20..26 {
        let new = session(n, &held);
        stores.sessions.create(&new, 3, &recorded()).await.unwrap();
    }
    assert_eq!(there(stores, 20..26).await, [23, 24, 25]);
    assert_eq!(there(stores, [12]).await, [12], "others' go on");
}

async fn use_is_noted_and_never_taken_back(stores: &Stores) {
    let held = user(13, None);
    create(stores, &held).await;
    let mut record = session(13, &held).record;
    begin(stores, &session(13, &held)).await;
    for (at, used_at) in [(NOW + 50, NOW + 50), (NOW + 40, NOW + 50)] {
        stores.sessions.touch(&[13; 32], at).await.unwrap();
        record.used_at = used_at;
        assert_eq!(found(stores, 13).await.as_ref(), Some(&record));
    }
    // One that is not there stays away.
    stores.sessions.touch(&[99; 32], NOW).await.unwrap();
    assert_eq!(found(stores, 99).await, None);
}

async fn sessions_end_one_by_one_or_all(stores: &Stores) {
    let sessions = &stores.sessions;
    let (held, other) = (user(14, None), user(15, None));
    create(stores, &held).await;
    create(stores, &other).await;
    for n in 30..33 {
        begin(stores, &session(n, &held)).await;
    }
    begin(stores, &session(33, &other)).await;
    let rows = stores.audit.last().await.unwrap();
    let one = Ending::One([30; 32]);
    let all = Ending::AllOf(held.record.id.clone());
    assert_eq!(sessions.end(&one, &recorded()).await.unwrap(), 1);
    assert_eq!(there(stores, 30..34).await, [31, 32, 33]);
    assert_eq!(sessions.end(&all, &recorded()).await.unwrap(), 2);
    assert_eq!(there(stores, 30..34).await, [33]);
    assert_eq!(stores.audit.last().await.unwrap(), rows + 2);
    for nothing in [one, all] {
        assert_eq!(sessions.end(&nothing, &recorded()).await.unwrap(), 0);
    }
    assert_eq!(
        stores.audit.last().await.unwrap(),
        rows + 2,
        "what ended nothing is not recorded"
    );
}

async fn what_is_over_is_swept_and_nothing_else(stores: &Stores) {
    let held = user(16, None);
    create(stores, &held).await;
    // Later than those of the other tests: what they left goes with the first sweep.
    let later = NOW + 10_000;
    stores.sessions.sweep(later, later).await.unwrap();
    let times = [
        (40, later, later + 100),
        (41, later + 50, later + 100),
        (42, later + 50, later + 101),
        (43, later + 51, later + 101),
    ];
    for (n, used_at, ends_at) in times {
        let mut new = session(n, &held);
        (new.record.used_at, new.record.ends_at) = (used_at, ends_at);
        begin(stores, &new).await;
    }
    let swept = stores.sessions.sweep(later + 99, later - 1).await.unwrap();
    assert_eq!(swept, 0);
    let swept = stores
        .sessions
        .sweep(later + 100, later + 50)
        .await
        .unwrap();
    assert_eq!(swept, 3);
    assert_eq!(there(stores, 40..44).await, [43]);
}

async fn of_many_with_one_hash_one_begins(stores: &Stores) {
    let held = user(17, None);
    create(stores, &held).await;
    let calls = (0..16).map(|_| {
        let sessions = Arc::clone(&stores.sessions);
        let new = session(50, &held);
        async move { sessions.create(&new, MANY, &recorded()).await }
    });
    let answers = at_once(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(()) | Err(StoreError::Conflict(_))))
    );
}
