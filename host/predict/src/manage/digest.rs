//! What a version is, in 32 bytes.

use foretell_types::{Digest, PluginDigest, VersionDigest};
use sha2::{Digest as _, Sha256};

/// SHA-256 over plugin, artifact, canonical settings and canonical runtime, each with its length before it, so that no
/// two different versions write the same bytes.
pub(super) fn version(
    plugin: PluginDigest,
    artifact: Option<Digest>,
    settings: &str,
    runtime: &str,
) -> VersionDigest {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(b"foretell version 1");
    field(plugin.0.as_bytes());
    field(
        artifact
            .as_ref()
            .map_or(&[][..], |digest| &digest.as_bytes()[..]),
    );
    field(settings.as_bytes());
    field(runtime.as_bytes());
    VersionDigest(Digest::from_bytes(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_version_shows_in_its_digest() {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        let base = version(PluginDigest(digest(1)), None, "{}", "{}");
        let others = [
            version(PluginDigest(digest(2)), None, "{}", "{}"),
            version(PluginDigest(digest(1)), Some(digest(1)), "{}", "{}"),
            version(PluginDigest(digest(1)), None, r#"{"a":1}"#, "{}"),
            version(PluginDigest(digest(1)), None, "{}", r#"{"a":1}"#),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, base, "{index}");
        }
        assert_ne!(others[2], others[3]);
    }
}
