//! A server of memory stores, with a compiler and a runner that answer by plan.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_predict::jwt::Issuer;
use foretell_predict::key::Pepper;
use foretell_predict::manage::{self, ManagerParts, NewKeyRequest, OperatorKey};
use foretell_predict::{
    Answer, AnswerCache, Books, CacheLimits, CacheUse, Call, CheckpointRules, Checkpointer, Clock,
    Credentials, Decoded, Evidence, Governance, Identity, Inputs, Issuers, Limits, Manager,
    ModelRef, Payload, PredictError, Predictor, Recorder, Records, Registry, Rights, Sessions,
    Target, Urgency,
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
use tokio::sync::Semaphore;

/// What every run takes.
pub(crate) const COMPUTE: Duration = Duration::from_millis(3);
pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const OPERATOR: &str = "operator-key-of-these-tests";

/// A server without transport and engine.
pub(crate) struct House {
    pub(crate) predictor: Predictor,
    pub(crate) manager: Manager,
    pub(crate) stores: Stores,
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) compiler: Arc<PlannedCompiler>,
    pub(crate) runner: Arc<PlannedRunner>,
    pub(crate) now: Arc<AtomicI64>,
    checkpointer: Arc<Checkpointer>,
    pub(crate) cache: Option<Arc<AnswerCache>>,
    _dir: tempfile::TempDir,
}

/// Refuses plugins that begin with `bad`, finds those that begin with `same` deterministic; counts how often it was asked.
#[derive(Default)]
pub(crate) struct PlannedCompiler {
    pub(crate) asked: AtomicUsize,
}

#[async_trait]
impl Compiler for PlannedCompiler {
    async fn prepare(
        &self,
        upload: &Upload,
        _: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Prepared, CompileError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let plugin = std::fs::read(&upload.plugin.file).unwrap();
        if plugin.starts_with(b"bad") {
            return Err(CompileError::Refused(vec![Refusal::new(
                RefusalCode::NotWasm,
                "plugin",
                "no wasm",
            )]));
        }
        Ok(Prepared {
            signature: Signature {
                promises: Promises {
                    deterministic: plugin.starts_with(b"same"),
                    independent_rows: false,
                },
                ..doubler()
            },
            snapshot: plugin.clone(),
            code: plugin,
        })
    }
}

/// Doubles, or does what the next plan says; while it is held, it waits for a permit first.
#[derive(Default)]
pub(crate) struct PlannedRunner {
    pub(crate) plan: Mutex<Option<Result<Vec<Tensor>, RunError>>>,
    /// What these versions do each time.
    pub(crate) always: Mutex<HashMap<VersionDigest, Result<Vec<Tensor>, RunError>>>,
    /// What was run for nobody.
    pub(crate) aside: Mutex<Vec<VersionDigest>>,
    pub(crate) forgotten: Mutex<Vec<(TenantId, VersionDigest)>>,
    pub(crate) ran: Mutex<Vec<VersionDigest>>,
    pub(crate) loaded: Mutex<Vec<VersionDigest>>,
    /// What the last run was allowed, and its caller's priority.
    pub(crate) allowed: Mutex<Option<(Duration, u64)>>,
    pub(crate) held: Mutex<Option<Arc<Semaphore>>>,
    /// The same before it has begun.
    pub(crate) queued: Mutex<Option<Arc<Semaphore>>>,
}

