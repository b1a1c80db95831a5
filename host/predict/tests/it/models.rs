//! Models, their versions, and what is left of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_predict::manage::TrafficRequest;
use foretell_types::ErrorKind;
use foretell_types::run::RunError;

use crate::house::{House, OPERATOR, call};

#[tokio::test]
async fn pushing_again_is_the_same_version_another_content_is_a_conflict() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    assert!(house.push(&key, "m", "1", b"one").await.unwrap());
    assert!(!house.push(&key, "m", "1", b"one").await.unwrap());
    assert_eq!(
        house.compiler.asked.load(Ordering::Relaxed),
        1,
        "what is there is not compiled again"
    );
    assert_eq!(
        house.push(&key, "m", "1", b"two").await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        house.push(&key, "m", "2", b"bad").await.unwrap_err().kind(),
        ErrorKind::UploadRefused
    );
    assert_eq!(
        house
            .manager
            .model(&call(&key), "m")
            .await
            .unwrap()
            .versions
            .len(),
        1
    );
    assert_eq!(
        house.blob_count("a").await,
        3,
        "nothing of a refused upload is stored"
    );
}

#[tokio::test]
async fn the_first_version_is_active_until_traffic_is_set() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    for (version, plugin) in [("1", &b"one"[..]), ("2", b"two")] {
        house.push(&key, "m", version, plugin).await.unwrap();
    }
    let active = |version: &str| TrafficRequest::activate(version);
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    let record = house
        .manager
        .set_traffic(&call(&key), "m", active("2"))
        .await
        .unwrap();
    assert_eq!(record.traffic.active.unwrap().as_str(), "2");
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    let digests: Vec<_> = record
        .versions
        .iter()
        .map(|version| version.digest)
        .collect();
    assert_eq!(
        *house.runner.ran.lock().unwrap(),
        digests,
        "calls go to the version that was set"
    );
    let unknown = house
        .manager
        .set_traffic(&call(&key), "m", active("3"))
        .await
        .unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "model `m` has no version `3`; its active version is 2"
    );
}

#[tokio::test]
async fn an_unloaded_model_holds_nothing_and_comes_back_ready_to_run() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    let own = call(&key);
    for (version, plugin) in [("1", &b"one"[..]), ("2", b"two")] {
        house.push(&key, "m", version, plugin).await.unwrap();
    }
    let record = house.manager.model(&own, "m").await.unwrap();
    let digests = || record.versions.iter().map(|version| version.digest);
    house.manager.unload(&own, "m").await.unwrap();
    assert_eq!(
        house.kind(&own, "m", Some("2"), 1.0).await,
        ErrorKind::ModelUnloaded
    );
    let forgotten = house.runner.forgotten.lock().unwrap().clone();
    assert!(digests().all(|digest| forgotten.iter().any(|(_, known)| *known == digest)));

    house.manager.load(&own, "m").await.unwrap();
    let loaded = house.runner.loaded.lock().unwrap().clone();
    assert_eq!(Some(loaded), digests().next().map(|active| vec![active]));
    assert_eq!(house.predict(&own, "m", None, 1.0).await.unwrap(), 2.0);

    // Its caller hears why it could not be made ready, and it is not in service.
    house.manager.unload(&own, "m").await.unwrap();
    let full = RunError::Unavailable {
        cause: "it is being compiled".into(),
        retry_after: Duration::from_secs(7),
    };
    *house.runner.plan.lock().unwrap() = Some(Err(full));
    let error = house.manager.load(&own, "m").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(
        house.kind(&own, "m", None, 1.0).await,
        ErrorKind::ModelUnloaded
    );
    house.manager.load(&own, "m").await.unwrap();
    assert_eq!(house.predict(&own, "m", None, 1.0).await.unwrap(), 2.0);
}

#[tokio::test]
async fn a_deleted_version_is_gone_with_its_content_and_its_name_stays_taken() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    for (version, plugin) in [("1", &b"one"[..]), ("2", b"two"), ("same-as-2", b"two")] {
        house.push(&key, "m", version, plugin).await.unwrap();
    }
    assert_eq!(
        house.blob_count("a").await,
        6,
        "equal content is stored once"
    );
    let deleted = house
        .manager
        .version(&call(&key), "m", "2")
        .await
        .unwrap()
        .record;
    let active = house
        .manager
        .delete_version(&call(&key), "m", "1")
        .await
        .unwrap_err();
    assert_eq!(active.kind(), ErrorKind::Conflict);
    house
        .manager
        .delete_version(&call(&key), "m", "2")
        .await
        .unwrap();
    assert_eq!(
        house.blob_count("a").await,
        6,
        "another version still refers to it"
    );
    house
        .manager
        .delete_version(&call(&key), "m", "same-as-2")
        .await
        .unwrap();
    assert_eq!(house.blob_count("a").await, 3);
    let (last, deleted) = {
        let last = house.runner.forgotten.lock().unwrap().last().cloned();
        (last.unwrap().1, deleted.digest)
    };
    assert_eq!(last, deleted, "loaded code is let go");
    assert_eq!(
        house.push(&key, "m", "2", b"two").await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        house.kind(&call(&key), "m", Some("2"), 1.0).await,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_deleted_tenant_leaves_nothing_and_its_keys_open_nothing() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    house
        .manager
        .delete_tenant(&call(OPERATOR), "a")
        .await
        .unwrap();
    assert_eq!(house.blob_count("a").await, 0);
    assert_eq!(
        house.kind(&call(&key), "m", None, 1.0).await,
        ErrorKind::Unauthenticated
    );
    let again = house
        .manager
        .create_tenant(&call(OPERATOR), "a")
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
}
