//! JSON Web Tokens of configured issuers: who signed one, for whom, until when and in which roles.
//!
//! A token is a credential that others make. The hazard that this module contains is a token that chooses how it is
//! checked, so nothing in it does:
//!
//! - the algorithm is the key's, and a header that names another is refused, `none` first of all;
//! - the key is the issuer's: its one key, or the one of its set whose `kid` is exactly the header's. A header that
//!   brings a key or says where to fetch one is refused, not overlooked;
//! - a member that stands twice is refused, because two readers may then read two tokens;
//! - what it says of time is compared with our [`Clock`].
//!
//! What it refuses to do: to decide what a role may do (the caller maps names to scopes), to fetch anything itself (a
//! [`KeySet`] does), and to tell more of a token whose signature does not hold than that.

mod claims;
mod key;
mod refusal;
mod set;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foretell_store::port::UnixMs;
use thiserror::Error;

pub use claims::Verified;
pub use key::PublicAlgorithm;
pub use refusal::{Claim, JwtRefusal};
pub use set::{KeySet, MAX_SET_BYTES};
pub use token::MAX_TOKEN_BYTES;

use crate::Clock;
use claims::Terms;
use key::{Key, KeyFault};
use set::CachedSet;
use token::Token;

/// What the hash of HS256 yields. A shorter secret is easier to guess than the signature that it makes.
const MIN_SECRET_BYTES: usize = 32;

/// Clocks that are further apart are wrong, and a longer leeway would only hide it.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Who may sign tokens, and on which terms they are taken.
#[derive(Debug)]
pub struct Issuer {
    /// What `iss` holds, letter by letter.
    pub name: String,
    /// What `aud` holds, alone or among others: the name that this server has with the issuer.
    pub audience: String,
    /// The claim that names the tenant; default `tenant`. A token without it is of no tenant.
    pub tenant_claim: String,
    /// The claim that holds the names of roles, as a list or in one text; default `roles`.
    pub roles_claim: String,
    /// How far the issuer's clock may be from ours; default 30 s, at most 5 minutes.
    pub leeway: Duration,
    /// What tells the issuer's signature.
    pub keys: KeySource,
}

impl Issuer {
    /// An issuer with the default claims and leeway.
    pub fn new(name: impl Into<String>, audience: impl Into<String>, keys: KeySource) -> Self {
        Self {
            name: name.into(),
            audience: audience.into(),
            tenant_claim: "tenant".to_owned(),
            roles_claim: "roles".to_owned(),
            leeway: Duration::from_secs(30),
            keys,
        }
    }
}

/// Where the keys of an issuer come from.
pub enum KeySource {
    /// A secret that this server shares with the issuer: HS256.
    Secret {
        /// At least 32 bytes, and random ones.
        secret: Vec<u8>,
    },
    /// One public key.
    PublicPem {
        /// What the key verifies, and all that it does.
        algorithm: PublicAlgorithm,
        /// `BEGIN PUBLIC KEY`, or `BEGIN RSA PUBLIC KEY`, and nothing beside it: no certificate and no private key.
        pem: String,
    },
    /// A set of keys (JWKS) that changes while the server runs.
    Set(Arc<dyn KeySet>),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { .. } => f.write_str("Secret(…)"),
            Self::PublicPem { algorithm, .. } => write!(f, "PublicPem({algorithm:?})"),
            Self::Set(_) => f.write_str("Set(…)"),
        }
    }
}

/// Why issuers are not accepted at start. The message is for whoever wrote the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JwtConfigError {
    /// A text that may not be empty is.
    #[error("the {what} of token issuer `{issuer}` is empty; set it to what its tokens hold")]
    Empty {
        /// The issuer; empty if that is what is missing.
        issuer: String,
        /// Which text.
        what: &'static str,
    },
    /// One name stands twice, so a token would not tell which of them is meant.
    #[error("two token issuers are named `{issuer}`; keep one of them")]
    Twice {
        /// The name.
        issuer: String,
    },
    /// The secret is too short.
    #[error(
        "the secret of token issuer `{issuer}` has {bytes} bytes; agree on one of {} random bytes or more",
        MIN_SECRET_BYTES
    )]
    ShortSecret {
        /// The issuer.
        issuer: String,
        /// How long the secret is.
        bytes: usize,
    },
    /// The key cannot be read, or is for another algorithm.
    #[error(
        "the key of token issuer `{issuer}` is not one PEM public key for {}; give what begins with BEGIN PUBLIC KEY",
        .algorithm.as_str()
    )]
    UnreadableKey {
        /// The issuer.
        issuer: String,
        /// What the key was to be for.
        algorithm: PublicAlgorithm,
    },
    /// The RSA key can be broken, or takes too long to use.
    #[error("the RSA key of token issuer `{issuer}` does not have 2048 to 8192 bits; use another")]
    WeakKey {
        /// The issuer.
        issuer: String,
    },
    /// The leeway is too long.
    #[error(
        "the leeway of token issuer `{issuer}` is longer than {} s; set the clocks instead",
        MAX_LEEWAY.as_secs()
    )]
    LongLeeway {
        /// The issuer.
        issuer: String,
    },
}