#[async_trait]
impl Runner for PlannedRunner {
    async fn run(&self, call: RunCall) -> RunOutcome {
        let list = if call.is_aside {
            &self.aside
        } else {
            &self.ran
        };
        list.lock().unwrap().push(call.version);
        let queued = self.queued.lock().unwrap().clone();
        if let Some(queued) = queued {
            queued.acquire().await.unwrap().forget();
        }
        call.begun.now();
        *self.allowed.lock().unwrap() = Some((call.limits.deadline, call.priority));
        let held = self.held.lock().unwrap().clone();
        if let Some(held) = held {
            held.acquire().await.unwrap().forget();
        }
        let always = self.always.lock().unwrap().get(&call.version).cloned();
        let plan = always.or_else(|| self.plan.lock().unwrap().take());
        let result = plan.unwrap_or_else(|| {
            let Elements::Fp64(values) = call.inputs.inputs()[0].elements() else {
                panic!("FP64 was checked")
            };
            Ok(vec![vector(
                &values.iter().map(|value| value * 2.0).collect::<Vec<_>>(),
            )])
        });
        RunOutcome {
            result,
            usage: Usage::alone(Duration::ZERO, COMPUTE),
        }
    }

    async fn load(&self, _: &TenantId, version: &VersionDigest) -> Result<(), RunError> {
        self.loaded.lock().unwrap().push(*version);
        self.plan.lock().unwrap().take().unwrap_or(Ok(vec![]))?;
        Ok(())
    }

    fn forget(&self, tenant: &TenantId, version: &VersionDigest) {
        self.forgotten
            .lock()
            .unwrap()
            .push((tenant.clone(), *version));
    }
}

pub(crate) fn vector(values: &[f64]) -> Tensor {
    Tensor::new(vec![values.len() as u32], Elements::Fp64(values.to_vec())).unwrap()
}

