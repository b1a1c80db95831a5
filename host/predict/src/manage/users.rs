//! Users: made, listed, changed and deleted by whoever may make keys; and their passwords.
//!
//! Who makes users of a tenant gives them at most what it may do itself, and changes only those that may do no more: whoever
//! could set an owner's password would be an owner.

use std::sync::Arc;

use foretell_store::{Act, Door, EntryOf, StoredUser, UserChange, UserRecord};
use foretell_types::{Role, Scope, TenantId, UserId, UserName};
use serde_json::{Value, json};

use super::Manager;
use super::acts::Detailed;
use crate::key;
use crate::password::Password;
use crate::session::scopes_of;
use crate::stage::identify::Principal;
use crate::text::shown;
use crate::{Call, PredictError};

/// A user is a credential like a key: who may make the one may make the other.
const MANAGE: &[Scope] = &[Scope::Keys];

/// A user to make.
#[derive(Debug, Clone)]
pub struct NewUserRequest {
    /// What it logs in with.
    pub name: String,
    /// Its first password.
    pub password: Password,
    /// What it does, by the names of roles: `owner`, `uploader`, `caller`, `auditor`; of an operator, `operator`.
    pub roles: Vec<String>,
}

/// What is to be changed about a user; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct UserRequest {
    /// What it does from now on.
    pub roles: Option<Vec<String>>,
    /// Whether it is kept from logging in.
    pub disabled: Option<bool>,
}

/// A password to set.
#[derive(Debug, Clone)]
pub struct PasswordRequest {
    /// The one until now: of whoever sets its own.
    pub old: Option<Password>,
    /// The one from now on.
    pub new: Password,
}

/// Who manages users, and whose.
pub(super) struct By {
    pub(super) principal: Arc<Principal>,
    /// Whose users; none = the operators.
    pub(super) tenant: Option<TenantId>,
}

impl Manager {
    /// Makes a user of the caller's tenant; of an operator without prefix, another operator.
    ///
    /// # Errors
    /// `Invalid` for a name, a password or roles that cannot be; `Conflict` if the name is taken, on the whole host;
    /// `Forbidden` if the caller lacks `keys`, or would give more than it may do itself.
    pub async fn create_user(
        &self,
        call: &Call,
        request: NewUserRequest,
    ) -> Result<UserRecord, PredictError> {
        let by = self.manages_users(call).await?;
        let name = parse_name(&request.name)?;
        let roles = parse_roles(&request.roles)?;
        by.may_give(&roles)?;
        request.password.suits(&name)?;
        let password = self.logins.passwords.hash(&request.password).await?;
        let now = self.parts.identity.now();
        let record = UserRecord {
            id: key::generate_user_id()?,
            name,
            tenant: by.tenant.clone(),
            roles,
            created_at: now,
            password_at: now,
            disabled_at: None,
        };
        let entry = self
            .act_on(
                call,
                &by.principal,
                by.tenant.clone(),
                Act::UserCreate,
                record.id.as_str(),
            )
            .with(&json!({"after": told(&record)}));
        let user = StoredUser { record, password };
        self.parts.users.create(&user, &entry).await?;
        tracing::info!(user = %user.record.id, request_id = %call.request_id, "user created");
        Ok(user.record)
    }

