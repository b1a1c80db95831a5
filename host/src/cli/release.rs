//! `model traffic|canary|shadow|promote|rollback`: a new version on its way into service, and back.

use clap::Subcommand;
use foretell_types::{KeyId, ModelName, ModelVersion};
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::output::{self, Format, Rows, cell};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Release {
    /// Shows where a model's calls go, how its versions do, and what was changed.
    Traffic {
        /// Which model.
        model: ModelName,
    },
    /// Lets a version answer some of a model's calls; the server takes it back if it fails. Where this version is the canary
    /// already, only what is said is changed; another one begins anew.
    Canary {
        /// Which model.
        model: ModelName,
        /// Which version.
        version: ModelVersion,
        /// Its part of the calls that no other rule gives it, 0 to 100 [default: 10, or 0 for a new one with --header or
        /// --key-id].
        #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = percent)]
        percent: Option<f64>,
        /// Calls with this header go to it.
        #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
        header: Option<(String, String)>,
        /// Calls with this API key go to it; may be given several times.
        #[arg(long = "key-id", value_name = "ID")]
        keys: Vec<KeyId>,
        /// The header whose value keeps a caller with one version [default: x-request-key].
        #[arg(long, value_name = "NAME")]
        sticky: Option<String>,
    },
    /// Gives a version copies of a model's calls, to see what it would have answered.
    Shadow {
        /// Which model.
        model: ModelName,
        /// Which version; without one, no version gets copies any more.
        version: Option<ModelVersion>,
    },
    /// Makes the canary the active version.
    Promote {
        /// Which model.
        model: ModelName,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Takes a canary back; where there is none, activates the version that was active before.
    Rollback {
        /// Which model.
        model: ModelName,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| "use a number from 0 to 100, such as 2.5".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE, such as x-group=beta".to_owned())
}

impl Release {
    const fn model(&self) -> &ModelName {
        match self {
            Self::Traffic { model }
            | Self::Canary { model, .. }
            | Self::Shadow { model, .. }
            | Self::Promote { model, .. }
            | Self::Rollback { model, .. } => model,
        }
    }

    pub(super) async fn execute(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let path = format!("/api/models/{}/traffic", self.model());
        let body = match &self {
            Self::Traffic { .. } => None,
            Self::Canary { .. } | Self::Shadow { .. } => {
                let report = client.tenant(Method::GET, &path, None).await?;
                Some(self.changed(report.json["traffic"].clone()))
            }
            Self::Promote { reason, .. } => Some(json!({"promote": true, "reason": reason})),
            Self::Rollback { reason, .. } => Some(json!({"rollback": true, "reason": reason})),
        };
        let method = body.as_ref().map_or(Method::GET, |_| Method::PUT);
        let answer = client.tenant(method, &path, body.as_ref()).await?;
        if context.format() == Format::Json {
            return output::document(&answer.text);
        }
        if matches!(self, Self::Traffic { .. }) {
            note_changes(&answer.json);
            return versions(&answer.json).print();
        }
        // The answer is the model as everybody sees it; this is its owner. The change is made, whatever comes of the look.
        let report = client.tenant(Method::GET, &path, None).await;
        let shown = report.map_or(answer.json, |report| report.json);
        let outline = outline(&shown["traffic"]);
        output::note(format_args!("{}: {outline}", self.model()));
        Ok(())
    }

    /// The traffic as it was shown, with what is asked for in it. It is sent with its revision, so that a change of somebody
    /// else's in between is not undone.
    fn changed(&self, mut traffic: Value) -> Value {
        match self {
            Self::Canary {
                version,
                percent,
                header,
                keys,
                sticky,
                ..
            } => {
                if traffic["canary"]["version"] != version.as_str() {
                    let others = header.is_some() || !keys.is_empty();
                    let percent = if others { 0.0 } else { 10.0 };
                    traffic["canary"] = json!({"version": version.as_str(), "percent": percent});
                }
                let canary = &mut traffic["canary"];
                if let Some(percent) = percent {
                    canary["percent"] = json!(percent);
                }
                if let Some((name, value)) = header {
                    canary["header"] = json!({"name": name, "value": value});
                }
                if !keys.is_empty() {
                    let keys: Vec<_> = keys.iter().map(KeyId::as_str).collect();
                    canary["keys"] = json!(keys);
                }
                if let Some(name) = sticky {
                    canary["sticky"] = json!(name);
                }
            }
            Self::Shadow { version, .. } => {
                traffic["shadow"] = json!(version.as_ref().map(ModelVersion::as_str));
            }
            Self::Traffic { .. } | Self::Promote { .. } | Self::Rollback { .. } => {}
        }
        traffic
    }
}

/// Where calls go, in one line.
fn outline(traffic: &Value) -> String {
    let mut line = format!("version {} is active", cell(traffic, "active"));
    let canary = &traffic["canary"];
    if !canary.is_null() {
        line += &format!(
            ", canary {} with {} %",
            cell(canary, "version"),
            cell(canary, "percent")
        );
        let header = &canary["header"];
        if !header.is_null() {
            line += &format!(" and {}={}", cell(header, "name"), cell(header, "value"));
        }
        let keys = output::items(canary, "keys");
        if canary.get("keys").is_some() && !keys.is_empty() {
            line += &format!(" and {} keys", keys.len());
        }
    }
    if !traffic["shadow"].is_null() {
        line += &format!(", shadow {}", cell(traffic, "shadow"));
    }
    line
}

/// The latest changes, newest last, as a log is read.
fn note_changes(report: &Value) {
    const SHOWN: usize = 5;
    let changes = output::items(report, "changes");
    for change in changes.iter().take(SHOWN).rev() {
        let by = match cell(change, "by") {
            by if by == "-" => "the server".to_owned(),
            by => by,
        };
        let reason = match cell(change, "reason") {
            reason if reason.is_empty() => String::new(),
            reason => format!(" ({reason})"),
        };
        let after = outline(&change["after"]);
        output::note(format_args!("{} {by}: {after}{reason}", cell(change, "at")));
    }
}

fn versions(report: &Value) -> Rows {
    let mut rows = Rows::new(&[
        "VERSION",
        "ROLE",
        "ANSWERED",
        "FAILED",
        "FAULTS",
        "P50 MS",
        "P99 MS",
        "AS SHADOW",
    ]);
    for version in output::items(report, "versions") {
        rows.push([
            cell(version, "version"),
            cell(version, "role"),
            cell(version, "answered"),
            cell(version, "failed"),
            cell(version, "faults"),
            cell(version, "p50_ms"),
            cell(version, "p99_ms"),
            shadow(&version["shadow"]),
        ]);
    }
    rows
}

/// What a version said as a shadow, in a cell.
fn shadow(shadow: &Value) -> String {
    if shadow.is_null() {
        return "-".to_owned();
    }
    let mut text = format!(
        "{} of {} differ",
        cell(shadow, "differing"),
        cell(shadow, "ran")
    );
    for (count, what) in [("failed", "failed"), ("skipped", "not run")] {
        match cell(shadow, count) {
            none if none == "0" => {}
            some => text += &format!(", {some} {what}"),
        }
    }
    match cell(shadow, "last") {
        none if none == "-" => text,
        last => format!("{text}; last: {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_part_leaves_the_others_and_is_meant_for_what_was_seen() {
        let seen = json!({"active": "1", "canary": null, "shadow": "2", "revision": 7});
        let canary = Release::Canary {
            model: ModelName::parse("m").unwrap(),
            version: ModelVersion::parse("3").unwrap(),
            percent: Some(5.0),
            header: Some(("x-group".to_owned(), "beta".to_owned())),
            keys: vec![],
            sticky: None,
        };
        let changed = canary.changed(seen.clone());
        assert_eq!(
            (&changed["active"], &changed["shadow"], &changed["revision"]),
            (&seen["active"], &seen["shadow"], &seen["revision"])
        );
        assert_eq!(
            changed["canary"]["header"],
            json!({"name": "x-group", "value": "beta"})
        );
        let more = Release::Canary {
            model: ModelName::parse("m").unwrap(),
            version: ModelVersion::parse("3").unwrap(),
            percent: Some(20.0),
            header: None,
            keys: vec![],
            sticky: None,
        };
        let grown = more.changed(changed.clone());
        assert_eq!(
            (&grown["canary"]["percent"], &grown["canary"]["header"]),
            (&json!(20.0), &changed["canary"]["header"])
        );
        let none = Release::Shadow {
            model: ModelName::parse("m").unwrap(),
            version: None,
        };
        assert_eq!(none.changed(seen)["shadow"], Value::Null);
        assert_eq!(
            outline(&changed),
            "version 1 is active, canary 3 with 5.0 % and x-group=beta, shadow 2"
        );
    }
}
