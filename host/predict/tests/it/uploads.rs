//! Uploads under way.

use std::sync::atomic::Ordering;

use foretell_predict::Limits;
use foretell_types::{ErrorKind, TenantId};

use crate::house::{House, OPERATOR, call, on};

#[tokio::test]
async fn parts_are_named_and_stand_once() {
    let house = House::build().await;
    let key = house.tenant("a", &["models"]).await;
    let mut upload = house
        .manager
        .begin_upload(&call(&key), "m", "1")
        .await
        .unwrap();
    assert_eq!(
        upload.part("weights").await.err().unwrap().kind(),
        ErrorKind::Malformed
    );
    let part = upload.part("settings").await.unwrap();
    upload.finish_part(part).await.unwrap();
    assert_eq!(
        upload.part("settings").await.err().unwrap().to_string(),
        "a part stands twice"
    );
    let missing = house
        .manager
        .publish(&call(&key), upload)
        .await
        .unwrap_err();
    assert_eq!(missing.to_string(), "the part `plugin` is missing");
    for (model, version) in [("..", "1"), ("m", ""), ("stats", "1"), ("m", "1/2")] {
        let error = house
            .manager
            .begin_upload(&call(&key), model, version)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{model} {version}");
    }
}

#[tokio::test]
async fn pushing_again_brings_back_content_that_was_lost() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    let tenant = TenantId::parse("a").unwrap();
    let lost = house.stores.blobs.list(&tenant).await.unwrap().remove(0);
    house.stores.blobs.remove(&lost).await.unwrap();
    assert!(
        !house.push(&key, "m", "1", b"one").await.unwrap(),
        "the same version"
    );
    assert_eq!(house.blob_count("a").await, 3);
    assert_eq!(house.compiler.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_tenant_has_so_many_uploads_under_way_and_no_more() {
    let limits = Limits {
        max_uploads_per_tenant: 1,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    let (a, b) = (
        house.tenant("a", &["models"]).await,
        house.tenant("b", &["models"]).await,
    );
    let first = house
        .manager
        .begin_upload(&call(&a), "m", "1")
        .await
        .unwrap();
    let second = house
        .manager
        .begin_upload(&call(&a), "m", "2")
        .await
        .unwrap_err();
    assert_eq!(second.kind(), ErrorKind::RateLimited);
    assert!(
        second
            .to_string()
            .starts_with("this tenant has 1 uploads under way"),
        "{second}"
    );
    assert!(
        house
            .manager
            .begin_upload(&call(&b), "m", "1")
            .await
            .is_ok(),
        "a neighbour goes on"
    );
    drop(first);
    assert!(
        house
            .manager
            .begin_upload(&call(&a), "m", "2")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_upload_whose_key_was_revoked_meanwhile_is_not_accepted() {
    let house = House::build().await;
    let key = house.tenant("a", &["models"]).await;
    let upload = house.begin(&key, "m", "1", b"one").await.unwrap();
    let operator = on(OPERATOR, "a");
    let id = house.manager.list_keys(&operator).await.unwrap()[0]
        .id
        .clone();
    house
        .manager
        .revoke_key(&operator, id.as_str())
        .await
        .unwrap();
    let refused = house
        .manager
        .publish(&call(&key), upload)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    assert_eq!(house.blob_count("a").await, 0);
}
