//! Generated from `wit/v0.1`: typed, so that a list of numbers crosses as one copy.
#![allow(unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit/v0.1",
    world: "predictor",
    imports: { default: trappable },
    ownership: Borrowing { duplicate_if_necessary: true },
});