/// Tells genuine tokens of the configured issuers from all others.
pub struct Tokens {
    trusted: HashMap<String, Trusted>,
    clock: Clock,
}

impl Tokens {
    /// Prepares the keys of `issuers`. Nothing is fetched yet.
    ///
    /// # Errors
    /// Whatever would let no token through, or a forged one: see [`JwtConfigError`].
    pub fn new(issuers: Vec<Issuer>, clock: Clock) -> Result<Self, JwtConfigError> {
        let mut trusted = HashMap::with_capacity(issuers.len());
        for issuer in issuers {
            let name = issuer.name.clone();
            let earlier = trusted.insert(name.clone(), Trusted::new(issuer, &clock)?);
            if earlier.is_some() {
                return Err(JwtConfigError::Twice { issuer: name });
            }
        }
        Ok(Self { trusted, clock })
    }

    /// Whether a credential is written as a token: three parts of base64url, the first of them the beginning of a JSON
    /// object. A key that this server has made never is: it begins otherwise and holds no point.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with("ey")
            && text.bytes().filter(|byte| *byte == b'.').count() == 2
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    }

    /// What a token says, if it is genuine, for this server, and of now.
    ///
    /// May wait for a fetch of the issuer's set, 5 s at most. Needs a Tokio runtime.
    ///
    /// # Errors
    /// The first rule that the token breaks. Of its claims, the issuer's name alone is looked at before its signature
    /// holds.
    pub async fn verify(&self, text: &str) -> Result<Verified, JwtRefusal> {
        let token = Token::read(text)?;
        let issuer = claims::issuer(&token.claims)?;
        let trusted = self.trusted.get(issuer).ok_or(JwtRefusal::UnknownIssuer)?;
        let key = trusted.keys.find(token.kid.as_deref()).await?;
        if key.algorithm() != token.algorithm {
            return Err(JwtRefusal::Algorithm);
        }
        if !key.signed(token.message.as_bytes(), token.signature) {
            return Err(JwtRefusal::Signature);
        }
        claims::check(&token.claims, &trusted.terms, self.clock.now())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.trusted.keys()).finish()
    }
}

/// An issuer whose keys are ready.
struct Trusted {
    terms: Terms,
    keys: Keys,
}

impl Trusted {
    fn new(issuer: Issuer, clock: &Clock) -> Result<Self, JwtConfigError> {
        let texts = [
            ("name", &issuer.name),
            ("audience", &issuer.audience),
            ("tenant claim", &issuer.tenant_claim),
            ("roles claim", &issuer.roles_claim),
        ];
        let empty = texts.iter().find(|(_, text)| text.is_empty());
        if let Some(what) = empty.map(|(what, _)| *what) {
            return Err(JwtConfigError::Empty {
                what,
                issuer: issuer.name,
            });
        }
        if issuer.leeway > MAX_LEEWAY {
            return Err(JwtConfigError::LongLeeway {
                issuer: issuer.name,
            });
        }
        let keys = Keys::new(&issuer.name, issuer.keys, clock)?;
        let terms = Terms {
            issuer: issuer.name,
            audience: issuer.audience,
            tenant_claim: issuer.tenant_claim,
            roles_claim: issuer.roles_claim,
            leeway_ms: UnixMs::try_from(issuer.leeway.as_millis()).unwrap_or(UnixMs::MAX),
        };
        Ok(Self { terms, keys })
    }
}

/// The keys of one issuer.
enum Keys {
    One(Arc<Key>),
    Set(Arc<CachedSet>),
}

impl Keys {
    fn new(issuer: &str, source: KeySource, clock: &Clock) -> Result<Self, JwtConfigError> {
        let issuer = issuer.to_owned();
        let key = match source {
            KeySource::Set(source) => {
                let set = CachedSet::new(issuer, source, clock.clone());
                return Ok(Self::Set(Arc::new(set)));
            }
            KeySource::Secret { secret } if secret.len() < MIN_SECRET_BYTES => {
                return Err(JwtConfigError::ShortSecret {
                    issuer,
                    bytes: secret.len(),
                });
            }
            KeySource::Secret { secret } => Key::of_secret(&secret),
            KeySource::PublicPem { algorithm, pem } => {
                Key::of_pem(algorithm, &pem).map_err(|fault| match fault {
                    KeyFault::Unreadable => JwtConfigError::UnreadableKey { issuer, algorithm },
                    KeyFault::Weak => JwtConfigError::WeakKey { issuer },
                })?
            }
        };
        Ok(Self::One(Arc::new(key)))
    }

    /// The key that a header means. A single key needs no name, so a name beside it means nothing.
    async fn find(&self, kid: Option<&str>) -> Result<Arc<Key>, JwtRefusal> {
        match self {
            Self::One(key) => Ok(Arc::clone(key)),
            Self::Set(set) => set.find(kid).await,
        }
    }
}

#[cfg(test)]
mod tests;
