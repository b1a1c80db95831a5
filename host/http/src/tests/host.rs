//! A server on loopback: memory stores, a compiler that believes what it is sent, a runner that computes in place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use foretell_predict::health::{Database, Health};
use foretell_predict::key::Pepper;
use foretell_predict::manage::ManagerParts;
use foretell_predict::{
    AnswerCache, Books, CacheLimits, CheckpointRules, Checkpointer, Clock, Evidence, Governance,
    Identity, Limits, Manager, Predictor, Recorder, Records, Registry, Sessions,
};
use foretell_types::compile::{
    CompileError, Compiler, Prepared, Refusal, RefusalCode, Step, Upload,
};
use foretell_types::run::{RunCall, RunError, RunOutcome, Runner, Usage};
use foretell_types::signature::{
    Bounds, Column, Domain, Input, Output, Promises, Role, Vocabulary,
};
use foretell_types::{Datatype, Elements, Signature, TenantId, Tensor, VersionDigest};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::grpc::Service;
use crate::{App, HttpConfig, Listeners, Summary, serve};

/// The operator's key of every test server.
pub(super) const OPERATOR: &str = "operator-key-of-the-tests";
/// Whatever takes longer than this has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Ages at which the model `people` does something else than answer.
pub(super) mod age {
    pub(in super::super) const PANICS: u32 = 101;
    pub(in super::super) const TRAPS: u32 = 102;
    pub(in super::super) const TOO_LONG: u32 = 103;
    pub(in super::super) const WAITS: u32 = 104;
    pub(in super::super) const OVERLOADED: u32 = 105;
    pub(in super::super) const NOT_A_NUMBER: u32 = 106;
    pub(in super::super) const REFUSED: u32 = 107;
    pub(in super::super) const LIES: u32 = 108;
}

/// A server under test.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) grpc_address: SocketAddr,
    pub(super) calls: Service,
    pub(super) gate: Arc<Gate>,
    pub(super) manager: Arc<Manager>,
    checkpointer: Arc<Checkpointer>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<std::io::Result<Summary>>,
    _uploads: TempDir,
}

/// Where predictions of the age [`age::WAITS`] wait.
#[derive(Default)]
pub(super) struct Gate {
    pub(super) entered: Notify,
    pub(super) open: Notify,
}

impl Host {
    /// A server with default limits.
    pub(super) async fn start() -> Self {
        Self::with(HttpConfig::default(), Limits::default()).await
    }

    pub(super) async fn with(config: HttpConfig, limits: Limits) -> Self {
        Self::governed(config, limits, Governance::unlimited()).await
    }

