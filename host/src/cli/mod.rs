//! The command line: one file per subcommand, each with its options and its `execute`.
//!
//! Answers go to stdout, one document for each command; everything else (progress, notes, errors) goes to stderr.
//! A command ends 0 only if it did what it was asked; otherwise with a code of sysexits.h ([`exit::Exit`]).

mod amount;
mod audit;
mod compile_worker;
mod config;
mod doctor;
pub mod exit;
mod export;
mod key;
mod limits;
mod listing;
mod model;
pub mod output;
mod plugin;
mod predict;
mod progress;
mod push;
mod recording;
mod release;
mod replay;
mod sample;
mod secret;
mod serve;
mod subject;
mod tenant;
mod terminal;
mod usage;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use foretell_types::TenantId;

use crate::client::{Client, DEFAULT_URL};
use crate::config::Environment;
use exit::{Exit, Failure};
use output::Format;

/// Reads the command line, does what it says, and tells how it went.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell if the stream is closed.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli.execute() {
        Ok(code) => code,
        Err(failure) => {
            output::note(format_args!("foretell: {failure}"));
            failure.exit.into()
        }
    }
}

/// A prediction host: customers upload models as WebAssembly plugins, callers get predictions over HTTP.
#[derive(Debug, Parser)]
#[command(name = "foretell", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command; those about a server matter only to commands that talk to one.
#[derive(Debug, Clone, Args)]
struct Globals {
    /// The server to talk to [environment: FORETELL_URL; default: http://127.0.0.1:5000].
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    url: Option<String>,
    /// The API key to show it [environment: FORETELL_KEY, or FORETELL_KEY_FILE for a file that holds it].
    #[arg(long, global = true, value_name = "KEY", help_heading = "Server")]
    key: Option<String>,
    /// The tenant to act for; operators only.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Server")]
    tenant: Option<TenantId>,
    /// How to print the answer; json is the server's own answer.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Config(config::Config),
    Tenant(tenant::Tenant),
    Key(key::Key),
    User(user::User),
    Model(model::Model),
    Plugin(plugin::Plugin),
    Predict(predict::Predict),
    Recording(recording::Recording),
    Replay(replay::Replay),
    Subject(subject::Subject),
    Usage(usage::Usage),
    Limits(limits::Limits),
    Audit(audit::Audit),
    Doctor(doctor::Doctor),
    #[command(hide = true)]
    CompileWorker(compile_worker::CompileWorker),
}

