//! `cargo xtask demo`: the product working, from sources to answers, in one command.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::models::{self, Model};
use crate::server::{Server, Start, own_environment, reset_data_dir};
use crate::steps::Steps;
use crate::table::Table;
use crate::workspace::{Profile, Workspace};
use crate::{answer, command, guests, http};

/// The operator's key of the demo: its server listens on the loopback address and its data is thrown away.
const ADMIN_KEY: &str = "demo-operator-key-not-secret";

/// The demo's tenant.
const TENANT: &str = "demo";

/// How often each model is asked: the first call of a version loads it, and one measurement says little.
const ROUNDS: usize = 21;

/// What the user may choose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// End after the table.
    pub(crate) once: bool,
    /// Where the server listens.
    pub(crate) listen: String,
    /// The server's data folder; `target/demo` if none is given.
    pub(crate) data_dir: Option<PathBuf>,
    /// How the server is built.
    pub(crate) profile: Profile,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self {
            once: false,
            listen: "127.0.0.1:5000".to_owned(),
            data_dir: None,
            profile: Profile::Release,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--once" => options.once = true,
                "--listen" => options.listen = value()?.clone(),
                "--data-dir" => options.data_dir = Some(PathBuf::from(value()?)),
                "--profile" => {
                    options.profile = match value()?.as_str() {
                        "dev" => Profile::Dev,
                        "release" => Profile::Release,
                        other => bail!("there is no profile `{other}`; choose dev or release"),
                    }
                }
                other => bail!(
                    "`demo` knows no option `{other}`; it takes --once, --listen, --data-dir, --profile"
                ),
            }
        }
        Ok(options)
    }
}

/// Builds the server, then [`show`].
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    // Before minutes of building, not after.
    check_free(&options.listen)?;
    let mut steps = Steps::new();
    let binary = steps.run("build the server", || {
        workspace.build_server(options.profile)
    })?;
    show(workspace, options, &binary, steps)
}

/// Builds the plugins, starts, pushes, asks, shows; then serves until Ctrl-C unless it is to end.
pub(crate) fn show(
    workspace: &Workspace,
    options: &Options,
    binary: &Path,
    mut steps: Steps,
) -> Result<()> {
    steps.run("build the plugins", || guests::build(workspace, binary))?;
    let data_dir = match &options.data_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace.target.join("demo"),
    };
    let log = data_dir.with_added_extension("log");
    let (server, client) = steps.run("start the server", || {
        reset_data_dir(&data_dir)?;
        let start = Start {
            binary,
            listen: &options.listen,
            data_dir: &data_dir,
            log: &log,
            admin_key: ADMIN_KEY,
        };
        let server = start.start()?;
        let client = Client::new(binary, &server)?;
        Ok((server, client))
    })?;
    let models = models::all(&workspace.root)?;
    if models.is_empty() {
        bail!("there is no model under models/");
    }
    steps.run("push the models", || client.push(&models))?;
    let wrong = steps.run("ask each model for its sample", || {
        ask_all(&client, &models)
    })?;
    if wrong > 0 {
        bail!(
            "{wrong} of {} answers are wrong; the server's log: {}",
            models.len(),
            log.display()
        );
    }
    eprintln!("{} of {} answers are right", models.len(), models.len());
    if options.once {
        server.stop();
        return Ok(());
    }
    show_what_to_try(workspace, &client, &models);
    eprintln!(
        "\nserving on {} until Ctrl-C; log: {}",
        server.url(),
        workspace.shown(&log)
    );
    server.wait()
}

/// What the demo calls the server with: the command line, and plain HTTP with the tenant's key.
struct Client<'a> {
    binary: &'a Path,
    url: String,
    key: String,
}

impl<'a> Client<'a> {
    /// Makes the tenant and its key.
    fn new(binary: &'a Path, server: &Server) -> Result<Self> {
        let operator = Self {
            binary,
            url: server.url().to_owned(),
            key: ADMIN_KEY.to_owned(),
        };
        operator.call(&["tenant", "create", TENANT])?;
        let created = operator.call(&[
            "key",
            "create",
            "--tenant",
            TENANT,
            "--scopes",
            "infer,models",
        ])?;
        let key = created["secret"]
            .as_str()
            .context("`foretell key create` printed no `secret`")?
            .to_owned();
        Ok(Self { key, ..operator })
    }

    /// Calls `foretell ... --output json` and reads what it prints.
    fn call(&self, args: &[&str]) -> Result<Value> {
        let mut call = Command::new(self.binary);
        own_environment(&mut call);
        call.args(args)
            .args(["--output", "json"])
            .env("FORETELL_URL", &self.url)
            .env("FORETELL_KEY", &self.key);
        let printed = command::output(&mut call)?;
        serde_json::from_str(&printed).with_context(|| {
            format!(
                "`foretell {}` printed what is not JSON: {printed}",
                args.join(" ")
            )
        })
    }

    fn push(&self, models: &[Model]) -> Result<()> {
        // The samples are asked for afterwards, where a wrong answer is shown beside the right one.
        let mut args = vec!["model", "push", "--no-sample"];
        for model in models {
            args.push(
                model
                    .folder
                    .to_str()
                    .context("a model's path is not UTF-8")?,
            );
        }
        self.call(&args).map(drop)
    }

    fn predict(&self, model: &Model) -> Result<http::Answer> {
        let path = format!("/api/predict/{}?version={}", model.name, model.version);
        http::post(&self.url, &path, &self.key, &model.sample.request)
    }
}

