//! Signed notes (<https://c2sp.org/signed-note>): a text, an empty line, and lines of signatures, for people and programs.
//!
//! A signature line is `— NAME BASE64`, with an em dash; what is encoded are the four bytes that name the key, and its
//! Ed25519 signature over the text, the final line break included. A key is shown to those who verify as
//! `NAME+ID+BASE64`. Signing is deterministic: the same text by the same key is the same note.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What tells Ed25519 from other kinds of signatures.
const ED25519_TYPE: u8 = 1;
/// What a line of a signature begins with.
pub(crate) const SIGNATURE: &str = "— ";
/// A note of ours has some 300 bytes; one with the signatures of many witnesses has some thousands.
const MAX_BYTES: usize = 1 << 16;

/// Why a note says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    /// It is not a text, an empty line, and lines of signatures.
    #[error("it is no signed note")]
    Malformed,
    /// No signature names the key that is asked for.
    #[error("it is not signed by this key")]
    Unsigned,
    /// A signature names the key, and it is not the key's over this text.
    #[error("its signature does not match its text")]
    Forged,
    /// It is signed, and its text is no tree head of this log.
    #[error("it is no checkpoint of this log")]
    NoCheckpoint,
}

/// What notes are signed with.
pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl Signer {
    /// The signer of a secret. `name` gets the public key, and makes a name of it that no other log has, without
    /// spaces or plus signs.
    pub fn new(secret: &[u8; 32], name: impl FnOnce(&[u8; 32]) -> String) -> Self {
        // Every 32 bytes are a seed of Ed25519, and every public key of it has 32.
        let pair = Ed25519KeyPair::from_seed_unchecked(secret).expect("32 bytes are a seed");
        let public: &[u8] = pair.public_key().as_ref();
        let public: [u8; 32] = public.try_into().expect("a public key has 32 bytes");
        Self {
            pair,
            verifier: Verifier::new(name(&public), public),
        }
    }

    /// What its notes are verified with.
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs a text of whole lines.
    pub fn sign(&self, text: &str) -> String {
        debug_assert!(text.ends_with('\n'), "a note's text ends with a line break");
        let Verifier { name, id, .. } = &self.verifier;
        let signature = self.pair.sign(text.as_bytes());
        let signature = STANDARD.encode([&id[..], signature.as_ref()].concat());
        format!("{text}\n{SIGNATURE}{name} {signature}\n")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier.name)
    }
}

/// What notes of one key are verified with. It is shown as the key that others verify with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl Verifier {
    fn new(name: String, public: [u8; 32]) -> Self {
        debug_assert!(
            !name.is_empty()
                && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+'),
            "`{name}` is no name of a key"
        );
        let hash: [u8; 32] = Sha256::new()
            .chain_update(&name)
            .chain_update([b'\n', ED25519_TYPE])
            .chain_update(public)
            .finalize()
            .into();
        let id = [hash[0], hash[1], hash[2], hash[3]];
        Self { name, id, public }
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note, if this key signed it. Signatures of other keys are not looked at.
    ///
    /// # Errors
    /// [`NoteError`], all but `NoCheckpoint`.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let is_plain = |c: char| c == '\n' || c >= ' ';
        if note.len() > MAX_BYTES || !note.chars().all(is_plain) {
            return Err(NoteError::Malformed);
        }
        // The last empty line: the text may have some of its own.
        let (text, signatures) = note
            .rfind("\n\n")
            .map(|at| (&note[..=at], &note[at + 2..]))
            .ok_or(NoteError::Malformed)?;
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let mut is_signed = false;
        for line in signatures.split('\n') {
            let (name, id, signature) = parts(line).ok_or(NoteError::Malformed)?;
            if name != self.name || id != self.id {
                continue;
            }
            UnparsedPublicKey::new(&ED25519, self.public)
                .verify(text.as_bytes(), &signature)
                .map_err(|_| NoteError::Forged)?;
            is_signed = true;
        }
        if is_signed {
            Ok(text)
        } else {
            Err(NoteError::Unsigned)
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, id, public } = self;
        let id = u32::from_be_bytes(*id);
        let key = STANDARD.encode([&[ED25519_TYPE][..], public].concat());
        write!(f, "{name}+{id:08x}+{key}")
    }
}

