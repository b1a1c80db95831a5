//! `key create|list|rotate|revoke|limits`.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use foretell_types::{KeyId, Role, Scope};
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::limits::KeyLimits;
use super::output::{self, Format, Rows, cell};
use crate::config::units::Setting;

/// Makes, lists, rotates, limits or revokes API keys.
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
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required_unless_present = "role", value_parser = scope)]
        scopes: Vec<Scope>,
        /// The same by the name of a kind of work.
        #[arg(long, value_name = "ROLE", conflicts_with = "scopes", value_parser = roles())]
        role: Option<Role>,
        /// Models that it is for, with commas between them [default: all, those to come among them]; such a key has the scopes
        /// infer and models alone.
        #[arg(long, value_name = "MODELS", value_delimiter = ',')]
        models: Vec<String>,
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
    Limits(KeyLimits),
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text)
        .ok_or_else(|| format!("use some of {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

/// Every role; the long help says what each is for.
pub(super) fn roles() -> impl TypedValueParser<Value = Role> {
    let roles = Role::ALL.map(|role| PossibleValue::new(role.as_str()).help(role.about()));
    PossibleValuesParser::new(roles)
        .try_map(|name| Role::parse(&name).ok_or("there is no such role"))
}

/// The names of what a key may do: those of its role, if it is made with one.
fn names(scopes: &[Scope], role: Option<Role>) -> Vec<&'static str> {
    match role {
        Some(role) => role.scopes().iter().map(Scope::as_str).collect(),
        None => scopes.iter().map(|scope| scope.as_str()).collect(),
    }
}

impl Key {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let command = match self.command {
            Command::Limits(limits) => return limits.execute(context),
            other => other,
        };
        let client = context.client()?;
        context.block_on(async {
            let answer = match &command {
                Command::Create {
                    scopes,
                    role,
                    models,
                    label,
                    expires_in_days,
                } => {
                    let mut body = json!({"scopes": names(scopes, *role)});
                    if !models.is_empty() {
                        body["models"] = json!(models);
                    }
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
                Command::List | Command::Limits(_) => {
                    client.tenant(Method::GET, "/api/keys", None).await?
                }
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
            match command {
                Command::Create { .. } | Command::Rotate { .. } => issued(&answer.json),
                Command::List | Command::Limits(_) => {
                    rows(output::items(&answer.json, "keys")).print()
                }
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
    let mut rows = Rows::new(&[
        "ID",
        "LABEL",
        "SCOPES",
        "MODELS",
        "CREATED",
        "EXPIRES",
        "REVOKED",
        "LAST USED",
    ]);
    for key in keys {
        rows.push([
            cell(key, "id"),
            cell(key, "label"),
            cell(key, "scopes"),
            cell(key, "models"),
            cell(key, "created_at"),
            cell(key, "expires_at"),
            cell(key, "revoked_at"),
            cell(key, "last_used_at"),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    /// The scopes of a key that is made with these options.
    fn made(options: &[&str]) -> Result<Vec<&'static str>, clap::Error> {
        let command = Key::augment_args(clap::Command::new("key").no_binary_name(true));
        let arguments = [&["create"][..], options].concat();
        let key = Key::from_arg_matches(&command.try_get_matches_from(arguments)?)?;
        match key.command {
            Command::Create { scopes, role, .. } => Ok(names(&scopes, role)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_made_with_scopes_or_with_those_of_a_role() {
        for (options, scopes) in [
            (["--scopes", "infer,models"], &["infer", "models"][..]),
            (["--role", "caller"], &["infer"]),
            (["--role", "uploader"], &["infer", "models"]),
            (["--role", "auditor"], &["usage", "audit"]),
            (
                ["--role", "owner"],
                &["infer", "models", "keys", "usage", "audit"],
            ),
            (["--role", "operator"], &["operator"]),
        ] {
            assert_eq!(made(&options).unwrap(), scopes, "{options:?}");
        }
        for wrong in [
            &[] as &[&str],
            &["--role", "admin"],
            &["--scopes", "infer,all"],
            &["--role", "caller", "--scopes", "infer"],
        ] {
            assert!(made(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_help_says_what_each_role_is_for() {
        let mut command = Key::augment_args(clap::Command::new("key"));
        let create = command.find_subcommand_mut("create").unwrap();
        let help = create.render_long_help().to_string();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for role in Role::ALL {
            let line = format!(
                "{role}: {about}",
                role = role.as_str(),
                about = role.about()
            );
            assert!(words(&help).contains(&words(&line)), "{line}\n{help}");
        }
    }
}
