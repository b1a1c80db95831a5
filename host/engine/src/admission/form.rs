//! What a file is, told by its first bytes.

use foretell_types::compile::{Refusal, RefusalCode};
use wasmparser::Parser;

/// Accepts what begins like WebAssembly.
///
/// # Errors
/// What it is instead, and what to upload.
pub(crate) fn sniff(bytes: &[u8]) -> Result<(), Refusal> {
    if Parser::is_component(bytes) || Parser::is_core_wasm(bytes) {
        return Ok(());
    }
    let refuse = |message: &str| Err(Refusal::new(RefusalCode::NotWasm, "plugin", message));
    match bytes {
        [] => refuse("the file is empty; upload the .wasm that the build made"),
        // Wasmtime marks its compiled code with an operating system of its own.
        [0x7f, b'E', b'L', b'F', _, _, _, 200, ..] => refuse(
            "it is compiled code (.cwasm), which is never accepted; upload the .wasm that it was compiled from",
        ),
        [0x7f, b'E', b'L', b'F', ..] => refuse(
            "it is a native program (ELF); build the plugin for wasm32-unknown-unknown and upload the .wasm",
        ),
        [0x1f, 0x8b, ..] => refuse("it is compressed (gzip); upload the .wasm within"),
        [b'P', b'K', 3, 4, ..] => refuse("it is an archive (zip); upload the .wasm within"),
        [0, b'a', b's', b'm', version @ ..] if version.len() < 4 => {
            refuse("the file ends too early: it is truncated")
        }
        [0, b'a', b's', b'm', ..] => {
            refuse("its WebAssembly version is unknown; upload a core module or a component")
        }
        _ if b"\0asm".starts_with(bytes) => refuse("the file ends too early: it is truncated"),
        [b'(', ..] => {
            refuse("it is WebAssembly text; convert it first, such as with `wasm-tools parse`")
        }
        _ if std::str::from_utf8(bytes.get(..64).unwrap_or(bytes)).is_ok() => {
            refuse("it is text, not WebAssembly; upload the .wasm that the build made")
        }
        _ => refuse("it is not WebAssembly; upload the .wasm that the build made"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_wasm_is_told_what_it_is() {
        let cases: [(&[u8], &str); 10] = [
            (b"", "empty"),
            (b"\x7fELF\x02\x01\x01\xc8rest", ".cwasm"),
            (b"\x7fELF\x02\x01\x01\x00rest", "native program"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"PK\x03\x04", "zip"),
            (b"\0as", "truncated"),
            (b"\0asm\x01", "truncated"),
            (b"\0asm\x07\0\0\0", "version is unknown"),
            (b"(module)", "WebAssembly text"),
            (b"{\"a\": 1}", "it is text"),
        ];
        for (bytes, expected) in cases {
            let refusal = sniff(bytes).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::NotWasm);
            assert!(
                refusal.message.contains(expected),
                "{bytes:?}: {}",
                refusal.message
            );
        }
        assert!(sniff(b"\0asm\x01\0\0\0").is_ok());
        assert!(sniff(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
