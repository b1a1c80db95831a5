//! The whole server in this process, on a port of its own, over a data folder that is thrown away.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use foretell::config::{Config, Environment, Flags};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::{Client, built};

/// The operator's key of every test server.
pub const OPERATOR_KEY: &str = "operator-key-of-the-tests";

/// What every test server is configured with, before what a test adds. Without a cache: tests of the sandbox ask the same
/// twice, and an answer from memory would prove nothing.
const BASE: &str = "cache:\n  enabled: false\nsandbox:\n  instances: 64\nserver:\n  drain_grace: 10s\nhealth:\n  min_free_disk: 1MiB\n";

/// A running server; stopped when dropped.
#[derive(Debug)]
pub struct TestHost {
    url: String,
    folder: Folder,
    running: Option<Running>,
}

/// A data folder, without a server.
#[derive(Debug)]
pub struct Folder {
    root: TempDir,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// A tenant's client, with a key of the scopes `infer`, `models` and `keys`.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    client: Client,
}

impl Deref for Tenant {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Where the server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Starts a server on it. `yaml` is added to the configuration file.
    pub fn start(self, yaml: &str) -> TestHost {
        self.start_with_key(yaml, OPERATOR_KEY)
    }

    /// The same with another operator's key.
    pub fn start_with_key(self, yaml: &str, operator_key: &str) -> TestHost {
        let file = self.root.path().join("foretell.yaml");
        std::fs::write(&file, merged(yaml)).expect("the configuration can be written");
        let flags = Flags {
            config: Some(file),
            data_dir: Some(self.data().to_string_lossy().into_owned()),
            listen: None,
        };
        let environment = Environment::from([
            ("FORETELL_ADMIN_KEY", operator_key),
            // Load is not limited where nobody asks for a limit.
            ("RATE_LIMIT_ENABLED", "false"),
        ]);
        let loaded = Config::load(&flags, &environment).unwrap_or_else(|error| panic!("{error}"));
        let mut config = loaded.config;
        config.worker_command = vec![built::server().into(), "compile-worker".into()];

        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || {
                let runtime = Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()?;
                let result = runtime.block_on(foretell::run(config, listener, async {
                    // A sender that is gone stops the server as well.
                    let _ = stopped.await;
                }));
                runtime.shutdown_background();
                result
            })
            .expect("a thread");
        let mut host = TestHost {
            url,
            folder: self,
            running: Some(Running { stop, thread }),
        };
        // Connections wait in the listener's queue until the server serves, or fail with it.
        let answer = host.anonymous().try_send("GET", "/livez", &[], Vec::new());
        if let Err(error) = answer {
            host.end();
            panic!("the server ended without an error, and does not answer: {error:#}");
        }
        host
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

/// `yaml` over the base, key by key: a file may hold each section and each key once.
fn merged(yaml: &str) -> String {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut section = "";
    for line in BASE.lines().chain(yaml.lines()) {
        let (key, value) = line.split_once(':').expect("a line is a section or a key");
        if let Some(key) = key.strip_prefix("  ") {
            sections.entry(section).or_default().insert(key, value);
        } else {
            section = key;
        }
    }
    let mut text = String::new();
    for (section, keys) in sections {
        text += &format!("{section}:\n");
        text.extend(keys.iter().map(|(key, value)| format!("  {key}:{value}\n")));
    }
    text
}

impl TestHost {
    /// A server on an empty data folder.
    pub fn start() -> Self {
        Folder::new().start("")
    }

    /// The same with additions to the configuration file.
    pub fn configured(yaml: &str) -> Self {
        Folder::new().start(yaml)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.data()
    }

    /// A client that shows no key.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url)
    }

    /// A client with the operator's key.
    pub fn operator(&self) -> Client {
        self.anonymous().with_key(OPERATOR_KEY)
    }

    /// Makes a tenant, and a key for it.
    #[track_caller]
    pub fn tenant(&self, name: &str) -> Tenant {
        tenant(&self.operator(), name)
    }

    /// Stops it in order and keeps its data folder.
    pub fn stop(mut self) -> Folder {
        self.end();
        std::mem::take(&mut self.folder)
    }

    /// Stops it and starts another on the same data folder, at another port.
    #[must_use]
    pub fn restart(self) -> Self {
        self.stop().start("")
    }

    fn end(&mut self) {
        let Some(Running { stop, thread }) = self.running.take() else {
            return;
        };
        let _ = stop.send(());
        match thread.join() {
            Ok(Ok(())) => {}
            // While a test fails already, a second panic would hide the first.
            _ if thread::panicking() => {}
            Ok(Err(error)) => panic!("the server failed: {error:#}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes a tenant, and a key for it with the scopes `infer`, `models` and `keys`.
#[track_caller]
pub fn tenant(operator: &Client, name: &str) -> Tenant {
    operator
        .post("/api/tenants", &json!({"name": name}))
        .is(201);
    let key = key(operator, name, &["infer", "models", "keys"]);
    Tenant {
        name: name.to_owned(),
        client: operator.with_key(&key),
    }
}

/// Makes a key of these scopes for a tenant, as an operator does, and returns its secret.
#[track_caller]
pub fn key(operator: &Client, tenant: &str, scopes: &[&str]) -> String {
    let created = operator
        .under(&format!("/tenants/{tenant}"))
        .post("/api/keys", &json!({"scopes": scopes}))
        .is(201);
    created.json()["secret"]
        .as_str()
        .expect("a new key shows its secret")
        .to_owned()
}

/// Every file below a folder, sorted, with its length.
pub fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder may be removed while it is listed.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => found.push((entry.path(), metadata.len())),
                Err(_) => {}
            }
        }
    }
    found.sort();
    found
}
