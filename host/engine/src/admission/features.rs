//! Is it valid WebAssembly, and does it use no more of it than plugins may?

use foretell_types::compile::{Refusal, RefusalCode};
use wasmparser::{Validator, WasmFeatures};

use super::{damaged, shown};
use crate::setup;

/// What plugins may not use, by the name of its proposal, and how authors most often came to use it.
const REFUSED: [(WasmFeatures, &str, &str); 13] = [
    (
        WasmFeatures::THREADS,
        "threads",
        "build without `atomics` and shared memory",
    ),
    (
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        "shared-everything-threads",
        "build without it",
    ),
    (WasmFeatures::MEMORY64, "memory64", "build for wasm32"),
    (
        WasmFeatures::GC,
        "gc",
        "languages that need the collector of the engine are not supported",
    ),
    (
        WasmFeatures::GC_TYPES,
        "externref",
        "a plugin gets nothing from the host to refer to; keep numbers or indices instead",
    ),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "function-references",
        "build without it",
    ),
    (
        WasmFeatures::EXCEPTIONS,
        "exceptions",
        "build with `panic = \"abort\"`, or without C++ exceptions",
    ),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "legacy-exceptions",
        "build without C++ exceptions",
    ),
    (
        WasmFeatures::RELAXED_SIMD,
        "relaxed-simd",
        "build without `relaxed-simd` (`simd128` is allowed): its answers depend on the CPU",
    ),
    (
        WasmFeatures::MULTI_MEMORY,
        "multi-memory",
        "build with one memory for each module",
    ),
    (
        WasmFeatures::TAIL_CALL,
        "tail-call",
        "build without `tail-call`",
    ),
    (
        WasmFeatures::WIDE_ARITHMETIC,
        "wide-arithmetic",
        "build without `wide-arithmetic`",
    ),
    (
        WasmFeatures::CM_ASYNC,
        "component-model-async",
        "build the component without async functions",
    ),
];

/// # Errors
/// Every refused feature that it uses, or what is wrong with it.
pub(super) fn check(bytes: &[u8]) -> Result<(), Vec<Refusal>> {
    let valid = |features| {
        Validator::new_with_features(features)
            .validate_all(bytes)
            .map(|_| ())
    };
    let allowed = setup::features();
    let Err(error) = valid(allowed) else {
        return Ok(());
    };
    let known = REFUSED
        .iter()
        .fold(allowed, |features, (feature, ..)| features | *feature);
    if let Err(error) = valid(known) {
        return Err(damaged(&error));
    }
    let refusals: Vec<_> = REFUSED
        .iter()
        .filter(|(feature, ..)| valid(known - *feature).is_err())
        .map(|(_, name, advice)| {
            Refusal::new(
                RefusalCode::TooComplex,
                *name,
                format!("it uses {name}, which plugins may not; {advice}"),
            )
        })
        .collect();
    if refusals.is_empty() {
        // Two features stand for each other here; the validator's own words name the first.
        let message = format!("it uses what plugins may not: {}", shown(error.message()));
        return Err(vec![Refusal::new(
            RefusalCode::TooComplex,
            "plugin",
            message,
        )]);
    }
    Err(refusals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wat: &str) -> Vec<String> {
        let refusals = check(&wat::parse_str(wat).unwrap())
            .err()
            .unwrap_or_default();
        refusals
            .into_iter()
            .map(|refusal| refusal.subject)
            .collect()
    }

    #[test]
    fn each_feature_that_is_off_is_refused_by_its_name() {
        let cases = [
            ("(module (memory 1 1 shared))", "threads"),
            ("(module (memory i64 1))", "memory64"),
            ("(module (memory 1) (memory 1))", "multi-memory"),
            ("(module (tag))", "exceptions"),
            ("(module (func return_call 0))", "tail-call"),
            (
                "(module (func (result externref) (ref.null extern)))",
                "externref",
            ),
            ("(module (table 1 externref))", "externref"),
            (
                "(module (func (param v128 v128 v128) (result v128)
                    (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2))))",
                "relaxed-simd",
            ),
        ];
        for (wat, name) in cases {
            assert_eq!(names(wat), [name], "{wat}");
        }
        // What the collector keeps is referred to.
        assert_eq!(names("(module (type (struct)))"), ["gc", "externref"]);
        let both = "(module (memory 1 1 shared) (func return_call 0))";
        assert_eq!(names(both), ["threads", "tail-call"]);
    }

    #[test]
    fn what_real_plugins_use_is_accepted() {
        let wat = r#"(module
            (memory 1)
            (func (param v128) (result v128 i32) (v128.not (local.get 0)) (i32.extend8_s (i32.const 1)))
            (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 8)))
            (table 1 funcref)
            (func (drop (table.get (i32.const 0))) (table.set (i32.const 0) (ref.null func)))
            (func (param f32) (result i32) (i32.trunc_sat_f32_s (local.get 0))))"#;
        assert_eq!(names(wat), Vec::<String>::new());
    }

    #[test]
    fn every_truncation_is_noticed() {
        let whole =
            wat::parse_str("(module (memory 1) (func (export \"f\") (result i32) (i32.const 1)))")
                .unwrap();
        for cut in 9..whole.len() {
            // A cut between two sections is a shorter module: it may be valid, and is then of no world.
            let Err(refusals) = check(&whole[..cut]) else {
                continue;
            };
            assert_eq!(
                refusals[0].code,
                RefusalCode::NotWasm,
                "cut at {cut}: {refusals:?}"
            );
        }
    }
}