/// Name, id and signature of a line.
fn parts(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, encoded) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
    if name.is_empty() {
        return None;
    }
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, signature) = bytes.split_first_chunk()?;
    Some((name, *id, signature.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of golang.org/x/mod/sumdb/note, from where signed notes come.
    const SECRET: &str = "810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173";
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNATURES: &str = "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn peter() -> Signer {
        let secret = foretell_types::Digest::parse(SECRET).unwrap();
        Signer::new(secret.as_bytes(), |_| "PeterNeumann".to_owned())
    }

    #[test]
    fn notes_are_those_of_other_implementations() {
        let peter = peter();
        assert_eq!(peter.verifier().to_string(), KEY);
        let note = peter.sign(TEXT);
        assert_eq!(note, format!("{TEXT}{SIGNATURES}"));
        assert_eq!(peter.verifier().open(&note), Ok(TEXT));
        assert_eq!(format!("{peter:?}"), "Signer(PeterNeumann)");
    }

    #[test]
    fn a_text_may_have_empty_lines_and_other_signers() {
        let (peter, other) = (peter(), Signer::new(&[1; 32], |_| "other".to_owned()));
        let text = "one\n\n— x y\n\ntwo\n";
        let (mut note, second) = (peter.sign(text), other.sign(text));
        note.push_str(second.rsplit_once("\n\n").unwrap().1);
        for signer in [&peter, &other] {
            assert_eq!(signer.verifier().open(&note), Ok(text));
        }
        let third = Signer::new(&[2; 32], |_| "other".to_owned());
        assert_eq!(third.verifier().open(&note), Err(NoteError::Unsigned));
    }

    #[test]
    fn what_is_no_note_is_told_from_a_forged_one() {
        let verifier = peter().verifier().clone();
        let note = peter().sign(TEXT);
        let cases = [
            (String::new(), NoteError::Malformed),
            (TEXT.to_owned(), NoteError::Malformed),
            (note.trim_end().to_owned(), NoteError::Malformed),
            (format!("{note}\n"), NoteError::Malformed),
            (format!("{note}x\n"), NoteError::Malformed),
            (format!("{note}— x\n"), NoteError::Malformed),
            (format!("{note}—  AAAAAA==\n"), NoteError::Malformed),
            (format!("{note}— x AAA=\n"), NoteError::Malformed),
            (note.replace("Peter", "Pet\ter"), NoteError::Malformed),
            (note.replace("— Peter", "— Otto"), NoteError::Unsigned),
            (note.replace("problem", "Problem"), NoteError::Forged),
            (format!("x\n{note}"), NoteError::Forged),
        ];
        for (note, error) in cases {
            assert_eq!(verifier.open(&note), Err(error), "{note:?}");
        }
    }

    proptest! {
        #[test]
        fn every_changed_byte_is_refused(
            lines in proptest::collection::vec("[ -~é—]{0,20}", 1..5),
            secret: [u8; 32],
            at: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            let text = lines.join("\n") + "\n";
            let signer = Signer::new(&secret, |_| "log.example/1".to_owned());
            let note = signer.sign(&text);
            prop_assert_eq!(signer.verifier().open(&note), Ok(&*text));
            let mut changed = note.into_bytes();
            let at = at.index(changed.len());
            changed[at] ^= flip;
            // What is no text any more is refused as well.
            if let Ok(changed) = String::from_utf8(changed) {
                prop_assert!(signer.verifier().open(&changed).is_err(), "{changed:?}");
            }
        }
    }
}
