//! Python's servers: their virtual environments, the model that they and we serve, and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use foretell_bench::http::Request;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::process::{Server, free_address};

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
