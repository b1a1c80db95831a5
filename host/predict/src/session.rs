//! Sessions: who is in, until when, and what tells a page of ours from any other that the same browser shows.
//!
//! A session is shown by a secret of 256 bits that is given once, when it begins. The store holds its keyed hash, as with API
//! keys. It is over half an hour after it was used last, twelve hours after it began, and at once when its user gets another
//! password or other roles, is disabled or deleted.
//!
//! The hazard that this module contains is a browser, which shows the secret with whatever any page makes it ask for. So a
//! session has a second secret, which a browser does not show by itself: what changes something is done only where both are
//! shown ([`Sessions::csrf_holds`]).
//!
//! What was read of a session is believed for a second. Changes that are made here are believed at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use foretell_store::port::UnixMs;
use foretell_store::{
    Ending, Entry, NewSession, SessionHash, SessionRecord, SessionStore, StoreError, UserRecord,
};
use foretell_types::{Role, Scopes, TenantId, UserId};

use crate::key::{self, Pepper};
use crate::stage::identify::Principal;
use crate::{Clock, PredictError};

/// How long a session goes on without being used.
pub const IDLE_MS: UnixMs = 30 * 60_000;
/// How long a session goes on at most.
pub const LONGEST_MS: UnixMs = 12 * 3_600_000;
/// Sessions of one user, at most: a script that logs in for each call fills no disk.
pub const MAX_PER_USER: u32 = 20;

/// How much later than known a use is before it is written down: a session may end so much earlier than it should.
const TOUCH_MS: UnixMs = 60_000;
/// How long what was read is believed.
const BELIEVED_MS: UnixMs = 1_000;
/// Sessions kept in memory, at most; beyond that all are dropped and read again.
const MAX_KNOWN: usize = 10_000;

/// What a session's secret begins with, so that whoever finds one knows what it is.
const SESSION: &str = "ftl_session_";
const CSRF: &str = "ftl_csrf_";

const OVER: &str = "the session is over; log in again";

/// Tells who is in.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    pepper: Pepper,
    clock: Clock,
    /// Sessions that opened something. Others are not kept, so that guesses cost no memory.
    known: DashMap<SessionHash, Arc<Known>>,
    /// Counts changes, so that a reader who began before one does not keep what it read.
    changes: AtomicU64,
}

/// A session that was shown before.
pub(crate) struct Known {
    pub(crate) user: UserRecord,
    pub(crate) principal: Arc<Principal>,
    session: SessionRecord,
    /// When it was last used, as far as that is written down.
    used_at: AtomicI64,
    read_at: UnixMs,
}

impl Known {
    /// When it is over unless it is used before.
    pub(crate) fn ends_at(&self) -> UnixMs {
        let used_at = self.used_at.load(Ordering::Acquire);
        (used_at + IDLE_MS).min(self.session.ends_at)
    }

    fn is_over(&self, now: UnixMs) -> bool {
        self.user.disabled_at.is_some() || self.ends_at() <= now
    }

    /// Also where the clock was set back: nothing is believed for longer.
    fn is_believed(&self, now: UnixMs) -> bool {
        (self.read_at..self.read_at + BELIEVED_MS).contains(&now)
    }
}

/// A session that was just begun. Its secrets are shown this once.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) secret: key::Secret,
    pub(crate) csrf: key::Secret,
    pub(crate) new: NewSession,
}

impl Sessions {
    /// Over the store of sessions.
    pub fn new(store: Arc<dyn SessionStore>, pepper: Pepper, clock: Clock) -> Self {
        Self {
            store,
            pepper,
            clock,
            known: DashMap::new(),
            changes: AtomicU64::new(0),
        }
    }

    /// Who shows this secret, and when its session is over unless it is used before. This is a use.
    ///
    /// # Errors
    /// `Unauthenticated` if it opens nothing, whatever the reason; those of the store.
    pub async fn principal(&self, secret: &str) -> Result<(Arc<Principal>, UnixMs), PredictError> {
        let known = self.known(secret).await?;
        Ok((Arc::clone(&known.principal), known.ends_at()))
    }

    /// Who shows this secret, if that is known without a look at the store.
    pub fn recognised(&self, secret: &str) -> Option<Arc<Principal>> {
        let known = self.known.get(&self.pepper.hash(secret))?;
        Some(Arc::clone(&known.principal))
    }

