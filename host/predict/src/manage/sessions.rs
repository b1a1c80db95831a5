//! Logging in and out, and the first operator.
//!
//! Whoever is not let in is told the same words, whether there is no such user, the password is wrong, or the user is disabled;
//! and it takes as long.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use foretell_store::port::UnixMs;
use foretell_store::{Act, Entry, EntryOf, StoreError, StoredUser, UserChange, UserRecord};
use foretell_types::{ErrorKind, Role, UserName};
use serde_json::json;

use super::Manager;
use super::acts::{self, Detailed};
use super::users::{invalid, parse_id, parse_name, told};
use crate::evidence::Refused;
use crate::key::{self, Secret};
use crate::password::{Password, Verdict};
use crate::session::{Begun, principal};
use crate::{Call, PredictError};

/// How often sessions that are over are removed, at most. Only logins make any, so only logins remove them.
const SWEEP_MS: UnixMs = 10 * 60_000;

const NOT_LET_IN: &str = "the name or the password is wrong";
const NO_SESSION: &str = "nobody is logged in";
const NO_SETUP: &str = "the setup token is wrong, or there is an operator already";
/// What the setup token begins with.
const SETUP: &str = "ftl_setup_";
/// Who makes the first operator.
const WHO_SETS_UP: &str = "setup";

/// A login that succeeded. Both secrets are shown this once.
#[derive(Debug)]
pub struct LoggedIn {
    /// What shows the session: for a cookie that no script can read.
    pub secret: Secret,
    /// What a page adds to each request that changes something.
    pub csrf: Secret,
    /// Who is in.
    pub user: UserRecord,
    /// When the session is over, however much it is used.
    pub ends_at: UnixMs,
}

impl Manager {
    /// Lets a user in.
    ///
    /// # Errors
    /// `Unauthenticated`, in the same words whatever the reason; `TooManyLogins` after too many of them; `Overloaded` if too
    /// many passwords are being checked.
    pub async fn log_in(
        &self,
        call: &Call,
        name: &str,
        password: &Password,
    ) -> Result<LoggedIn, PredictError> {
        // A name of another form is nobody's, and is treated as such.
        let name = UserName::parse(&name.to_ascii_lowercase()).ok();
        let now = self.parts.identity.now();
        let attempts = &self.logins.attempts;
        let attempt = attempts.begin(name.as_ref(), call.address, now)?;
        let (found, verdict) = match self.look(name.as_ref(), password).await {
            Ok(looked) => looked,
            Err(error) => {
                attempt.was_none();
                return Err(error);
            }
        };
        let user = match (found, verdict) {
            (Some(user), Verdict::Right { rehashed }) if user.record.disabled_at.is_none() => {
                if let Some(hash) = rehashed {
                    self.rehash(&user, hash).await;
                }
                user.record
            }
            (found, _) => return Err(self.not_let_in(call, found.map(|user| user.record).as_ref())),
        };
        let begun = self.parts.sessions.make(&user)?;
        let entry = self.act_on(
            call,
            &principal(&user),
            user.tenant.clone(),
            Act::SessionBegin,
            user.id.as_str(),
        );
        match self.parts.sessions.begin(&begun, &entry).await {
            Ok(()) => attempt.succeeded(),
            // It was disabled, deleted or given another password in the meantime.
            Err(StoreError::Conflict(_)) => return Err(self.not_let_in(call, Some(&user))),
            Err(error) => {
                attempt.was_none();
                return Err(error.into());
            }
        }
        self.sweep_sessions(now).await;
        tracing::info!(user = %user.id, request_id = %call.request_id, "logged in");
        let Begun { secret, csrf, new } = begun;
        Ok(LoggedIn {
            secret,
            csrf,
            user,
            ends_at: new.record.ends_at,
        })
    }

    /// Who is logged in, and when its session is over unless it is used before.
    ///
    /// # Errors
    /// `Unauthenticated` if nobody is.
    pub async fn session(&self, call: &Call) -> Result<(UserRecord, UnixMs), PredictError> {
        let known = self.parts.sessions.known(session_of(call)?).await?;
        Ok((known.user.clone(), known.ends_at()))
    }