impl Cli {
    fn execute(self) -> Result<ExitCode, Failure> {
        // Before anything else: the worker gets no environment, opens nothing of ours, and may be killed at any time.
        if let Command::CompileWorker(worker) = self.command {
            return Ok(worker.execute());
        }
        let context = Context {
            globals: self.globals,
            environment: Environment::of_process(),
        };
        match self.command {
            Command::Serve(command) => command.execute(&context),
            Command::Config(command) => command.execute(&context),
            Command::Tenant(command) => command.execute(&context),
            Command::Key(command) => command.execute(&context),
            Command::User(command) => command.execute(&context),
            Command::Model(command) => command.execute(&context),
            Command::Plugin(command) => command.execute(&context),
            Command::Predict(command) => command.execute(&context),
            Command::Recording(command) => command.execute(&context),
            Command::Replay(command) => command.execute(&context),
            Command::Subject(command) => command.execute(&context),
            Command::Usage(command) => command.execute(&context),
            Command::Limits(command) => command.execute(&context),
            Command::Audit(command) => command.execute(&context),
            Command::Doctor(command) => command.execute(&context),
            Command::CompileWorker(worker) => return Ok(worker.execute()),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

/// What commands share.
struct Context {
    globals: Globals,
    environment: Environment,
}

impl Context {
    /// The form of answers.
    fn format(&self) -> Format {
        self.globals.output
    }

    /// The server's URL by flag, environment or default.
    fn url(&self) -> &str {
        self.globals
            .url
            .as_deref()
            .or_else(|| self.environment.get("FORETELL_URL"))
            .unwrap_or(DEFAULT_URL)
    }

    /// Whether somebody said which server is meant.
    fn names_a_server(&self) -> bool {
        self.globals.url.is_some() || self.environment.get("FORETELL_URL").is_some()
    }

    /// A client for the server, with key and tenant.
    ///
    /// # Errors
    /// `Usage` for a URL or key that cannot be one; those of reading the key's file.
    fn client(&self) -> Result<Client, Failure> {
        Client::new(self.url(), self.key()?, self.globals.tenant.clone())
    }

    fn key(&self) -> Result<Option<String>, Failure> {
        if let Some(key) = &self.globals.key {
            return Ok(Some(key.clone()));
        }
        if let Some(key) = self.environment.get("FORETELL_KEY") {
            return Ok(Some(key.to_owned()));
        }
        let Some(path) = self.environment.get("FORETELL_KEY_FILE") else {
            return Ok(None);
        };
        std::fs::read_to_string(path)
            .map(|text| Some(text.trim_end_matches(['\r', '\n']).to_owned()))
            .map_err(|error| Failure::io(format_args!("FORETELL_KEY_FILE, {path}"), &error))
    }

    /// Runs a command's conversation with the server to its end.
    ///
    /// # Errors
    /// Those of the conversation; `Os` if the system has no room for a runtime.
    fn block_on<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Os, format_args!("async runtime: {error}")))?
            .block_on(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_ends_with_usage_and_help_with_success() {
        let code = |arguments: &[&str]| format!("{:?}", run(arguments.iter().map(OsString::from)));
        let usage = format!("{:?}", ExitCode::from(64));
        let success = format!("{:?}", ExitCode::SUCCESS);
        for (arguments, expected) in [
            (&["foretell", "nonsense"][..], &usage),
            (&["foretell"], &usage),
            (&["foretell", "predict"], &usage),
            (&["foretell", "model", "show", "a/b"], &usage),
            (&["foretell", "audit", "list", "--limit", "0"], &usage),
            (&["foretell", "usage", "--by", "hour"], &usage),
            (&["foretell", "recording", "on", "--days", "0"], &usage),
            (&["foretell", "replay", "a/b"], &usage),
            (&["foretell", "user", "create", "ann"], &usage),
            (
                &["foretell", "--tenant", "Not A Name", "key", "list"],
                &usage,
            ),
            (&["foretell", "--version"], &success),
            (&["foretell", "model", "push", "--help"], &success),
            (&["foretell", "audit", "export", "--help"], &success),
            (&["foretell", "audit", "checkpoints", "--help"], &success),
            (&["foretell", "subject", "erase", "--help"], &success),
            (&["foretell", "user", "setup", "--help"], &success),
            (&["foretell", "usage", "export", "--help"], &success),
            (&["foretell", "tenant", "limits", "--help"], &success),
        ] {
            assert_eq!(&code(arguments), expected, "{arguments:?}");
        }
    }

    fn context(arguments: &[&str], environment: Environment) -> Context {
        let arguments = ["foretell"].iter().chain(arguments).chain(&["doctor"]);
        Context {
            globals: Cli::parse_from(arguments).globals,
            environment,
        }
    }

    #[test]
    fn server_and_key_come_from_the_flag_before_the_environment() {
        let environment = || {
            Environment::from([
                ("FORETELL_URL", "http://env:1"),
                ("FORETELL_KEY", "env-key"),
            ])
        };
        let by_flag = context(
            &["--url", "http://flag:1", "--key", "flag-key"],
            environment(),
        );
        assert_eq!(by_flag.url(), "http://flag:1");
        assert_eq!(by_flag.key().unwrap().as_deref(), Some("flag-key"));
        let by_environment = context(&[], environment());
        assert_eq!(by_environment.url(), "http://env:1");
        assert_eq!(by_environment.key().unwrap().as_deref(), Some("env-key"));
        let by_default = context(&[], Environment::default());
        assert_eq!(by_default.url(), DEFAULT_URL);
        assert_eq!(by_default.key().unwrap(), None);
    }

    #[test]
    fn a_key_may_lie_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "file-key\n").unwrap();
        let path = file.path().to_str().unwrap();
        let context = context(&[], Environment::from([("FORETELL_KEY_FILE", path)]));
        assert_eq!(context.key().unwrap().as_deref(), Some("file-key"));
    }
}
