//! Recordings made unreadable: AES-256-GCM under a key of the person whom they are about, and that key under the host's.
//!
//! What else stands beside a recording (whose it is, of which request and when, what answered) is bound to it, so that none
//! of it can be changed or exchanged unseen.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use foretell_store::{Pseudonym, Recording, WrappedKey};
use foretell_types::{Digest, TenantId};
use thiserror::Error;

use crate::PredictError;
use crate::key::Pepper;

const KEY_BYTES: usize = 32;

/// Random bytes that make of a key another one for each use. Random nonces alone might meet after some thousand million
/// recordings under one key, which is what a busy tenant that names nobody has in weeks.
const SALT_BYTES: usize = 16;

/// What was sealed is not what lies there now, or was never sealed by this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the recording was changed")]
pub struct Changed;

/// The host's own secrets around recordings.
pub(super) struct Vault {
    pepper: Pepper,
    /// What keys of persons are sealed under.
    keys: Key,
    receipts: Pepper,
}

/// Seals and opens. What it seals is the sealed bytes, a tag, a nonce, and a salt.
pub(super) struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Vault {
    pub(super) fn new(pepper: &Pepper) -> Self {
        Self {
            keys: Key(pepper.derive("keys of recordings")),
            receipts: Pepper::new(&pepper.derive("receipts of erasures")),
            pepper: pepper.clone(),
        }
    }

    /// What stands for a person; the empty text is nobody who was named.
    pub(super) fn pseudonym(&self, tenant: &TenantId, subject: &str) -> Pseudonym {
        // No name of a tenant has a space: no two pairs are one text.
        let hash = self.pepper.derive(&format!("subject {tenant} {subject}"));
        Pseudonym(Digest::from_bytes(hash))
    }

    /// A keyed hash, for a receipt.
    pub(super) fn signature(&self, text: &str) -> [u8; 32] {
        self.receipts.derive(text)
    }

    /// A new key for a person, sealed.
    ///
    /// # Errors
    /// `Internal` if the system has no randomness to give.
    pub(super) fn new_key(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
    ) -> Result<WrappedKey, PredictError> {
        let key: [u8; KEY_BYTES] = random()?;
        let wrapped = self.keys.seal(&owner(tenant, subject), key.to_vec())?;
        Ok(wrapped.into())
    }

    /// The key of a person.
    ///
    /// # Errors
    /// [`Changed`] if it is not what was made for this person.
    pub(super) fn open_key(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        wrapped: &[u8],
    ) -> Result<Key, Changed> {
        let key = self.keys.open(&owner(tenant, subject), wrapped.to_vec())?;
        key.try_into().map(Key).map_err(|_| Changed)
    }
}

impl Key {
    /// Seals bytes, and binds them to what they are about.
    ///
    /// # Errors
    /// `Internal` if the system has no randomness or memory to give.
    pub(super) fn seal(&self, about: &[u8], mut bytes: Vec<u8>) -> Result<Vec<u8>, PredictError> {
        let salt: [u8; SALT_BYTES] = random()?;
        let cipher = self.cipher(&salt);
        let nonce =
            cipher.and_then(|cipher| cipher.seal_in_place_append_tag(Aad::from(about), &mut bytes));
        let nonce =
            nonce.map_err(|_| PredictError::Internal("a recording cannot be sealed".into()))?;
        let nonce: &[u8; NONCE_LEN] = nonce.as_ref();
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(&salt);
        Ok(bytes)
    }