    /// Ends the session that the call shows.
    ///
    /// # Errors
    /// `Unauthenticated` if it shows none.
    pub async fn log_out(&self, call: &Call) -> Result<(), PredictError> {
        let secret = session_of(call)?;
        let known = self.parts.sessions.known(secret).await?;
        let user = &known.user;
        let entry = self.act_on(
            call,
            &known.principal,
            user.tenant.clone(),
            Act::SessionEnd,
            user.id.as_str(),
        );
        self.parts.sessions.end(secret, &entry).await?;
        tracing::info!(user = %user.id, request_id = %call.request_id, "logged out");
        Ok(())
    }

    /// Ends all sessions of a user: its own for whoever is logged in, or those of a user for whoever manages it. Returns how
    /// many there were.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such user; `Forbidden` for one that may do more than the caller.
    pub async fn end_sessions(&self, call: &Call, id: &str) -> Result<u64, PredictError> {
        let id = parse_id(id)?;
        let own = match call.credentials.session() {
            Some(secret) => Some(self.parts.sessions.known(secret).await?),
            None => None,
        };
        let (who, tenant) = match own.filter(|known| known.user.id == id) {
            Some(known) => (Arc::clone(&known.principal), known.user.tenant.clone()),
            None => {
                let by = self.manages_users(call).await?;
                self.charge_of(&by, &id).await?;
                (by.principal, by.tenant)
            }
        };
        let entry = self.act_on(call, &who, tenant, Act::SessionEnd, id.as_str());
        let ended = self.parts.sessions.end_all(&id, &entry).await?;
        tracing::info!(user = %id, ended, request_id = %call.request_id, "sessions ended");
        Ok(ended)
    }