/// Sends each model its sample, prints the table, returns how many answers are wrong.
fn ask_all(client: &Client<'_>, models: &[Model]) -> Result<usize> {
    let mut table = Table::new([
        "model",
        "version",
        "answer",
        "expected",
        "verdict",
        "in the sandbox",
        "credits",
    ]);
    let mut wrong = Vec::new();
    for model in models {
        let (shown, verdict, time, credits) = match ask(client, model) {
            Ok(asked) => {
                let verdict = asked.difference.as_ref().map_or("ok", |_| "WRONG");
                if let Some(difference) = asked.difference {
                    wrong.push(format!("{} {}: {difference}", model.name, model.version));
                }
                (asked.shown, verdict, asked.time, asked.credits)
            }
            Err(error) => {
                wrong.push(format!("{} {}: {error:#}", model.name, model.version));
                ("-".to_owned(), "MISSING", "-".to_owned(), "-".to_owned())
            }
        };
        table.row([
            model.name.clone(),
            model.version.clone(),
            shown,
            answer::summary(&model.sample.response),
            verdict.to_owned(),
            time,
            credits,
        ]);
    }
    println!(
        "\n{table}\nin the sandbox: median of {ROUNDS} calls, each in an instance of its own\n"
    );
    for line in &wrong {
        eprintln!("{line}");
    }
    Ok(wrong.len())
}

struct Asked {
    shown: String,
    difference: Option<String>,
    time: String,
    credits: String,
}

/// Asks a model for its sample again and again; tells the first wrong answer, or else the last one.
fn ask(client: &Client<'_>, model: &Model) -> Result<Asked> {
    let mut times = Vec::new();
    loop {
        let (asked, compute) = ask_once(client, model)?;
        times.push(compute);
        if asked.difference.is_some() || times.len() == ROUNDS {
            times.sort_by(f64::total_cmp);
            let median = times[times.len() / 2];
            return Ok(Asked {
                time: format!("{:.0} us", median * 1e3),
                ..asked
            });
        }
    }
}

/// One answer, and the milliseconds that it took in the sandbox.
fn ask_once(client: &Client<'_>, model: &Model) -> Result<(Asked, f64)> {
    let got = client.predict(model)?;
    if got.status != 200 {
        bail!(
            "status {}: {}",
            got.status,
            String::from_utf8_lossy(&got.body).trim_end()
        );
    }
    let body: Value = serde_json::from_slice(&got.body).context("the answer is not JSON")?;
    let predictions = answer::predictions(&body);
    let compute = got
        .timing("compute")
        .context("the answer has no Server-Timing with `compute`")?;
    let asked = Asked {
        shown: answer::summary(&predictions),
        difference: answer::difference(
            &model.sample.response,
            &predictions,
            model.sample.tolerance,
        ),
        time: String::new(),
        credits: got
            .header("x-credits-used")
            .context("the answer has no X-Credits-Used")?
            .to_owned(),
    };
    Ok((asked, compute))
}

fn show_what_to_try(workspace: &Workspace, client: &Client<'_>, models: &[Model]) {
    let Client { url, key, .. } = client;
    // The one whose request is shortest reads best on a screen.
    let Some(model) = models.iter().min_by_key(|model| model.sample.request.len()) else {
        return;
    };
    println!("\nAsk for one yourself:\n");
    println!(
        "  curl -s -H 'X-API-Key: {key}' -d @{} {url}/api/predict/{}\n",
        workspace.shown(&model.sample.request_file),
        model.name
    );
    println!("And then, with the same key:\n");
    for (path, what) in [
        ("/api/models".to_owned(), "the tenant's models"),
        (
            format!("/v2/models/{}", model.name),
            "one of them, as inference clients see it",
        ),
        ("/v2/health/ready".to_owned(), "needs no key"),
        ("/health".to_owned(), "what the server checks of itself"),
    ] {
        println!("  curl -s -H 'X-API-Key: {key}' {url}{path}   # {what}");
    }
}

fn check_free(listen: &str) -> Result<()> {
    let addresses: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .with_context(|| {
            format!("`{listen}` is no address to listen on; write it like 127.0.0.1:5000")
        })?
        .collect();
    TcpListener::bind(addresses.as_slice())
        .map(drop)
        .with_context(|| {
            format!("cannot listen on {listen}; choose another with --listen 127.0.0.1:PORT")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn without_options_it_serves_on_port_5000_in_release() {
        let options = parse("").unwrap();
        assert_eq!(options.listen, "127.0.0.1:5000");
        assert_eq!(options.profile, Profile::Release);
        assert!(!options.once);
    }

    #[test]
    fn every_option_is_read() {
        let options = parse("--once --listen 127.0.0.1:0 --data-dir d --profile dev").unwrap();
        assert_eq!(
            options,
            Options {
                once: true,
                listen: "127.0.0.1:0".to_owned(),
                data_dir: Some(PathBuf::from("d")),
                profile: Profile::Dev,
            }
        );
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(
            parse("--port 1")
                .unwrap_err()
                .to_string()
                .contains("--listen")
        );
        assert!(
            parse("--listen")
                .unwrap_err()
                .to_string()
                .contains("needs a value")
        );
        assert!(
            parse("--profile fast")
                .unwrap_err()
                .to_string()
                .contains("dev or release")
        );
    }

    #[test]
    fn a_port_that_is_taken_is_told_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = check_free(&address).unwrap_err().to_string();
        assert!(error.contains("--listen"), "{error}");
    }
}
