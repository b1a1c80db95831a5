//! Users and sessions as JSON.

use std::fmt;

use foretell_predict::Password;
use foretell_predict::manage::{self, NewUserRequest, PasswordRequest, UserRecord, UserRequest};
use foretell_predict::session::IDLE_MS;
use serde::{Deserialize, Deserializer, Serialize};

use crate::text::rfc3339;

/// A password in a body; never shown.
pub(crate) struct Typed(pub(crate) Password);

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Password::new(&text)))
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The body of `POST /api/login`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: Typed,
}

/// The body of `POST /api/setup`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    pub(crate) token: String,
    pub(crate) name: String,
    pub(crate) password: Typed,
}

/// The body of `POST /api/users`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    name: String,
    password: Typed,
    roles: Vec<String>,
}

impl From<NewUser> for NewUserRequest {
    fn from(body: NewUser) -> Self {
        Self {
            name: body.name,
            password: body.password.0,
            roles: body.roles,
        }
    }
}

/// The body of `PATCH /api/users/{id}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    roles: Option<Vec<String>>,
    disabled: Option<bool>,
}

impl From<UserChange> for UserRequest {
    fn from(body: UserChange) -> Self {
        Self {
            roles: body.roles,
            disabled: body.disabled,
        }
    }
}

/// The body of `PUT /api/users/{id}/password`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    old: Option<Typed>,
    new: Typed,
}

impl From<NewPassword> for PasswordRequest {
    fn from(body: NewPassword) -> Self {
        Self {
            old: body.old.map(|old| old.0),
            new: body.new.0,
        }
    }
}

/// A user.
#[derive(Debug, Serialize)]
pub(crate) struct User<'a> {
    id: &'a str,
    name: &'a str,
    /// None = an operator.
    tenant: Option<&'a str>,
    roles: Vec<&'static str>,
    created_at: String,
    password_at: String,
    disabled_at: Option<String>,
}

impl<'a> From<&'a UserRecord> for User<'a> {
    fn from(record: &'a UserRecord) -> Self {
        Self {
            id: record.id.as_str(),
            name: record.name.as_str(),
            tenant: record.tenant.as_ref().map(|tenant| tenant.as_str()),
            roles: roles(record),
            created_at: rfc3339(record.created_at),
            password_at: rfc3339(record.password_at),
            disabled_at: record.disabled_at.map(rfc3339),
        }
    }
}

fn roles(record: &UserRecord) -> Vec<&'static str> {
    record.roles.iter().map(|role| role.as_str()).collect()
}

/// The body of `GET /api/users`.
#[derive(Debug, Serialize)]
pub(crate) struct Users<'a> {
    pub(crate) users: Vec<User<'a>>,
}

/// What is left to say of a user that was deleted.
#[derive(Debug, Serialize)]
pub(crate) struct DeletedUser<'a> {
    user: &'a str,
    deleted: bool,
}

impl<'a> DeletedUser<'a> {
    pub(crate) const fn of(user: &'a str) -> Self {
        Self {
            user,
            deleted: true,
        }
    }
}

/// How many sessions of a user were ended.
#[derive(Debug, Serialize)]
pub(crate) struct EndedSessions<'a> {
    user: &'a str,
    ended: u64,
}

impl<'a> EndedSessions<'a> {
    pub(crate) const fn of(user: &'a str, ended: u64) -> Self {
        Self { user, ended }
    }
}

/// Who is in.
#[derive(Debug, Serialize)]
struct Who<'a> {
    user: Named<'a>,
    roles: Vec<&'static str>,
    /// None = an operator.
    tenant: Option<&'a str>,
    /// How long the session goes on without being used.
    idle_seconds: i64,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    id: &'a str,
    name: &'a str,
}

impl<'a> From<&'a UserRecord> for Who<'a> {
    fn from(record: &'a UserRecord) -> Self {
        Self {
            user: Named {
                id: record.id.as_str(),
                name: record.name.as_str(),
            },
            roles: roles(record),
            tenant: record.tenant.as_ref().map(|tenant| tenant.as_str()),
            idle_seconds: IDLE_MS / 1_000,
        }
    }
}

/// The answer to a login. The session's own secret is a cookie, which no script reads.
#[derive(Serialize)]
pub(crate) struct LoggedIn<'a> {
    #[serde(flatten)]
    who: Who<'a>,
    /// When the session is over, however much it is used.
    expires_at: String,
    /// Its second secret.
    csrf: &'a str,
}

impl<'a> From<&'a manage::LoggedIn> for LoggedIn<'a> {
    fn from(login: &'a manage::LoggedIn) -> Self {
        Self {
            who: Who::from(&login.user),
            expires_at: rfc3339(login.ends_at),
            csrf: login.csrf.expose(),
        }
    }
}

/// The body of `GET /api/session`.
#[derive(Debug, Serialize)]
pub(crate) struct Session<'a> {
    #[serde(flatten)]
    who: Who<'a>,
    /// When the session is over unless it is used before.
    idle_until: String,
}

impl<'a> Session<'a> {
    pub(crate) fn of(user: &'a UserRecord, idle_until: i64) -> Self {
        Self {
            who: Who::from(user),
            idle_until: rfc3339(idle_until),
        }
    }
}
