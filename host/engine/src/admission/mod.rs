//! What an upload must be before anything is run or compiled: a component of our world, of bounded structure, using no
//! more of WebAssembly than plugins may.
//!
//! No engine is needed and time is linear in the upload. Everything wrong is named, one refusal each, so that an author
//! repairs an upload in one round; only what cannot be read at all ends the search. This is the first, cheap filter. The
//! wall is the worker that it runs in.

mod features;
mod form;
mod structure;
mod world;

use foretell_types::compile::{Refusal, RefusalCode};

pub(crate) use form::sniff;

use crate::config::StructureLimits;

/// The world that guests of the test kit are of.
#[cfg(feature = "testkit")]
#[expect(clippy::unwrap_used, reason = "test support: the WIT is constant")]
pub(crate) fn world_of_this_server() -> (wit_parser::Resolve, wit_parser::WorldId) {
    world::parse_world(world::VERSION).unwrap()
}

/// Names in one refusal list, at most: a hostile upload can have millions.
const MAX_NAMED: usize = 32;

/// Checks an upload, and makes a component of it where it is a core module.
///
/// # Errors
/// Every reason found.
pub(crate) fn admit(
    upload: Vec<u8>,
    limits: &StructureLimits,
    memory_bytes: u64,
) -> Result<Vec<u8>, Vec<Refusal>> {
    sniff(&upload).map_err(|refusal| vec![refusal])?;
    features::check(&upload)?;
    structure::check(&upload, limits, memory_bytes)?;
    let component = if wasmparser::Parser::is_core_wasm(&upload) {
        world::componentise(&upload)?
    } else {
        upload
    };
    world::check(&component)?;
    Ok(component)
}

/// A text from an upload, safe to show: escaped, and cut to 200 characters.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(200).collect();
    let ellipsis = if text.chars().nth(200).is_some() {
        "…"
    } else {
        ""
    };
    format!("{}{ellipsis}", cut.escape_debug())
}

/// `a`, `b` and so on, a few of them.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names
        .take(11)
        .map(|name| format!("`{}`", shown(name)))
        .collect();
    match names.len() {
        0 => "none".to_owned(),
        11 => format!("{}, …", names.get(..10).unwrap_or_default().join(", ")),
        _ => names.join(", "),
    }
}

fn damaged(error: &wasmparser::Error) -> Vec<Refusal> {
    let (message, at) = (error.message(), error.offset());
    // Limits of WebAssembly itself, or of its implementations: the parser has no kinds of errors, only words.
    let beyond = ["limit", "maximum", "too many", "too deep"];
    let (code, message) = if message.contains("unexpected end") {
        (
            RefusalCode::NotWasm,
            format!("the file ends too early (at byte {at}): it is truncated"),
        )
    } else if beyond.iter().any(|word| message.contains(word)) {
        (
            RefusalCode::TooComplex,
            format!(
                "it has more than any plugin may: {} (at byte {at})",
                shown(message)
            ),
        )
    } else {
        (
            RefusalCode::NotWasm,
            format!("it is damaged: {} (at byte {at})", shown(message)),
        )
    };
    vec![Refusal::new(code, "plugin", message)]
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use super::*;
    use crate::testkit;

    fn admitted(upload: Vec<u8>) -> Result<Vec<u8>, Vec<Refusal>> {
        admit(upload, &StructureLimits::default(), 64 << 20)
    }

    #[test]
    fn a_component_passes_as_it_is_and_a_module_becomes_one() {
        assert_eq!(admitted(testkit::echo()).unwrap(), testkit::echo());
        assert_eq!(
            admitted(testkit::chameleon_module()).unwrap(),
            testkit::chameleon()
        );
    }

    #[test]
    fn a_plugin_of_a_later_patch_of_the_interface_is_accepted() {
        let text = |wasm: Vec<u8>| String::from_utf8_lossy(&wasm).matches("@0.1.0").count();
        assert!(text(testkit::echo()) > 0);
        let mut later = testkit::echo();
        while let Some(at) = later.windows(6).position(|bytes| bytes == b"@0.1.0") {
            later[at + 5] = b'7';
        }
        admitted(later).unwrap();
    }

    #[test]
    fn damaged_uploads_are_refused_or_valid_and_never_a_panic() {
        let whole = testkit::chameleon();
        for round in 0..2_000_usize {
            let mut damaged = whole.clone();
            let at = round * 7_919 % damaged.len();
            damaged[at] ^= 1 << (round % 8);
            if let Err(refusals) = admitted(damaged) {
                assert!(!refusals.is_empty(), "bit {round}");
            }
        }
        // A cut before a custom section at the end leaves the same plugin without that section.
        let accepted = (0..whole.len()).filter(|cut| admitted(whole[..*cut].to_vec()).is_ok());
        assert!(accepted.count() <= 2);
    }
}
