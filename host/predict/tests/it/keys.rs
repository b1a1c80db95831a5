//! Keys and what they open.

use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_predict::manage::{NewKeyRequest, OperatorKey};
use foretell_types::ErrorKind;

use crate::house::{DAY_MS, House, OPERATOR, call, on};

#[tokio::test]
async fn keys_expire_and_are_revoked_at_once_and_rotated_with_overlap() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models", "keys"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    let id = house.manager.list_keys(&call(&key)).await.unwrap()[0]
        .id
        .clone();

    let overlap = Duration::from_secs(3_600);
    let successor = house
        .manager
        .rotate_key(&call(&key), id.as_str(), overlap)
        .await
        .unwrap();
    let new = successor.secret.expose();
    assert_eq!(
        house.predict(&call(&key), "m", None, 1.0).await.unwrap(),
        2.0,
        "both open during the overlap"
    );
    assert_eq!(
        house.predict(&call(new), "m", None, 1.0).await.unwrap(),
        2.0
    );
    house.now.fetch_add(3_600_000, Ordering::Relaxed);
    assert_eq!(
        house.kind(&call(&key), "m", None, 1.0).await,
        ErrorKind::Unauthenticated
    );
    let again = house
        .manager
        .rotate_key(&call(new), id.as_str(), overlap)
        .await
        .unwrap_err();
    assert_eq!(
        again.kind(),
        ErrorKind::Conflict,
        "an ended key has no successor"
    );

    house
        .manager
        .revoke_key(&on(OPERATOR, "a"), successor.record.id.as_str())
        .await
        .unwrap();
    assert_eq!(
        house.kind(&call(new), "m", None, 1.0).await,
        ErrorKind::Unauthenticated
    );

    let third = house.tenant("a", &["infer"]).await;
    assert_eq!(
        house.predict(&call(&third), "m", None, 1.0).await.unwrap(),
        2.0
    );
    house.now.fetch_add(365 * DAY_MS, Ordering::Relaxed);
    assert_eq!(
        house.kind(&call(&third), "m", None, 1.0).await,
        ErrorKind::Unauthenticated
    );
}

#[tokio::test]
async fn a_key_gives_at_most_what_its_creator_holds() {
    let house = House::build().await;
    let key = house.tenant("a", &["keys", "infer"]).await;
    let ask = |scopes: &[&str]| NewKeyRequest {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..NewKeyRequest::default()
    };
    for (scopes, expected) in [
        (&["models"][..], ErrorKind::Forbidden),
        (&["operator"], ErrorKind::Forbidden),
        (&["fly"], ErrorKind::InvalidInput),
        (&[], ErrorKind::InvalidInput),
    ] {
        assert_eq!(
            house
                .manager
                .create_key(&call(&key), ask(scopes))
                .await
                .unwrap_err()
                .kind(),
            expected,
            "{scopes:?}"
        );
    }
    assert!(
        house
            .manager
            .create_key(&call(&key), ask(&["infer"]))
            .await
            .is_ok()
    );
    let operator = house
        .manager
        .create_key(&on(OPERATOR, "a"), ask(&["operator"]))
        .await
        .unwrap_err();
    assert_eq!(
        operator.kind(),
        ErrorKind::Forbidden,
        "no key of a tenant is an operator's"
    );
}

#[tokio::test]
async fn another_configured_operator_key_revokes_the_old_one() {
    let house = House::build().await;
    assert!(house.manager.list_tenants(&call(OPERATOR)).await.is_ok());
    let other = "another-operator-key";
    assert!(matches!(
        house.manager.ensure_operator_key(Some(other)).await,
        Ok(OperatorKey::Configured)
    ));
    assert!(matches!(
        house.manager.ensure_operator_key(Some(other)).await,
        Ok(OperatorKey::Configured)
    ));
    assert_eq!(
        house
            .manager
            .list_tenants(&call(OPERATOR))
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Unauthenticated
    );
    assert!(house.manager.list_tenants(&call(other)).await.is_ok());
    assert!(matches!(
        house.manager.ensure_operator_key(None).await,
        Ok(OperatorKey::Existing)
    ));
    for bad in ["short", "has spaces in it, long", OPERATOR] {
        let error = house
            .manager
            .ensure_operator_key(Some(bad))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
    }
}
