//! The corridor and the use cases over the memory stores, with a compiler and a runner that answer by plan.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_predict::key::Pepper;
use foretell_predict::manage::{ManagerParts, NewKeyRequest, OperatorKey, TrafficRequest};
use foretell_predict::{
    Call, Clock, Credentials, Identity, Inputs, Limits, Manager, ModelRef, Payload, PredictError,
    Predictor, Registry,
};
use foretell_store::Stores;
use foretell_types::compile::{
    CompileError, Compiler, Prepared, Refusal, RefusalCode, Step, Upload,
};
use foretell_types::record::Value;
use foretell_types::run::{RunCall, RunError, RunOutcome, Runner, Usage};
use foretell_types::signature::{Bounds, Column, Domain, Example, Input, Output, Promises, Role};
use foretell_types::{
    Datatype, Elements, ErrorKind, RequestId, Signature, TenantId, Tensor, VersionDigest,
};

const DAY_MS: i64 = 86_400_000;
const OPERATOR: &str = "operator-key-of-these-tests";

/// A server without transport and engine.
struct House {
    predictor: Predictor,
    manager: Manager,
    stores: Stores,
    compiler: Arc<PlannedCompiler>,
    runner: Arc<PlannedRunner>,
    now: Arc<AtomicI64>,
    _dir: tempfile::TempDir,
}

/// Refuses plugins that begin with `bad`; counts how often it was asked.
#[derive(Default)]
struct PlannedCompiler {
    asked: AtomicUsize,
}

#[async_trait]
impl Compiler for PlannedCompiler {
    async fn prepare(
        &self,
        upload: &Upload,
        _: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Prepared, CompileError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let plugin = std::fs::read(&upload.plugin_file).unwrap();
        if plugin.starts_with(b"bad") {
            return Err(CompileError::Refused(vec![Refusal::new(
                RefusalCode::NotWasm,
                "plugin",
                "no wasm",
            )]));
        }
        Ok(Prepared {
            signature: doubler(),
            snapshot: plugin.clone(),
            code: plugin,
        })
    }
}

/// Doubles, or does what the next plan says.
#[derive(Default)]
struct PlannedRunner {
    plan: Mutex<Option<Result<Vec<Tensor>, RunError>>>,
    forgotten: Mutex<Vec<(TenantId, VersionDigest)>>,
    ran: Mutex<Vec<VersionDigest>>,
}

#[async_trait]
impl Runner for PlannedRunner {
    async fn run(&self, call: RunCall) -> RunOutcome {
        self.ran.lock().unwrap().push(call.version);
        let result = self.plan.lock().unwrap().take().unwrap_or_else(|| {
            let Elements::Fp64(values) = call.inputs.inputs()[0].elements() else {
                panic!("FP64 was checked")
            };
            Ok(vec![vector(
                &values.iter().map(|value| value * 2.0).collect::<Vec<_>>(),
            )])
        });
        RunOutcome {
            result,
            usage: Usage::default(),
        }
    }

    fn forget(&self, tenant: &TenantId, version: &VersionDigest) {
        self.forgotten
            .lock()
            .unwrap()
            .push((tenant.clone(), *version));
    }
}

fn vector(values: &[f64]) -> Tensor {
    Tensor::new(vec![values.len() as u32], Elements::Fp64(values.to_vec())).unwrap()
}

fn doubler() -> Signature {
    let column = Column {
        name: "x".into(),
        doc: String::new(),
        domain: Domain::Real(Bounds {
            min: 0.0,
            max: 100.0,
        }),
        absent: None,
    };
    Signature {
        doc: "twice as much".into(),
        inputs: vec![Input {
            name: "features".into(),
            doc: String::new(),
            datatype: Datatype::Fp64,
            shape: vec![-1, 1],
            columns: vec![column],
        }],
        outputs: vec![Output {
            name: "y".into(),
            doc: String::new(),
            datatype: Datatype::Fp64,
            shape: vec![-1],
            role: Role::Prediction,
            classes: vec![],
        }],
        examples: vec![Example {
            name: "one".into(),
            inputs: vec![],
            outputs: vec![],
            tolerance: 0.0,
        }],
        promises: Promises::default(),
    }
}

