//! Signatures for the tests of this protocol.

use foretell_types::signature::{Input, Output, Promises, Role};
use foretell_types::{Datatype, Signature};

/// An input that is no table.
pub(super) fn input(name: &str, datatype: Datatype, shape: &[i32]) -> Input {
    Input {
        name: name.into(),
        doc: String::new(),
        datatype,
        shape: shape.into(),
        columns: vec![],
    }
}

/// A model of these inputs, with the outputs `y` of a datatype and `z` of INT8.
pub(super) fn signature(inputs: Vec<Input>, y: Datatype) -> Signature {
    let output = |name: &str, datatype| Output {
        name: name.into(),
        doc: String::new(),
        datatype,
        shape: vec![-1],
        role: Role::Other,
        classes: vec![],
    };
    Signature {
        doc: String::new(),
        inputs,
        outputs: vec![output("y", y), output("z", Datatype::Int8)],
        examples: vec![],
        promises: Promises::default(),
    }
}
