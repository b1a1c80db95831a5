//! `recording show|on|off|preview`: whether predictions are recorded, and how long that is kept.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::listing::strange;
use super::output::{self, Format, Rows, cell};

const ROUTE: &str = "/api/recording";

/// Shows or sets whether the tenant's predictions are recorded, with inputs and outputs, and how long recordings are kept.
#[derive(Debug, Args)]
pub(super) struct Recording {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows whether predictions are recorded.
    Show,
    /// Records predictions from now on.
    On {
        /// How long recordings are kept, also those that there are [default: as long as until now].
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: Option<u32>,
    },
    /// Records no more; what was recorded is kept for as long as it may be.
    Off,
    /// Shows what there is, and what of it is older than it may be; nothing is deleted.
    Preview,
}

impl Recording {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.block_on(async {
            let path = match self.command {
                Command::Preview => "/api/recording/retention",
                Command::Show | Command::On { .. } | Command::Off => ROUTE,
            };
            let mut answer = client.tenant(Method::GET, path, None).await?;
            if let Some(rule) = self.command.changed(&answer.json)? {
                answer = client.tenant(Method::PUT, path, Some(&rule)).await?;
            }
            if context.format() == Format::Json {
                return output::document(&answer.text);
            }
            let days = cell(&answer.json, "days");
            match self.command {
                Command::Show => rule(&answer.json).print(),
                Command::Preview => preview(&answer.json).print(),
                Command::On { .. } => {
                    output::note(format_args!(
                        "predictions are recorded from now on, and kept for {days} days"
                    ));
                    Ok(())
                }
                Command::Off => {
                    output::note(format_args!(
                        "predictions are not recorded any more; what was recorded is kept for {days} days"
                    ));
                    Ok(())
                }
            }
        })
    }
}

impl Command {
    /// The rule as it becomes, of the one that there is; none = nothing is to be changed.
    fn changed(&self, rule: &Value) -> Result<Option<Value>, Failure> {
        let (enabled, days) = match self {
            Self::Show | Self::Preview => return Ok(None),
            Self::On { days } => (true, *days),
            Self::Off => (false, None),
        };
        let days = match days {
            Some(days) => json!(days),
            None => match rule.get("days") {
                Some(Value::Number(days)) => Value::Number(days.clone()),
                _ => return Err(strange("without `days`")),
            },
        };
        Ok(Some(json!({"enabled": enabled, "days": days})))
    }
}

fn rule(rule: &Value) -> Rows {
    let mut rows = Rows::new(&["ENABLED", "DAYS"]);
    rows.push(["enabled", "days"].map(|field| cell(rule, field)));
    rows
}

fn preview(preview: &Value) -> Rows {
    let mut rows = Rows::new(&["ENABLED", "DAYS", "RECORDINGS", "OLDEST", "TOO OLD"]);
    let fields = ["enabled", "days", "recordings", "oldest", "due"];
    rows.push(fields.map(|field| cell(preview, field)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn whoever_says_nothing_about_days_leaves_them_as_they_are() {
        let before = json!({"enabled": false, "days": 400});
        let on = |days| Command::On { days };
        for (command, after) in [
            (Command::Show, None),
            (Command::Preview, None),
            (on(None), Some(json!({"enabled": true, "days": 400}))),
            (on(Some(7)), Some(json!({"enabled": true, "days": 7}))),
            (Command::Off, Some(json!({"enabled": false, "days": 400}))),
        ] {
            assert_eq!(command.changed(&before).unwrap(), after, "{command:?}");
        }
        for none in [json!({}), json!([]), json!({"days": "400"})] {
            let failure = Command::Off.changed(&none).unwrap_err();
            assert_eq!(failure.exit, Exit::Unavailable, "{none}");
            assert!(on(Some(7)).changed(&none).is_ok());
        }
    }

    #[test]
    fn a_preview_shows_what_there_is_beside_what_would_go() {
        let shown = preview(&json!({
            "enabled": true, "days": 30, "recordings": 12, "oldest": "2026-11-24T22:30:00.000Z", "due": 3,
        }));
        let mut expected = Rows::new(&["ENABLED", "DAYS", "RECORDINGS", "OLDEST", "TOO OLD"]);
        let cells = ["true", "30", "12", "2026-11-24T22:30:00.000Z", "3"];
        expected.push(cells.map(str::to_owned));
        assert_eq!(shown, expected);
    }
}
