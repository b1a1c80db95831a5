//! What a tenant is told of another one's things: the same as of things that do not exist, to the last byte.

use foretell_types::{Role, Scope};
use serde_json::json;

use super::super::host::{Host, OPERATOR};
use super::{
    ABSENT_KEY, ABSENT_USER, Names, Operation, PERSON, REQUEST, Tried, key_with, operations, state,
};

const OWN: &str = "own";
const THEIRS: &str = "hidden-tenant";
/// What both of them have uploaded.
const PLUGIN: &str = "people";

/// Two tenants. What only the other one has is called `hidden-`, and what nobody has, `absent-`.
struct Neighbours {
    host: Host,
    /// An owner's.
    key: String,
    /// The id of a key of the other's.
    hidden_key: String,
    /// The id of a user of the other's.
    hidden_user: String,
}

/// A request for what the other one has.
struct Asked {
    method: &'static str,
    path: String,
    body: String,
    due: u16,
}

impl Neighbours {
    async fn new() -> Self {
        let host = Host::start().await;
        for tenant in [OWN, THEIRS] {
            host.tenant(tenant).await;
        }
        for (tenant, model, version) in [
            (OWN, "shared", "1"),
            (OWN, "shared", "2"),
            (THEIRS, "shared", "hidden-version"),
            (THEIRS, "hidden-model", "hidden-version"),
        ] {
            let path = format!("/tenants/{tenant}/api/models/{model}/versions/{version}");
            let plugin = PLUGIN.as_bytes();
            let pushed = host.call("PUT", &path, OPERATOR, &[], plugin).await;
            assert_eq!(pushed.status, 201, "{}", pushed.text);
        }
        let rule = format!("/tenants/{THEIRS}/api/recording");
        let body = br#"{"enabled":true,"days":30}"#;
        let set = host.call("PUT", &rule, OPERATOR, &[], body).await;
        assert_eq!(set.status, 200, "{}", set.text);
        let predict = format!("/tenants/{THEIRS}/api/predict/hidden-model");
        let headers = [("x-request-id", REQUEST), ("x-subject", PERSON)];
        let body = br#"{"age":49}"#;
        let recorded = host.call("POST", &predict, OPERATOR, &headers, body).await;
        assert_eq!(recorded.status, 200, "{}", recorded.text);
        let keys = format!("/tenants/{THEIRS}/api/keys");
        let keys = host.get(&keys, OPERATOR).await.json();
        let hidden_key = keys["keys"][0]["id"].as_str().unwrap().to_owned();
        let users = format!("/tenants/{THEIRS}/api/users");
        let user = json!({"name": "ada", "password": "correct horse battery", "roles": ["owner"]});
        let made = host.post(&users, OPERATOR, &user.to_string()).await;
        let hidden_user = made.json()["id"].as_str().unwrap().to_owned();
        let key = key_with(&host, OWN, Role::Owner.scopes()).await;
        Self {
            host,
            key,
            hidden_key,
            hidden_user,
        }
    }

    /// A text that names what nobody has where it names what the other one has.
    fn absent(&self, text: &str) -> String {
        text.replace(&self.hidden_key, ABSENT_KEY)
            .replace(&self.hidden_user, ABSENT_USER)
            .replace("hidden-", "absent-")
    }

    /// The status, and the whole answer but for its date, with the other one's names made those of nobody.
    async fn answer(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let headers = [("x-request-id", "the-same")];
        let body = body.as_bytes();
        let reply = self
            .host
            .call(method, path, &self.key, &headers, body)
            .await;
        let is_date = |line: &str| line.to_ascii_lowercase().starts_with("date:");
        let head: Vec<_> = reply.head.lines().filter(|line| !is_date(line)).collect();
        let answer = format!("{}\n\n{}", head.join("\n"), reply.text);
        (reply.status, self.absent(&answer))
    }
}