    /// Whether `token` is the second secret of the session that `secret` shows. Whoever changes something by a session must
    /// have been asked this.
    ///
    /// # Errors
    /// As for [`Sessions::principal`].
    pub async fn csrf_holds(&self, secret: &str, token: &str) -> Result<bool, PredictError> {
        let known = self.known(secret).await?;
        // Of keyed hashes, so that the time that it takes tells nothing of the token.
        Ok(known.session.csrf == self.pepper.hash(token))
    }

    pub(crate) async fn known(&self, secret: &str) -> Result<Arc<Known>, PredictError> {
        // Of another form it is none, whatever the store holds.
        if !secret.starts_with(SESSION) {
            return Err(PredictError::Unauthenticated(OVER));
        }
        let (hash, now) = (self.pepper.hash(secret), self.clock.now());
        let known = self.known.get(&hash).map(|known| Arc::clone(&known));
        let known = match known {
            Some(known) if known.is_believed(now) => known,
            _ => self.read(hash, now).await?,
        };
        if known.is_over(now) {
            self.known.remove(&hash);
            return Err(PredictError::Unauthenticated(OVER));
        }
        self.touch(&hash, &known, now).await;
        Ok(known)
    }

    async fn read(&self, hash: SessionHash, now: UnixMs) -> Result<Arc<Known>, PredictError> {
        let before = self.changes.load(Ordering::Acquire);
        let Some((session, user)) = self.store.find(&hash).await? else {
            self.known.remove(&hash);
            return Err(PredictError::Unauthenticated(OVER));
        };
        let known = Arc::new(Known {
            principal: Arc::new(principal(&user)),
            used_at: AtomicI64::new(session.used_at),
            read_at: now,
            user,
            session,
        });
        self.keep(hash, before, &known);
        Ok(known)
    }

    /// Keeps what was read, unless something has changed since `before`.
    fn keep(&self, hash: SessionHash, before: u64, known: &Arc<Known>) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        // A change counts itself before it removes, and both happen under the entry's lock: what was read before the
        // change is either not kept here, or removed right after.
        let entry = self.known.entry(hash);
        if self.changes.load(Ordering::Acquire) == before {
            entry.insert(Arc::clone(known));
        }
    }

    /// Writes down that it was used, where that is due; of calls at the same time, one does.
    async fn touch(&self, hash: &SessionHash, known: &Known, now: UnixMs) {
        let used_at = known.used_at.load(Ordering::Acquire);
        let is_due = now - used_at >= TOUCH_MS;
        let is_ours = is_due
            && known
                .used_at
                .compare_exchange(used_at, now, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if !is_ours {
            return;
        }
        if let Err(error) = self.store.touch(hash, now).await {
            // The next one to read it tries again; at worst its user logs in once more.
            tracing::warn!(%error, "the use of a session could not be written down");
        }
    }

    /// Makes the session of a user that has just logged in; [`begin`](Self::begin) begins it.
    ///
    /// # Errors
    /// `Internal` if the system has no randomness to give.
    pub(crate) fn make(&self, user: &UserRecord) -> Result<Begun, PredictError> {
        let (secret, csrf) = (key::generate_secret(SESSION)?, key::generate_secret(CSRF)?);
        let now = self.clock.now();
        let new = NewSession {
            hash: self.pepper.hash(secret.expose()),
            password_at: user.password_at,
            record: SessionRecord {
                user: user.id.clone(),
                csrf: self.pepper.hash(csrf.expose()),
                begun_at: now,
                used_at: now,
                ends_at: now + LONGEST_MS,
            },
        };
        Ok(Begun { secret, csrf, new })
    }

    /// Begins it, and ends the oldest of too many.
    ///
    /// # Errors
    /// `Conflict` if by now the user may not log in, or has another password.
    pub(crate) async fn begin(&self, begun: &Begun, entry: &Entry) -> Result<(), StoreError> {
        let created = self.store.create(&begun.new, MAX_PER_USER, entry).await;
        self.user_changed(&begun.new.record.user);
        created
    }

    /// Ends the session that `secret` shows.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn end(&self, secret: &str, entry: &Entry) -> Result<(), StoreError> {
        let hash = self.pepper.hash(secret);
        let ended = self.store.end(&Ending::One(hash), entry).await;
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.known.remove(&hash);
        ended.map(drop)
    }

    /// Ends all sessions of a user; says how many there were.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn end_all(&self, user: &UserId, entry: &Entry) -> Result<u64, StoreError> {
        let ended = self.store.end(&Ending::AllOf(user.clone()), entry).await;
        self.user_changed(user);
        ended
    }

    /// Removes sessions that are over.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        self.store.sweep(now, now - IDLE_MS).await
    }

    /// Forgets the sessions of a user after it was changed.
    pub(crate) fn user_changed(&self, user: &UserId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.known.retain(|_, known| known.user.id != *user);
    }

    /// Forgets the sessions of a deleted tenant's users.
    pub(crate) fn tenant_gone(&self, tenant: &TenantId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.known
            .retain(|_, known| known.user.tenant.as_ref() != Some(tenant));
    }
}

