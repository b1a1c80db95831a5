//! Users in memory.

use async_trait::async_trait;
use foretell_types::{TenantId, UserId, UserName};

use super::{MemoryStore, State};
use crate::port::users::{StoredUser, UserChange, UserRecord, Users};
use crate::{Entry, EntryOf, StoreError, refusal};

#[async_trait]
impl Users for MemoryStore {
    async fn create(&self, user: &StoredUser, entry: &Entry) -> Result<(), StoreError> {
        let mut state = self.state();
        let record = &user.record;
        if let Some(tenant) = &record.tenant {
            state.require(tenant)?;
        }
        let mut held = state.users.iter().map(|user| &user.record);
        if held.any(|held| held.id == record.id || held.name == record.name) {
            return Err(refusal::user_taken(&record.name));
        }
        state.must_be_new(entry)?;
        state.users.push(user.clone());
        state.record(&self.audit_key, entry.clone());
        Ok(())
    }

    async fn find(&self, name: &UserName) -> Result<Option<StoredUser>, StoreError> {
        let state = self.state();
        let mut users = state.users.iter();
        Ok(users.find(|user| user.record.name == *name).cloned())
    }

    async fn get(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
    ) -> Result<Option<UserRecord>, StoreError> {
        let state = self.state();
        let found = state.place_of(tenant, id).ok();
        Ok(found.map(|at| state.users[at].record.clone()))
    }

    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<UserRecord>, StoreError> {
        let state = self.state();
        let records = state.users.iter().map(|user| &user.record);
        Ok(records
            .filter(|record| record.tenant.as_ref() == tenant)
            .cloned()
            .collect())
    }

    async fn change(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
        change: &UserChange,
        entry: EntryOf<UserRecord>,
    ) -> Result<UserRecord, StoreError> {
        let mut state = self.state();
        let at = state.place_of(tenant, id)?;
        let before = state.users[at].record.clone();
        state.users[at].change(change)?;
        let after = state.users[at].record.clone();
        if change.ends_sessions() {
            state.sessions.retain(|held| held.record.user != *id);
        }
        state.record(&self.audit_key, entry(&before));
        Ok(after)
    }

    async fn delete(
        &self,
        tenant: Option<&TenantId>,
        id: &UserId,
        entry: EntryOf<UserRecord>,
    ) -> Result<UserRecord, StoreError> {
        let mut state = self.state();
        let at = state.place_of(tenant, id)?;
        let record = state.users.remove(at).record;
        state.sessions.retain(|held| held.record.user != *id);
        state.record(&self.audit_key, entry(&record));
        Ok(record)
    }
}

impl State {
    /// Where a user stands in the list, which is not changed while the state is borrowed.
    fn place_of(&self, tenant: Option<&TenantId>, id: &UserId) -> Result<usize, StoreError> {
        let mut records = self.users.iter().map(|user| &user.record);
        records
            .position(|record| record.id == *id && record.tenant.as_ref() == tenant)
            .ok_or_else(|| refusal::no_user(id))
    }

    /// Lets go of a deleted tenant's users and of their sessions.
    pub(super) fn users_gone(&mut self, tenant: &TenantId) {
        let Self {
            users, sessions, ..
        } = self;
        users.retain(|user| {
            let stays = user.record.tenant.as_ref() != Some(tenant);
            if !stays {
                sessions.retain(|session| session.record.user != user.record.id);
            }
            stays
        });
    }
}
