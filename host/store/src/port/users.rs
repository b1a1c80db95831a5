//! Users and their sessions: who may log in, and who is in. The store sees hashes: never a password, and never what a
//! session is shown by.

use std::fmt;

use async_trait::async_trait;
use foretell_types::{Role, TenantId, UserId, UserName};

use super::UnixMs;
use super::audit::{Entry, EntryOf};
use crate::{StoreError, refusal};

/// What a password became, as a PHC string (`$argon2id$…`).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes the string as it is; whoever made it knows what it says.
    pub const fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The string.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// A user, as far as it is ever shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Its name in logs and audit, which never becomes anybody else's.
    pub id: UserId,
    /// What it logs in with.
    pub name: UserName,
    /// Whose it is; none = an operator.
    pub tenant: Option<TenantId>,
    /// What it does, in the order of [`Role::ALL`], each once.
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When its password was set.
    pub password_at: UnixMs,
    /// Since when it cannot log in; none = it can.
    pub disabled_at: Option<UnixMs>,
}

/// A user with what its password became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// Everything that may be shown.
    pub record: UserRecord,
    /// What its password is held against.
    pub password: PasswordHash,
}

impl StoredUser {
    /// Changes it by the rules of [`Users::change`].
    pub(crate) fn change(&mut self, change: &UserChange) -> Result<(), StoreError> {
        match change {
            UserChange::Password { hash, .. } => self.password = hash.clone(),
            UserChange::Rehashed { from, to } => {
                if self.password != *from {
                    return Err(refusal::password_changed(&self.record.id));
                }
                self.password = to.clone();
            }
            UserChange::Access { .. } => {}
        }
        change.apply(&mut self.record);
        Ok(())
    }
}

/// What is changed about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange {
    /// It has another password.
    Password {
        /// What that became.
        hash: PasswordHash,
        /// When it was set.
        at: UnixMs,
    },
    /// Its password is the same, and hashed at another cost.
    Rehashed {
        /// What it is held against until now; if that is another one by now, nothing is changed.
        from: PasswordHash,
        /// What it is held against from now on.
        to: PasswordHash,
    },
    /// It may do something else. What is none stays as it is.
    Access {
        /// What it does from now on.
        roles: Option<Vec<Role>>,
        /// Whether it may log in from now on.
        door: Option<Door>,
    },
}

/// Whether a user may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// It may.
    Open,
    /// It may not, since then; a door that is closed stays closed since before.
    Closed(UnixMs),
}

impl UserChange {
    /// Writes the change into what is shown of a user.
    pub fn apply(&self, record: &mut UserRecord) {
        match self {
            Self::Password { at, .. } => record.password_at = *at,
            Self::Rehashed { .. } => {}
            Self::Access { roles, door } => {
                if let Some(roles) = roles {
                    record.roles.clone_from(roles);
                }
                match door {
                    Some(Door::Open) => record.disabled_at = None,
                    Some(Door::Closed(at)) => {
                        record.disabled_at = record.disabled_at.or(Some(*at));
                    }
                    None => {}
                }
            }
        }
    }

    /// Whether whoever is in has to log in again after it.
    pub const fn ends_sessions(&self) -> bool {
        !matches!(self, Self::Rehashed { .. })
    }
}

/// The store of users. Ids and names are the whole host's: a name is all that a login begins with.
#[async_trait]
pub trait Users: Send + Sync {
    /// Adds a user, and records it.
    ///
    /// # Errors
    /// `Conflict` if id or name is taken, `NotFound` if its tenant does not exist.
    async fn create(&self, user: &StoredUser, entry: &Entry) -> Result<(), StoreError>;

    /// Finds whoever logs in with a name, also somebody who may not; `None` if nobody does. Users of deleted tenants are
    /// gone.
    async fn find(&self, name: &UserName) -> Result<Option<StoredUser>, StoreError>;

    /// A user of one tenant, or an operator (`None`); `None` if there is no such.
    async fn get(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
    ) -> Result<Option<UserRecord>, StoreError>;

    /// The users of one tenant, or the operators (`None`), in the order in which they were added. A tenant that does not
    /// exist has none.
    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<UserRecord>, StoreError>;

    /// Changes a user, ends its sessions where the change says so, and records it with what the user was before, in one
    /// transaction. Returns what it is after.
    ///
    /// # Errors
    /// `NotFound` if this tenant (or the operators) has no such user; `Conflict` for a rehashed password that is another
    /// one by now.
    async fn change(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
        change: &UserChange,
        entry: EntryOf<UserRecord>,
    ) -> Result<UserRecord, StoreError>;

    /// Deletes a user with its sessions, and records it with what the user was, in one transaction. Its name is free again.
    ///
    /// # Errors
    /// `NotFound` if this tenant (or the operators) has no such user.
    async fn delete(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
        entry: EntryOf<UserRecord>,
    ) -> Result<UserRecord, StoreError>;
}

/// HMAC-SHA256 of what a session is shown by, under the server's pepper.
pub type SessionHash = [u8; 32];

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Who is in.
    pub user: UserId,
    /// HMAC-SHA256 of the second token, which a page adds to what changes something.
    pub csrf: SessionHash,
    /// When it began.
    pub begun_at: UnixMs,
    /// When it was used last, to the minute or so.
    pub used_at: UnixMs,
    /// When it is over, however much it is used.
    pub ends_at: UnixMs,
}

/// A session to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// What it is found by.
    pub hash: SessionHash,
    /// When the password that opened it was set: if the user has another one by now, there is no session.
    pub password_at: UnixMs,
    /// Everything else.
    pub record: SessionRecord,
}

/// Which sessions end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// This one.
    One(SessionHash),
    /// All of a user.
    AllOf(UserId),
}

/// The store of sessions.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Begins a session, and records it. Of those that its user began before, the newest `most - 1` go on.
    ///
    /// # Errors
    /// `Conflict` if the hash is taken, or if by now the user is gone, may not log in, or has another password.
    async fn create(
        &self,
        session: &NewSession,
        most: u32,
        entry: &Entry,
    ) -> Result<(), StoreError>;

    /// Finds a session by its hash, also one that is over, with its user as that is now; `None` if there is none.
    async fn find(
        &self,
        hash: &SessionHash,
    ) -> Result<Option<(SessionRecord, UserRecord)>, StoreError>;

    /// Notes that a session was used, where that is later than what is known. What has ended stays so. Nobody's act, and
    /// so not recorded.
    async fn touch(&self, hash: &SessionHash, at: UnixMs) -> Result<(), StoreError>;

    /// Ends sessions, and records it if there were any. Returns how many.
    async fn end(&self, which: &Ending, entry: &Entry) -> Result<u64, StoreError>;

    /// Removes the sessions that end at `now` or before, and those that were not used after `unused_since`; they open
    /// nothing any more, and so it is not recorded. Returns how many.
    async fn sweep(&self, now: UnixMs, unused_since: UnixMs) -> Result<u64, StoreError>;
}
