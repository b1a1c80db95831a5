//! Passwords: what one may be, and what is kept of it.
//!
//! Argon2id with 19 MiB and two passes, the least that OWASP advises, as a PHC string that says so: when these numbers grow,
//! what was hashed before still opens, and is hashed again as it does.
//!
//! The hazard that this module contains is that a hash takes 19 MiB and some 20 ms of a core for anybody who asks, before it
//! is known who that is. So two are made at a time, on threads that may wait, 64 callers wait for one, and what is longer
//! than 1,024 bytes is not hashed at all. Whether there is a user to hold a password against shows in nothing of that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::Error as HashError;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use foretell_store::PasswordHash;
use foretell_types::UserName;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::PredictError;

/// Characters of a password, at least: what is guessed offline from a stolen hash is short first of all.
pub const MIN_CHARS: usize = 12;
/// Bytes of a password, at most: every byte is hashed.
pub const MAX_BYTES: usize = 1_024;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const THREADS: u32 = 1;
/// How a hash of that cost begins.
const TODAYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// What a password is held against where there is no user: as dear as any, and of no password that can be found.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes that are made at the same time, at most.
const AT_ONCE: usize = 2;
/// Callers that wait for one, at most: about a second's work.
const WAITING: usize = 64;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A name of fewer letters stands in half of all passwords.
const MIN_TELLING_CHARS: usize = 3;

/// A password as it was typed; never shown.
#[derive(Clone)]
pub struct Password(Arc<str>);

impl Password {
    /// Takes the text as it is.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether a user of this name may have it.
    ///
    /// # Errors
    /// `Invalid`, with what it lacks.
    pub(crate) fn suits(&self, name: &UserName) -> Result<(), PredictError> {
        if self.is_too_long() {
            return Err(PredictError::Invalid(format!(
                "a password has at most {MAX_BYTES} bytes"
            )));
        }
        if self.0.chars().count() < MIN_CHARS {
            return Err(PredictError::Invalid(format!(
                "a password has at least {MIN_CHARS} characters"
            )));
        }
        let text = self.0.to_lowercase();
        // Of an address, what stands before the @ tells as much.
        let name = name.as_str();
        let local = name.split('@').next().unwrap_or(name);
        let tells = |part: &str| part.len() >= MIN_TELLING_CHARS && text.contains(part);
        if text == name || tells(name) || tells(local) {
            return Err(PredictError::Invalid(
                "the password holds the name of its user; choose one that does not".to_owned(),
            ));
        }
        Ok(())
    }

    fn is_too_long(&self) -> bool {
        self.0.len() > MAX_BYTES
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What a look at a password came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not the user's, or there is no user.
    Wrong,
    /// It is the user's.
    Right {
        /// What it is to be held against from now on, where the cost has changed since it was hashed.
        rehashed: Option<PasswordHash>,
    },
}

/// Hashes passwords, few at a time.
pub(crate) struct Passwords {
    /// Those that are hashed and those that wait: who finds no place is refused.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Passwords {
    /// What is kept of a password.
    ///
    /// # Errors
    /// `Overloaded` if too many wait already; `Internal` without memory or randomness.
    pub(crate) async fn hash(&self, password: &Password) -> Result<PasswordHash, PredictError> {
        let password = password.clone();
        self.apart(move || hashed(&password)).await?
    }

    /// Holds a password against what was kept of the user's, or against nobody's, which takes as long.
    ///
    /// # Errors
    /// As for [`Passwords::hash`]; `Internal` also for a kept hash that is none.
    pub(crate) async fn verify(
        &self,
        password: &Password,
        kept: Option<&PasswordHash>,
    ) -> Result<Verdict, PredictError> {
        // How long it is, whoever sent it knows; that is all that can be told from the answer's time.
        if password.is_too_long() {
            return Ok(Verdict::Wrong);
        }
        let (password, kept) = (password.clone(), kept.cloned());
        let look = move || -> Result<Verdict, PredictError> {
            let Some(kept) = kept else {
                holds(&password, NOBODYS)?;
                return Ok(Verdict::Wrong);
            };
            if !holds(&password, kept.reveal())? {
                return Ok(Verdict::Wrong);
            }
            let is_todays = kept.reveal().starts_with(TODAYS);
            let rehashed = (!is_todays).then(|| hashed(&password)).transpose()?;
            Ok(Verdict::Right { rehashed })
        };
        self.apart(look).await?
    }

    /// Runs `work` on a thread that may wait, when it is its turn. It has its turn to its end, also if its caller goes away.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PredictError> {
        let place =
            Arc::clone(&self.places)
                .try_acquire_owned()
                .map_err(|_| PredictError::Overloaded {
                    what: "too many passwords are being checked",
                    retry_after: RETRY_AFTER,
                })?;
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|error| PredictError::Internal(error.to_string()))?;
        let done = spawn_blocking(move || {
            let _held = (place, turn);
            work()
        });
        done.await
            .map_err(|error| PredictError::Internal(format!("a password's hash: {error}")))
    }
}

fn hashed(password: &Password) -> Result<PasswordHash, PredictError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| PredictError::Internal(format!("no randomness: {error}")))?;
    let hash: Phc = hasher()?
        .hash_password_with_salt(password.0.as_bytes(), &salt)
        .map_err(no_hash)?;
    Ok(PasswordHash::new(hash.to_string()))
}

