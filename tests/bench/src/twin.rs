//! The native twin: Foretell with the same front, corridor and store, whose predictions run the forest kernel that is
//! linked into it. What it has more to give than Foretell is what the sandbox costs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use forest::ForestModel;
use foretell::config::{Config, Environment, Flags, Loaded};
use foretell::folder::DataFolder;
use foretell::telemetry::{self, Colour};
use foretell::wire::House;
use foretell::{limits, shutdown, threads};
use foretell_sdk::{Predictor, Settings};
use foretell_types::run::{RunCall, RunError, RunOutcome, Runner, Usage};
use foretell_types::{Elements, TenantId, Tensor, VersionDigest};

/// A twin to be started: `twin ARTIFACT DATA-DIR WORKER...`, configured by the environment as the server is.
pub(crate) fn command(artifact: &Path, data_dir: &Path, foretell: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("twin")
        .arg(artifact)
        .arg(data_dir)
        .arg(foretell);
    Ok(command)
}

/// Serves until a signal.
pub(crate) fn serve(args: &[String]) -> Result<()> {
    let [artifact, data_dir, foretell] = args else {
        bail!("usage: foretell-bench twin ARTIFACT DATA-DIR FORETELL");
    };
    let native = Native::load(Path::new(artifact))?;
    let flags = Flags {
        config: None,
        data_dir: Some(data_dir.clone()),
        listen: Some("127.0.0.1:0".to_owned()),
    };
    let Loaded { mut config, .. } = Config::load(&flags, &Environment::of_process())?;
    config.worker_command = vec![foretell.into(), "compile-worker".into()];
    telemetry::start(&config.logging, Colour::Never);
    limits::give_memory_back();
    limits::raise_open_files();
    let folder = DataFolder::open(&config.server.data_dir)?;
    let listener = std::net::TcpListener::bind(config.server.listen)?;
    // As `foretell serve` does.
    threads::runtime()?.block_on(async {
        let stop = shutdown::on_signal()?;
        let house = House::open_with(config, folder, |_| Arc::new(native)).await?;
        eprintln!("listening on http://{}", listener.local_addr()?);
        house.serve(listener, stop).await?;
        Ok(())
    })
}

/// Runs a forest of two classes where it is called, whichever version it is asked for.
pub(crate) struct Native(ForestModel);

impl Native {
    /// Reads an artifact.
    pub(crate) fn load(artifact: &Path) -> Result<Self> {
        let bytes = std::fs::read(artifact)
            .with_context(|| format!("cannot read {}", artifact.display()))?;
        Self::of(&bytes)
    }

    /// The same from memory.
    pub(crate) fn of(artifact: &[u8]) -> Result<Self> {
        let model = ForestModel::load(artifact, &Settings::default());
        Ok(Self(model.map_err(|error| anyhow!("{error}"))?))
    }

    /// Probabilities and labels, as the plugin computes them.
    pub(crate) fn predict(&self, features: &[f64]) -> (Vec<f64>, Vec<u32>) {
        let mut probabilities = self.0.scores(features);
        for score in &mut probabilities {
            *score = 1.0 / (1.0 + (-*score).exp());
        }
        let labels = probabilities.iter().map(|p| u32::from(*p > 0.5)).collect();
        (probabilities, labels)
    }
}

#[async_trait]
impl Runner for Native {
    async fn run(&self, call: RunCall) -> RunOutcome {
        let began = Instant::now();
        let result = match call.inputs.inputs() {
            [input] => match input.elements() {
                Elements::Fp64(features) => outputs(self.predict(features)),
                _ => Err("the input is not FP64".to_owned()),
            },
            _ => Err("there is not one input".to_owned()),
        };
        let usage = Usage {
            compute: began.elapsed(),
            ..Usage::default()
        };
        RunOutcome {
            result: result.map_err(RunError::Internal),
            usage,
        }
    }

    async fn load(&self, _: &TenantId, _: &VersionDigest) -> Result<(), RunError> {
        Ok(())
    }

    fn forget(&self, _: &TenantId, _: &VersionDigest) {}
}

fn outputs((probabilities, labels): (Vec<f64>, Vec<u32>)) -> Result<Vec<Tensor>, String> {
    let rows = u32::try_from(labels.len()).map_err(|error| error.to_string())?;
    [Elements::Fp64(probabilities), Elements::Uint32(labels)]
        .into_iter()
        .map(|elements| Tensor::new(vec![rows], elements).map_err(|error| error.to_string()))
        .collect()
}
