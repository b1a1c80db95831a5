//! The fuzz targets over their seeds: what once broke a promise does so no more.

use foretell_engine::testkit;

#[path = "../fuzz/targets.rs"]
#[expect(unreachable_pub, reason = "the same file is a library for the fuzzer")]
pub(crate) mod targets;

#[track_caller]
fn replay(name: &str, target: fn(&[u8])) {
    let folder = foretell_tests::built::root()
        .join("tests/fuzz/corpus")
        .join(name);
    let seeds = foretell_tests::host::files(&folder);
    assert!(!seeds.is_empty(), "no seeds of {name}");
    for (seed, _) in seeds {
        target(&std::fs::read(seed).unwrap());
    }
}

#[test]
fn bodies_of_tensors_are_refused_or_fit() {
    replay("json_tensor", targets::json_tensor);
}

#[test]
fn bodies_of_raw_tensors_are_refused_or_fit() {
    replay("binary_tensor", targets::binary_tensor);
}

#[test]
fn records_are_refused_or_fit() {
    replay("record", targets::record);
}

#[test]
fn names_ids_and_keys_are_refused_or_harmless() {
    replay("names", targets::names);
}

#[test]
fn uploads_are_refused_or_admitted_for_good() {
    replay("admission", targets::admission);
    for upload in [testkit::echo(), testkit::chameleon_module()] {
        targets::admission(&upload);
    }
}