/// Whether this is the password that was hashed, at the cost that the hash itself names. The crate compares in constant time.
fn holds(password: &Password, kept: &str) -> Result<bool, PredictError> {
    let kept = Phc::new(kept)
        .map_err(|error| PredictError::Internal(format!("a kept password: {error}")))?;
    match hasher()?.verify_password(password.0.as_bytes(), &kept) {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(error) => Err(no_hash(error)),
    }
}

fn hasher() -> Result<Argon2<'static>, PredictError> {
    let params = Params::new(MEMORY_KIB, PASSES, THREADS, None)
        .map_err(|error| PredictError::Internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn no_hash(error: HashError) -> PredictError {
    PredictError::Internal(format!("a password's hash: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "correct horse battery";

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    fn a_password_is_long_enough_and_does_not_hold_its_users_name() {
        let long = "x".repeat(MAX_BYTES);
        let longer = format!("{long}x");
        let cases = [
            ("alice@example.com", GOOD, true),
            // Twelve characters, of more bytes.
            ("alice@example.com", "éééééééééééé", true),
            ("alice@example.com", long.as_str(), true),
            // A name that half of all passwords hold.
            ("al", "a real mountain", true),
            ("alice@example.com", "", false),
            ("alice@example.com", "elevenchars", false),
            ("alice@example.com", "alice@example.com", false),
            ("alice@example.com", "my Alice@Example.com!", false),
            ("alice@example.com", "alice-2026-alice", false),
            ("a-long-name-itself", "a-long-name-itself", false),
            ("alice@example.com", longer.as_str(), false),
        ];
        for (user, password, suits) in cases {
            let found = Password::new(password).suits(&name(user));
            assert_eq!(found.is_ok(), suits, "{user}, {password}: {found:?}");
        }
    }

    #[test]
    fn what_is_kept_says_its_cost_and_differs_each_time() {
        let password = Password::new(GOOD);
        let (one, two) = (hashed(&password).unwrap(), hashed(&password).unwrap());
        assert!(one.reveal().starts_with(TODAYS), "{}", one.reveal());
        assert_ne!(one, two);
        assert_eq!(
            NOBODYS.len(),
            one.reveal().len(),
            "as dear as anybody's: the same cost, salt and length"
        );
        assert!(NOBODYS.starts_with(TODAYS));
        assert_eq!(
            format!("{password:?} {one:?}"),
            "Password(…) PasswordHash(…)"
        );
    }

    #[tokio::test]
    async fn the_password_opens_and_no_other_does() {
        let passwords = Passwords::default();
        let password = Password::new(GOOD);
        let kept = passwords.hash(&password).await.unwrap();
        let right = passwords.verify(&password, Some(&kept)).await.unwrap();
        assert_eq!(right, Verdict::Right { rehashed: None });
        for other in ["", "Correct horse battery", "correct horse battery "] {
            let other = Password::new(other);
            let found = passwords.verify(&other, Some(&kept)).await.unwrap();
            assert_eq!(found, Verdict::Wrong);
        }
        let nobody = passwords.verify(&password, None).await.unwrap();
        assert_eq!(nobody, Verdict::Wrong);
        let none = PasswordHash::new("no hash".into());
        let damaged = passwords.verify(&password, Some(&none)).await;
        assert!(matches!(damaged, Err(PredictError::Internal(_))));
    }

    #[tokio::test]
    async fn what_was_hashed_at_another_cost_opens_and_is_hashed_again() {
        let passwords = Passwords::default();
        let password = Password::new(GOOD);
        let cheap = Params::new(64, 1, 1, None).unwrap();
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap);
        let old: Phc = cheap
            .hash_password_with_salt(GOOD.as_bytes(), &[7; 16])
            .unwrap();
        let old = PasswordHash::new(old.to_string());
        let found = passwords.verify(&password, Some(&old)).await.unwrap();
        let Verdict::Right {
            rehashed: Some(new),
        } = found
        else {
            panic!("{found:?}")
        };
        assert!(new.reveal().starts_with(TODAYS));
        let right = passwords.verify(&password, Some(&new)).await.unwrap();
        assert_eq!(right, Verdict::Right { rehashed: None });
        let wrong = passwords.verify(&Password::new("other"), Some(&old)).await;
        assert_eq!(wrong.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_megabyte_is_not_hashed() {
        let passwords = Passwords::default();
        // Nobody's turn ever comes: what needs one does not end.
        passwords.turns.close();
        let long = Password::new(&"x".repeat(1 << 20));
        let kept = PasswordHash::new(NOBODYS.into());
        for kept in [None, Some(&kept)] {
            let found = passwords.verify(&long, kept).await.unwrap();
            assert_eq!(found, Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more_and_nobodys_waits_like_anybodys() {
        let passwords = Arc::new(Passwords::default());
        let turns = Arc::clone(&passwords.turns);
        let _all_turns = turns.acquire_many(AT_ONCE as u32).await.unwrap();
        let password = Password::new(GOOD);
        let waiting: Vec<_> = (0..AT_ONCE + WAITING)
            .map(|_| {
                let (passwords, password) = (Arc::clone(&passwords), password.clone());
                tokio::spawn(async move { passwords.verify(&password, None).await })
            })
            .collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = passwords.hash(&password).await.unwrap_err();
        assert!(matches!(refused, PredictError::Overloaded { .. }));
        assert_eq!(refused.retry_after(), Some(RETRY_AFTER));
        for one in waiting {
            one.abort();
            assert!(one.await.unwrap_err().is_cancelled());
        }
        let free = passwords.places.available_permits();
        assert_eq!(free, AT_ONCE + WAITING, "whoever goes leaves its place");
    }
}
