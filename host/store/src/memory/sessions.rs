//! Sessions in memory, oldest first.

use async_trait::async_trait;

use super::MemoryStore;
use crate::port::UnixMs;
use crate::port::users::{
    Ending, NewSession, SessionHash, SessionRecord, SessionStore, UserRecord,
};
use crate::{Entry, StoreError, refusal};

#[async_trait]
impl SessionStore for MemoryStore {
    async fn create(
        &self,
        session: &NewSession,
        most: u32,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let user = &session.record.user;
        let may_begin = state.users.iter().map(|user| &user.record).any(|held| {
            held.id == *user
                && held.disabled_at.is_none()
                && held.password_at == session.password_at
        });
        if !may_begin {
            return Err(refusal::login_stale(user));
        }
        if state.sessions.iter().any(|held| held.hash == session.hash) {
            return Err(refusal::session_taken());
        }
        let own = state.sessions.iter();
        let own = own.filter(|held| held.record.user == *user).count();
        let mut too_many = own.saturating_sub(most.saturating_sub(1) as usize);
        state.sessions.retain(|held| {
            let goes = too_many > 0 && held.record.user == *user;
            if goes {
                too_many -= 1;
            }
            !goes
        });
        state.sessions.push(session.clone());
        state.record(&self.audit_key, entry.clone());
        Ok(())
    }

    async fn find(
        &self,
        hash: &SessionHash,
    ) -> Result<Option<(SessionRecord, UserRecord)>, StoreError> {
        let state = self.state();
        let Some(session) = state.sessions.iter().find(|held| held.hash == *hash) else {
            return Ok(None);
        };
        let session = session.record.clone();
        let mut users = state.users.iter().map(|user| &user.record);
        let user = users.find(|user| user.id == session.user).cloned();
        Ok(user.map(|user| (session, user)))
    }

    async fn touch(&self, hash: &SessionHash, at: UnixMs) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(held) = state.sessions.iter_mut().find(|held| held.hash == *hash) {
            held.record.used_at = held.record.used_at.max(at);
        }
        Ok(())
    }

    async fn end(&self, which: &Ending, entry: &Entry) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = state.sessions.len();
        state.sessions.retain(|held| match which {
            Ending::One(hash) => held.hash != *hash,
            Ending::AllOf(user) => held.record.user != *user,
        });
        let ended = before - state.sessions.len();
        if ended > 0 {
            state.record(&self.audit_key, entry.clone());
        }
        Ok(ended as u64)
    }

    async fn sweep(&self, now: UnixMs, unused_since: UnixMs) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = state.sessions.len();
        state.sessions.retain(|held| {
            let record = &held.record;
            record.ends_at > now && record.used_at > unused_since
        });
        Ok((before - state.sessions.len()) as u64)
    }
}
