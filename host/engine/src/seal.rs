//! The keyed MAC over what the server will later trust: machine code, and the snapshot it can be made from again.
//!
//! Deserializing changed code is running whatever was put there, and a blob store is a folder that other programs can
//! write. So code is accepted only with a MAC over everything that makes it the right code: the engine it was compiled
//! for, the snapshot it was compiled from, whose it is, and its bytes. The key lies outside the store. The parent seals
//! what the compile worker hands back; the worker never sees the key.

use foretell_types::{TenantId, VersionDigest};

use crate::pieces::Pieces;

/// Tells sealed code from anything else, and this layout from a later one.
const MAGIC: &[u8; 8] = b"FTLCODE2";
/// Magic, MAC, fingerprint of the engine, digest of the snapshot.
const HEADER: usize = 8 + 3 * 32;
/// The seal of a snapshot is a custom section at its end, so that it stays a WebAssembly component: id, size, length of
/// the name, name. The MAC follows.
const SECTION: &[u8; 16] = b"\x00\x2e\x0dforetell.seal";

/// Whose blob it is: it is accepted under this name and no other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) version: &'a VersionDigest,
}

/// Why sealed code is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Compiled for another engine, other settings or another CPU.
    OtherEngine,
    /// Not sealed by us, not for this owner, or changed since.
    Seal,
}

/// Seals and opens with one key.
pub(crate) struct Sealer {
    key: [u8; 32],
    engine: [u8; 32],
}

impl Sealer {
    pub(crate) const fn new(key: [u8; 32], engine: [u8; 32]) -> Self {
        Self { key, engine }
    }

    /// Seals code that was compiled from `snapshot` (unsealed) for this engine.
    pub(crate) fn seal_code(&self, owner: Owner<'_>, snapshot: &[u8], code: &[u8]) -> Vec<u8> {
        let (snapshot, code) = (blake3::hash(snapshot), Pieces::of(code).encode());
        let mac = self.code_mac(owner, &self.engine, snapshot.as_bytes(), &code);
        let mut sealed = Vec::with_capacity(HEADER + code.len());
        for part in [
            &MAGIC[..],
            mac.as_bytes(),
            &self.engine,
            snapshot.as_bytes(),
            &code,
        ] {
            sealed.extend_from_slice(part);
        }
        sealed
    }