    /// Opens what was sealed about the same.
    ///
    /// # Errors
    /// [`Changed`] for anything else.
    pub(super) fn open(&self, about: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, Changed> {
        let (rest, salt) = sealed.split_last_chunk_mut::<SALT_BYTES>().ok_or(Changed)?;
        let (body, nonce) = rest.split_last_chunk_mut::<NONCE_LEN>().ok_or(Changed)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let cipher = self.cipher(salt).map_err(|_| Changed)?;
        let opened = cipher.open_in_place(nonce, Aad::from(about), body);
        let length = opened.map_err(|_| Changed)?.len();
        sealed.truncate(length);
        Ok(sealed)
    }

    fn cipher(&self, salt: &[u8; SALT_BYTES]) -> Result<RandomizedNonceKey, Unspecified> {
        let key = blake3::keyed_hash(&self.0, salt);
        RandomizedNonceKey::new(&AES_256_GCM, key.as_bytes())
    }
}

/// What a recording is about: everything that stands beside it, each text with its length.
pub(super) fn about(recording: &Recording) -> Vec<u8> {
    let Recording {
        tenant,
        subject,
        request_id,
        at,
        model,
        version,
        digest,
        key: _,
        sealed: _,
    } = recording;
    let mut bytes = owner(tenant, subject);
    for text in [request_id.as_str(), model.as_str(), version.as_str()] {
        push(&mut bytes, text);
    }
    bytes.extend_from_slice(digest.0.as_bytes());
    bytes.extend_from_slice(&at.to_le_bytes());
    bytes
}

fn owner(tenant: &TenantId, subject: &Pseudonym) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    push(&mut bytes, tenant.as_str());
    bytes.extend_from_slice(subject.0.as_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn random<const N: usize>() -> Result<[u8; N], PredictError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| PredictError::Internal(format!("no randomness: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foretell_types::{ModelName, ModelVersion, RequestId, VersionDigest};

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn vault(secret: u8) -> Vault {
        Vault::new(&Pepper::new(&[secret; 32]))
    }

    fn recording() -> Recording {
        Recording {
            tenant: tenant("a"),
            subject: vault(7).pseudonym(&tenant("a"), "ada"),
            request_id: RequestId::parse("one").unwrap(),
            at: 1_000,
            model: ModelName::parse("m").unwrap(),
            version: ModelVersion::parse("1").unwrap(),
            digest: VersionDigest(Digest::from_bytes([1; 32])),
            key: Arc::default(),
            sealed: vec![],
        }
    }

    #[test]
    fn what_was_sealed_is_opened_and_shows_nothing_before() {
        let key = Key([1; KEY_BYTES]);
        for plain in [&b""[..], b"x", &[7; 100_000]] {
            let sealed = key.seal(b"about", plain.to_vec()).unwrap();
            assert_eq!(sealed.len(), plain.len() + 16 + NONCE_LEN + SALT_BYTES);
            if plain.len() > 8 {
                assert!(!sealed.windows(8).any(|window| window == &plain[..8]));
            }
            assert_ne!(sealed, key.seal(b"about", plain.to_vec()).unwrap());
            assert_eq!(key.open(b"about", sealed).as_deref(), Ok(plain));
        }
        assert_eq!(format!("{key:?}"), "Key(…)");
    }

    #[test]
    fn no_bit_can_be_changed_and_nothing_can_be_cut_off_unseen() {
        let key = Key([1; KEY_BYTES]);
        let sealed = key.seal(b"about", b"twelve bytes".to_vec()).unwrap();
        for at in 0..sealed.len() {
            for bit in [1, 0x80] {
                let mut changed = sealed.clone();
                changed[at] ^= bit;
                assert_eq!(key.open(b"about", changed), Err(Changed), "byte {at}");
            }
            assert_eq!(key.open(b"about", sealed[..at].to_vec()), Err(Changed));
            assert_eq!(key.open(b"about", sealed[at + 1..].to_vec()), Err(Changed));
        }
        assert_eq!(key.open(b"abouT", sealed.clone()), Err(Changed));
        let other = Key([2; KEY_BYTES]);
        assert_eq!(other.open(b"about", sealed), Err(Changed));
    }

    #[test]
    fn a_recording_is_bound_to_everything_beside_it() {
        let of = |change: fn(&mut Recording)| {
            let mut changed = recording();
            change(&mut changed);
            about(&changed)
        };
        let all = [
            of(|_| {}),
            of(|one| one.tenant = TenantId::parse("b").unwrap()),
            of(|one| one.subject = Pseudonym(Digest::from_bytes([0; 32]))),
            of(|one| one.request_id = RequestId::parse("onem").unwrap()),
            of(|one| one.at += 1),
            of(|one| one.model = ModelName::parse("m1").unwrap()),
            of(|one| one.version = ModelVersion::parse("2").unwrap()),
            of(|one| one.digest = VersionDigest(Digest::from_bytes([2; 32]))),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        // The same letters, cut elsewhere.
        let moved = of(|one| {
            one.request_id = RequestId::parse("on").unwrap();
            one.model = ModelName::parse("em").unwrap();
        });
        assert!(!all.contains(&moved));
    }

    #[test]
    fn a_key_is_its_persons_and_its_hosts_alone() {
        let (vault, a, b) = (vault(7), tenant("a"), tenant("b"));
        let ada = vault.pseudonym(&a, "ada");
        let wrapped = vault.new_key(&a, &ada).unwrap();
        let sealed = |key: &Key| key.seal(b"", b"x".to_vec()).unwrap();
        let key = vault.open_key(&a, &ada, &wrapped).unwrap();
        let again = vault.open_key(&a, &ada, &wrapped).unwrap();
        assert_eq!(again.open(b"", sealed(&key)).as_deref(), Ok(&b"x"[..]));
        let other = vault.new_key(&a, &ada).unwrap();
        let other = vault.open_key(&a, &ada, &other).unwrap();
        assert_eq!(other.open(b"", sealed(&key)), Err(Changed));

        let bob = vault.pseudonym(&a, "bob");
        assert!(vault.open_key(&a, &bob, &wrapped).is_err());
        assert!(vault.open_key(&b, &ada, &wrapped).is_err());
        assert!(vault.open_key(&a, &ada, b"").is_err());
        let stranger = self::vault(8);
        assert!(stranger.open_key(&a, &ada, &wrapped).is_err());
        // A key of another length, sealed as one.
        let short = vault.keys.seal(&owner(&a, &ada), vec![0; 31]).unwrap();
        assert!(vault.open_key(&a, &ada, &short).is_err());
    }

    #[test]
    fn a_pseudonym_is_another_one_for_each_tenant_and_host() {
        let (vault, stranger) = (vault(7), self::vault(8));
        let (a, b) = (tenant("a"), tenant("b"));
        let all = [
            vault.pseudonym(&a, "ada"),
            vault.pseudonym(&b, "ada"),
            vault.pseudonym(&a, ""),
            stranger.pseudonym(&a, "ada"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        assert_eq!(all[0], vault.pseudonym(&a, "ada"));
    }
}
