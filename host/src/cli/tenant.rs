//! `tenant create|list|delete`: an operator's work.

use clap::{Args, Subcommand};
use foretell_types::TenantId;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::output::{self, Format, Rows, cell};

/// Adds, lists or deletes tenants; operators only.
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
    },
}

impl Tenant {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.block_on(async {
            let answer = match &self.command {
                Command::Create { name } => {
                    let body = json!({"name": name.as_str()});
                    client.host(Method::POST, "/api/tenants", Some(&body)).await?
                }
                Command::List => client.host(Method::GET, "/api/tenants", None).await?,
                Command::Delete { name } => {
                    let path = format!("/api/tenants/{name}");
                    client.host(Method::DELETE, &path, None).await?
                }
            };
            if context.format() == Format::Json {
                return output::document(&answer.text);
            }
            match self.command {
                Command::Create { name } => {
                    output::note(format_args!(
                        "created; give it a key with `foretell key create --tenant {name} --scopes infer,models`"
                    ));
                    rows(std::slice::from_ref(&answer.json)).print()
                }
                Command::List => rows(output::items(&answer.json, "tenants")).print(),
                Command::Delete { name } => {
                    output::note(format_args!("tenant {name} is deleted"));
                    Ok(())
                }
            }
        })
    }
}

fn rows(tenants: &[Value]) -> Rows {
    let mut rows = Rows::new(&["NAME", "CREATED"]);
    for tenant in tenants {
        rows.push([cell(tenant, "name"), cell(tenant, "created_at")]);
    }
    rows
}
