//! Who may what: every operation and every role, another tenant's things, and bodies that ask for more than there is to have.
//!
//! The table is kept in `docs/ROLES.md`. What is held against the server is what the OpenAPI document says of each operation, so
//! a new one is in all of this as soon as it is described.

use std::fmt::Write as _;

use foretell_types::{Role, Scope, Scopes};
use serde_json::{Value, json};

use super::host::{Host, OPERATOR, Reply};
use crate::openapi::{DOCUMENT, OPERATIONS};

mod cells;
mod foreign;
mod members;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ROLES.md");

/// How many operations there were when this was written.
const FEWEST: usize = 85;

/// An id that is a key's by its form.
const ABSENT_KEY: &str = "key_0000000000000000";
/// The same of a user.
const ABSENT_USER: &str = "usr_0000000000000000";
/// A request and a person, where one of the tenants has them.
const REQUEST: &str = "hidden-request";
const PERSON: &str = "ada";

/// One method of one path, as the document describes it.
struct Operation {
    method: &'static str,
    path: &'static str,
    /// Any of these will do; none = it is public, or of a session.
    needs: Option<Scopes>,
    /// Whether it is for whoever is in by a session, and for no key.
    is_of_session: bool,
    /// Whether an operator that names no tenant is shown those of all, or has some of its own.
    is_of_all: bool,
    /// Whether what it names is another thing afterwards, or gone.
    changes: bool,
    described: &'static Value,
}

fn operations() -> Vec<Operation> {
    let operations: Vec<_> = OPERATIONS
        .iter()
        .map(|known| {
            let described = &DOCUMENT["paths"][known.path][known.method.to_lowercase()];
            let tag = described["tags"][0].as_str().unwrap();
            let predicts = ["predict", "v1", "v2"].contains(&tag);
            let description = described["description"].as_str().unwrap();
            Operation {
                method: known.method,
                path: known.path,
                needs: needed(description),
                is_of_session: description.starts_with("In a session"),
                is_of_all: description.contains("An operator without a tenant's prefix"),
                changes: known.method != "GET" && !predicts,
                described,
            }
        })
        .collect();
    assert!(operations.len() >= FEWEST, "{}", operations.len());
    operations
}

/// Reads "Scope `infer` or `models`.", "Without a key." and "In a session."
fn needed(description: &str) -> Option<Scopes> {
    if description.starts_with("Without a key") || description.starts_with("In a session") {
        return None;
    }
    let names = description.split('`').skip(1).step_by(2);
    let scopes: Scopes = names
        .map(|name| Scope::parse(name).unwrap_or_else(|| panic!("no scope: {description}")))
        .collect();
    assert!(!scopes.is_empty(), "{description}");
    Some(scopes)
}

impl Operation {
    /// Whether a key of these scopes is let in.
    fn lets_in(&self, scopes: Scopes) -> bool {
        self.needs.is_none_or(|needed| {
            scopes.contains(Scope::Operator) || needed.iter().any(|scope| scopes.contains(scope))
        })
    }

    /// Whether it is about one tenant's things.
    fn is_of_tenant(&self) -> bool {
        self.needs
            .is_some_and(|needed| !needed.contains(Scope::Operator))
    }

    /// A body with which it gets as far as the question of who may.
    fn body(&self) -> &'static str {
        match (self.method, self.path) {
            ("POST", "/api/keys") => r#"{"scopes":["infer"]}"#,
            ("POST", "/api/keys/{id}/rotate") => r#"{"overlap_seconds":0}"#,
            ("POST", "/api/tenants") => r#"{"name":"acme"}"#,
            ("POST", "/api/tenants/{tenant}/credits") => r#"{"credits":1}"#,
            ("PUT", "/api/tenants/{tenant}/limits" | "/api/keys/{id}/limits") => "{}",
            ("PUT", "/api/recording") => r#"{"enabled":true,"days":30}"#,
            ("POST", "/api/users") => r#"{"name":"zoe","password":"","roles":[]}"#,
            ("PATCH", "/api/users/{user}") => r#"{"disabled":true}"#,
            ("PUT", "/api/users/{user}/password") => r#"{"new":"correct horse battery"}"#,
            ("PUT", "/api/models/{model}/traffic") => r#"{"active":"1"}"#,
            ("PUT", "/api/models/{model}/versions/{version}") => "not wasm",
            _ => "",
        }
    }
}

/// What stands in the braces of a path.
struct Names<'a> {
    tenant: &'a str,
    model: &'a str,
    version: &'a str,
    key: &'a str,
    user: &'a str,
}

impl Names<'_> {
    /// The path with these names in it.
    fn fill(&self, path: &str) -> String {
        let pieces = path.split(['{', '}']).enumerate();
        pieces
            .map(|(at, piece)| match at % 2 {
                1 => self.named(piece),
                _ => piece,
            })
            .collect()
    }

    fn named(&self, parameter: &str) -> &str {
        match parameter {
            "tenant" => self.tenant,
            "model" => self.model,
            "version" => self.version,
            "id" => self.key,
            "user" => self.user,
            "request_id" => REQUEST,
            "subject" => PERSON,
            other => panic!("`{other}` is new: say which names it has"),
        }
    }
}

/// What was tried, and what of it came out otherwise than it should.
#[derive(Default)]
struct Tried {
    count: usize,
    wrong: Vec<String>,
}

