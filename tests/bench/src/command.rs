//! The commands that need no server of ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use foretell_bench::document::{self, Results};
use foretell_bench::http::Request;
use foretell_bench::load::{self, Outcome, Pace, Plan};

/// Runs a load and prints its outcome.
pub(crate) fn load(options: &[String]) -> Result<()> {
    raise_open_files();
    if options == ["-"] {
        // Whole first: serde_json reads a slice many times faster than a stream, and bodies may be large.
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text)?;
        let plan: Plan = serde_json::from_slice(&text).context("stdin holds no plan of a load")?;
        println!("{}", serde_json::to_string(&load::run(&plan)?)?);
        return Ok(());
    }
    let options = Options::parse(options)?;
    let outcome = load::run(&options.plan)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", shown(&outcome));
    }
    Ok(())
}

/// Writes the document.
pub(crate) fn document(args: &[String]) -> Result<()> {
    let [out, docs] = args else {
        bail!("usage: foretell-bench document OUT DOCS");
    };
    let results = Results::read(&Path::new(out).join("results"))?;
    document::write(&results, Path::new(docs))
}

/// Connections are open files, and the soft limit is low where nobody has raised it.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // As many as there may be: a load of more connections says what it lacks.
    let _ = setrlimit(Resource::Nofile, limit);
}

struct Options {
    plan: Plan,
    json: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut args = args.iter();
        let mut json = false;
        while let Some(name) = args.next() {
            match name.as_str() {
                "--json" => json = true,
                "--url" | "--method" | "--body" | "--header" | "--connections" | "--idle"
                | "--rate" | "--seconds" | "--warm-up" | "--max-requests" | "--cpu-of" => {
                    let value = args
                        .next()
                        .with_context(|| format!("{name} needs a value"))?;
                    given.entry(name).or_default().push(value);
                }
                other => bail!("`load` has no option `{other}`; see `foretell-bench help`"),
            }
        }
        let url = text(&given, "--url").context("which server? --url http://host:port/path")?;
        let rest = url
            .strip_prefix("http://")
            .with_context(|| format!("`{url}` does not begin with http://"))?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let body = match text(&given, "--body") {
            Some(file) => std::fs::read(file).with_context(|| format!("cannot read {file}"))?,
            None => Vec::new(),
        };
        let method = match (text(&given, "--method"), body.is_empty()) {
            (Some(method), _) => method,
            (None, true) => "GET",
            (None, false) => "POST",
        };
        let mut request = Request::new(method, format!("/{path}"));
        for header in given.get("--header").into_iter().flatten() {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("`{header}` is no header: write 'name: value'"))?;
            request = request.header(name.trim(), value.trim());
        }
        let is_typed = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if !body.is_empty() && !request.headers.iter().any(is_typed) {
            request = request.header("content-type", "application/json");
        }
        request.body = body;
        let connections = number(&given, "--connections", 32)?;
        let seconds = |name, default| -> Result<Duration> {
            Duration::try_from_secs_f64(number(&given, name, default)?)
                .map_err(|error| anyhow!("{name}: {error}"))
        };
        let ids = given.get("--cpu-of").into_iter().flatten();
        let ids = ids.map(|id| id.parse().with_context(|| format!("`{id}` is no process")));
        Ok(Self {
            plan: Plan {
                address: address.to_owned(),
                requests: vec![request],
                pace: match text(&given, "--rate") {
                    None => Pace::Closed { connections },
                    Some(_) => Pace::Open {
                        connections,
                        per_second: number(&given, "--rate", 1.0)?,
                    },
                },
                warm_up: seconds("--warm-up", 1.0)?,
                measure: seconds("--seconds", 3.0)?,
                patience: Duration::from_secs(5),
                max_requests: number(&given, "--max-requests", 10_000_000)?,
                idle_connections: number(&given, "--idle", 0)?,
                processes: ids.collect::<Result<_>>()?,
            },
            json,
        })
    }
}

fn text<'a>(given: &BTreeMap<&str, Vec<&'a str>>, name: &str) -> Option<&'a str> {
    given.get(name).and_then(|values| values.last().copied())
}

fn number<T: FromStr>(given: &BTreeMap<&str, Vec<&str>>, name: &str, default: T) -> Result<T> {
    match text(given, name) {
        None => Ok(default),
        Some(value) => value
            .parse()
            .map_err(|_| anyhow!("{name}: `{value}` is no number")),
    }
}

fn shown(outcome: &Outcome) -> String {
    let Outcome {
        answered,
        per_second,
        statuses,
        errors,
        unanswered,
        reopened,
        bytes_per_second,
        latency,
        server_cpu_us,
        own_load,
    } = outcome;
    let mut text = format!(
        "{per_second:.0} answers per second, {answered} in all; {:.1} MB/s\n\
         latency in us: mean {:.1}, p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}\n\
         status {statuses:?}; errors {errors:?}; unanswered {unanswered}; reopened {reopened}\n",
        bytes_per_second / 1e6,
        latency.mean,
        latency.p50,
        latency.p90,
        latency.p99,
        latency.p999,
        latency.max,
    );
    let _ = writeln!(
        text,
        "processor: {server_cpu_us:.2} us of the server per answer; the generator was busy {:.0} % of the time",
        own_load * 100.0
    );
    text
}