/// Whether a path that names a model can be asked for another version of it.
fn asks_for_version(operation: &Operation) -> bool {
    let parameters = operation.described["parameters"].as_array().unwrap();
    parameters
        .iter()
        .any(|parameter| parameter["in"] == "query" && parameter["name"] == "version")
}

/// Every way to ask for what the other one has; what becomes one's own by that stands last.
fn everything(hidden_key: &str, hidden_user: &str) -> Vec<Asked> {
    let hidden = Names {
        tenant: THEIRS,
        model: "hidden-model",
        version: "hidden-version",
        key: hidden_key,
        user: hidden_user,
    };
    let shared = Names {
        model: "shared",
        ..hidden
    };
    let mut all = Vec::new();
    for operation in operations() {
        let is_upload = operation.method == "PUT" && operation.path.ends_with("{version}");
        let body = if is_upload { PLUGIN } else { operation.body() };
        let mut ask = |path: String, due: u16| {
            all.push(Asked {
                method: operation.method,
                path,
                body: body.to_owned(),
                due,
            });
        };
        let due = match operation.needs {
            None if operation.is_of_session => 401,
            // Whoever is not in yet has said nothing.
            None if operation.method == "POST" => 400,
            None => 200,
            Some(needed) if needed.contains(Scope::Operator) => 403,
            Some(_) => 404,
        };
        // Names are each tenant's own, those of persons too: the other's is no obstacle.
        let due_by_name = if is_upload {
            201
        } else if operation.path.contains("{subject}") {
            200
        } else {
            due
        };
        let by_name = hidden.fill(operation.path);
        ask(format!("/tenants/{THEIRS}{by_name}"), due);
        if operation.path.contains('{') {
            ask(by_name, due_by_name);
        }
        if operation.path.contains("{version}") {
            ask(shared.fill(operation.path), due_by_name);
        }
        if asks_for_version(&operation) {
            let path = shared.fill(operation.path);
            ask(format!("{path}?version=hidden-version"), due);
        }
    }
    for (body, due) in [
        (json!({"active": "hidden-version"}), 404),
        (json!({"active": "1", "shadow": "hidden-version"}), 404),
        (
            json!({"active": "1", "canary": {"version": "hidden-version", "percent": 5}}),
            404,
        ),
        (
            json!({"active": "1", "canary": {"version": "2", "keys": [hidden_key]}}),
            400,
        ),
    ] {
        all.push(Asked {
            method: "PUT",
            path: "/api/models/shared/traffic".to_owned(),
            body: body.to_string(),
            due,
        });
    }
    all.sort_by_key(|asked| asked.due == 201);
    all
}

#[tokio::test]
async fn another_tenants_things_look_like_things_that_do_not_exist() {
    let neighbours = Neighbours::new().await;
    let before = state(&neighbours.host, &[THEIRS]).await;
    let mut tried = Tried::default();
    for Asked {
        method,
        path,
        body,
        due,
    } in everything(&neighbours.hidden_key, &neighbours.hidden_user)
    {
        let (status, hidden) = neighbours.answer(method, &path, &body).await;
        let (path_of_none, body_of_none) = (neighbours.absent(&path), neighbours.absent(&body));
        let (_, absent) = neighbours
            .answer(method, &path_of_none, &body_of_none)
            .await;
        let is_right = status == due && hidden == absent;
        tried.note((!is_right).then(|| {
            let shown = |answer: &str| answer.chars().take(600).collect::<String>();
            format!(
                "{method} {path} {body}: {due} is due, and came\n{}\n  and for what is absent\n{}\n",
                shown(&hidden),
                shown(&absent)
            )
        }));
    }
    // All with the prefix, 50 by what they name, 14 by a version alone, 2 by a version in the query, 4 by what a body names.
    tried.end(super::FEWEST + 50 + 14 + 2 + 4);
    assert_eq!(state(&neighbours.host, &[THEIRS]).await, before);
}
