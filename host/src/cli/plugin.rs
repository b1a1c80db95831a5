//! `plugin new|build|check|test`: for authors, without a server.

mod trial;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use foretell_types::compile::{CompileError, Refusal, Setting, SettingValue, Step};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{self, Format, Rows};
use super::progress::Progress;
use crate::config;
use crate::plugin;
use crate::plugin::build::BuildError;
use crate::plugin::new::NewError;
use crate::sandbox::{Accepted, Candidate, Sandbox};

/// Begins, builds, checks or tests a plugin, without a server.
#[derive(Debug, Args)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a new plugin's folder, with everything that it needs to be built.
    New {
        /// The folder to make.
        dir: PathBuf,
        /// The model's name [default: the folder's].
        #[arg(long)]
        name: Option<String>,
    },
    /// Builds a plugin's crate to a component, and says where it lies.
    Build {
        /// The crate's folder.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Does with a plugin what the server would do at its upload, and names every reason to refuse it.
    Check {
        /// The component or core module.
        file: PathBuf,
        /// The weights for its `load`.
        #[arg(long, value_name = "FILE")]
        artifact: Option<PathBuf>,
        /// A setting for its `load`; numbers, true and false are read as such. Repeat for more.
        #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<Setting>,
    },
    /// Builds the plugin of a model's folder, prepares it, and runs its examples and its sample in the real sandbox.
    Test {
        /// A folder with a model.toml.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
}

impl Plugin {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::New { dir, name } => new(&dir, name.as_deref()),
            Command::Build { dir } => {
                let file = build(&dir)?;
                match context.format() {
                    Format::Json => output::document(&json!({"component": file}).to_string()),
                    Format::Table => output::document(&file.display().to_string()),
                }
            }
            Command::Check {
                file,
                artifact,
                mut settings,
            } => {
                settings.sort_by(|a, b| a.name.cmp(&b.name));
                check(context, &file, artifact.as_deref(), &settings)
            }
            Command::Test { dir } => trial::run(context, &dir),
        }
    }
}

fn new(dir: &Path, name: Option<&str>) -> Result<(), Failure> {
    let from_folder = || {
        let absolute = std::path::absolute(dir).ok()?;
        Some(absolute.file_name()?.to_str()?.to_owned())
    };
    let name = name
        .map(str::to_owned)
        .or_else(from_folder)
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "the folder's name is no model name; give one with --name",
            )
        })?;
    plugin::new::create(dir, &name).map_err(|error| {
        let exit = match error {
            NewError::Name { .. } => Exit::Usage,
            NewError::NotEmpty(_) | NewError::Io { .. } => Exit::CannotCreate,
        };
        Failure::new(exit, error)
    })?;
    let shown = dir.display();
    output::note(format_args!(
        "{shown} is a plugin that builds as it is; edit {shown}/src/lib.rs, then\n  foretell plugin test {shown}\n  foretell model push {shown}"
    ));
    Ok(())
}

/// Builds a crate. Its steps are lines on stderr, between those of cargo, which shows its own progress.
///
/// # Errors
/// `Data` with what the compiler says, or what is missing on this machine.
pub(super) fn build(dir: &Path) -> Result<PathBuf, Failure> {
    plugin::build::build(dir, &|line: &str| output::note(line)).map_err(|error| {
        let exit = match error {
            BuildError::Toolchain(_) => Exit::Unavailable,
            BuildError::NoCrate(_) => Exit::NoInput,
            BuildError::Io { .. } => Exit::Io,
            _ => Exit::Data,
        };
        Failure::new(exit, error)
    })
}

/// A setting as an author writes it on the command line.
fn setting(text: &str) -> Result<Setting, String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("use NAME=VALUE")?;
    let value = match value {
        "true" => SettingValue::Truth(true),
        "false" => SettingValue::Truth(false),
        _ => match (value.parse(), value.parse::<f64>()) {
            (Ok(whole), _) => SettingValue::Integer(whole),
            (_, Ok(real)) if real.is_finite() => SettingValue::Real(real),
            _ => SettingValue::Text(value.to_owned()),
        },
    };
    Ok(Setting {
        name: name.to_owned(),
        value,
    })
}

