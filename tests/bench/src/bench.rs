//! What every row is given: binaries, folders, and how long to measure.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use foretell_bench::http::Request;
use foretell_bench::load::{Pace, Plan};
use foretell_bench::pairs::median;
use tempfile::TempDir;

/// What a run of the benches was told.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The server's binary, release profile.
    pub(crate) foretell: PathBuf,
    /// The component of the `forest` plugin.
    pub(crate) plugin: Vec<u8>,
    /// `tests/bench/peers`.
    pub(crate) peers: PathBuf,
    /// `target/bench`.
    pub(crate) out: PathBuf,
    /// Rounds of each comparison.
    pub(crate) rounds: usize,
    /// Load before it is counted, in each round.
    pub(crate) warm_up: Duration,
    /// Load that is counted, in each round.
    pub(crate) measure: Duration,
    /// Whether this run is for finding out if the benches work.
    pub(crate) quick: bool,
    /// Whether there are minutes and gigabytes for what is largest.
    pub(crate) long: bool,
    /// The rows and curves asked for; all if none.
    pub(crate) wanted: Vec<String>,
}

impl Bench {
    /// Reads the options of `run`.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let (mut foretell, mut plugin, mut peers, mut out) = (None, None, None, None);
        let (mut rounds, mut quick, mut long, mut wanted) = (None, false, false, Vec::new());
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--foretell" => foretell = Some(PathBuf::from(value()?)),
                "--plugin" => plugin = Some(PathBuf::from(value()?)),
                "--peers" => peers = Some(PathBuf::from(value()?)),
                "--out" => out = Some(PathBuf::from(value()?)),
                "--rounds" => rounds = Some(value()?.parse().context("--rounds is a number")?),
                "--quick" => quick = true,
                "--long" => long = true,
                option if option.starts_with("--") => bail!("`run` has no option `{option}`"),
                row => wanted.push(row.to_owned()),
            }
        }
        if quick && long {
            bail!("a run is --quick or --long, not both");
        }
        // Servers are started in other folders.
        let absolute = |path: Option<PathBuf>, what: &'static str| -> Result<PathBuf> {
            Ok(std::path::absolute(path.context(what)?)?)
        };
        let plugin = plugin.context("--plugin names the component of the plugin `forest`")?;
        let (warm_up, measure) = if quick { (200, 400) } else { (500, 2_000) };
        Ok(Self {
            foretell: absolute(foretell, "--foretell names the server's binary")?,
            plugin: std::fs::read(&plugin)
                .with_context(|| format!("cannot read {}", plugin.display()))?,
            peers: absolute(peers, "--peers names tests/bench/peers")?,
            out: absolute(out, "--out names a folder for results")?,
            rounds: rounds.unwrap_or(if quick { 3 } else { 7 }).max(1),
            warm_up: Duration::from_millis(warm_up),
            measure: Duration::from_millis(measure),
            quick,
            long,
            wanted,
        })
    }

    /// A folder of one server, removed with it.
    pub(crate) fn scratch(&self) -> Result<TempDir> {
        let folder = self.folder("data")?;
        Ok(tempfile::tempdir_in(folder)?)
    }

    /// Where servers write what they say.
    pub(crate) fn logs(&self) -> Result<PathBuf> {
        self.folder("logs")
    }

    /// A folder under `target/bench`.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.out.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// A load of this run's length.
    pub(crate) fn plan(&self, address: &str, requests: Vec<Request>, pace: Pace) -> Plan {
        Plan {
            address: address.to_owned(),
            requests,
            pace,
            warm_up: self.warm_up,
            measure: self.measure,
            patience: Duration::from_secs(5),
            max_requests: 10_000_000,
            idle_connections: 0,
            processes: Vec::new(),
        }
    }

    /// Time of one call in nanoseconds: the median over batches that are long beside a look at the clock, for as long as
    /// a tenth of a round of load.
    pub(crate) fn time<T>(&self, mut call: impl FnMut() -> T) -> f64 {
        const BATCH: Duration = Duration::from_micros(20);
        let budget = self.measure / 10;
        let mut size = 1_u32;
        let mut run = |size: u32| {
            let began = Instant::now();
            for _ in 0..size {
                std::hint::black_box(call());
            }
            began.elapsed()
        };
        // The first calls warm caches, too.
        while run(size) < BATCH && size < 1 << 20 {
            size *= 2;
        }
        let (began, mut batches) = (Instant::now(), Vec::new());
        while began.elapsed() < budget || batches.len() < 5 {
            batches.push(run(size).as_nanos() as f64 / f64::from(size));
        }
        median(&batches)
    }
}
