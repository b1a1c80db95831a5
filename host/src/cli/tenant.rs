//! `tenant create|list|delete|limits|credits`: an operator's work.

use clap::{Args, Subcommand};
use foretell_types::TenantId;
use reqwest::Method;
use serde_json::{Number, Value, json};

use super::Context;
use super::amount::{self, Amount};
use super::exit::{Exit, Failure};
use super::limits::TenantLimits;
use super::output::{self, Format, Rows, cell};
use super::terminal::Terminal;

/// Adds, lists or deletes tenants, and sets what they may use; operators only.
#[derive(Debug, Args)]
pub(super) struct Tenant {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Adds a tenant.
    Create {
        /// 1 to 63 of a-z, 0-9 and -.
        name: TenantId,
    },
    /// Lists all tenants.
    List,
    /// Deletes a tenant with its keys, models and stored content, for good.
    Delete {
        /// Which.
        name: TenantId,
        /// Without a question.
        #[arg(long)]
        yes: bool,
    },
    Limits(Box<TenantLimits>),
    /// Gives a tenant credits, or takes some back.
    Credits {
        /// Whom.
        name: TenantId,
        /// How many, with at most six decimals; less than 0 takes them back.
        #[arg(value_name = "AMOUNT", allow_hyphen_values = true, value_parser = amount::credits)]
        credits: Number,
        /// Why, in a line for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

impl Tenant {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let command = match self.command {
            Command::Limits(limits) => return limits.execute(context),
            other => other,
        };
        let client = context.client()?;
        context.block_on(async {
            let answer = match &command {
                Command::Create { name } => {
                    let body = json!({"name": name.as_str()});
                    client.host(Method::POST, "/api/tenants", Some(&body)).await?
                }
                Command::List | Command::Limits(_) => {
                    client.host(Method::GET, "/api/tenants", None).await?
                }
                Command::Delete { name, yes } => {
                    if !yes {
                        ask(name)?;
                    }
                    let path = format!("/api/tenants/{name}");
                    client.host(Method::DELETE, &path, None).await?
                }
                Command::Credits {
                    name,
                    credits,
                    reason,
                } => {
                    let path = format!("/api/tenants/{name}/credits");
                    let body = grant(credits, reason.as_deref());
                    client.host(Method::POST, &path, Some(&body)).await?
                }
            };
            if context.format() == Format::Json {
                return output::document(&answer.text);
            }
            match command {
                Command::Create { name } => {
                    output::note(format_args!(
                        "created; give it a key with `foretell key create --tenant {name} --scopes infer,models`"
                    ));
                    rows(std::slice::from_ref(&answer.json)).print()
                }
                Command::List | Command::Limits(_) => {
                    rows(output::items(&answer.json, "tenants")).print()
                }
                Command::Delete { name, .. } => {
                    output::note(format_args!("tenant {name} is deleted"));
                    Ok(())
                }
                Command::Credits { .. } => account(&answer.json).print(),
            }
        })
    }
}

/// # Errors
/// `Usage` if the answer is not yes. Where nobody can be asked, as in a script, it was meant.
fn ask(name: &TenantId) -> Result<(), Failure> {
    let Ok(terminal) = Terminal::open("") else {
        return Ok(());
    };
    let question = format!(
        "Delete tenant {name} with its keys, models and recordings, for good? Its name stays taken."
    );
    if terminal.confirms(&question)? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "nothing was done; type `yes`, or say --yes",
    ))
}

fn rows(tenants: &[Value]) -> Rows {
    let mut rows = Rows::new(&["NAME", "CREATED"]);
    for tenant in tenants {
        rows.push([cell(tenant, "name"), cell(tenant, "created_at")]);
    }
    rows
}

/// What is sent to give credits. The server has no reason of its own where nobody says one.
fn grant(credits: &Number, reason: Option<&str>) -> Value {
    let mut body = json!({"credits": credits});
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    body
}

fn account(account: &Value) -> Rows {
    let mut rows = Rows::new(&["GRANTED", "SPENT", "BALANCE"]);
    rows.push(["granted", "spent", "balance"].map(|field| Amount::cell(account, field)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    /// What is sent for these arguments.
    fn sent(arguments: &[&str]) -> Result<String, clap::Error> {
        let command = Tenant::augment_args(clap::Command::new("tenant").no_binary_name(true));
        let arguments = [&["credits"][..], arguments].concat();
        let tenant = Tenant::from_arg_matches(&command.try_get_matches_from(arguments)?)?;
        match tenant.command {
            Command::Credits {
                credits, reason, ..
            } => Ok(grant(&credits, reason.as_deref()).to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn credits_are_sent_to_the_last_digit_in_both_directions() {
        for (arguments, body) in [
            (&["acme", "100"][..], r#"{"credits":100}"#),
            (&["acme", "-0.5"], r#"{"credits":-0.5}"#),
            (
                &["acme", "7999999999.999999"],
                r#"{"credits":7999999999.999999}"#,
            ),
            (
                &["acme", "-5", "--reason", "given twice"],
                r#"{"credits":-5,"reason":"given twice"}"#,
            ),
            (
                &["acme", "--reason", "a gift", "12.5"],
                r#"{"credits":12.5,"reason":"a gift"}"#,
            ),
        ] {
            assert_eq!(sent(arguments).unwrap(), body);
        }
        for wrong in [
            &["acme"][..],
            &["acme", "--", "--5"],
            &["acme", "0.0000001"],
            &["acme", "many"],
            &["No Name", "5"],
        ] {
            assert!(sent(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_account_is_shown_without_the_digits_of_a_double() {
        let shown = account(&json!({"granted": 20, "spent": 1e-6, "balance": 19.999999}));
        let mut expected = Rows::new(&["GRANTED", "SPENT", "BALANCE"]);
        expected.push(["20", "0.000001", "19.999999"].map(str::to_owned));
        assert_eq!(shown, expected);
    }
}