    /// The users of the caller's tenant, oldest first; of an operator without prefix, the operators.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn users(&self, call: &Call) -> Result<Vec<UserRecord>, PredictError> {
        let by = self.manages_users(call).await?;
        Ok(self.parts.users.list(by.tenant.as_ref()).await?)
    }

    /// Changes what a user does, or whether it may log in. It has to log in again.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such user; `Invalid` if nothing is to be changed, or for roles that cannot be;
    /// `Forbidden` for a user that may do more than the caller, or would afterwards.
    pub async fn set_user(
        &self,
        call: &Call,
        id: &str,
        request: UserRequest,
    ) -> Result<UserRecord, PredictError> {
        let by = self.manages_users(call).await?;
        let id = parse_id(id)?;
        let UserRequest { roles, disabled } = request;
        if roles.is_none() && disabled.is_none() {
            return Err(invalid("nothing to change: give `roles` or `disabled`"));
        }
        let roles = roles.map(|roles| parse_roles(&roles)).transpose()?;
        let door = disabled.map(|disabled| {
            if disabled {
                Door::Closed(self.parts.identity.now())
            } else {
                Door::Open
            }
        });
        let _one_at_a_time = self.logins.changing.lock().await;
        self.charge_of(&by, &id).await?;
        if let Some(roles) = &roles {
            by.may_give(roles)?;
        }
        let change = UserChange::Access { roles, door };
        let record = self
            .change_user(call, &by, &id, Act::UserSet, change)
            .await?;
        tracing::info!(user = %id, request_id = %call.request_id, "user changed");
        Ok(record)
    }

    /// Sets a password: its own for whoever is logged in and shows the old one, or that of a user for whoever manages it.
    /// All sessions of the user end.
    ///
    /// # Errors
    /// `Invalid` for a password that cannot be, or an old one that is wrong; `TooManyLogins` where that was wrong too often;
    /// `NotFound` if the tenant has no such user; `Forbidden` for a user that may do more than the caller.
    pub async fn set_password(
        &self,
        call: &Call,
        id: &str,
        request: PasswordRequest,
    ) -> Result<UserRecord, PredictError> {
        let id = parse_id(id)?;
        let PasswordRequest { old, new } = request;
        let own = match call.credentials.session() {
            Some(secret) => Some(self.parts.sessions.known(secret).await?),
            None => None,
        };
        let record = match own.filter(|known| known.user.id == id) {
            Some(known) => {
                let old = old.ok_or_else(|| {
                    invalid(
                        "`old` is missing: whoever sets its own password shows the one until now",
                    )
                })?;
                new.suits(&known.user.name)?;
                self.is_own(call, &known.user, &old).await?;
                let by = By {
                    principal: Arc::clone(&known.principal),
                    tenant: known.user.tenant.clone(),
                };
                let change = self.password(&new).await?;
                self.change_user(call, &by, &id, Act::UserPassword, change)
                    .await?
            }
            None => {
                let by = self.manages_users(call).await?;
                let user = self.charge_of(&by, &id).await?;
                new.suits(&user.name)?;
                let change = self.password(&new).await?;
                let _one_at_a_time = self.logins.changing.lock().await;
                // It may do more by now.
                self.charge_of(&by, &id).await?;
                self.change_user(call, &by, &id, Act::UserPassword, change)
                    .await?
            }
        };
        tracing::info!(user = %id, request_id = %call.request_id, "password set");
        Ok(record)
    }

    /// Deletes a user; its sessions end.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such user; `Forbidden` for one that may do more than the caller.
    pub async fn delete_user(&self, call: &Call, id: &str) -> Result<(), PredictError> {
        let by = self.manages_users(call).await?;
        let id = parse_id(id)?;
        let _one_at_a_time = self.logins.changing.lock().await;
        self.charge_of(&by, &id).await?;
        let entry = self.act_on(
            call,
            &by.principal,
            by.tenant.clone(),
            Act::UserDelete,
            id.as_str(),
        );
        let entry: EntryOf<UserRecord> =
            Arc::new(move |before| entry.clone().with(&json!({"before": told(before)})));
        let deleted = self.parts.users.delete(by.tenant.as_ref(), &id, entry);
        deleted.await?;
        self.parts.sessions.user_changed(&id);
        tracing::info!(user = %id, request_id = %call.request_id, "user deleted");
        Ok(())
    }

    /// Who may manage users, and whose. No user is for single models, and so whoever is for some may make none.
    pub(super) async fn manages_users(&self, call: &Call) -> Result<By, PredictError> {
        let (principal, tenant) = self.parts.identity.viewer(call, MANAGE).await?;
        if principal.models.is_some() {
            return Err(PredictError::NotItsModels);
        }
        let tenant = tenant.map(|tenant| tenant.id.clone());
        Ok(By { principal, tenant })
    }

    /// A user that the caller may change.
    pub(super) async fn charge_of(&self, by: &By, id: &UserId) -> Result<UserRecord, PredictError> {
        let found = self.parts.users.get(by.tenant.as_ref(), id).await?;
        let user = found.ok_or_else(|| unknown(id))?;
        by.may_change(&user)?;
        Ok(user)
    }

    async fn password(&self, new: &Password) -> Result<UserChange, PredictError> {
        let hash = self.logins.passwords.hash(new).await?;
        let at = self.parts.identity.now();
        Ok(UserChange::Password { hash, at })
    }

    /// Changes a user, with a record of what it was and is.
    async fn change_user(
        &self,
        call: &Call,
        by: &By,
        id: &UserId,
        act: Act,
        change: UserChange,
    ) -> Result<UserRecord, PredictError> {
        let entry = self.act_on(call, &by.principal, by.tenant.clone(), act, id.as_str());
        let recorded = change.clone();
        let entry: EntryOf<UserRecord> = Arc::new(move |before| {
            let mut after = before.clone();
            recorded.apply(&mut after);
            let detail = json!({"before": told(before), "after": told(&after)});
            entry.clone().with(&detail)
        });
        let users = &self.parts.users;
        let changed = users.change(by.tenant.as_ref(), id, &change, entry).await;
        self.parts.sessions.user_changed(id);
        Ok(changed?)
    }
}

