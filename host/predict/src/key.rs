//! API keys as text: made, recognised without the store, hashed.
//!
//! `ftl_live_` + 32 base62 characters (190 bits) + 6 base62 characters of CRC32 over what precedes. The checksum lets
//! secret scanners and this server tell a mistyped key from an unknown one without a look at the store; it proves
//! nothing. The store holds `HMAC-SHA256(pepper, key)`, so that its copy opens nothing.

use std::fmt;

use foretell_types::{KeyId, UserId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::PredictError;

const PREFIX: &str = "ftl_live_";
const RANDOM_CHARS: usize = 32;
const CHECK_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just made: shown once, then only its hash remains.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text to show.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What keys are made of: bytes that nobody can guess.
pub(crate) enum Source {
    /// The system's.
    Random,
    /// Those of a secret and a mark, which are the same each time: a key that is asked for twice is made once.
    Seed(Box<blake3::OutputReader>),
}

impl Source {
    /// The bytes of a mark, under a secret that is kept for this alone.
    pub(crate) fn of_mark(secret: &[u8; 32], mark: &[u8; 32]) -> Self {
        let hash = blake3::Hasher::new_keyed(secret)
            .update(mark)
            .finalize_xof();
        Self::Seed(Box::new(hash))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), PredictError> {
        match self {
            Self::Random => getrandom::fill(bytes)
                .map_err(|error| PredictError::Internal(format!("no randomness: {error}"))),
            Self::Seed(reader) => {
                reader.fill(bytes);
                Ok(())
            }
        }
    }
}

/// Makes a new key.
///
/// # Errors
/// `Internal` if the system has no randomness to give.
pub(crate) fn generate(source: &mut Source) -> Result<Secret, PredictError> {
    let mut text = String::with_capacity(PREFIX.len() + RANDOM_CHARS + CHECK_CHARS);
    text.push_str(PREFIX);
    push_random(source, &mut text, RANDOM_CHARS, BASE62)?;
    Ok(Secret(with_checksum(text)))
}

/// A key's text with its last characters, for what comes before them.
pub fn with_checksum(mut text: String) -> String {
    let check = checksum(&text);
    text.push_str(&check);
    text
}

/// Makes the public name of a key.
///
/// # Errors
/// As [`generate`].
pub(crate) fn generate_id() -> Result<KeyId, PredictError> {
    let text = random_id("key_")?;
    KeyId::parse(&text).map_err(|error| PredictError::Internal(error.to_string()))
}

/// Makes the public name of a user.
///
/// # Errors
/// As [`generate`].
pub(crate) fn generate_user_id() -> Result<UserId, PredictError> {
    let text = random_id("usr_")?;
    UserId::parse(&text).map_err(|error| PredictError::Internal(error.to_string()))
}

/// Makes a secret of another kind: `prefix`, and 43 base62 characters (256 bits). It has no checksum, because nobody types it.
///
/// # Errors
/// As [`generate`].
pub(crate) fn generate_secret(prefix: &str) -> Result<Secret, PredictError> {
    let mut text = String::from(prefix);
    push_random(&mut Source::Random, &mut text, 43, BASE62)?;
    Ok(Secret(text))
}

fn random_id(prefix: &str) -> Result<String, PredictError> {
    let mut text = String::from(prefix);
    let alphabet = b"0123456789abcdefghijklmnopqrstuvwxyz";
    push_random(&mut Source::Random, &mut text, 16, alphabet)?;
    Ok(text)
}

/// Whether a text of our form carries the right checksum. `None`: it is not of our form (an operator's own key).
pub fn checksum_holds(text: &str) -> Option<bool> {
    let body = text.strip_prefix(PREFIX)?;
    let well_formed =
        body.len() == RANDOM_CHARS + CHECK_CHARS && body.bytes().all(|b| b.is_ascii_alphanumeric());
    Some(
        well_formed && {
            let (signed, check) = text.split_at(PREFIX.len() + RANDOM_CHARS);
            checksum(signed) == check
        },
    )
}

/// What is kept secret beside the store: without it, stored hashes cannot be tried.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// Prepares the keyed hash.
    pub fn new(secret: &[u8; 32]) -> Self {
        // HMAC takes keys of any length, so this cannot fail; an unkeyed hash must never be used in its place.
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// Another secret of 32 bytes, for one purpose: known to whoever knows this one. A purpose has a space in it, which no
    /// key has.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        debug_assert!(purpose.contains(' '), "`{purpose}` could be a key");
        self.hash(purpose)
    }

    /// HMAC-SHA256 of a key's text.
    pub fn hash(&self, text: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

fn push_random(
    source: &mut Source,
    text: &mut String,
    chars: usize,
    alphabet: &[u8],
) -> Result<(), PredictError> {
    // Bytes past the largest multiple of the alphabet are thrown away, so that every character is equally likely.
    let fair = 256 - 256 % alphabet.len();
    let mut left = chars;
    while left > 0 {
        let mut bytes = [0; 64];
        source.fill(&mut bytes)?;
        for byte in bytes
            .into_iter()
            .map(usize::from)
            .filter(|byte| *byte < fair)
            .take(left)
        {
            text.push(char::from(alphabet[byte % alphabet.len()]));
            left -= 1;
        }
    }
    Ok(())
}

fn checksum(text: &str) -> String {
    let mut value = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECK_CHARS];
    // 62^6 is larger than 2^32, so six digits hold every checksum.
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(value % 62) as usize];
        value /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_carries_its_checksum_and_no_other_text_does() {
        let key = generate(&mut Source::Random).unwrap();
        assert_eq!(key.expose().len(), 47);
        assert_eq!(checksum_holds(key.expose()), Some(true));
        for at in PREFIX.len()..key.expose().len() {
            let mut changed = key.expose().to_owned();
            let other = if changed.as_bytes()[at] == b'x' {
                "y"
            } else {
                "x"
            };
            changed.replace_range(at..=at, other);
            assert_eq!(checksum_holds(&changed), Some(false), "{at}");
        }
        assert_eq!(checksum_holds("ftl_live_short"), Some(false));
        assert_eq!(checksum_holds("my-own-operator-key"), None);
    }

    #[test]
    fn two_keys_and_two_peppers_never_meet() {
        let (a, b) = (
            generate(&mut Source::Random).unwrap(),
            generate(&mut Source::Random).unwrap(),
        );
        assert_ne!(a, b);
        let (one, two) = (Pepper::new(&[1; 32]), Pepper::new(&[2; 32]));
        assert_eq!(one.hash(a.expose()), one.hash(a.expose()));
        assert_ne!(one.hash(a.expose()), one.hash(b.expose()));
        assert_ne!(one.hash(a.expose()), two.hash(a.expose()));
        assert_eq!(format!("{a:?} {one:?}"), "Secret(…) Pepper(…)");
    }

    #[test]
    fn the_key_of_a_mark_is_always_the_same_and_no_other_s() {
        let of = |secret: u8, mark: u8| {
            let mut source = Source::of_mark(&[secret; 32], &[mark; 32]);
            generate(&mut source).unwrap()
        };
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(1, 3));
        assert_ne!(of(1, 2), of(2, 2));
        assert_eq!(checksum_holds(of(1, 2).expose()), Some(true));
    }
}
