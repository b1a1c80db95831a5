//! Keys and what they open.

use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_predict::manage::{Issued, NewKeyRequest, OperatorKey};
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

/// A key of tenant `a` for single models.
async fn key_for(house: &House, owner: &str, role: &str, models: &[&str]) -> Issued {
    let request = NewKeyRequest {
        role: Some(role.to_owned()),
        models: Some(models.iter().map(|model| (*model).to_owned()).collect()),
        ..NewKeyRequest::default()
    };
    let issued = house.manager.create_key(&call(owner), request).await;
    issued.unwrap()
}

#[tokio::test]
async fn a_key_for_single_models_does_nothing_with_others() {
    let house = House::build().await;
    let owner = house.tenant("a", &["infer", "models", "keys"]).await;
    for model in ["m", "n"] {
        house.push(&owner, model, "1", b"one").await.unwrap();
    }
    let issued = key_for(&house, &owner, "uploader", &["m", "new"]).await;
    let key = issued.secret.expose();
    let own = call(key);
    house.predict(&own, "m", None, 1.0).await.unwrap();
    house.push(key, "m", "2", b"two").await.unwrap();
    house.push(key, "new", "1", b"one").await.unwrap();

    let manager = &house.manager;
    let models = manager.list_models(&own).await.unwrap();
    let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["m", "new"]);
    let refused = [
        house.predict(&own, "n", None, 1.0).await.map(drop),
        house.predict(&own, "n", Some("1"), 1.0).await.map(drop),
        house.push(key, "n", "2", b"two").await.map(drop),
        manager.model(&own, "n").await.map(drop),
        manager.version(&own, "n", "1").await.map(drop),
        manager.traffic(&own, "n").await.map(drop),
        manager.unload(&own, "n").await,
        manager.load(&own, "n").await,
        manager.delete_version(&own, "n", "1").await,
        manager.purge_cache_of(&own, "n").await.map(drop),
        manager.purge_cache(&own).await.map(drop),
    ];
    for (index, refused) in refused.into_iter().enumerate() {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{index}: {error}");
    }
    // What is not there looks like what is not for it.
    let there = house.predict(&own, "n", None, 1.0).await.unwrap_err();
    let absent = house.predict(&own, "o", None, 1.0).await.unwrap_err();
    assert_eq!(there.to_string().replace("`n`", "`o`"), absent.to_string());
    // Its successor is for the same.
    let successor = manager
        .rotate_key(&call(&owner), issued.record.id.as_str(), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(successor.record.models, issued.record.models);
}

#[tokio::test]
async fn a_role_is_a_name_for_scopes_and_wrong_wishes_are_told() {
    let house = House::build().await;
    let owner = house
        .tenant("a", &["infer", "models", "keys", "usage", "audit"])
        .await;
    let wish = |role: Option<&str>, scopes: &[&str], models: Option<&[&str]>| NewKeyRequest {
        role: role.map(str::to_owned),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        models: models.map(|models| models.iter().map(|model| (*model).to_owned()).collect()),
        ..NewKeyRequest::default()
    };
    let auditor = house
        .manager
        .create_key(&call(&owner), wish(Some("auditor"), &[], None))
        .await;
    assert_eq!(auditor.unwrap().record.scopes.to_string(), "usage,audit");
    for (wish, part) in [
        (wish(Some("operator"), &[], None), "unknown role `operator`"),
        (wish(Some("root"), &[], None), "use one of owner, uploader"),
        (wish(Some("caller"), &["infer"], None), "not both"),
        (wish(None, &[], None), "`scopes` is empty"),
        (wish(Some("caller"), &[], Some(&[])), "1 to 100 names"),
        (wish(Some("caller"), &[], Some(&["a b"])), "`models`:"),
        (
            wish(Some("owner"), &[], Some(&["m"])),
            "infer and models alone",
        ),
    ] {
        let error = house.manager.create_key(&call(&owner), wish).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn a_key_tells_when_it_was_last_used() {
    let house = House::build().await;
    let owner = house.tenant("a", &["infer", "models", "keys"]).await;
    house.push(&owner, "m", "1", b"one").await.unwrap();
    let caller = house.key(&call(&owner), &["infer"]).await;
    let last = || async {
        let keys = house.manager.list_keys(&call(&owner)).await.unwrap();
        keys[1].last_used_at
    };
    assert_eq!(last().await, None);
    house.predict(&call(&caller), "m", None, 1.0).await.unwrap();
    let first = house.now.load(Ordering::Relaxed);
    assert_eq!(last().await, Some(first));
    house.now.fetch_add(90_000, Ordering::Relaxed);
    assert_eq!(last().await, Some(first), "shown to nobody meanwhile");
    house.predict(&call(&caller), "m", None, 1.0).await.unwrap();
    assert_eq!(last().await, Some(first + 60_000), "to the minute");
}
