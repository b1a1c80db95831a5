//! `model push|list|show|activate|delete`, and the releases of `release.rs`.

use clap::{Args, Subcommand};
use foretell_types::{ModelName, ModelVersion};
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::output::{self, Format, Rows, cell};
use super::push::Push;
use super::release::Release;

/// Uploads, lists, shows, releases or deletes models.
#[derive(Debug, Args)]
pub(super) struct Model {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Push(Push),
    /// Lists the tenant's models.
    List,
    /// Shows a model with its versions, or one version with its signature.
    Show {
        /// Which model.
        model: ModelName,
        /// Which version.
        version: Option<ModelVersion>,
    },
    /// Sends a model's calls to a version from now on.
    Activate {
        /// Which model.
        model: ModelName,
        /// Which version.
        version: ModelVersion,
    },
    #[command(flatten)]
    Release(Release),
    /// Deletes a version for good; its name cannot be used again.
    Delete {
        /// Which model.
        model: ModelName,
        /// Which version.
        version: ModelVersion,
    },
}

impl Model {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let command = match self.command {
            Command::Push(push) => return push.execute(context),
            Command::Release(release) => {
                let client = context.client()?;
                return context.block_on(release.execute(context, &client));
            }
            other => other,
        };
        let client = context.client()?;
        context.block_on(async {
            let answer = match &command {
                Command::Push(_) | Command::Release(_) | Command::List => {
                    client.tenant(Method::GET, "/api/models", None).await?
                }
                Command::Show {
                    model,
                    version: None,
                } => {
                    client
                        .tenant(Method::GET, &format!("/api/models/{model}"), None)
                        .await?
                }
                Command::Show {
                    model,
                    version: Some(version),
                } => {
                    let path = format!("/api/models/{model}/versions/{version}");
                    client.tenant(Method::GET, &path, None).await?
                }
                Command::Activate { model, version } => {
                    let body = json!({"active": version.as_str()});
                    let path = format!("/api/models/{model}/traffic");
                    client.tenant(Method::PUT, &path, Some(&body)).await?
                }
                Command::Delete { model, version } => {
                    let path = format!("/api/models/{model}/versions/{version}");
                    client.tenant(Method::DELETE, &path, None).await?
                }
            };
            if context.format() == Format::Json {
                return output::document(&answer.text);
            }
            match command {
                Command::Push(_) | Command::Release(_) | Command::List => {
                    list(output::items(&answer.json, "models")).print()
                }
                Command::Show { version: None, .. } => versions(&answer.json).print(),
                Command::Show {
                    version: Some(_), ..
                } => version(&answer.json).print(),
                Command::Activate { model, version } => {
                    output::note(format_args!("{model} version {version} is active"));
                    Ok(())
                }
                Command::Delete { model, version } => {
                    output::note(format_args!("{model} version {version} is deleted"));
                    Ok(())
                }
            }
        })
    }
}

fn list(models: &[Value]) -> Rows {
    let mut rows = Rows::new(&["MODEL", "ACTIVE", "VERSIONS"]);
    for model in models {
        let versions: Vec<_> = output::items(model, "versions")
            .iter()
            .map(|version| {
                version
                    .as_str()
                    .map_or_else(|| cell(version, "version"), str::to_owned)
            })
            .collect();
        rows.push([cell(model, "name"), active(model), versions.join(" ")]);
    }
    rows
}

fn versions(model: &Value) -> Rows {
    let active = active(model);
    let mut rows = Rows::new(&["VERSION", "ACTIVE", "DIGEST", "BYTES", "CREATED"]);
    for version in output::items(model, "versions") {
        let name = cell(version, "version");
        let is_active = if name == active { "yes" } else { "no" };
        rows.push([
            name,
            is_active.to_owned(),
            short(&cell(version, "digest")),
            cell(version, "bytes"),
            cell(version, "created_at"),
        ]);
    }
    rows
}

/// One version: what it accepts and returns, line by line.
fn version(version: &Value) -> Rows {
    let mut rows = Rows::new(&["FIELD", "VALUE"]);
    for field in [
        "model",
        "version",
        "active",
        "digest",
        "plugin",
        "artifact",
        "bytes",
        "created_at",
    ] {
        rows.push([field.to_owned(), cell(version, field)]);
    }
    for group in ["settings", "runtime"] {
        let fields = version.get(group).and_then(Value::as_object);
        for name in fields.into_iter().flat_map(|fields| fields.keys()) {
            rows.push([format!("{group}.{name}"), cell(&version[group], name)]);
        }
    }
    let signature = &version["signature"];
    rows.push(["doc".to_owned(), cell(signature, "doc")]);
    for (kind, tensor) in tensors(signature) {
        let shape = cell(tensor, "shape");
        rows.push([
            format!("{kind} {}", cell(tensor, "name")),
            format!(
                "{} [{shape}] {}",
                cell(tensor, "datatype"),
                cell(tensor, "doc")
            ),
        ]);
        for column in output::items(&tensor["columns"], "") {
            rows.push([format!("  {}", cell(column, "name")), domain(column)]);
        }
    }
    rows
}

fn tensors(signature: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    let inputs = output::items(&signature["inputs"], "").iter();
    let outputs = output::items(&signature["outputs"], "").iter();
    inputs
        .map(|input| ("input", input))
        .chain(outputs.map(|output| ("output", output)))
}

/// The values that a column takes, in one line.
fn domain(column: &Value) -> String {
    let required = if column.get("absent").is_none_or(Value::is_null) {
        ", required"
    } else {
        ""
    };
    let domain = &column["domain"];
    let values = match domain {
        Value::Object(fields) => fields
            .iter()
            .next()
            .map_or_else(String::new, |(kind, inner)| match inner.get("values") {
                Some(_) => format!("one of {}", cell(inner, "values")),
                None => format!("{kind} {} to {}", cell(inner, "min"), cell(inner, "max")),
            }),
        Value::String(kind) => kind.clone(),
        other => other.to_string(),
    };
    format!("{values}{required}")
}

/// The active version of a model.
fn active(model: &Value) -> String {
    match model.get("traffic") {
        Some(traffic) => cell(traffic, "active"),
        None => cell(model, "active"),
    }
}

/// Enough of a digest to tell versions apart.
fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_described_in_one_line() {
        for (column, line) in [
            (
                json!({"domain": {"integer": {"min": 0.0, "max": 120.0}}, "absent": "NaN"}),
                "integer 0.0 to 120.0",
            ),
            (
                json!({"domain": {"category": {"values": ["a", "b"]}}, "absent": null}),
                "one of a,b, required",
            ),
            (json!({"domain": "truth", "absent": 0.0}), "truth"),
        ] {
            assert_eq!(domain(&column), line);
        }
    }
}
