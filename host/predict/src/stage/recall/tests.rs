use std::collections::HashMap;

use foretell_types::Datatype;
use foretell_types::signature::{Input, NamedTensor};
use foretell_types::tensor::Blobs;

use super::*;
use crate::registry::testing::target;

/// The key of one question: a tensor of this shape and these elements.
fn key(tenant: &str, digest: u8, shape: &[u32], elements: Elements) -> Key {
    let input = Input {
        name: "x".into(),
        doc: String::new(),
        datatype: elements.datatype(),
        shape: vec![-1; shape.len()],
        columns: vec![],
    };
    let target = target(tenant, digest, vec![input]);
    let tensor = Tensor::new(shape.to_vec(), elements).unwrap();
    let name = "x".into();
    let checked = target.signature.check(vec![NamedTensor { name, tensor }]);
    key_of(&[7; 32], &target, &checked.unwrap())
}

fn texts(texts: &[&str]) -> Elements {
    let mut blobs = Blobs::default();
    assert!(texts.iter().all(|text| blobs.push(text.as_bytes())));
    Elements::Bytes(blobs)
}

#[test]
fn whatever_a_plugin_can_tell_apart_has_a_key_of_its_own() {
    let reals = |values: &[f64]| Elements::Fp64(values.to_vec());
    let nan = |bits| reals(&[f64::from_bits(bits)]);
    // Longer than a block, and different in its first and its last element.
    let long = |at: usize| {
        let mut values = vec![1.0; 1_000];
        values[at] = 2.0;
        reals(&values)
    };
    let questions = [
        ("a", 1, vec![1], reals(&[1.0])),
        ("b", 1, vec![1], reals(&[1.0])),
        ("a", 2, vec![1], reals(&[1.0])),
        ("a", 1, vec![1, 1], reals(&[1.0])),
        ("a", 1, vec![1], reals(&[0.0])),
        ("a", 1, vec![1], reals(&[-0.0])),
        ("a", 1, vec![1], nan(0x7ff8_0000_0000_0000)),
        ("a", 1, vec![1], nan(0x7ff8_0000_0000_0001)),
        ("a", 1, vec![1], nan(0xfff8_0000_0000_0000)),
        // The same bits under other datatypes.
        ("a", 1, vec![1], Elements::Uint64(vec![1.0_f64.to_bits()])),
        (
            "a",
            1,
            vec![1],
            Elements::Int64(vec![1.0_f64.to_bits() as i64]),
        ),
        ("a", 1, vec![1], Elements::Fp16(vec![1])),
        ("a", 1, vec![1], Elements::Bf16(vec![1])),
        ("a", 1, vec![1], Elements::Uint16(vec![1])),
        ("a", 1, vec![1], Elements::Bool(vec![1])),
        ("a", 1, vec![1], Elements::Uint8(vec![1])),
        ("a", 1, vec![2], reals(&[1.0, 2.0])),
        ("a", 1, vec![2], reals(&[2.0, 1.0])),
        ("a", 1, vec![1, 2], reals(&[1.0, 2.0])),
        ("a", 1, vec![2, 1], reals(&[1.0, 2.0])),
        ("a", 1, vec![1_000], long(0)),
        ("a", 1, vec![1_000], long(128)),
        ("a", 1, vec![1_000], long(999)),
        ("a", 1, vec![2], texts(&["ab", "c"])),
        ("a", 1, vec![2], texts(&["a", "bc"])),
        ("a", 1, vec![2], texts(&["", "abc"])),
        ("a", 1, vec![1], texts(&["abc"])),
    ];
    let mut seen = HashMap::new();
    for (at, (tenant, digest, shape, elements)) in questions.iter().enumerate() {
        let key = key(tenant, *digest, shape, elements.clone());
        assert_eq!(key, self::key(tenant, *digest, shape, elements.clone()));
        if let Some(other) = seen.insert(key, at) {
            panic!("{:?} and {:?}", questions[other], questions[at]);
        }
    }
}

#[test]
fn two_inputs_do_not_run_into_each_other() {
    let input = |name: &str| Input {
        name: name.into(),
        doc: String::new(),
        datatype: Datatype::Uint8,
        shape: vec![-1],
        columns: vec![],
    };
    // The rows of inputs agree, so what could run together is the bytes: `input` has no columns here.
    let target = target("a", 1, vec![input("x"), input("y")]);
    let key = |x: &[u8], y: &[u8]| {
        let tensor = |name: &str, values: &[u8]| NamedTensor {
            name: name.into(),
            tensor: Tensor::new(vec![values.len() as u32], Elements::Uint8(values.to_vec()))
                .unwrap(),
        };
        let checked = target.signature.check(vec![tensor("x", x), tensor("y", y)]);
        key_of(&[7; 32], &target, &checked.unwrap())
    };
    assert_eq!(key(&[1, 2], &[3, 4]), key(&[1, 2], &[3, 4]));
    assert_ne!(key(&[1, 2], &[3, 4]), key(&[3, 4], &[1, 2]));
    assert_ne!(key(&[1, 1], &[1, 2]), key(&[1, 2], &[1, 1]));
}

#[test]
fn only_a_deterministic_version_that_is_not_excepted_is_kept() {
    for (deterministic, cache, kept) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
        (false, false, false),
    ] {
        let mut target = target("a", 1, vec![]);
        target.signature.promises.deterministic = deterministic;
        target.runtime.cache = cache;
        assert_eq!(may_be_kept(&target), kept, "{deterministic} {cache}");
    }
}