impl Tried {
    fn note(&mut self, wrong: Option<String>) {
        self.count += 1;
        self.wrong.extend(wrong);
    }

    /// Fails for all that is wrong, and where less was tried than there is.
    fn end(self, fewest: usize) {
        let Self { count, wrong } = self;
        assert!(
            wrong.is_empty(),
            "{} of {count} are wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        assert!(
            count >= fewest,
            "only {count} were tried, and there are {fewest}"
        );
    }
}

/// An answer in short.
fn told(reply: &Reply) -> String {
    let text: String = reply.text.chars().take(200).collect();
    format!("{} {text}", reply.status)
}

/// A tenant's key with these scopes.
async fn key_with(host: &Host, tenant: &str, scopes: Scopes) -> String {
    let names: Vec<_> = scopes.iter().map(Scope::as_str).collect();
    let body = json!({ "scopes": names }).to_string();
    let path = format!("/tenants/{tenant}/api/keys");
    let made = host.post(&path, OPERATOR, &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["secret"].as_str().unwrap().to_owned()
}

/// All that these tenants have, and which tenants there are.
async fn state(host: &Host, tenants: &[&str]) -> String {
    let mut state = vec![host.get("/api/tenants", OPERATOR).await.text];
    for tenant in tenants {
        for path in [
            "/api/keys",
            "/api/users",
            "/api/models",
            "/api/limits",
            "/api/recording/retention",
        ] {
            let path = format!("/tenants/{tenant}{path}");
            state.push(host.get(&path, OPERATOR).await.text);
        }
        let index = format!("/tenants/{tenant}/v2/repository/index");
        state.push(host.post(&index, OPERATOR, "").await.text);
    }
    state.join("\n")
}

/// `infer`, `models`: as code, one after the other.
fn listed(names: impl Iterator<Item = &'static str>) -> Vec<String> {
    names.map(|name| format!("`{name}`")).collect()
}

fn page() -> String {
    let operations = operations();
    let mut page = String::from(
        "# Roles\n\n\
         Whoever calls shows a key. A key has scopes, which say what it may do, and a role is a name for the scopes of one kind of work:\n\
         a key is made with scopes or with a role. What counts from then on is its scopes, and of those that an operation asks for, any\n\
         one will do. A user who is in has the scopes of all its roles.\n\n\
         | role | what it is for | scopes |\n|---|---|---|\n",
    );
    for role in Role::ALL {
        let scopes = listed(role.scopes().iter().map(Scope::as_str)).join(", ");
        let _ = writeln!(
            page,
            "| `{}` | {} | {scopes} |",
            role.as_str(),
            role.about()
        );
    }
    let asked: Scopes = operations
        .iter()
        .filter_map(|operation| operation.needs)
        .flat_map(Scopes::iter)
        .collect();
    let idle = Scope::ALL
        .into_iter()
        .filter(|scope| !asked.contains(*scope));
    let idle = listed(idle.map(Scope::as_str));
    if !idle.is_empty() {
        let _ = write!(page, "\nNo operation asks for {} yet.\n", idle.join(" or "));
    }
    page.push_str(
        "\nA key belongs to one tenant and acts for no other. Another tenant's things look like things that do not exist: they are answered\n\
         404 with the same words. An operator's key belongs to no tenant. It acts for any of them by the prefix `/tenants/{t}` before the\n\
         path. Where the prefix is missing it is shown what all tenants used and did (`/api/usage`, `/api/audit`), manages the operators\n\
         (`/api/users`), and is answered 400 `tenant_required` on every other route of tenants. A tenant's key may use the prefix of its\n\
         own tenant.\n\n\
         Who shows no key is answered 401 `unauthenticated`; whose key lacks the scope, 403 `forbidden`. Whoever makes keys gives them at\n\
         most the scopes that it has itself, and a tenant's key never has `operator`.\n\n\
         Written by the test that holds the server against it: `cargo test -p foretell-http roles` says where the new one is, if they\n\
         differ.\n\n\
         ## Who may what\n\n\
         What is marked as public is for everybody, without a key too. What is marked with session is for every user who is in, and\n\
         a key there is nobody's: 401.\n\n",
    );
    let roles = listed(Role::ALL.into_iter().map(Role::as_str)).join(" | ");
    let _ = write!(
        page,
        "| operation | {roles} |\n|{}\n",
        "---|".repeat(1 + Role::ALL.len())
    );
    for operation in &operations {
        let cells = Role::ALL.map(|role| match operation.lets_in(role.scopes()) {
            true => "yes",
            false => "no",
        });
        let mark = match operation.needs {
            None if operation.is_of_session => " (session)",
            None => " (public)",
            Some(_) => "",
        };
        let _ = writeln!(
            page,
            "| `{} {}`{mark} | {} |",
            operation.method,
            operation.path,
            cells.join(" | ")
        );
    }
    page
}

#[test]
fn the_page_of_roles_says_what_the_operations_ask_for() {
    let found = page();
    let known = std::fs::read_to_string(PAGE).unwrap_or_default();
    if known == found {
        return;
    }
    let new = std::env::temp_dir().join("ROLES.md");
    std::fs::write(&new, &found).unwrap();
    let mut lines = known.lines().zip(found.lines());
    let first = lines.find(|(known, found)| known != found);
    panic!(
        "docs/ROLES.md is not what the operations ask for; what is, is in {}; first: {first:?}",
        new.display()
    );
}
