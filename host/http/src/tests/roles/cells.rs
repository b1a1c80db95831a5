//! The table of `docs/ROLES.md`, cell by cell, and the columns that it leaves out because they are the same for every operation.

use foretell_types::{Role, Scopes};
use serde_json::Value;

use super::super::host::{Host, OPERATOR, Reply};
use super::{ABSENT_KEY, ABSENT_USER, Names, Operation, Tried, key_with, operations, told};

const TENANT: &str = "acme";

const PRESENT: Names<'static> = Names {
    tenant: TENANT,
    model: "people",
    version: "1",
    key: ABSENT_KEY,
    user: ABSENT_USER,
};
/// For what would change: who may is let in, and finds nothing.
const ABSENT: Names<'static> = Names {
    tenant: "nobody",
    model: "nothing",
    version: "none",
    key: ABSENT_KEY,
    user: ABSENT_USER,
};

/// What a request is to come to.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// An answer, or any refusal but for who asks.
    Granted,
    /// This status and code.
    Refused(u16, &'static str),
}

const FORBIDDEN: Due = Due::Refused(403, "forbidden");
const NOBODY: Due = Due::Refused(401, "unauthenticated");

impl Due {
    fn fits(self, reply: &Reply) -> bool {
        let body: Value = serde_json::from_str(&reply.text).unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default();
        match self {
            Self::Refused(status, due) => (reply.status, code) == (status, due),
            Self::Granted => {
                let is_refused = matches!(reply.status, 401 | 403) || code == "tenant_required";
                // Neither says that anybody was let in.
                let is_lost = reply.status == 405 || reply.text.contains("there is no route");
                !is_refused && !is_lost && reply.status < 500
            }
        }
    }
}

/// Who asks, and what for.
struct Caller<'a> {
    who: &'a str,
    key: &'a str,
    path: &'a str,
    due: Due,
}

/// Every scope of a tenant's key but those that would do.
fn unfit(operation: &Operation) -> Scopes {
    let needed = operation.needs.unwrap_or_default();
    let all = Role::Owner.scopes();
    all.iter()
        .filter(|scope| !needed.contains(*scope))
        .collect()
}

#[tokio::test]
async fn every_cell_of_the_table_is_true() {
    let (host, _) = Host::with_models().await;
    let mut keys = Vec::new();
    for role in Role::ALL {
        let key = match role {
            Role::Operator => OPERATOR.to_owned(),
            _ => key_with(&host, TENANT, role.scopes()).await,
        };
        keys.push((role, key));
    }
    let operations = operations();
    let mut tried = Tried::default();
    for operation in &operations {
        let names = if operation.changes { ABSENT } else { PRESENT };
        let path = names.fill(operation.path);
        let prefixed = format!("/tenants/{TENANT}{path}");
        let unfit = unfit(operation);
        let unfit_key = key_with(&host, TENANT, unfit).await;
        let due = |scopes| match operation.lets_in(scopes) {
            // What users may, `tests/users` tells.
            _ if operation.is_of_session => NOBODY,
            true => Due::Granted,
            false => FORBIDDEN,
        };
        let of_roles = keys.iter().map(|(role, key)| Caller {
            who: role.as_str(),
            key,
            path: match role {
                Role::Operator if operation.is_of_tenant() => &prefixed,
                _ => &path,
            },
            due: due(role.scopes()),
        });
        let mut callers: Vec<_> = of_roles.collect();
        callers.push(Caller {
            who: "a key of all other scopes",
            key: &unfit_key,
            path: &path,
            due: due(unfit),
        });
        callers.push(Caller {
            who: "nobody",
            key: "",
            path: &path,
            due: match operation.needs {
                None if !operation.is_of_session => Due::Granted,
                _ => NOBODY,
            },
        });
        callers.push(Caller {
            who: "operator without a prefix",
            key: OPERATOR,
            path: &path,
            due: match operation.is_of_tenant() && !operation.is_of_all {
                _ if operation.is_of_session => NOBODY,
                true => Due::Refused(400, "tenant_required"),
                false => Due::Granted,
            },
        });
        for Caller {
            who,
            key,
            path,
            due,
        } in callers
        {
            let body = operation.body().as_bytes();
            let reply = host.call(operation.method, path, key, &[], body).await;
            tried.note((!due.fits(&reply)).then(|| {
                let came = told(&reply);
                format!(
                    "{} {path}, {who}: {due:?} is due, and came {came}",
                    operation.method
                )
            }));
        }
    }
    tried.end(operations.len() * (Role::ALL.len() + 3));
}