fn check(
    context: &Context,
    file: &Path,
    artifact: Option<&Path>,
    settings: &[Setting],
) -> Result<(), Failure> {
    let defaults = config::Config::default();
    let candidate = Candidate {
        plugin: file,
        artifact,
        settings,
        memory_bytes: u64::from(defaults.sandbox.memory_mib) << 20,
    };
    let outcome = context.block_on(async {
        let sandbox = Sandbox::new().map_err(|error| machine(&error))?;
        prepare(&sandbox, candidate).await
    })?;
    match (outcome, context.format()) {
        (Ok(accepted), Format::Json) => output::document(&document(&accepted)?.to_string()),
        (Ok(accepted), Format::Table) => {
            let mut rows = Rows::new(&["WHAT", "VALUE"]);
            sizes(&mut rows, &accepted, &defaults);
            rows.print()
        }
        (Err(refusals), format) => {
            if format == Format::Json {
                let errors: Vec<_> = refusals
                    .iter()
                    .map(|one| json!({"code": one.code.as_str(), "subject": one.subject, "message": one.message}))
                    .collect();
                output::document(&json!({"accepted": false, "errors": errors}).to_string())?;
            }
            Err(refused(file, &refusals))
        }
    }
}

/// Prepares, with the steps on a terminal. The inner error is the plugin's own doing.
async fn prepare(
    sandbox: &Sandbox,
    candidate: Candidate<'_>,
) -> Result<Result<Accepted, Vec<Refusal>>, Failure> {
    let progress = Progress::step("preparing");
    let say = |step: Step| progress.say(format!("preparing: {}", step.as_str()));
    match sandbox
        .prepare(candidate, &say)
        .await
        .map_err(|error| machine(&error))?
    {
        Ok(accepted) => Ok(Ok(accepted)),
        Err(CompileError::Refused(refusals)) => Ok(Err(refusals)),
        Err(error) => Err(Failure::new(Exit::Os, error)),
    }
}

fn machine(error: &anyhow::Error) -> Failure {
    let exit = match error.root_cause().downcast_ref::<std::io::Error>() {
        Some(error) if error.kind() == std::io::ErrorKind::NotFound => Exit::NoInput,
        _ => Exit::Os,
    };
    Failure::new(exit, format_args!("{error:#}"))
}

fn refused(file: &Path, refusals: &[Refusal]) -> Failure {
    let reasons: Vec<_> = refusals
        .iter()
        .map(|refusal| format!("\n  {refusal}"))
        .collect();
    Failure::new(
        Exit::Data,
        format_args!("{} would be refused:{}", file.display(), reasons.concat()),
    )
}

fn document(accepted: &Accepted) -> Result<Value, Failure> {
    let signature = serde_json::to_value(&accepted.signature)
        .map_err(|error| Failure::new(Exit::Software, error))?;
    Ok(json!({
        "accepted": true,
        "plugin_bytes": accepted.plugin_bytes,
        "snapshot_bytes": accepted.snapshot_bytes,
        "code_bytes": accepted.code_bytes,
        "signature": signature,
    }))
}

fn sizes(rows: &mut Rows, accepted: &Accepted, defaults: &config::Config) {
    let kib = |bytes: u64| format!("{} KiB", bytes.div_ceil(1024));
    rows.push([
        "plugin".to_owned(),
        format!(
            "{} (limit {})",
            kib(accepted.plugin_bytes),
            defaults.uploads.max_plugin
        ),
    ]);
    rows.push(["after load".to_owned(), kib(accepted.snapshot_bytes as u64)]);
    rows.push(["machine code".to_owned(), kib(accepted.code_bytes as u64)]);
    rows.push([
        "examples".to_owned(),
        format!("{} passed", accepted.signature.examples.len()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_the_kind_that_its_text_looks_like() {
        for (text, value) in [
            ("a=true", SettingValue::Truth(true)),
            ("a=3", SettingValue::Integer(3)),
            ("a=-0.5", SettingValue::Real(-0.5)),
            ("a=inf", SettingValue::Text("inf".into())),
            ("a=b=c", SettingValue::Text("b=c".into())),
            ("a=", SettingValue::Text(String::new())),
        ] {
            assert_eq!(setting(text).unwrap().value, value, "{text}");
        }
        assert!(setting("a").is_err());
        assert!(setting("=1").is_err());
    }
}
