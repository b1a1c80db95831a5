//! `config check|show`: the configuration as a server started here and now would have it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{self, Format, Rows};
use crate::config::{self, Environment, Flags, Loaded, Origin, Settled};

/// Checks or shows the configuration.
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says whether a server would start with it; every problem at once.
    Check(Source),
    /// Lists every key with its value, and what was set without effect.
    Show {
        #[command(flatten)]
        source: Source,
        /// Also where each value comes from, and what is accepted.
        #[arg(long)]
        origin: bool,
    },
}

/// Where a configuration comes from.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The configuration file [environment: FORETELL_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder; made at the first start [environment: FORETELL_DATA_DIR; default: ./foretell-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The address to listen on; port 0 is any free one [environment: FORETELL_LISTEN; default: 127.0.0.1:5000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Source {
    /// Reads all layers.
    ///
    /// # Errors
    /// `Config` with every problem.
    pub(super) fn load(self, environment: &Environment) -> Result<Loaded, Failure> {
        let flags = Flags {
            config: self.config,
            data_dir: self.data_dir,
            listen: self.listen,
        };
        config::Config::load(&flags, environment).map_err(|error| Failure::new(Exit::Config, error))
    }
}

impl Config {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Check(source) => {
                let loaded = source.load(&context.environment)?;
                note_all(&loaded.notes);
                match context.format() {
                    Format::Json => output::document(&json!({"valid": true}).to_string()),
                    Format::Table => output::document("the configuration is valid"),
                }
            }
            Command::Show { source, origin } => {
                let loaded = source.load(&context.environment)?;
                match context.format() {
                    Format::Json => output::document(&document(&loaded).to_string()),
                    Format::Table => {
                        note_all(&loaded.notes);
                        rows(&loaded.settled, origin).print()
                    }
                }
            }
        }
    }
}

/// Says what was set without effect.
pub(super) fn note_all(notes: &[String]) {
    for note in notes {
        output::note(format_args!("note: {note}"));
    }
}

fn document(loaded: &Loaded) -> Value {
    let settings: Vec<_> = loaded
        .settled
        .iter()
        .map(|settled| {
            json!({
                "key": settled.key,
                "value": settled.value,
                "default": settled.default,
                "accepts": settled.range,
                "origin": settled.origin.to_string(),
                "doc": settled.doc,
            })
        })
        .collect();
    json!({"settings": settings, "notes": loaded.notes})
}

fn rows(settled: &[Settled], origin: bool) -> Rows {
    let shown = |value: &str| {
        if value.is_empty() {
            "-".to_owned()
        } else {
            value.to_owned()
        }
    };
    if origin {
        let mut rows = Rows::new(&["KEY", "VALUE", "ORIGIN", "ACCEPTS"]);
        for one in settled {
            rows.push([
                one.key.to_owned(),
                shown(&one.value),
                one.origin.to_string(),
                one.range.clone(),
            ]);
        }
        rows
    } else {
        let mut rows = Rows::new(&["KEY", "VALUE", "DEFAULT"]);
        for one in settled {
            let default = if one.origin == Origin::Default {
                String::new()
            } else {
                shown(&one.default)
            };
            rows.push([one.key.to_owned(), shown(&one.value), default]);
        }
        rows
    }
}
