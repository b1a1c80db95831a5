//! Guests from the engine's kit: small enough that a push is quick, and with every bad manner.
//!
//! All take one input `x` and give one output `y`, both FP64 `[-1]`.

use foretell_engine::testkit;
pub use foretell_engine::testkit::{
    ELEMENTS_OUT_OF_MEMORY, ELEMENTS_THAT_LOOP, LoadMisdeed, Misdeed, four_gib, guest,
    loops_at_start, many_loops,
};
use serde_json::{Value, json};

use crate::Parts;

/// A guest that does as it should: `y` is `x`.
pub fn honest() -> Parts {
    Parts::plugin(testkit::echo())
}

/// A guest that does what the first element of `x` tells it: [`Misdeed`].
pub fn chameleon() -> Parts {
    Parts::plugin(testkit::chameleon())
}

/// A guest that misbehaves before it is ready.
pub fn hostile_at_load(misdeed: LoadMisdeed) -> Parts {
    Parts {
        artifact: Some(misdeed.artifact()),
        ..chameleon()
    }
}

/// A `/v2` inference request for these guests.
pub fn infer_request(x: &[f64]) -> Value {
    json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [x.len()], "data": x}]})
}