/// A user as whoever acts.
pub(crate) fn principal(user: &UserRecord) -> Principal {
    Principal {
        actor: user.id.shared(),
        key: None,
        tenant: user.tenant.clone(),
        scopes: scopes_of(&user.roles),
        models: None,
    }
}

/// All that these roles may do.
pub(crate) fn scopes_of(roles: &[Role]) -> Scopes {
    roles.iter().flat_map(|role| role.scopes().iter()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use foretell_types::{Scope, UserName};

    use super::*;

    const NOW: UnixMs = 1_795_000_000_000;

    /// A store of one session, which counts how often it is read and written down.
    #[derive(Default)]
    struct One {
        held: Mutex<Option<(NewSession, UserRecord)>>,
        reads: AtomicU64,
        touches: AtomicU64,
    }

    #[async_trait]
    impl SessionStore for One {
        async fn create(&self, _: &NewSession, _: u32, _: &Entry) -> Result<(), StoreError> {
            panic!("not asked for here")
        }

        async fn find(
            &self,
            hash: &SessionHash,
        ) -> Result<Option<(SessionRecord, UserRecord)>, StoreError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let held = self.held.lock().unwrap();
            let found = held.as_ref().filter(|(session, _)| session.hash == *hash);
            Ok(found.map(|(session, user)| (session.record.clone(), user.clone())))
        }

        async fn touch(&self, _: &SessionHash, at: UnixMs) -> Result<(), StoreError> {
            self.touches.fetch_add(1, Ordering::Relaxed);
            if let Some((session, _)) = self.held.lock().unwrap().as_mut() {
                session.record.used_at = at;
            }
            Ok(())
        }

        async fn end(&self, _: &Ending, _: &Entry) -> Result<u64, StoreError> {
            panic!("not asked for here")
        }

        async fn sweep(&self, _: UnixMs, _: UnixMs) -> Result<u64, StoreError> {
            panic!("not asked for here")
        }
    }

    struct House {
        store: Arc<One>,
        sessions: Sessions,
        now: Arc<AtomicI64>,
        secret: String,
        csrf: String,
    }

    fn house() -> House {
        let (store, now) = (Arc::new(One::default()), Arc::new(AtomicI64::new(NOW)));
        let clock = {
            let now = Arc::clone(&now);
            Clock::from_fn(move || now.load(Ordering::Relaxed))
        };
        let pepper = Pepper::new(&[7; 32]);
        let sessions = Sessions::new(Arc::clone(&store) as _, pepper, clock);
        let user = UserRecord {
            id: UserId::parse("usr_0123456789abcdef").unwrap(),
            name: UserName::parse("alice").unwrap(),
            tenant: Some(TenantId::parse("a").unwrap()),
            roles: vec![Role::Uploader, Role::Auditor],
            created_at: NOW,
            password_at: NOW,
            disabled_at: None,
        };
        let Begun { secret, csrf, new } = sessions.make(&user).unwrap();
        *store.held.lock().unwrap() = Some((new, user));
        House {
            store,
            sessions,
            now,
            secret: secret.expose().to_owned(),
            csrf: csrf.expose().to_owned(),
        }
    }

    impl House {
        async fn ends_at(&self) -> Option<UnixMs> {
            let shown = self.sessions.principal(&self.secret).await;
            match shown {
                Ok((_, ends_at)) => Some(ends_at),
                Err(PredictError::Unauthenticated(OVER)) => None,
                Err(other) => panic!("{other}"),
            }
        }

        fn pass(&self, ms: UnixMs) {
            self.now.fetch_add(ms, Ordering::Relaxed);
        }

        fn counts(&self) -> (u64, u64) {
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (count(&self.store.reads), count(&self.store.touches))
        }
    }

    #[tokio::test]
    async fn a_session_acts_as_its_user_with_the_scopes_of_all_its_roles() {
        let house = house();
        let (who, ends_at) = house.sessions.principal(&house.secret).await.unwrap();
        assert_eq!(&*who.actor, "usr_0123456789abcdef");
        assert_eq!(
            (who.tenant.as_ref().unwrap().as_str(), &who.key),
            ("a", &None)
        );
        for scope in Scope::ALL {
            let may = !matches!(scope, Scope::Keys | Scope::Operator);
            assert_eq!(who.scopes.contains(scope), may, "{scope:?}");
        }
        assert_eq!(ends_at, NOW + IDLE_MS);
        assert_eq!(house.sessions.recognised(&house.secret), Some(who));
        assert_eq!(house.sessions.recognised("ftl_session_other"), None);
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_idle_and_at_its_end_however_it_is_used() {
        let idle = house();
        assert!(idle.ends_at().await.is_some());
        idle.pass(IDLE_MS - 1);
        assert!(idle.ends_at().await.is_some());
        idle.pass(IDLE_MS);
        assert_eq!(idle.ends_at().await, None);

        let busy = house();
        let steps = LONGEST_MS / (IDLE_MS / 2);
        for _ in 1..steps {
            busy.pass(IDLE_MS / 2);
            assert!(busy.ends_at().await.is_some());
        }
        assert_eq!(busy.ends_at().await, Some(NOW + LONGEST_MS));
        busy.pass(IDLE_MS / 2 - 1);
        assert!(busy.ends_at().await.is_some());
        busy.pass(1);
        assert_eq!(busy.ends_at().await, None);
    }

    #[tokio::test]
    async fn a_session_is_read_once_a_second_and_written_down_once_a_minute() {
        let house = house();
        for _ in 0..100 {
            house.ends_at().await.unwrap();
        }
        assert_eq!(house.counts(), (1, 0));
        house.pass(BELIEVED_MS);
        house.ends_at().await.unwrap();
        assert_eq!(house.counts(), (2, 0));
        house.pass(TOUCH_MS);
        for _ in 0..100 {
            house.ends_at().await.unwrap();
        }
        assert_eq!(house.counts(), (3, 1));
        // A clock that is set back: what was read is not believed for an hour.
        house.pass(-3_600_000);
        house.ends_at().await.unwrap();
        assert_eq!(house.counts(), (4, 1));
    }

    #[tokio::test]
    async fn a_change_elsewhere_is_seen_within_a_second_and_one_of_ours_at_once() {
        let house = house();
        house.ends_at().await.unwrap();
        let disable = |at| {
            let mut held = house.store.held.lock().unwrap();
            held.as_mut().unwrap().1.disabled_at = at;
        };
        disable(Some(NOW));
        assert!(house.ends_at().await.is_some());
        house.pass(BELIEVED_MS);
        assert_eq!(house.ends_at().await, None);
        disable(None);
        assert!(house.ends_at().await.is_some());
        disable(Some(NOW));
        let user = UserId::parse("usr_0123456789abcdef").unwrap();
        house.sessions.user_changed(&user);
        assert_eq!(house.ends_at().await, None);
    }

    #[tokio::test]
    async fn only_the_second_secret_of_the_same_session_holds() {
        let (one, other) = (house(), house());
        for (token, holds) in [
            (one.csrf.as_str(), true),
            ("", false),
            (one.secret.as_str(), false),
            (other.csrf.as_str(), false),
            (&one.csrf[..one.csrf.len() - 1], false),
        ] {
            let found = one.sessions.csrf_holds(&one.secret, token).await;
            assert_eq!(found.unwrap(), holds, "{token}");
        }
        let stranger = one.sessions.csrf_holds(&other.secret, &other.csrf).await;
        assert!(matches!(stranger, Err(PredictError::Unauthenticated(OVER))));
    }

    #[tokio::test]
    async fn what_does_not_look_like_a_session_is_not_looked_for() {
        let house = house();
        for text in ["", "ftl_live_x", &house.csrf] {
            let shown = house.sessions.principal(text).await;
            assert!(matches!(shown, Err(PredictError::Unauthenticated(OVER))));
        }
        assert_eq!(house.counts(), (0, 0));
        assert_eq!(house.secret.len(), SESSION.len() + 43);
    }
}