impl By {
    /// Whether it may make users of these roles.
    fn may_give(&self, roles: &[Role]) -> Result<(), PredictError> {
        match self.tenant {
            Some(_) if roles.contains(&Role::Operator) => {
                return Err(PredictError::NotGrantable(
                    "a user of a tenant cannot have the role `operator`".into(),
                ));
            }
            // Without a tenant, any other role would be one with every tenant.
            None if *roles != [Role::Operator] => {
                return Err(invalid(
                    "a user of no tenant has the role `operator` and no other; put /tenants/{tenant} before the path for a \
                     user of a tenant",
                ));
            }
            _ => {}
        }
        if self.covers(roles) {
            return Ok(());
        }
        Err(PredictError::NotGrantable(format!(
            "a user may do at most what its creator may, which is {}",
            self.principal.scopes
        )))
    }

    /// Whether it may change this user: one that may do more than itself would be a way to more.
    fn may_change(&self, user: &UserRecord) -> Result<(), PredictError> {
        if self.covers(&user.roles) {
            return Ok(());
        }
        Err(PredictError::NotGrantable(format!(
            "user `{}` may do more than you, and is changed by those who may do as much",
            user.id
        )))
    }

    fn covers(&self, roles: &[Role]) -> bool {
        self.principal.is_operator() || self.principal.scopes.covers(scopes_of(roles))
    }
}

/// A user as the log shows it.
pub(super) fn told(record: &UserRecord) -> Value {
    json!({
        "name": record.name.as_str(),
        "roles": record.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "password_at": record.password_at,
        "disabled_at": record.disabled_at,
    })
}

pub(super) fn parse_name(name: &str) -> Result<UserName, PredictError> {
    UserName::parse(name).map_err(|error| PredictError::Invalid(error.to_string()))
}

pub(super) fn parse_id(id: &str) -> Result<UserId, PredictError> {
    UserId::parse(id).map_err(|error| PredictError::NotFound(error.to_string()))
}

/// Each role once, in one order.
fn parse_roles(names: &[String]) -> Result<Vec<Role>, PredictError> {
    let all = || Role::ALL.map(Role::as_str).join(", ");
    let asked = names
        .iter()
        .map(|name| {
            Role::parse(name).ok_or_else(|| {
                PredictError::Invalid(format!(
                    "unknown role `{}`; use some of {}",
                    shown(name),
                    all()
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if asked.is_empty() {
        return Err(PredictError::Invalid(format!(
            "`roles` is empty; use some of {}",
            all()
        )));
    }
    let mut roles = Role::ALL.to_vec();
    roles.retain(|role| asked.contains(role));
    Ok(roles)
}

fn unknown(id: &UserId) -> PredictError {
    PredictError::NotFound(format!("there is no user `{id}`"))
}

pub(super) fn invalid(message: &str) -> PredictError {
    PredictError::Invalid(message.to_owned())
}
