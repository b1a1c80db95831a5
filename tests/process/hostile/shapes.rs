//! Uploads that are made to hurt: small to send, and as much work as they may be for whoever reads or compiles them.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use foretell_engine::testkit::gauntlet::leb128;

use super::guests;

/// Adds bombs to a guest that is otherwise sound, so that nothing but the bomb is a reason to refuse it.
fn bomb(functions: &str) -> Vec<u8> {
    guests::with(functions, 2)
}

/// One function of so many loops.
pub(super) fn loops(count: usize) -> Vec<u8> {
    bomb(&format!("(func {})", "(loop)".repeat(count)))
}

/// One function with so many locals, and as many branches that each set one, in a loop.
pub(super) fn locals_by_branches(count: usize) -> Vec<u8> {
    let mut text = format!(
        "(func (param i32) (local {}) (loop $again ",
        "i32 ".repeat(count)
    );
    for at in 1..=count {
        let _ = write!(
            text,
            "(if (local.get 0) (then (local.set {at} (local.get {}))))",
            at / 2
        );
    }
    bomb(&(text + "(br_if $again (local.get 0))))"))
}

/// So many functions.
pub(super) fn functions(count: usize) -> Vec<u8> {
    bomb(&"(func (result i32) (i32.const 7))\n".repeat(count))
}

/// Blocks in blocks, so deep.
pub(super) fn nested_blocks(depth: usize) -> Vec<u8> {
    bomb(&format!(
        "(func {} {})",
        "block ".repeat(depth),
        "end ".repeat(depth)
    ))
}

/// One jump table of so many entries.
pub(super) fn jump_table(entries: usize) -> Vec<u8> {
    bomb(&format!(
        "(func (param i32) (block (block (br_table {} 1 (local.get 0)))))",
        "0 1 ".repeat(entries / 2)
    ))
}

/// A function of so many additions, one after the other.
pub(super) fn straight_line(additions: usize) -> Vec<u8> {
    bomb(&format!(
        "(func (param i32) (result i32) (local.get 0) {})",
        "(i32.add (local.get 0)) ".repeat(additions)
    ))
}

/// A data segment of so many mebibytes.
pub(super) fn data(mebibytes: usize) -> Vec<u8> {
    let text = "a".repeat(mebibytes << 20);
    let pages = u32::try_from(mebibytes * 16).expect("a few mebibytes") + 4;
    guests::with(&format!("(data (i32.const 131072) \"{text}\")"), pages)
}

/// A table of so many elements to begin with.
pub(super) fn table(elements: usize) -> Vec<u8> {
    bomb(&format!("(table {elements} funcref)"))
}

/// Would grow its table until it gets no more.
pub(super) fn growing_table() -> Vec<u8> {
    guests::with(
        "(table $t 1 funcref) (func
          (loop $more (br_if $more (i32.ne (i32.const -1)
            (table.grow $t (ref.null func) (i32.const 10000)))))
          (unreachable))",
        2,
    )
}

/// A module that needs a feature.
pub(super) fn module(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {text})")).expect("it is valid text")
}

/// A component that imports an interface with one function.
pub(super) fn importing(interface: &str) -> Vec<u8> {
    let text = format!(
        "(component (import \"{interface}\" (instance (export \"get\" (func (result string))))))"
    );
    wat::parse_str(text).expect("it is valid text")
}

/// Bytes with a custom section at the end.
pub(super) fn with_section(mut wasm: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    let name_length = leb128(name.len());
    wasm.push(0);
    wasm.extend(leb128(name_length.len() + name.len() + content.len()));
    wasm.extend(name_length);
    wasm.extend(name.bytes());
    wasm.extend(content);
    wasm
}

/// Every place of one text, by another of the same length.
pub(super) fn replaced(mut wasm: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut found = 0;
    while let Some(at) = wasm.windows(from.len()).position(|bytes| bytes == from) {
        wasm[at..at + to.len()].copy_from_slice(to);
        found += 1;
    }
    assert!(found > 0, "{} is not there", String::from_utf8_lossy(from));
    wasm
}

/// As gzip.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
