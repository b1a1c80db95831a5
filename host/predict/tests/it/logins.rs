//! Logins: who is let in, for how long, and who has to wait.

use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_predict::PredictError;
use foretell_predict::manage::UserRequest;
use foretell_predict::session::{IDLE_MS, LONGEST_MS};
use foretell_types::{ErrorKind, Role};

use crate::house::{OPERATOR, call};
use crate::users::{GOOD, OTHER, WRONG, house, is_in, log_in, pass, password, request, user, with};

#[tokio::test]
async fn a_user_is_in_from_its_login_to_its_logout() {
    let (house, key) = house().await;
    let alice = user(&house, &call(&key), "alice@example.com", "owner").await;
    // A name is what it is however it is typed.
    let first = log_in(&house, "Alice@Example.com", GOOD).await.unwrap();
    let second = log_in(&house, "alice@example.com", GOOD).await.unwrap();
    assert_ne!(
        first.secret, second.secret,
        "each login has a session of its own"
    );
    assert_eq!(first.user, alice);
    let (who, _) = house
        .sessions
        .principal(first.secret.expose())
        .await
        .unwrap();
    assert_eq!(&*who.actor, alice.id.as_str());
    assert_eq!(who.tenant, alice.tenant);
    assert_eq!(who.scopes, Role::Owner.scopes());
    let (found, ends_at) = house.manager.session(&with(&first)).await.unwrap();
    let now = house.now.load(Ordering::Relaxed);
    assert_eq!((found, ends_at), (alice, now + IDLE_MS));

    house.manager.log_out(&with(&first)).await.unwrap();
    assert!(!is_in(&house, &first).await);
    assert!(is_in(&house, &second).await, "the other one goes on");
    let again = house.manager.log_out(&with(&first)).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_the_same_words() {
    let (house, key) = house().await;
    user(&house, &call(&key), "alice", "caller").await;
    let gone = user(&house, &call(&key), "gone", "caller").await;
    let disable = UserRequest {
        roles: None,
        disabled: Some(true),
    };
    let disabled = house
        .manager
        .set_user(&call(&key), gone.id.as_str(), disable)
        .await
        .unwrap();
    assert!(disabled.disabled_at.is_some());
    let long = "x".repeat(1 << 20);
    let cases = [
        ("alice", WRONG),
        ("alice", ""),
        ("alice", long.as_str()),
        ("nobody", GOOD),
        ("no name at all", GOOD),
        ("", ""),
        ("gone", WRONG),
        ("gone", GOOD),
    ];
    for (name, password) in cases {
        let refused = log_in(&house, name, password).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{name}");
        assert_eq!(
            refused.to_string(),
            "the name or the password is wrong",
            "{name}"
        );
        assert_eq!(refused.retry_after(), None, "{name}");
    }
    log_in(&house, "alice", GOOD).await.unwrap();
    let enable = UserRequest {
        roles: None,
        disabled: Some(false),
    };
    let enabled = house
        .manager
        .set_user(&call(&key), gone.id.as_str(), enable)
        .await;
    enabled.unwrap();
    log_in(&house, "gone", GOOD).await.unwrap();
}

#[tokio::test]
async fn after_five_failures_a_name_waits_whether_it_is_anybodys_or_not() {
    let (house, key) = house().await;
    user(&house, &call(&key), "alice", "caller").await;
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            let refused = log_in(&house, name, WRONG).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
        }
        for seconds in [1, 2, 4, 8] {
            // Not even the right password.
            let waits = log_in(&house, name, GOOD).await.unwrap_err();
            assert_eq!(waits.kind(), ErrorKind::RateLimited);
            let wait = Duration::from_secs(seconds);
            assert_eq!(waits.retry_after(), Some(wait), "{name}");
            pass(&house, i64::try_from(wait.as_millis()).unwrap());
            let refused = log_in(&house, name, WRONG).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{name}");
        }
    }
    pass(&house, 16_000);
    log_in(&house, "alice", GOOD).await.unwrap();
    // The row has ended.
    for _ in 0..4 {
        log_in(&house, "alice", WRONG).await.unwrap_err();
    }
    log_in(&house, "alice", GOOD).await.unwrap();
}

#[tokio::test]
async fn of_ten_thousand_guesses_nearly_all_are_refused_unseen() {
    let (house, key) = house().await;
    user(&house, &call(&key), "alice", "caller").await;
    let mut seen = 0;
    for _ in 0..10_000 {
        match log_in(&house, "alice", WRONG).await {
            Err(PredictError::Unauthenticated(_)) => seen += 1,
            Err(PredictError::TooManyLogins { .. }) => {}
            other => panic!("{other:?}"),
        }
        // A hundred a second.
        pass(&house, 10);
    }
    // 5, and then one after 1, 2, 4, 8, 16 and 32 seconds.
    assert_eq!(seen, 11);
}

