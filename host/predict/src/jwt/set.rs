//! The keys that an issuer publishes (JWKS), kept between fetches.
//!
//! Two hazards meet here. A set that is kept too long lets a key live on that its issuer has taken back; a set that is
//! fetched too readily lets strangers, who can name any key, turn this server against the issuer. So a set is fresh for
//! minutes, is fetched once a minute at most whatever is asked for, and outlives an issuer that does not answer by a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_store::port::UnixMs;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::timeout;

use super::JwtRefusal;
use super::key::{Jwk, Key};
use crate::Clock;

/// How long a document may be. A hundred RSA keys with their certificates have a third of it.
pub const MAX_SET_BYTES: usize = 1024 * 1024;

/// How many keys a document may have. Issuers publish two to ten.
const MAX_KEYS: usize = 100;

/// How long a set is used without a look at its source: how long a key lives on that its issuer has taken out.
const FRESH_MS: UnixMs = 5 * 60 * 1000;

/// How long after the beginning of a fetch the next one begins at the earliest, whatever came of it.
const PAUSE_MS: UnixMs = 60 * 1000;

/// How long a set is used whose source does not answer: a night and a morning to mend it.
const KEPT_MS: UnixMs = 24 * 60 * 60 * 1000;

/// How long a fetch may take. Callers wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the set of an issuer is read.
#[async_trait]
pub trait KeySet: Send + Sync {
    /// Reads the document (RFC 7517). Called once a minute at most; given up after 5 s, and then dropped.
    ///
    /// An implementation should stop reading after [`MAX_SET_BYTES`]; a longer document is refused.
    ///
    /// # Errors
    /// Why there is none, for the log: no secrets.
    async fn fetch(&self) -> Result<Bytes, String>;
}

/// The usable keys of a document.
struct Keys {
    /// None stands for a name that two keys have, and that therefore means neither.
    by_name: HashMap<String, Option<Arc<Key>>>,
    /// The only key, if there is only one.
    only: Option<Arc<Key>>,
}

/// A document. Members of it and of its keys that are not ours to read may be anything.
#[derive(Deserialize)]
struct Document {
    keys: Vec<Map<String, Value>>,
}

impl Keys {
    /// Reads a document. One without a usable key is read as well: its issuer has taken all of them back.
    fn read(document: &[u8]) -> Result<Self, String> {
        if document.len() > MAX_SET_BYTES {
            return Err(format!(
                "the document has {} bytes, more than {MAX_SET_BYTES}",
                document.len()
            ));
        }
        let document: Document =
            serde_json::from_slice(document).map_err(|error| error.to_string())?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!(
                "the document has {} keys, more than {MAX_KEYS}",
                document.keys.len()
            ));
        }
        let usable: Vec<(Option<String>, Arc<Key>)> = document
            .keys
            .into_iter()
            .filter_map(|members| serde_json::from_value::<Jwk>(Value::Object(members)).ok())
            .filter_map(|jwk| Some((Key::of_jwk(&jwk)?, jwk.kid)))
            .map(|(key, kid)| (kid, Arc::new(key)))
            .collect();
        let only = match usable.as_slice() {
            [(_, key)] => Some(Arc::clone(key)),
            _ => None,
        };
        let mut by_name: HashMap<String, Option<Arc<Key>>> = HashMap::new();
        for (kid, key) in usable {
            if let Some(kid) = kid {
                by_name
                    .entry(kid)
                    .and_modify(|named| *named = None)
                    .or_insert(Some(key));
            }
        }
        Ok(Self { by_name, only })
    }

    fn find(&self, kid: Option<&str>) -> Option<Arc<Key>> {
        match kid {
            Some(kid) => self.by_name.get(kid).cloned().flatten(),
            None => self.only.clone(),
        }
    }
}

/// The set of one issuer.
pub(super) struct CachedSet {
    issuer: String,
    source: Arc<dyn KeySet>,
    clock: Clock,
    state: Mutex<State>,
}

