//! Reading JSON from bytes that a stranger sent, and writing tensors.

mod decimal;
mod leaves;
mod reader;
mod values;
pub(crate) mod write;

pub(crate) use leaves::{Leaf, Nested, read_nested};
pub(crate) use reader::{Fault, Mark, Reader};
pub(crate) use values::{read_record, read_record_without};