    pub(super) async fn governed(
        config: HttpConfig,
        limits: Limits,
        governance: Governance,
    ) -> Self {
        let stores = foretell_store::memory::stores();
        let uploads = tempfile::tempdir().unwrap();
        let clock = Clock::from_fn(|| 1_795_559_696_123);
        let registry = Arc::new(Registry::new(stores.models.clone()));
        let sessions = Arc::new(Sessions::new(
            stores.sessions.clone(),
            Pepper::new(&[7; 32]),
            clock.clone(),
        ));
        let identity = Identity::new(
            stores.keys.clone(),
            stores.tenants.clone(),
            registry.clone(),
            Pepper::new(&[7; 32]),
            clock.clone(),
        );
        let identity = Arc::new(identity.with_sessions(sessions.clone()));
        let cache = AnswerCache::new(&CacheLimits::default(), clock.clone());
        let cache = Some(Arc::new(cache));
        let recorder = Arc::new(Recorder::new(
            stores.recordings.clone(),
            stores.retention.clone(),
            &Pepper::new(&[7; 32]),
        ));
        let checkpointer = Arc::new(Checkpointer::new(
            stores.checkpoints.clone(),
            &[7; 32],
            CheckpointRules::default(),
            clock.clone(),
        ));
        let evidence = Evidence::new(
            stores.ledger.clone(),
            stores.audit.clone(),
            recorder,
            Records::default(),
            clock.clone(),
        );
        let evidence = Arc::new(evidence.with_checkpoints(checkpointer.clone()));
        let books = Arc::new(Books::new(
            stores.ledger.clone(),
            stores.limits.clone(),
            evidence.clone(),
            governance,
            clock,
        ));
        let gate = Arc::new(Gate::default());
        let runner: Arc<dyn Runner> = Arc::new(Functions { gate: gate.clone() });
        let manager = Manager::new(ManagerParts {
            identity: identity.clone(),
            registry: registry.clone(),
            tenants: stores.tenants,
            keys: stores.keys,
            users: stores.users,
            sessions: sessions.clone(),
            models: stores.models,
            audit: stores.audit,
            ledger: stores.ledger,
            limit_store: stores.limits,
            books: books.clone(),
            evidence,
            blobs: stores.blobs,
            cache: cache.clone(),
            compiler: Arc::new(Believer),
            runner: runner.clone(),
            limits: limits.clone(),
            upload_dir: uploads.path().to_owned(),
        });
        manager.ensure_operator_key(Some(OPERATOR)).await.unwrap();
        let app = App {
            predictor: Arc::new(Predictor::new(
                identity, registry, runner, cache, books, &limits,
            )),
            manager: Arc::new(manager),
            sessions,
            health: Arc::new(Health::new(vec![Box::new(Database(stores.probe))])),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (calls, _) = Service::new(app.clone(), &config).unwrap();
        let grpc = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let grpc_address = grpc.local_addr().unwrap();
        let listeners = Listeners {
            http: listener,
            grpc: Some(grpc),
        };
        let manager = app.manager.clone();
        let server = tokio::spawn(serve(listeners, app, config, async move {
            let _stopped = stopped.await;
        }));
        Self {
            address,
            grpc_address,
            calls,
            gate,
            manager,
            checkpointer,
            stop: Some(stop),
            server,
            _uploads: uploads,
        }
    }

    /// A server with the tenant `acme`, its key, and the models `people` (a table) and `matrix` (FP32).
    pub(super) async fn with_models() -> (Self, String) {
        let host = Self::start().await;
        let key = host.furnish().await;
        (host, key)
    }

    /// Adds tenant, key and models; returns the key.
    pub(super) async fn furnish(&self) -> String {
        let key = self.tenant("acme").await;
        for model in ["people", "matrix"] {
            let path = format!("/api/models/{model}/versions/1");
            let reply = self
                .call(
                    "PUT",
                    &path,
                    &key,
                    &[("content-type", "application/wasm")],
                    model.as_bytes(),
                )
                .await;
            assert_eq!(reply.status, 201, "{}", reply.text);
        }
        key
    }

    /// Adds a tenant with a key of every scope.
    pub(super) async fn tenant(&self, name: &str) -> String {
        let body = format!(r#"{{"name":"{name}"}}"#);
        assert_eq!(
            self.call("POST", "/api/tenants", OPERATOR, &[], body.as_bytes())
                .await
                .status,
            201
        );
        let path = format!("/tenants/{name}/api/keys");
        let reply = self
            .call(
                "POST",
                &path,
                OPERATOR,
                &[],
                br#"{"scopes":["infer","models","keys"]}"#,
            )
            .await;
        reply.json()["secret"].as_str().unwrap().to_owned()
    }

    /// One request on a connection of its own.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        if !key.is_empty() {
            head.push_str(&format!("authorization: Bearer {key}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut wire = head.into_bytes();
        wire.extend_from_slice(body);
        Reply::parse(&self.raw(&wire).await, method == "HEAD")
    }

    pub(super) async fn get(&self, path: &str, key: &str) -> Reply {
        self.call("GET", path, key, &[], b"").await
    }

    pub(super) async fn post(&self, path: &str, key: &str, body: &str) -> Reply {
        self.call("POST", path, key, &[], body.as_bytes()).await
    }

    pub(super) async fn connect(&self) -> TcpStream {
        timeout(PATIENCE, TcpStream::connect(self.address))
            .await
            .unwrap()
            .unwrap()
    }

    /// Sends bytes and returns everything that comes until the server closes.
    pub(super) async fn raw(&self, wire: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        // The server may answer and close before it has everything.
        let _sent = stream.write_all(wire).await;
        read_to_close(&mut stream).await
    }

    /// Makes a checkpoint of the audit log, as a stop does.
    pub(super) async fn checkpoint(&self) {
        let checkpointer = Arc::clone(&self.checkpointer);
        checkpointer.keep(std::future::ready(())).await;
    }

    /// Asks the server to stop.
    pub(super) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    /// Stops the server and waits for its end.
    pub(super) async fn ended(mut self) -> Summary {
        self.stop();
        timeout(PATIENCE, self.server)
            .await
            .expect("the server does not end")
            .unwrap()
            .unwrap()
    }
}

/// Everything that comes until the other side closes.
pub(super) async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the connection stays open");
    // A reset after the answer would have lost it on a real network: not accepted here.
    read.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)));
    bytes
}