    /// The code within, if it may be run.
    ///
    /// # Errors
    /// [`Broken`]: in both cases the snapshot can be compiled again.
    pub(crate) fn open_code<'a>(
        &self,
        owner: Owner<'_>,
        sealed: &'a [u8],
    ) -> Result<Pieces<'a>, Broken> {
        let (header, code) = sealed.split_at_checked(HEADER).ok_or(Broken::Seal)?;
        let (magic, header) = header.split_first_chunk::<8>().ok_or(Broken::Seal)?;
        let (mac, header) = header.split_first_chunk::<32>().ok_or(Broken::Seal)?;
        let (engine, header) = header.split_first_chunk::<32>().ok_or(Broken::Seal)?;
        let (snapshot, _) = header.split_first_chunk::<32>().ok_or(Broken::Seal)?;
        // `blake3::Hash` compares in constant time.
        if magic != MAGIC
            || self.code_mac(owner, engine, snapshot, code) != blake3::Hash::from_bytes(*mac)
        {
            return Err(Broken::Seal);
        }
        if engine == &self.engine {
            Pieces::decode(code).ok_or(Broken::Seal)
        } else {
            Err(Broken::OtherEngine)
        }
    }

    /// Seals a snapshot: it stays a component.
    pub(crate) fn seal_snapshot(&self, owner: Owner<'_>, mut snapshot: Vec<u8>) -> Vec<u8> {
        let mac = self.snapshot_mac(owner, &snapshot);
        snapshot.extend_from_slice(SECTION);
        snapshot.extend_from_slice(mac.as_bytes());
        snapshot
    }

    /// The snapshot without its seal, or nothing if it is not the one that was sealed.
    pub(crate) fn open_snapshot<'a>(&self, owner: Owner<'_>, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (rest, mac) = sealed.split_last_chunk::<32>()?;
        let snapshot = rest.strip_suffix(SECTION)?;
        (self.snapshot_mac(owner, snapshot) == blake3::Hash::from_bytes(*mac)).then_some(snapshot)
    }

    fn code_mac(
        &self,
        owner: Owner<'_>,
        engine: &[u8; 32],
        snapshot: &[u8; 32],
        code: &[u8],
    ) -> blake3::Hash {
        let mut mac = self.mac(b"foretell code 2\0", owner);
        mac.update(engine).update(snapshot).update(code).finalize()
    }

    fn snapshot_mac(&self, owner: Owner<'_>, snapshot: &[u8]) -> blake3::Hash {
        self.mac(b"foretell snap 1\0", owner)
            .update(snapshot)
            .finalize()
    }

    /// Purposes have one length; the tenant's name is the one part without, and has it before it.
    fn mac(&self, purpose: &[u8; 16], owner: Owner<'_>) -> blake3::Hasher {
        let tenant = owner.tenant.as_str().as_bytes();
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(purpose);
        mac.update(&(tenant.len() as u64).to_le_bytes());
        mac.update(tenant);
        mac.update(owner.version.0.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use foretell_types::Digest;

    use super::*;

    fn names() -> (TenantId, TenantId, VersionDigest, VersionDigest) {
        let version = |byte| VersionDigest(Digest::from_bytes([byte; 32]));
        (
            TenantId::parse("acme").unwrap(),
            TenantId::parse("bob").unwrap(),
            version(1),
            version(2),
        )
    }

    #[test]
    fn code_opens_for_its_owner_and_engine_only() {
        let (acme, bob, one, two) = names();
        let sealer = Sealer::new([1; 32], [2; 32]);
        let owner = Owner {
            tenant: &acme,
            version: &one,
        };
        let sealed = sealer.seal_code(owner, b"snapshot", b"code");
        assert_eq!(sealer.open_code(owner, &sealed), Ok(Pieces::of(b"code")));
        assert_eq!(
            sealer.open_code(
                Owner {
                    tenant: &bob,
                    version: &one
                },
                &sealed
            ),
            Err(Broken::Seal)
        );
        assert_eq!(
            sealer.open_code(
                Owner {
                    tenant: &acme,
                    version: &two
                },
                &sealed
            ),
            Err(Broken::Seal)
        );
        assert_eq!(
            Sealer::new([9; 32], [2; 32]).open_code(owner, &sealed),
            Err(Broken::Seal)
        );
        assert_eq!(
            Sealer::new([1; 32], [9; 32]).open_code(owner, &sealed),
            Err(Broken::OtherEngine)
        );
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let (acme, _, one, _) = names();
        let sealer = Sealer::new([1; 32], [2; 32]);
        let owner = Owner {
            tenant: &acme,
            version: &one,
        };
        let sealed = sealer.seal_code(owner, b"snapshot", b"code");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 0x40;
            assert_eq!(
                sealer.open_code(owner, &changed),
                Err(Broken::Seal),
                "byte {at}"
            );
            assert_eq!(
                sealer.open_code(owner, &sealed[..at]),
                Err(Broken::Seal),
                "cut at {at}"
            );
        }
        let snapshot = sealer.seal_snapshot(owner, b"component".to_vec());
        assert_eq!(
            sealer.open_snapshot(owner, &snapshot),
            Some(&b"component"[..])
        );
        for at in 0..snapshot.len() {
            let mut changed = snapshot.clone();
            changed[at] ^= 0x40;
            assert_eq!(sealer.open_snapshot(owner, &changed), None, "byte {at}");
        }
    }

    #[test]
    fn a_sealed_snapshot_is_still_a_component() {
        let (acme, _, one, _) = names();
        let empty = b"\0asm\x0d\0\x01\0".to_vec();
        let sealed = Sealer::new([1; 32], [2; 32]).seal_snapshot(
            Owner {
                tenant: &acme,
                version: &one,
            },
            empty,
        );
        wasmparser::Validator::new_with_features(crate::setup::features())
            .validate_all(&sealed)
            .unwrap();
    }
}
