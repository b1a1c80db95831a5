//! `user list|create|disable|enable|delete|password|end-sessions|setup`: who may log in.

use std::slice;

use clap::{Args, Subcommand};
use foretell_types::{Role, UserId, UserName};
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::key::roles;
use super::output::{self, Format, Rows, cell};
use super::secret::Secrets;

const ROUTE: &str = "/api/users";
const SETUP: &str = "/api/setup";

/// Makes, lists or changes users, who log in by name and password: a tenant's, or, for an operator without --tenant, other
/// operators.
#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists users, the oldest first.
    List,
    /// Makes a user; its password is asked for.
    Create {
        /// What it logs in with, such as an address of mail in lower case.
        name: UserName,
        /// What it does; may be given more than once.
        #[arg(long = "role", value_name = "ROLE", required = true, value_delimiter = ',', value_parser = roles())]
        roles: Vec<Role>,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// Keeps a user from logging in, and ends its sessions.
    Disable {
        /// Which user.
        id: UserId,
    },
    /// Lets a user log in again.
    Enable {
        /// Which user.
        id: UserId,
    },
    /// Deletes a user, and ends its sessions.
    Delete {
        /// Which user.
        id: UserId,
    },
    /// Sets a user's password, which is asked for, and ends its sessions.
    Password {
        /// Which user.
        id: UserId,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// Ends all sessions of a user: it has to log in again, everywhere.
    EndSessions {
        /// Which user.
        id: UserId,
    },
    /// Makes the first operator, with the setup token that the server shows at its start as long as there is none. Token and
    /// password are asked for; with --password-stdin, they are two lines of stdin.
    Setup {
        /// What it logs in with.
        name: UserName,
        #[command(flatten)]
        secrets: Secrets,
    },
}

impl User {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (method, path) = self.command.route();
        let body = self.command.body()?;
        let answer = context.block_on(async {
            match self.command {
                Command::Setup { .. } => {
                    let answer = client.host(method, &path, body.as_ref()).await;
                    answer.map_err(not_set_up)
                }
                _ => client.tenant(method, &path, body.as_ref()).await,
            }
        })?;
        if context.format() == Format::Json {
            return output::document(&answer.text);
        }
        let done = match &self.command {
            Command::List => return rows(output::items(&answer.json, "users")).print(),
            Command::Create { .. } | Command::Setup { .. } => {
                return rows(slice::from_ref(&answer.json)).print();
            }
            Command::Disable { id } => format!("user {id} is disabled, and its sessions are over"),
            Command::Enable { id } => format!("user {id} may log in"),
            Command::Delete { id } => format!("user {id} is deleted, and its sessions are over"),
            Command::Password { id, .. } => {
                format!("the password of user {id} is set, and its sessions are over")
            }
            Command::EndSessions { id } => {
                let ended = cell(&answer.json, "ended");
                format!("{ended} sessions of user {id} are over")
            }
        };
        output::note(done);
        Ok(())
    }
}

impl Command {
    fn route(&self) -> (Method, String) {
        match self {
            Self::List => (Method::GET, ROUTE.to_owned()),
            Self::Create { .. } => (Method::POST, ROUTE.to_owned()),
            Self::Disable { id } | Self::Enable { id } => (Method::PATCH, format!("{ROUTE}/{id}")),
            Self::Delete { id } => (Method::DELETE, format!("{ROUTE}/{id}")),
            Self::Password { id, .. } => (Method::PUT, format!("{ROUTE}/{id}/password")),
            Self::EndSessions { id } => (Method::DELETE, format!("{ROUTE}/{id}/sessions")),
            Self::Setup { .. } => (Method::POST, SETUP.to_owned()),
        }
    }

    /// What is sent. Secrets are asked for.
    fn body(&self) -> Result<Option<Value>, Failure> {
        Ok(match self {
            Self::List | Self::Delete { .. } | Self::EndSessions { .. } => None,
            Self::Create {
                name,
                roles,
                secrets,
            } => Some(new_user(name, roles, &secrets.new_password()?)),
            Self::Disable { .. } => Some(json!({"disabled": true})),
            Self::Enable { .. } => Some(json!({"disabled": false})),
            Self::Password { secrets, .. } => Some(json!({"new": secrets.new_password()?})),
            Self::Setup { name, secrets } => {
                let (token, password) = secrets.token_and_password()?;
                Some(json!({"token": token, "name": name.as_str(), "password": password}))
            }
        })
    }
}

fn new_user(name: &UserName, roles: &[Role], password: &str) -> Value {
    let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    json!({"name": name.as_str(), "password": password, "roles": roles})
}

