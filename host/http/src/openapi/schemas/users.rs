//! Bodies about users and sessions.

use serde_json::{Value, json};

use super::super::reference;
use super::{Named, closed, count, list, named, or_null, text, time, truth};

pub(super) fn all() -> Named {
    [users(), sessions()].concat()
}

fn name() -> Value {
    json!({
        "type": "string",
        "pattern": "^[a-z0-9][a-z0-9._@+-]{0,253}$",
        "description": "what the user logs in with; no other user of the host has it",
    })
}

fn password(about: &str) -> Value {
    json!({
        "type": "string",
        "format": "password",
        "minLength": 12,
        "maxLength": 1_024,
        "description": format!("{about}; at most 1,024 bytes"),
    })
}

/// What is held against what is kept: it may be anything.
fn typed(about: &str) -> Value {
    json!({"type": "string", "format": "password", "description": about})
}

fn roles() -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "enum": ["owner", "uploader", "caller", "auditor", "operator"]},
        "description": "what the user does; of an operator, `operator` alone",
    })
}

fn whose() -> Value {
    or_null(text("whose the user is; null = an operator"))
}

fn users() -> Named {
    named([
        (
            "User",
            closed([
                ("id", text("names the user; never anybody else's")),
                ("name", name()),
                ("tenant", whose()),
                ("roles", roles()),
                ("created_at", time("when it was made")),
                ("password_at", time("when its password was set")),
                ("disabled_at", or_null(time("since when it cannot log in"))),
            ]),
        ),
        ("Users", closed([("users", list(&reference("User")))])),
        (
            "NewUser",
            closed([
                ("name", name()),
                ("password", password("without the name in it")),
                ("roles", roles()),
            ]),
        ),
        (
            "UserChange",
            closed([
                ("roles?", or_null(roles())),
                (
                    "disabled?",
                    or_null(truth("whether it is kept from logging in")),
                ),
            ]),
        ),
        (
            "NewPassword",
            closed([
                (
                    "old?",
                    or_null(typed("the one until now; of whoever sets its own")),
                ),
                (
                    "new",
                    password("the one from now on, without the name in it"),
                ),
            ]),
        ),
        (
            "DeletedUser",
            closed([
                ("user", text("the user that was deleted")),
                ("deleted", truth("always true")),
            ]),
        ),
        (
            "EndedSessions",
            closed([
                ("user", text("whose they were")),
                ("ended", count("how many there were")),
            ]),
        ),
    ])
}

fn sessions() -> Named {
    let who = || {
        [
            (
                "user",
                closed([("id", text("of the user")), ("name", name())]),
            ),
            ("roles", roles()),
            ("tenant", whose()),
            (
                "idle_seconds",
                count("how long the session goes on without being used"),
            ),
        ]
    };
    let [user, its_roles, tenant, idle] = who();
    let logged_in = closed([
        user,
        its_roles,
        tenant,
        idle,
        (
            "expires_at",
            time("when it is over, however much it is used"),
        ),
        (
            "csrf",
            text("what is sent as `X-CSRF-Token` with whatever changes something"),
        ),
    ]);
    let [user, its_roles, tenant, idle] = who();
    let session = closed([
        user,
        its_roles,
        tenant,
        idle,
        (
            "idle_until",
            time("when it is over unless it is used before"),
        ),
    ]);
    named([
        (
            "Login",
            closed([
                ("name", typed("the user's, in any case")),
                ("password", typed("the user's")),
            ]),
        ),
        ("LoggedIn", logged_in),
        ("Session", session),
        (
            "Setup",
            closed([
                ("token", text("from the server's console")),
                ("name", name()),
                ("password", password("without the name in it")),
            ]),
        ),
    ])
}
