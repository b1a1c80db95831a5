//! Other servers: what they are made of, the model that they and we serve, and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use foretell::plugin::build::build_exporting;
use foretell_bench::http::Request;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::forests::Forest;
use crate::process::{Server, free_address};

/// The one whose engine ours is.
const WASMTIME: &str = "48.0.8";

/// What serving takes, as it comes; neither its other commands nor its other compilers.
const WASMTIME_FEATURES: [&str; 8] = [
    "serve",
    "run",
    "compile",
    "cranelift",
    "component-model-async",
    "pooling-allocator",
    "parallel-compilation",
    "threads",
];

/// Virtual environments, and the exported models.
pub(crate) struct Peers {
    /// Where `export.py` wrote.
    pub(crate) model: PathBuf,
    /// The environment of row 3, 4 and 10.
    pub(crate) stack: PathBuf,
    mlserver: PathBuf,
    scripts: PathBuf,
}

/// A model in every form, with rows and the answers of the library that trained it.
pub(crate) struct Exported {
    pub(crate) artifact: Vec<u8>,
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) expected: Vec<f64>,
}

/// A running server of another's.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    /// Asks for one row.
    pub(crate) request: fn(&[f64]) -> Request,
    /// Finds the probability in an answer.
    pub(crate) probability: fn(&Value) -> Option<f64>,
    /// How it runs.
    pub(crate) note: &'static str,
}

impl Peers {
    /// Makes what is not there yet: minutes at the first time, nothing later.
    pub(crate) fn prepare(bench: &Bench) -> Result<Self> {
        let stack = environment(bench, "stack")?;
        let mlserver = environment(bench, "mlserver")?;
        let model = bench.folder("peers")?;
        let script = bench.peers.join("export.py");
        let train = bench.peers.join("../../../models/train");
        once(&model.join("made"), &std::fs::read(&script)?, || {
            eprintln!("training the peers' model");
            finish(
                Command::new(stack.join("bin/python"))
                    .arg(&script)
                    .arg(&model)
                    .arg(train),
            )
        })?;
        Ok(Self {
            model,
            stack,
            mlserver,
            scripts: bench.peers.clone(),
        })
    }

    /// What `export.py` wrote of a model: `sklearn` or `lightgbm`.
    pub(crate) fn exported(&self, library: &str) -> Result<Exported> {
        let rows: Value = serde_json::from_slice(&std::fs::read(self.model.join("rows.json"))?)?;
        let numbers = |value: &Value| -> Option<Vec<f64>> {
            value.as_array()?.iter().map(Value::as_f64).collect()
        };
        let table = rows["rows"].as_array().context("no rows")?;
        Ok(Exported {
            artifact: std::fs::read(self.model.join(format!("{library}.ftl")))?,
            rows: table
                .iter()
                .map(numbers)
                .collect::<Option<_>>()
                .context("rows that are no numbers")?,
            expected: numbers(&rows[library]).context("answers that are no numbers")?,
        })
    }