/// A wrong token is no matter of keys, which other refusals of this kind are.
fn not_set_up(failure: Failure) -> Failure {
    if failure.exit != Exit::NoPermission {
        return failure;
    }
    Failure::new(
        Exit::NoPermission,
        "the setup token is wrong, or there is an operator already; as long as there is none, each start of the server on a \
         terminal shows a new token; with an operator's key, use `foretell user create NAME --role operator`",
    )
}

fn rows(users: &[Value]) -> Rows {
    let mut rows = Rows::new(&["ID", "NAME", "ROLES", "CREATED", "PASSWORD", "DISABLED"]);
    let fields = [
        "id",
        "name",
        "roles",
        "created_at",
        "password_at",
        "disabled_at",
    ];
    for user in users {
        rows.push(fields.map(|field| cell(user, field)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    const ID: &str = "usr_0123456789abcdef";

    fn parsed(arguments: &[&str]) -> Result<Command, clap::Error> {
        let command = User::augment_args(clap::Command::new("user").no_binary_name(true));
        let user = User::from_arg_matches(&command.try_get_matches_from(arguments)?)?;
        Ok(user.command)
    }

    #[test]
    fn each_command_is_one_request() {
        for (arguments, route, body) in [
            (&["list"][..], ("GET", "/api/users"), Some(Value::Null)),
            (
                &["disable", ID],
                ("PATCH", "/api/users/usr_0123456789abcdef"),
                Some(json!({"disabled": true})),
            ),
            (
                &["enable", ID],
                ("PATCH", "/api/users/usr_0123456789abcdef"),
                Some(json!({"disabled": false})),
            ),
            (
                &["delete", ID],
                ("DELETE", "/api/users/usr_0123456789abcdef"),
                Some(Value::Null),
            ),
            (
                &["end-sessions", ID],
                ("DELETE", "/api/users/usr_0123456789abcdef/sessions"),
                Some(Value::Null),
            ),
            // These ask for a secret.
            (
                &["password", ID, "--password-stdin"],
                ("PUT", "/api/users/usr_0123456789abcdef/password"),
                None,
            ),
            (
                &["create", "ann@example.com", "--role", "owner"],
                ("POST", "/api/users"),
                None,
            ),
            (&["setup", "ann"], ("POST", "/api/setup"), None),
        ] {
            let command = parsed(arguments).unwrap();
            let (method, path) = command.route();
            assert_eq!((method.as_str(), path.as_str()), route, "{arguments:?}");
            if let Some(body) = body {
                let sent = command.body().unwrap().unwrap_or_default();
                assert_eq!(sent, body, "{arguments:?}");
            }
        }
    }

    #[test]
    fn a_user_is_made_with_one_role_or_more_and_never_with_a_password_in_an_argument() {
        for (options, roles) in [
            (&["--role", "owner"][..], json!(["owner"])),
            (&["--role", "caller,auditor"], json!(["caller", "auditor"])),
            (
                &["--role", "caller", "--role", "auditor"],
                json!(["caller", "auditor"]),
            ),
        ] {
            let arguments = [&["create", "ann"][..], options].concat();
            match parsed(&arguments).unwrap() {
                Command::Create {
                    name, roles: given, ..
                } => assert_eq!(
                    new_user(&name, &given, "of twelve letters"),
                    json!({"name": "ann", "password": "of twelve letters", "roles": roles})
                ),
                other => panic!("{other:?}"),
            }
        }
        for wrong in [
            &["create", "ann"][..],
            &["create", "Ann", "--role", "owner"],
            &["create", "ann", "--role", "admin"],
            &["create", "ann", "--role", "owner", "--password", "x"],
            &["password", ID, "of twelve letters"],
            &["setup", "ann", "ftl_setup_1"],
            &["disable", "ann"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_refused_token_is_not_taken_for_a_missing_key() {
        let refused = Failure::new(Exit::NoPermission, "…\ngive a key with --key");
        let told = not_set_up(refused).message;
        assert!(
            told.contains("setup token") && !told.contains("--key"),
            "{told}"
        );
        let taken = Failure::new(Exit::Data, "the name is taken");
        assert_eq!(not_set_up(taken.clone()), taken);
    }

    #[test]
    fn users_are_shown_without_anything_secret() {
        let user = json!({
            "id": ID, "name": "ann", "tenant": "acme", "roles": ["owner", "caller"],
            "created_at": "2026-11-24T22:30:00.000Z", "password_at": "2026-11-25T22:30:00.000Z", "disabled_at": null,
        });
        let mut expected = Rows::new(&["ID", "NAME", "ROLES", "CREATED", "PASSWORD", "DISABLED"]);
        expected.push(
            [
                ID,
                "ann",
                "owner,caller",
                "2026-11-24T22:30:00.000Z",
                "2026-11-25T22:30:00.000Z",
                "-",
            ]
            .map(str::to_owned),
        );
        assert_eq!(rows(&[user]), expected);
    }
}