/// What is known of a source.
#[derive(Default)]
struct State {
    held: Option<Held>,
    /// When the last fetch began.
    begun_at: Option<UnixMs>,
    /// Whether the last fetch that ended brought nothing.
    failing: bool,
    /// Closed by the end of the last fetch.
    flight: Option<watch::Receiver<()>>,
}

/// The last good set.
struct Held {
    keys: Keys,
    /// When its fetch began: it holds nothing newer.
    asked_at: UnixMs,
}

impl CachedSet {
    /// A set that nothing was read of yet.
    pub(super) fn new(issuer: String, source: Arc<dyn KeySet>, clock: Clock) -> Self {
        Self {
            issuer,
            source,
            clock,
            state: Mutex::default(),
        }
    }

    /// The key of that name; or, for a token that names none, the only one.
    ///
    /// # Errors
    /// `UnknownKey`; `KeysUnavailable` if the source does not answer and what is kept has no such key, or is too old.
    pub(super) async fn find(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<Key>, JwtRefusal> {
        match self.look(kid) {
            Look::Done(found) => found,
            Look::Wait(mut flight) => {
                // Nothing is ever sent: the channel is closed when the fetch ends, however it ends.
                let _ = flight.changed().await;
                self.state().find(kid, self.clock.now())
            }
        }
    }

    fn look(self: &Arc<Self>, kid: Option<&str>) -> Look {
        let now = self.clock.now();
        let mut state = self.state();
        let found = state.find(kid, now);
        if found.is_ok() && state.is_fresh(now) {
            return Look::Done(found);
        }
        match self.flight(&mut state, now) {
            // While the source is known not to answer, whoever has a key does not wait for it: else every call would be slow
            // during 5 s of each minute.
            Some(flight) if found.is_err() || !state.failing => Look::Wait(flight),
            _ => Look::Done(found),
        }
    }

    /// The end of the fetch that is under way, which is begun if it is time.
    fn flight(self: &Arc<Self>, state: &mut State, now: UnixMs) -> Option<watch::Receiver<()>> {
        let under_way = state.flight.clone().filter(|flight| !flight.is_closed());
        if under_way.is_some() || state.begun_at.is_some_and(|at| within(PAUSE_MS, at, now)) {
            return under_way;
        }
        let (end, flight) = watch::channel(());
        state.begun_at = Some(now);
        state.flight = Some(flight.clone());
        let this = Arc::clone(self);
        // A task of its own: a caller who goes away must not take the one fetch of this minute with him.
        tokio::spawn(async move {
            this.fetch(now).await;
            drop(end);
        });
        Some(flight)
    }

    async fn fetch(&self, now: UnixMs) {
        let fetched = match timeout(PATIENCE, self.source.fetch()).await {
            Ok(Ok(document)) => Keys::read(&document),
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let mut state = self.state();
        state.failing = fetched.is_err();
        match fetched {
            Ok(keys) => {
                state.held = Some(Held {
                    keys,
                    asked_at: now,
                });
            }
            Err(cause) => {
                tracing::warn!(issuer = %self.issuer, %cause, "the keys of a token issuer cannot be read; the last ones are used for a day");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look at the state comes to.
enum Look {
    /// An answer that no fetch would change now.
    Done(Result<Arc<Key>, JwtRefusal>),
    /// The fetch that may change it.
    Wait(watch::Receiver<()>),
}

impl State {
    fn find(&self, kid: Option<&str>, now: UnixMs) -> Result<Arc<Key>, JwtRefusal> {
        let absent = if self.failing || self.held.is_none() {
            JwtRefusal::KeysUnavailable
        } else {
            JwtRefusal::UnknownKey
        };
        self.held
            .as_ref()
            .filter(|held| now.saturating_sub(held.asked_at) <= KEPT_MS)
            .and_then(|held| held.keys.find(kid))
            .ok_or(absent)
    }

    fn is_fresh(&self, now: UnixMs) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| within(FRESH_MS, held.asked_at, now))
    }
}

/// Whether less than `span` has passed since `at`. After a clock that was set back, nothing is known to be recent.
fn within(span: UnixMs, at: UnixMs, now: UnixMs) -> bool {
    (0..span).contains(&now.saturating_sub(at))
}