impl House {
    async fn build() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stores = foretell_store::open("memory:", dir.path(), 1).unwrap();
        let now = Arc::new(AtomicI64::new(1_000 * DAY_MS));
        let clock = {
            let now = Arc::clone(&now);
            Clock::from_fn(move || now.load(Ordering::Relaxed))
        };
        let identity = Arc::new(Identity::new(
            Arc::clone(&stores.keys),
            Arc::clone(&stores.tenants),
            Pepper::new(&[7; 32]),
            clock,
        ));
        let registry = Arc::new(Registry::new(Arc::clone(&stores.models)));
        let runner = Arc::new(PlannedRunner::default());
        let compiler = Arc::new(PlannedCompiler::default());
        let manager = Manager::new(ManagerParts {
            identity: Arc::clone(&identity),
            registry: Arc::clone(&registry),
            tenants: Arc::clone(&stores.tenants),
            keys: Arc::clone(&stores.keys),
            models: Arc::clone(&stores.models),
            blobs: Arc::clone(&stores.blobs),
            compiler: Arc::clone(&compiler) as _,
            runner: Arc::clone(&runner) as _,
            limits: limits.clone(),
            upload_dir: dir.path().to_path_buf(),
        });
        let predictor = Predictor::new(identity, registry, Arc::clone(&runner) as _, &limits);
        assert!(matches!(
            manager.ensure_operator_key(Some(OPERATOR)).await,
            Ok(OperatorKey::Configured)
        ));
        Self {
            predictor,
            manager,
            stores,
            compiler,
            runner,
            now,
            _dir: dir,
        }
    }

    /// Makes a tenant and a key of these scopes.
    async fn tenant(&self, name: &str, scopes: &[&str]) -> String {
        if self.manager.tenant(&call(OPERATOR), name).await.is_err() {
            self.manager
                .create_tenant(&call(OPERATOR), name)
                .await
                .unwrap();
        }
        self.key(&on(OPERATOR, name), scopes).await
    }

    async fn key(&self, call: &Call, scopes: &[&str]) -> String {
        let request = NewKeyRequest {
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..NewKeyRequest::default()
        };
        self.manager
            .create_key(call, request)
            .await
            .unwrap()
            .secret
            .expose()
            .to_owned()
    }

    async fn push(
        &self,
        key: &str,
        model: &str,
        version: &str,
        plugin: &'static [u8],
    ) -> Result<bool, PredictError> {
        let call = call(key);
        let mut upload = self.manager.begin_upload(&call, model, version).await?;
        let mut part = upload.part("plugin").await?;
        part.write(Bytes::from_static(plugin)).await?;
        upload.finish_part(part).await?;
        Ok(self.manager.publish(&call, upload).await?.created)
    }

    async fn predict(
        &self,
        call: &Call,
        model: &str,
        version: Option<&str>,
        x: f64,
    ) -> Result<f64, PredictError> {
        let payload = Ready(Some(Inputs::Records(vec![vec![(
            "x".into(),
            Value::Real(x),
        )]])));
        let answer = self
            .predictor
            .predict(call, &ModelRef::parse(model, version)?, payload)
            .await?;
        Ok(answer.outputs[0].elements().number(0).unwrap())
    }

    async fn kind(&self, call: &Call, model: &str, version: Option<&str>, x: f64) -> ErrorKind {
        self.predict(call, model, version, x)
            .await
            .unwrap_err()
            .kind()
    }

    async fn blob_count(&self, tenant: &str) -> usize {
        self.stores
            .blobs
            .list(&TenantId::parse(tenant).unwrap())
            .await
            .unwrap()
            .len()
    }
}

/// A body that is there already.
struct Ready(Option<Inputs>);

impl Payload for Ready {
    async fn read(&mut self, _: u64) -> Result<(), PredictError> {
        Ok(())
    }

    fn decode(&mut self, _: &Signature) -> Result<Inputs, PredictError> {
        Ok(self.0.take().expect("decoded once"))
    }
}

/// A body that must not be touched.
struct Untouched;

impl Payload for Untouched {
    async fn read(&mut self, _: u64) -> Result<(), PredictError> {
        panic!("the body of a refused call was read")
    }

    fn decode(&mut self, _: &Signature) -> Result<Inputs, PredictError> {
        panic!("the body of a refused call was decoded")
    }
}

fn call(key: &str) -> Call {
    Call {
        request_id: RequestId::parse("test").unwrap(),
        credentials: Credentials::new(Some(key.to_owned())),
        prefix: None,
    }
}