/// A response.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// The body, where it is text.
    pub(super) text: String,
}

impl Reply {
    pub(super) fn parse(bytes: &[u8], head_only: bool) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let shown = String::from_utf8_lossy(bytes);
        let end = end.unwrap_or_else(|| panic!("no response: {shown:?}"));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let body = bytes[end + 4..].to_vec();
        let reply = Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            text: String::from_utf8_lossy(&body).into_owned(),
            body,
        };
        if !head_only && let Some(length) = reply.header("content-length") {
            assert_eq!(
                length,
                reply.body.len().to_string(),
                "one response, whole: {shown:?}"
            );
        }
        reply
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The error's code, after a look at the envelope of its surface.
    pub(super) fn code(&self) -> String {
        let body = self.json();
        let id = self.header("x-request-id").unwrap();
        match self.header("content-type").unwrap() {
            "application/json" => {
                assert_eq!(body["request_id"], id);
                assert!(
                    body["error"]
                        .as_str()
                        .is_some_and(|error| !error.is_empty())
                );
                assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
            }
            "application/problem+json" => {
                assert_eq!(body["instance"], id);
                assert_eq!(body["status"], self.status);
                assert!(
                    body["detail"]
                        .as_str()
                        .is_some_and(|detail| !detail.is_empty())
                );
                let code = body["code"].as_str().unwrap();
                assert_eq!(body["type"], format!("urn:foretell:error:{code}"));
            }
            other => panic!("content type {other}"),
        }
        body["code"].as_str().unwrap().to_owned()
    }
}

/// Accepts every upload that does not say `not wasm`; what begins with `s` is `people` and deterministic.
struct Believer;