#[tokio::test]
async fn a_stolen_session_is_no_way_to_guess_the_password() {
    let (house, key) = house().await;
    let alice = user(&house, &call(&key), "alice", "caller").await;
    let stolen = with(&log_in(&house, "alice", GOOD).await.unwrap());
    let guess = || {
        let request = password(Some(WRONG), OTHER);
        house
            .manager
            .set_password(&stolen, alice.id.as_str(), request)
    };
    for _ in 0..5 {
        assert_eq!(guess().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(guess().await.unwrap_err().kind(), ErrorKind::RateLimited);
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_at_its_end_however_it_is_used() {
    let (house, key) = house().await;
    user(&house, &call(&key), "alice", "caller").await;
    let idle = log_in(&house, "alice", GOOD).await.unwrap();
    pass(&house, IDLE_MS);
    assert!(!is_in(&house, &idle).await);

    let busy = log_in(&house, "alice", GOOD).await.unwrap();
    let began = house.now.load(Ordering::Relaxed);
    assert_eq!(busy.ends_at, began + LONGEST_MS);
    while house.now.load(Ordering::Relaxed) < busy.ends_at {
        assert!(is_in(&house, &busy).await);
        pass(&house, IDLE_MS / 3);
    }
    assert!(!is_in(&house, &busy).await);
}

#[tokio::test]
async fn sessions_end_with_their_user_and_with_its_tenant() {
    let (house, key) = house().await;
    let alice = user(&house, &call(&key), "alice", "caller").await;
    user(&house, &call(&key), "bob", "caller").await;
    let (first, second) = (
        log_in(&house, "alice", GOOD).await.unwrap(),
        log_in(&house, "bob", GOOD).await.unwrap(),
    );
    house
        .manager
        .delete_user(&call(&key), alice.id.as_str())
        .await
        .unwrap();
    assert!(!is_in(&house, &first).await);
    assert!(is_in(&house, &second).await);
    log_in(&house, "alice", GOOD).await.unwrap_err();
    let tenant = house.manager.delete_tenant(&call(OPERATOR), "a").await;
    tenant.unwrap();
    assert!(!is_in(&house, &second).await);
    log_in(&house, "bob", GOOD).await.unwrap_err();
}

#[tokio::test]
async fn all_sessions_of_a_user_end_at_once_where_that_is_asked_for() {
    let (house, key) = house().await;
    let alice = user(&house, &call(&key), "alice", "caller").await;
    let id = alice.id.as_str();
    for by in [None, Some(call(&key))] {
        let (one, two) = (
            log_in(&house, "alice", GOOD).await.unwrap(),
            log_in(&house, "alice", GOOD).await.unwrap(),
        );
        let by = by.unwrap_or_else(|| with(&one));
        assert_eq!(house.manager.end_sessions(&by, id).await.unwrap(), 2);
        assert!(!is_in(&house, &one).await && !is_in(&house, &two).await);
    }
}

#[tokio::test]
async fn a_second_secret_tells_our_page_from_others() {
    let (house, key) = house().await;
    user(&house, &call(&key), "alice", "caller").await;
    let (one, two) = (
        log_in(&house, "alice", GOOD).await.unwrap(),
        log_in(&house, "alice", GOOD).await.unwrap(),
    );
    for (token, holds) in [
        (one.csrf.expose(), true),
        (two.csrf.expose(), false),
        (one.secret.expose(), false),
        ("", false),
    ] {
        let found = house.sessions.csrf_holds(one.secret.expose(), token);
        assert_eq!(found.await.unwrap(), holds, "{token}");
    }
}

#[tokio::test]
async fn a_session_is_a_credential_like_a_key_and_gives_what_its_roles_do() {
    let (house, key) = house().await;
    user(&house, &call(&key), "boss", "owner").await;
    user(&house, &call(&key), "alice", "caller").await;
    let boss = with(&log_in(&house, "boss", GOOD).await.unwrap());
    let alice = with(&log_in(&house, "alice", GOOD).await.unwrap());
    user(&house, &boss, "carol", "uploader").await;
    assert_eq!(house.manager.users(&boss).await.unwrap().len(), 3);
    assert!(house.manager.list_keys(&boss).await.is_ok());
    for refused in [
        house.manager.users(&alice).await.err(),
        house.manager.list_tenants(&boss).await.err(),
        house
            .manager
            .create_user(&alice, request("dave", &["caller"]))
            .await
            .err(),
    ] {
        assert_eq!(refused.unwrap().kind(), ErrorKind::Forbidden);
    }
}