    /// A token with which the first operator is made, once; `None` if there is one. The token of an earlier call is void.
    /// It is kept in memory alone, and only its hash.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn setup_token(&self) -> Result<Option<Secret>, PredictError> {
        let mut setup = self.logins.setup.lock().await;
        *setup = None;
        if self.has_operator().await? {
            return Ok(None);
        }
        let token = key::generate_secret(SETUP)?;
        *setup = Some(self.parts.identity.hash(token.expose()));
        Ok(Some(token))
    }

    /// Makes the first operator, for whoever shows the setup token. The token is void from then on.
    ///
    /// # Errors
    /// `Unauthenticated` for another token, or if there is an operator; `Invalid` for a name or a password that cannot be, and
    /// `Conflict` for a name that is taken: the token stays good.
    pub async fn set_up(
        &self,
        call: &Call,
        token: &str,
        name: &str,
        password: &Password,
    ) -> Result<UserRecord, PredictError> {
        // One at a time: of two with the same token, the second finds it void.
        let mut setup = self.logins.setup.lock().await;
        // Of keyed hashes, so that the time that it takes tells nothing of the token.
        let is_good = *setup == Some(self.parts.identity.hash(token));
        if !is_good || self.has_operator().await? {
            return Err(PredictError::Unauthenticated(NO_SETUP));
        }
        let name = parse_name(name)?;
        password.suits(&name)?;
        let password = self.logins.passwords.hash(password).await?;
        let now = self.parts.identity.now();
        let record = UserRecord {
            id: key::generate_user_id()?,
            name,
            tenant: None,
            roles: vec![Role::Operator],
            created_at: now,
            password_at: now,
            disabled_at: None,
        };
        let entry = Entry {
            actor: WHO_SETS_UP.into(),
            request_id: Some(call.request_id.clone()),
            origin: self.parts.identity.origin(call),
            ..acts::by_server(now, None, Act::UserCreate, record.id.as_str().to_owned())
        };
        let entry = entry.with(&json!({"after": told(&record)}));
        let user = StoredUser { record, password };
        self.parts.users.create(&user, &entry).await?;
        *setup = None;
        tracing::info!(user = %user.record.id, request_id = %call.request_id, "the first operator is set up");
        Ok(user.record)
    }

    async fn has_operator(&self) -> Result<bool, PredictError> {
        Ok(!self.parts.users.list(None).await?.is_empty())
    }

    /// Holds a password against a user's, or against nobody's where there is none.
    async fn look(
        &self,
        name: Option<&UserName>,
        password: &Password,
    ) -> Result<(Option<StoredUser>, Verdict), PredictError> {
        let found = match name {
            Some(name) => self.parts.users.find(name).await?,
            None => None,
        };
        let kept = found.as_ref().map(|user| &user.password);
        let verdict = self.logins.passwords.verify(password, kept).await?;
        Ok((found, verdict))
    }

    /// Whether a password is that of a user who is in: a session that was stolen is no way to guess it.
    pub(super) async fn is_own(
        &self,
        call: &Call,
        user: &UserRecord,
        password: &Password,
    ) -> Result<(), PredictError> {
        let now = self.parts.identity.now();
        let attempts = &self.logins.attempts;
        let attempt = attempts.begin(Some(&user.name), call.address, now)?;
        match self.look(Some(&user.name), password).await {
            Err(error) => {
                attempt.was_none();
                Err(error)
            }
            Ok((Some(found), Verdict::Right { .. })) if found.record.id == user.id => {
                attempt.succeeded();
                Ok(())
            }
            Ok(_) => Err(invalid("the old password is wrong")),
        }
    }

    /// Records a login that failed, by name where that is a user's: whatever else was typed there may be a password.
    fn not_let_in(&self, call: &Call, user: Option<&UserRecord>) -> PredictError {
        let kind = ErrorKind::Unauthenticated;
        let what = user.map_or_else(
            || "login".to_owned(),
            |user| format!("login as {}", user.name),
        );
        let refused = Refused {
            tenant: user.and_then(|user| user.tenant.clone()),
            origin: self.parts.identity.origin(call),
            // Nobody is known to be the user: that is what has just failed.
            ..Refused::of(None, &what, kind)
        };
        self.parts.evidence.refused(refused, &call.request_id);
        PredictError::Unauthenticated(NOT_LET_IN)
    }

    /// Keeps a hash of today's cost. Not to be able to harms nobody: the old one opens as well.
    async fn rehash(&self, user: &StoredUser, hash: foretell_store::PasswordHash) {
        let StoredUser { record, password } = user;
        let change = UserChange::Rehashed {
            from: password.clone(),
            to: hash,
        };
        let (now, id) = (self.parts.identity.now(), record.id.as_str().to_owned());
        let entry = acts::by_server(now, record.tenant.clone(), Act::UserPassword, id)
            .with(&json!({"rehashed": true}));
        let entry: EntryOf<UserRecord> = Arc::new(move |_| entry.clone());
        let users = &self.parts.users;
        let changed = users.change(record.tenant.as_ref(), &record.id, &change, entry);
        if let Err(error) = changed.await {
            tracing::warn!(%error, user = %record.id, "a password could not be hashed anew");
        }
    }

    /// Removes sessions that are over, once in a while.
    async fn sweep_sessions(&self, now: UnixMs) {
        let swept_at = self.logins.swept_at.load(Ordering::Acquire);
        let is_due = (now - swept_at).abs() >= SWEEP_MS;
        let is_ours = is_due
            && self
                .logins
                .swept_at
                .compare_exchange(swept_at, now, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if !is_ours {
            return;
        }
        match self.parts.sessions.sweep().await {
            Ok(swept) => tracing::debug!(swept, "sessions that are over are removed"),
            Err(error) => tracing::warn!(%error, "sessions that are over could not be removed"),
        }
    }
}

/// The secret of the session that a call shows.
fn session_of(call: &Call) -> Result<&str, PredictError> {
    let secret = call.credentials.session();
    secret.ok_or(PredictError::Unauthenticated(NO_SESSION))
}