#[async_trait]
impl Compiler for Believer {
    async fn prepare(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Prepared, CompileError> {
        progress(Step::Admission);
        let plugin = std::fs::read(&upload.plugin.file).unwrap();
        let signature = match plugin.as_slice() {
            b"not wasm" => {
                let reason = |subject: &str| {
                    Refusal::new(
                        RefusalCode::ImportRefused,
                        subject,
                        "plugins get no sockets",
                    )
                };
                return Err(CompileError::Refused(vec![
                    reason("wasi:sockets/tcp"),
                    reason("wasi:sockets/udp"),
                ]));
            }
            [b'm', ..] => matrix(),
            // More than the buffers of two sockets hold.
            [b'w', ..] => Signature {
                doc: "x".repeat(16 << 20),
                ..matrix()
            },
            // A model that returns what it gets, of the datatype that it names.
            [b'e', b'c', b'h', b'o', b' ', datatype @ ..] => {
                let name = std::str::from_utf8(datatype).unwrap();
                let datatype = Datatype::parse(name).unwrap();
                let mut echo = matrix();
                (echo.inputs[0].datatype, echo.outputs[0].datatype) = (datatype, datatype);
                (echo.inputs[0].shape, echo.outputs[0].shape) = (vec![-1, 3], vec![-1, 3]);
                echo
            }
            [b's', ..] => Signature {
                promises: Promises {
                    deterministic: true,
                    independent_rows: false,
                },
                ..people()
            },
            _ => people(),
        };
        Ok(Prepared {
            signature,
            snapshot: vec![1],
            code: vec![2],
        })
    }
}

fn people() -> Signature {
    let column = |name: &str, domain, absent| Column {
        name: name.into(),
        doc: String::new(),
        domain,
        absent,
    };
    let bounds = Bounds {
        min: 0.0,
        max: 120.0,
    };
    let jobs = Vocabulary {
        values: vec!["admin".into(), "services".into()],
        unseen: None,
    };
    let output = |name: &str, datatype, role, classes: &[&str]| Output {
        name: name.into(),
        doc: String::new(),
        datatype,
        shape: vec![-1],
        role,
        classes: classes.iter().map(|class| (*class).into()).collect(),
    };
    Signature {
        doc: "older people say yes".into(),
        inputs: vec![Input {
            name: "features".into(),
            doc: String::new(),
            datatype: Datatype::Fp64,
            shape: vec![-1, 2],
            columns: vec![
                column("age", Domain::Integer(bounds), None),
                column("job", Domain::Category(jobs), Some(1.0)),
            ],
        }],
        outputs: vec![
            output("probability", Datatype::Fp64, Role::Prediction, &[]),
            output("label", Datatype::Uint32, Role::Label, &["no", "yes"]),
        ],
        examples: vec![],
        promises: Promises::default(),
    }
}

fn matrix() -> Signature {
    let input = Input {
        name: "x".into(),
        doc: String::new(),
        datatype: Datatype::Fp32,
        shape: vec![-1, 2],
        columns: vec![],
    };
    let output = Output {
        name: "y".into(),
        doc: String::new(),
        datatype: Datatype::Fp32,
        shape: vec![-1, 2],
        role: Role::Prediction,
        classes: vec![],
    };
    Signature {
        doc: String::new(),
        inputs: vec![input],
        outputs: vec![output],
        examples: vec![],
        promises: Promises::default(),
    }
}

/// `people`: probability = age / 100, label yes from 50. `matrix`: returns what it gets.
struct Functions {
    gate: Arc<Gate>,
}

#[async_trait]
impl Runner for Functions {
    async fn run(&self, call: RunCall) -> RunOutcome {
        let input = &call.inputs.inputs()[0];
        let result = match input.elements() {
            // What is echoed has three columns.
            Elements::Fp64(features) if input.shape()[1] == 2 => self.people(features).await,
            _ => Ok(vec![input.clone()]),
        };
        let usage = Usage::alone(Duration::from_micros(1_500), Duration::from_micros(2_250));
        RunOutcome { result, usage }
    }

    async fn load(&self, _: &TenantId, _: &VersionDigest) -> Result<(), RunError> {
        Ok(())
    }

    fn forget(&self, _: &TenantId, _: &VersionDigest) {}
}

impl Functions {
    async fn people(&self, features: &[f64]) -> Result<Vec<Tensor>, RunError> {
        match features[0] as u32 {
            age::PANICS => panic!("a defect of the tests' runner"),
            age::TRAPS => return Err(RunError::Trapped("unreachable: secret words".into())),
            age::TOO_LONG => {
                return Err(RunError::Deadline {
                    deadline: Duration::from_millis(250),
                });
            }
            age::OVERLOADED => {
                return Err(RunError::Overloaded {
                    waited: Duration::from_millis(10),
                });
            }
            age::REFUSED => {
                let message = "nobody is so old".into();
                return Err(RunError::Refused {
                    message,
                    input: 0,
                    row: None,
                    column: None,
                });
            }
            age::LIES => return Ok(vec![]),
            age::WAITS => {
                self.gate.entered.notify_one();
                self.gate.open.notified().await;
            }
            _ => {}
        }
        let ages = || features.iter().step_by(2);
        let rows = u32::try_from(features.len() / 2).unwrap();
        let probability = ages().map(|age| {
            if *age == f64::from(age::NOT_A_NUMBER) {
                f64::NAN
            } else {
                age / 100.0
            }
        });
        let label = ages().map(|age| u32::from(*age >= 50.0));
        Ok(vec![
            Tensor::new(vec![rows], Elements::Fp64(probability.collect())).unwrap(),
            Tensor::new(vec![rows], Elements::Uint32(label.collect())).unwrap(),
        ])
    }
}
