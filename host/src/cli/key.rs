//! `key create|list|rotate|revoke`.

use std::time::Duration;

use clap::{Args, Subcommand};
use foretell_types::{KeyId, Scope};
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::output::{self, Format, Rows, cell};
use crate::config::units::Setting;

/// Makes, lists, rotates or revokes API keys.
#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a key; its secret is shown this once.
    Create {
        /// What it may do: infer, models, keys, usage, audit.
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// A name for people.
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// Days until it expires [default: what the server says, 365 unless changed].
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
        expires_in_days: Option<u32>,
    },
    /// Lists the tenant's keys, without secrets.
    List,
    /// Makes a successor; the old key goes on for a while.
    Rotate {
        /// Which key.
        id: KeyId,
        /// How long the old key goes on, such as 24h or 0s.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = <Duration as Setting>::parse)]
        overlap: Duration,
    },
    /// Ends a key at once.
    Revoke {
        /// Which key.
        id: KeyId,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text)
        .ok_or_else(|| format!("use some of {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

impl Key {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.block_on(async {
            let answer = match &self.command {
                Command::Create {
                    scopes,
                    label,
                    expires_in_days,
                } => {
                    let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
                    let mut body = json!({"scopes": scopes});
                    if let Some(label) = label {
                        body["label"] = json!(label);
                    }
                    if let Some(days) = expires_in_days {
                        body["expires_in_days"] = json!(days);
                    }
                    client
                        .tenant(Method::POST, "/api/keys", Some(&body))
                        .await?
                }
                Command::List => client.tenant(Method::GET, "/api/keys", None).await?,
                Command::Rotate { id, overlap } => {
                    let body = json!({"overlap_seconds": overlap.as_secs()});
                    let path = format!("/api/keys/{id}/rotate");
                    client.tenant(Method::POST, &path, Some(&body)).await?
                }
                Command::Revoke { id } => {
                    let path = format!("/api/keys/{id}");
                    client.tenant(Method::DELETE, &path, None).await?
                }
            };
            if context.format() == Format::Json {
                return output::document(&answer.text);
            }
            match self.command {
                Command::Create { .. } | Command::Rotate { .. } => issued(&answer.json),
                Command::List => rows(output::items(&answer.json, "keys")).print(),
                Command::Revoke { id } => {
                    output::note(format_args!("key {id} is revoked"));
                    Ok(())
                }
            }
        })
    }
}

fn issued(key: &Value) -> Result<(), Failure> {
    output::note("the secret is shown this once; keep it where secrets are kept");
    let mut rows = Rows::new(&["ID", "SECRET", "SCOPES", "EXPIRES"]);
    rows.push([
        cell(key, "id"),
        cell(key, "secret"),
        cell(key, "scopes"),
        cell(key, "expires_at"),
    ]);
    rows.print()
}

fn rows(keys: &[Value]) -> Rows {
    let mut rows = Rows::new(&["ID", "LABEL", "SCOPES", "CREATED", "EXPIRES", "REVOKED"]);
    for key in keys {
        rows.push([
            cell(key, "id"),
            cell(key, "label"),
            cell(key, "scopes"),
            cell(key, "created_at"),
            cell(key, "expires_at"),
            cell(key, "revoked_at"),
        ]);
    }
    rows
}