fn on(key: &str, tenant: &str) -> Call {
    Call {
        prefix: Some(tenant.to_owned()),
        ..call(key)
    }
}

#[tokio::test]
async fn a_pushed_model_answers_its_tenant_and_nobody_else() {
    let house = House::build().await;
    let (own, other) = (
        house.tenant("a", &["infer", "models"]).await,
        house.tenant("b", &["infer"]).await,
    );
    assert!(house.push(&own, "m", "1", b"one").await.unwrap());
    assert_eq!(
        house.predict(&call(&own), "m", None, 21.0).await.unwrap(),
        42.0
    );
    assert_eq!(
        house
            .predict(&on(OPERATOR, "a"), "m", Some("1"), 1.0)
            .await
            .unwrap(),
        2.0
    );
    let foreign = house
        .predict(&call(&other), "m", None, 1.0)
        .await
        .unwrap_err();
    let absent = house
        .predict(&call(&other), "m", None, 1.0)
        .await
        .unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    assert_eq!(
        foreign.to_string(),
        absent.to_string(),
        "another tenant's model looks like none"
    );
    assert_eq!(
        house.kind(&on(&other, "a"), "m", None, 1.0).await,
        ErrorKind::NotFound
    );
    assert_eq!(
        house.kind(&call(OPERATOR), "m", None, 1.0).await,
        ErrorKind::TenantRequired
    );
    assert_eq!(
        house.kind(&on(OPERATOR, "nobody"), "m", None, 1.0).await,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn the_body_of_a_refused_caller_is_never_read() {
    let house = House::build().await;
    let only_models = house.tenant("a", &["models"]).await;
    let model = ModelRef::parse("m", None).unwrap();
    let none = Call {
        credentials: Credentials::default(),
        ..call("")
    };
    for (call, expected) in [
        (none, ErrorKind::Unauthenticated),
        (call("ftl_live_mistyped"), ErrorKind::Unauthenticated),
        (
            call("some-unknown-operator-key"),
            ErrorKind::Unauthenticated,
        ),
        (call(&only_models), ErrorKind::Forbidden),
    ] {
        let error = house
            .predictor
            .predict(&call, &model, Untouched)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), expected);
    }
}

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
    let active = |version: &str| TrafficRequest {
        active: version.to_owned(),
    };
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

#[tokio::test]
async fn what_the_plugin_returns_is_held_against_its_signature() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    let plans = [
        (Ok(vec![]), ErrorKind::PluginContract),
        (Ok(vec![vector(&[1.0, 2.0])]), ErrorKind::PluginContract),
        (Err(RunError::Stack), ErrorKind::StackOverflow),
        (
            Err(RunError::Deadline {
                deadline: Duration::from_millis(5),
            }),
            ErrorKind::DeadlineExceeded,
        ),
        (
            Err(RunError::Trapped("a secret of the owner".into())),
            ErrorKind::PluginTrapped,
        ),
    ];
    for (plan, expected) in plans {
        *house.runner.plan.lock().unwrap() = Some(plan);
        let error = house
            .predict(&call(&key), "m", None, 1.0)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), expected);
        assert!(
            !error.to_string().contains("secret"),
            "the caller is not told what the log is told: {error}"
        );
    }
    assert_eq!(
        house.predictor.under_way(),
        0,
        "every permit was given back"
    );
}

#[tokio::test]
async fn more_rows_than_the_version_takes_are_refused() {
    let house = House::with(Limits {
        default_max_rows: 2,
        ..Limits::default()
    })
    .await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    let rows = |count| {
        Ready(Some(Inputs::Records(vec![
            vec![(
                "x".into(),
                Value::Whole(1)
            )];
            count
        ])))
    };
    let model = ModelRef::parse("m", None).unwrap();
    assert_eq!(
        house
            .predictor
            .predict(&call(&key), &model, rows(2))
            .await
            .unwrap()
            .credits(),
        2
    );
    let error = house
        .predictor
        .predict(&call(&key), &model, rows(3))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 rows are given, this version takes at most 2 in one request; send fewer"
    );
}

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
    let mut upload = house
        .manager
        .begin_upload(&call(&key), "m", "1")
        .await
        .unwrap();
    let mut part = upload.part("plugin").await.unwrap();
    part.write(Bytes::from_static(b"one")).await.unwrap();
    upload.finish_part(part).await.unwrap();
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