    fn python(&self, program: &str) -> Command {
        let mut command = Command::new(self.stack.join("bin").join(program));
        command
            .current_dir(&self.scripts)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// Flask as tutorials have it.
pub(crate) fn flask(bench: &Bench, peers: &Peers) -> Result<Peer> {
    let address = free_address()?;
    let mut command = peers.python("gunicorn");
    command
        .env("MODEL", peers.model.join("sklearn.joblib"))
        .args([
            "--workers",
            "1",
            "--worker-class",
            "gthread",
            "--threads",
            "4",
        ])
        .args(["--bind", &address, "flask_app:app"]);
    let log = bench.logs()?.join("flask.log");
    Ok(Peer {
        name: "Flask",
        server: Server::start_peer(command, &address, &Request::new("GET", "/ready"), &log)?,
        request: plain,
        probability: |answer| answer["probability"][0].as_f64(),
        note: "gunicorn with one worker of 4 threads, which keeps connections alive",
    })
}

/// FastAPI at its fastest.
pub(crate) fn fastapi(bench: &Bench, peers: &Peers) -> Result<Peer> {
    let address = free_address()?;
    let (host, port) = address.split_once(':').context("an address has a port")?;
    let mut command = peers.python("uvicorn");
    command
        .env("MODEL", peers.model.join("sklearn.onnx"))
        .args(["--workers", "1", "--loop", "uvloop", "--http", "httptools"])
        .args(["--no-access-log", "--log-level", "warning"])
        .args(["--host", host, "--port", port, "fastapi_app:app"]);
    let log = bench.logs()?.join("fastapi.log");
    Ok(Peer {
        name: "FastAPI",
        server: Server::start_peer(command, &address, &Request::new("GET", "/ready"), &log)?,
        request: plain,
        probability: |answer| answer["probability"][0].as_f64(),
        note: "uvicorn with one worker, uvloop and httptools; onnxruntime with one thread; orjson",
    })
}

/// MLServer.
pub(crate) fn mlserver(bench: &Bench, peers: &Peers) -> Result<Peer> {
    let addresses = [free_address()?, free_address()?, free_address()?];
    let mut command = Command::new(peers.mlserver.join("bin/mlserver"));
    let names = ["HTTP", "GRPC", "METRICS"];
    for (name, address) in names.iter().zip(&addresses) {
        let (_, port) = address.split_once(':').context("an address has a port")?;
        command.env(format!("MLSERVER_{name}_PORT"), port);
    }
    command.arg("start").arg(&peers.model);
    let ready = Request::new("GET", "/v2/models/forest/ready");
    let log = bench.logs()?.join("mlserver.log");
    Ok(Peer {
        name: "MLServer",
        server: Server::start_peer(command, &addresses[0], &ready, &log)?,
        request: |row| {
            let body = json!({
                "inputs": [{"name": "features", "shape": [1, row.len()], "datatype": "FP64", "data": row}],
                "outputs": [{"name": "predict_proba"}],
            });
            Request::post("/v2/models/forest/infer", body.to_string())
        },
        probability: |answer| answer["outputs"][0]["data"][1].as_f64(),
        note: "MLServer with its scikit-learn runtime in one process (parallel_workers 0), V2 over JSON on both sides",
    })
}

/// `wasmtime serve` and a component for it; an instance answers so many requests.
pub(crate) struct Wasmtime {
    program: PathBuf,
    component: PathBuf,
}

impl Wasmtime {
    /// Builds the program, unless it is there: minutes at the first time.
    pub(crate) fn install(bench: &Bench) -> Result<PathBuf> {
        let root = bench.folder("wasmtime")?;
        let (version, features) = (format!("={WASMTIME}"), WASMTIME_FEATURES.join(","));
        let made = format!("{version} {features}");
        once(&root.join("made"), made.as_bytes(), || {
            eprintln!("building wasmtime {WASMTIME}");
            finish(
                Command::new("cargo")
                    .args(["install", "wasmtime-cli", "--locked", "--force"])
                    .args(["--version", &version])
                    .args(["--no-default-features", "--features", &features])
                    .arg("--root")
                    .arg(&root)
                    .env("CARGO_TARGET_DIR", root.join("target")),
            )
        })?;
        Ok(root.join("bin/wasmtime"))
    }

    /// Builds the component that it serves.
    pub(crate) fn with(program: PathBuf, bench: &Bench, forest: &Forest) -> Result<Self> {
        let sources = bench.peers.join("wasi-http");
        let folder = bench.folder("wasmtime")?.join("component");
        std::fs::create_dir_all(folder.join("src"))?;
        for file in ["Cargo.toml", "Cargo.lock", "src/lib.rs"] {
            std::fs::copy(sources.join(file), folder.join(file))
                .with_context(|| format!("cannot copy {file}"))?;
        }
        std::fs::write(folder.join("forest.bin"), forest.as_walked())?;
        let say = |step: &str| eprintln!("{step}");
        let component = build_exporting("wasi:http/incoming-handler@", &folder, &say)?;
        Ok(Self { program, component })
    }

    /// Serves; each instance answers at most so many requests.
    pub(crate) fn serve(&self, bench: &Bench, requests_of_an_instance: u32) -> Result<Server> {
        let address = free_address()?;
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--addr", &address, "-O", "pooling-allocator=y"])
            .arg("--max-instance-reuse-count")
            .arg(requests_of_an_instance.to_string())
            .arg(&self.component);
        let log = bench.logs()?.join("wasmtime.log");
        Server::start_peer(command, &address, &Request::new("GET", "/"), &log)
    }
}

fn plain(row: &[f64]) -> Request {
    Request::post("/predict", json!({"features": [row]}).to_string())
}

/// A virtual environment with exactly what `requirements-NAME.txt` lists.
fn environment(bench: &Bench, name: &str) -> Result<PathBuf> {
    let requirements = bench.peers.join(format!("requirements-{name}.txt"));
    let folder = bench.folder("venv")?.join(name);
    once(&folder.join("made"), &std::fs::read(&requirements)?, || {
        eprintln!("installing {}", requirements.display());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        finish(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        finish(
            Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--no-deps", "--requirement"])
                .arg(&requirements),
        )
    })?;
    Ok(folder)
}

/// Does work unless it was done for the same source.
fn once(mark: &Path, source: &[u8], work: impl FnOnce() -> Result<()>) -> Result<()> {
    if std::fs::read(mark).is_ok_and(|made| made == source) {
        return Ok(());
    }
    work()?;
    std::fs::write(mark, source).with_context(|| format!("cannot write {}", mark.display()))
}

fn finish(command: &mut Command) -> Result<()> {
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
