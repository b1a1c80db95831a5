//! Sessions in SQLite.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};

use super::{SqliteStore, audit, users};
use crate::port::UnixMs;
use crate::port::users::{
    Ending, NewSession, SessionHash, SessionRecord, SessionStore, UserRecord,
};
use crate::{Entry, StoreError, refusal};

#[async_trait]
impl SessionStore for SqliteStore {
    async fn create(
        &self,
        session: &NewSession,
        most: u32,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let (session, entry, key) = (session.clone(), entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            let NewSession {
                hash,
                password_at,
                record,
            } = session;
            let user = record.user.as_str();
            let set_at: Option<UnixMs> = tx
                .prepare_cached("SELECT password_at FROM users WHERE id = ?1 AND disabled_at IS NULL")?
                .query_row([user], |row| row.get(0))
                .optional()?;
            if set_at != Some(password_at) {
                return Err(refusal::login_stale(&record.user));
            }
            if tx
                .prepare_cached("SELECT 1 FROM sessions WHERE hash = ?1")?
                .exists([hash])?
            {
                return Err(refusal::session_taken());
            }
            tx.prepare_cached(
                "DELETE FROM sessions WHERE user = ?1
                 AND seq NOT IN (SELECT seq FROM sessions WHERE user = ?1 ORDER BY seq DESC LIMIT ?2)",
            )?
            .execute(params![user, most.saturating_sub(1)])?;
            tx.prepare_cached(
                "INSERT INTO sessions (hash, csrf, user, begun_at, used_at, ends_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                hash,
                record.csrf,
                user,
                record.begun_at,
                record.used_at,
                record.ends_at,
            ])?;
            audit::append(tx, &key, [&entry])?;
            Ok(())
        })
        .await
    }

    async fn find(
        &self,
        hash: &SessionHash,
    ) -> Result<Option<(SessionRecord, UserRecord)>, StoreError> {
        let hash = *hash;
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT s.csrf, s.begun_at, s.used_at, s.ends_at, u.* FROM sessions s JOIN users u ON u.id = s.user
                 WHERE s.hash = ?1",
            )?;
            Ok(select.query_row([hash], with_user).optional()?)
        })
        .await
    }

    async fn touch(&self, hash: &SessionHash, at: UnixMs) -> Result<(), StoreError> {
        let hash = *hash;
        self.write(move |tx| {
            tx.prepare_cached("UPDATE sessions SET used_at = ?2 WHERE hash = ?1 AND used_at < ?2")?
                .execute(params![hash, at])?;
            Ok(())
        })
        .await
    }

    async fn end(&self, which: &Ending, entry: &Entry) -> Result<u64, StoreError> {
        let (which, entry, key) = (which.clone(), entry.clone(), self.audit_key.clone());
        self.write(move |tx| {
            let ended = match which {
                Ending::One(hash) => tx
                    .prepare_cached("DELETE FROM sessions WHERE hash = ?1")?
                    .execute([hash])?,
                Ending::AllOf(user) => tx
                    .prepare_cached("DELETE FROM sessions WHERE user = ?1")?
                    .execute([user.as_str()])?,
            };
            if ended > 0 {
                audit::append(tx, &key, [&entry])?;
            }
            Ok(count(ended))
        })
        .await
    }

    async fn sweep(&self, now: UnixMs, unused_since: UnixMs) -> Result<u64, StoreError> {
        self.write(move |tx| {
            let swept = tx
                .prepare_cached("DELETE FROM sessions WHERE ends_at <= ?1 OR used_at <= ?2")?
                .execute([now, unused_since])?;
            Ok(count(swept))
        })
        .await
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn with_user(row: &Row<'_>) -> rusqlite::Result<(SessionRecord, UserRecord)> {
    let user = users::record(row)?;
    let session = SessionRecord {
        user: user.id.clone(),
        csrf: row.get("csrf")?,
        begun_at: row.get("begun_at")?,
        used_at: row.get("used_at")?,
        ends_at: row.get("ends_at")?,
    };
    Ok((session, user))
}
