//! The artifact container that the first-party plugin families share.
//!
//! An artifact says everything about a model: its columns, classes, documentation and self-test, which are the same for
//! every family and are read here, and then the weights, which each family reads for itself. So a new model of a family
//! needs a new artifact and no new code. `plugins/README.md` describes the format to the byte.
//!
//! Artifacts come from strangers: every count is held against the bytes that are left before anything is allocated,
//! every index is checked, and each refusal says what is wrong and at which byte.

mod answer;
mod model;
mod reader;
#[cfg(feature = "testing")]
pub mod testing;

pub use answer::Answer;
pub use model::{Model, open};
pub use reader::{Fault, Reader};
