//! Write prediction models for Foretell in Rust.
//!
//! A model is a type, an attribute and three functions, of ordinary Rust types. In a build for WebAssembly the attribute
//! exports them from the plugin; natively nothing is added, and the same type runs in unit tests through [`harness`].
//!
//! ```
//! use foretell_sdk::prelude::*;
//!
//! /// The distance of each point from a centre, and whether it is near.
//! pub struct Distance {
//!     centre: [f64; 2],
//!     near: f64,
//! }
//!
//! #[predictor]
//! impl Predictor for Distance {
//!     // Once, at upload. The artifact is the weights: here two numbers of eight bytes.
//!     fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
//!         let near = settings.real("near").between(0.0, 1e6).or(1.0)?;
//!         let (numbers, rest) = artifact.as_chunks::<8>();
//!         match (numbers, rest) {
//!             ([x, y], []) => Ok(Self {
//!                 centre: [f64::from_le_bytes(*x), f64::from_le_bytes(*y)],
//!                 near,
//!             }),
//!             _ => Err(LoadError::bad_artifact("must be two FP64, little-endian: 16 bytes")),
//!         }
//!     }
//!
//!     // What callers read, and what the host checks before it calls `predict`.
//!     fn describe(&self) -> Signature {
//!         let [x, y] = self.centre;
//!         Signature::new("How far points are from a centre.")
//!             .input(Input::table(
//!                 "point",
//!                 Datatype::Fp64,
//!                 [Column::real("x"), Column::real("y").doc("to the north")],
//!             ))
//!             .output(Output::prediction("distance", Datatype::Fp64, &[ANY]))
//!             .output(Output::label("label", Datatype::Uint32, &[ANY], ["far", "near"]))
//!             .example(
//!                 Example::new("the centre itself")
//!                     .input(Tensor::table(2, [x, y]))
//!                     .output(Tensor::vector([0.0]))
//!                     .output(Tensor::vector([1_u32])),
//!             )
//!             .deterministic()
//!             .independent_rows()
//!     }
//!
//!     // For every call, with one row or many. Nothing is copied: rows are borrowed, vectors are moved.
//!     fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
//!         let [x, y] = self.centre;
//!         let points = inputs.arrays::<f64, 2>("point")?;
//!         let distances: Vec<f64> = points.iter().map(|p| (p[0] - x).hypot(p[1] - y)).collect();
//!         let labels: Vec<u32> = distances.iter().map(|d| u32::from(*d <= self.near)).collect();
//!         Ok(Outputs::new().vector(distances).vector(labels))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Natively, as in a unit test:
//! let artifact = [0.0_f64.to_le_bytes(), 1.0_f64.to_le_bytes()].concat();
//! let model = foretell_sdk::harness::load::<Distance>(&artifact, Settings::new([("near", 4.9)]))?;
//! model.check()?;
//! let answer = model.predict([Tensor::table(2, [3.0, 5.0, 0.0, 0.0])])?;
//! assert_eq!(answer.slice::<f64>("distance")?, [5.0, 1.0]);
//! assert_eq!(answer.slice::<u32>("label")?, [0, 1]);
//! # Ok(()) }
//! ```
//!
//! `foretell plugin new` writes a crate to begin with, and `docs/PLUGINS.md` tells the rest: limits, snapshots, what is
//! refused and why.
//!
//! # What stays as it is
//!
//! Everything public here but `__private` and `__export` keeps its name and meaning through 0.1; new functions may come.
//! The crate must be named `foretell_sdk` where it is used: the attribute writes that path.

mod bindings;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
mod inputs;
pub mod log;
mod memory;
mod outputs;
mod settings;
mod shim;
mod signature;
mod tensor;

pub use error::{InputFault, LoadError, PredictError};
pub use foretell_sdk_macros::predictor;
pub use inputs::{Inputs, Key, Rows};
pub use memory::together;
pub use outputs::Outputs;
pub use settings::{Setting, SettingValue, Settings, Value};
pub use signature::{
    ANY, Bounds, Column, Domain, Example, Input, Output, Promises, Role, Signature, Vocabulary,
};
pub use tensor::{ByteStrings, Datatype, Element, Tensor, Values};

/// Everything that a model needs: `use foretell_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::log;
    pub use crate::{
        ANY, Bounds, ByteStrings, Column, Datatype, Domain, Element, Example, Input, Inputs,
        LoadError, Output, Outputs, PredictError, Predictor, Promises, Role, Rows, SettingValue,
        Settings, Signature, Tensor, Values, Vocabulary, predictor, together,
    };
}

/// A prediction model.
///
/// Implement it for one type of your crate, under the attribute [`macro@predictor`], which exports it from the plugin.
pub trait Predictor: Sized + 'static {
    /// Prepares the model from its weights and settings. Runs once, at upload; the host keeps a snapshot of memory
    /// taken right after it, so that no prediction pays for what is done here.
    ///
    /// `artifact` is empty where the version has none. Its memory is zeroed and freed when this returns.
    ///
    /// # Errors
    /// Refuses the upload; the text is shown to the uploader.
    fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError>;

    /// Describes the loaded model; the same whenever it is called.
    fn describe(&self) -> Signature;

    /// Computes one answer: all outputs, in signature order. The inputs are as the signature declares them.
    ///
    /// # Errors
    /// [`PredictError::bad_input`] if the caller is at fault, [`PredictError::failed`] if the model is.
    fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError>;
}

/// What `#[predictor]` writes calls to. Not for you: it may change with any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::wit;
    pub use crate::shim::Loaded;
    use crate::{PredictError, Predictor};

    /// Where the exporting macro finds what it names.
    pub mod bindings {
        pub use crate::bindings::{__export_bindings, exports};
    }

    /// The export `load`.
    pub fn load<M: Predictor>(
        artifact: Vec<u8>,
        settings: Vec<wit::Setting>,
    ) -> Result<&'static Loaded<M>, wit::LoadError> {
        let loaded = Loaded::load(artifact, &settings.into())?;
        let loaded = crate::memory::kept(loaded);
        crate::memory::loaded();
        Ok(loaded)
    }

    /// The export `describe`. The host calls it after `load` only; another order is a trap.
    pub fn describe<M: Predictor>(loaded: Option<&'static Loaded<M>>) -> wit::Signature {
        match loaded {
            Some(loaded) => loaded.describe().into(),
            None => panic!("describe was called before load"),
        }
    }

    /// The export `predict`.
    pub fn predict<M: Predictor>(
        loaded: Option<&'static Loaded<M>>,
        inputs: Vec<wit::Tensor>,
    ) -> Result<Vec<wit::Tensor>, wit::PredictError> {
        let Some(loaded) = loaded else {
            return Err(PredictError::failed("predict was called before load"))?;
        };
        let inputs = inputs.into_iter().map(Into::into).collect();
        let outputs = loaded.predict(inputs)?;
        Ok(outputs.tensors.into_iter().map(Into::into).collect())
    }
}