pub(crate) fn doubler() -> Signature {
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
    pub(crate) async fn build() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::with_cache(limits, CacheLimits::default()).await
    }

    pub(crate) async fn with_cache(limits: Limits, cache_limits: CacheLimits) -> Self {
        let (governance, records) = (Governance::unlimited(), Records::default());
        Self::governed(limits, cache_limits, governance, records).await
    }

    pub(crate) async fn governed(
        limits: Limits,
        cache_limits: CacheLimits,
        governance: Governance,
        records: Records,
    ) -> Self {
        Self::trusting(limits, cache_limits, governance, records, Vec::new()).await
    }

    pub(crate) async fn trusting(
        limits: Limits,
        cache_limits: CacheLimits,
        governance: Governance,
        records: Records,
        issuers: Vec<(Issuer, Rights)>,
    ) -> Self {
        let stores = foretell_store::memory::stores();
        Self::over(stores, limits, cache_limits, governance, records, issuers).await
    }

    pub(crate) async fn over(
        stores: Stores,
        limits: Limits,
        cache_limits: CacheLimits,
        governance: Governance,
        records: Records,
        issuers: Vec<(Issuer, Rights)>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(1_000 * DAY_MS));
        let clock = {
            let now = Arc::clone(&now);
            Clock::from_fn(move || now.load(Ordering::Relaxed))
        };
        let registry = Arc::new(Registry::new(Arc::clone(&stores.models)));
        let sessions = Arc::new(Sessions::new(
            Arc::clone(&stores.sessions),
            Pepper::new(&[7; 32]),
            clock.clone(),
        ));
        let mut identity = Identity::new(
            Arc::clone(&stores.keys),
            Arc::clone(&stores.tenants),
            Arc::clone(&registry),
            Pepper::new(&[7; 32]),
            clock.clone(),
        )
        .with_sessions(Arc::clone(&sessions));
        if !issuers.is_empty() {
            identity = identity.with_issuers(Issuers::new(issuers, clock.clone()).unwrap());
        }
        let identity = Arc::new(identity);
        let cache = Some(Arc::new(AnswerCache::new(&cache_limits, clock.clone())));
        let checkpointer = Arc::new(Checkpointer::new(
            Arc::clone(&stores.checkpoints),
            &[7; 32],
            CheckpointRules::default(),
            clock.clone(),
        ));
        let recorder = Arc::new(Recorder::new(
            Arc::clone(&stores.recordings),
            Arc::clone(&stores.retention),
            &Pepper::new(&[7; 32]),
        ));
        let evidence = Evidence::new(
            Arc::clone(&stores.ledger),
            Arc::clone(&stores.audit),
            recorder,
            records,
            clock.clone(),
        );
        let evidence = Arc::new(evidence.with_checkpoints(Arc::clone(&checkpointer)));
        let books = Arc::new(Books::new(
            Arc::clone(&stores.ledger),
            Arc::clone(&stores.limits),
            Arc::clone(&evidence),
            governance,
            clock,
        ));
        let runner = Arc::new(PlannedRunner::default());
        let compiler = Arc::new(PlannedCompiler::default());
        let manager = Manager::new(ManagerParts {
            identity: Arc::clone(&identity),
            registry: Arc::clone(&registry),
            tenants: Arc::clone(&stores.tenants),
            keys: Arc::clone(&stores.keys),
            users: Arc::clone(&stores.users),
            sessions: Arc::clone(&sessions),
            models: Arc::clone(&stores.models),
            audit: Arc::clone(&stores.audit),
            ledger: Arc::clone(&stores.ledger),
            limit_store: Arc::clone(&stores.limits),
            books: Arc::clone(&books),
            evidence: Arc::clone(&evidence),
            blobs: Arc::clone(&stores.blobs),
            cache: cache.clone(),
            compiler: Arc::clone(&compiler) as _,
            runner: Arc::clone(&runner) as _,
            limits: limits.clone(),
            upload_dir: dir.path().to_path_buf(),
        });
        let predictor = Predictor::new(
            identity,
            registry,
            Arc::clone(&runner) as _,
            cache.clone(),
            books,
            &limits,
        );
        assert!(matches!(
            manager.ensure_operator_key(Some(OPERATOR)).await,
            Ok(OperatorKey::Configured)
        ));
        Self {
            predictor,
            manager,
            stores,
            evidence,
            sessions,
            compiler,
            runner,
            now,
            checkpointer,
            cache,
            _dir: dir,
        }
    }

    /// Makes a tenant and a key of these scopes.
    pub(crate) async fn tenant(&self, name: &str, scopes: &[&str]) -> String {
        if self.manager.tenant(&call(OPERATOR), name).await.is_err() {
            self.manager
                .create_tenant(&call(OPERATOR), name)
                .await
                .unwrap();
        }
        self.key(&on(OPERATOR, name), scopes).await
    }

    /// Makes a checkpoint of the audit log, as a stop does.
    pub(crate) async fn checkpoint(&self) {
        let checkpointer = Arc::clone(&self.checkpointer);
        checkpointer.keep(std::future::ready(())).await;
    }

    pub(crate) async fn key(&self, call: &Call, scopes: &[&str]) -> String {
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

    pub(crate) async fn push(
        &self,
        key: &str,
        model: &str,
        version: &str,
        plugin: &'static [u8],
    ) -> Result<bool, PredictError> {
        let upload = self.begin(key, model, version, plugin).await?;
        Ok(self.manager.publish(&call(key), upload).await?.created)
    }

    /// An upload with its plugin, not published yet.
    pub(crate) async fn begin(
        &self,
        key: &str,
        model: &str,
        version: &str,
        plugin: &'static [u8],
    ) -> Result<manage::Upload, PredictError> {
        let mut upload = self
            .manager
            .begin_upload(&call(key), model, version)
            .await?;
        let mut part = upload.part("plugin").await?;
        part.write(Bytes::from_static(plugin)).await?;
        upload.finish_part(part).await?;
        Ok(upload)
    }

    pub(crate) async fn predict(
        &self,
        call: &Call,
        model: &str,
        version: Option<&str>,
        x: f64,
    ) -> Result<f64, PredictError> {
        let answer = self.answer(call, model, version, x).await?;
        Ok(answer.outputs[0].elements().number(0).unwrap())
    }

    pub(crate) async fn answer(
        &self,
        call: &Call,
        model: &str,
        version: Option<&str>,
        x: f64,
    ) -> Result<Answer, PredictError> {
        self.urgent(call, model, version, x, Urgency::default())
            .await
    }

    pub(crate) async fn urgent(
        &self,
        call: &Call,
        model: &str,
        version: Option<&str>,
        x: f64,
        urgency: Urgency,
    ) -> Result<Answer, PredictError> {
        let payload = Ready {
            model: ModelRef::parse(model, version)?,
            header: None,
            body: Some(Decoded {
                inputs: records(x),
                urgency,
            }),
        };
        self.predictor.predict(call, payload).await
    }

    /// A call that names no version, with a header; the version that answered.
    pub(crate) async fn version_for(
        &self,
        call: &Call,
        model: &str,
        header: Option<(&'static str, &str)>,
    ) -> Result<String, PredictError> {
        let payload = Ready {
            model: ModelRef::parse(model, None)?,
            header: header.map(|(name, value)| (name, value.to_owned())),
            body: Some(records(1.0).into()),
        };
        let answer = self.predictor.predict(call, payload).await?;
        Ok(answer.target.version.to_string())
    }

    /// How often the runner ran.
    pub(crate) fn runs(&self) -> usize {
        self.runner.ran.lock().unwrap().len()
    }

    pub(crate) async fn kind(
        &self,
        call: &Call,
        model: &str,
        version: Option<&str>,
        x: f64,
    ) -> ErrorKind {
        self.predict(call, model, version, x)
            .await
            .unwrap_err()
            .kind()
    }

    pub(crate) async fn blob_count(&self, tenant: &str) -> usize {
        self.stores
            .blobs
            .list(&TenantId::parse(tenant).unwrap())
            .await
            .unwrap()
            .len()
    }
}

/// A body that is there already.
pub(crate) struct Ready {
    pub(crate) model: ModelRef,
    pub(crate) header: Option<(&'static str, String)>,
    pub(crate) body: Option<Decoded>,
}

impl Payload for Ready {
    async fn read(&mut self, _: u64) -> Result<usize, PredictError> {
        Ok(0)
    }

    fn model(&self) -> Result<Cow<'_, ModelRef>, PredictError> {
        Ok(Cow::Borrowed(&self.model))
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let (known, value) = self.header.as_ref()?;
        (*known == name).then_some(Cow::Borrowed(value.as_str()))
    }

    fn decode(&mut self, _: &Target, again: bool) -> Result<Decoded, PredictError> {
        let body = self.body.take().expect("let go");
        if again {
            self.body = Some(Decoded {
                inputs: body.inputs.clone(),
                urgency: body.urgency,
            });
        }
        Ok(body)
    }
}

/// A body that must not be touched.
pub(crate) struct Untouched;

impl Payload for Untouched {
    async fn read(&mut self, _: u64) -> Result<usize, PredictError> {
        panic!("the body of a refused call was read")
    }

    fn model(&self) -> Result<Cow<'_, ModelRef>, PredictError> {
        panic!("a refused call was asked for its model")
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        panic!("a refused call was asked for its headers")
    }

    fn decode(&mut self, _: &Target, _: bool) -> Result<Decoded, PredictError> {
        panic!("the body of a refused call was decoded")
    }
}

fn records(x: f64) -> Inputs {
    Inputs::Records(vec![vec![("x".into(), Value::Real(x))]])
}

pub(crate) fn call(key: &str) -> Call {
    Call {
        request_id: RequestId::parse("test").unwrap(),
        credentials: Credentials::new(Some(key.to_owned())),
        prefix: None,
        cache: CacheUse::Recall,
        address: None,
        idempotency_key: None,
        subject: None,
        rate: std::sync::OnceLock::new(),
    }
}

pub(crate) fn on(key: &str, tenant: &str) -> Call {
    Call {
        prefix: Some(tenant.to_owned()),
        ..call(key)
    }
}
