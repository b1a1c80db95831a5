//! Write prediction models for Foretell in Rust.
//!
//! A model is a type, an attribute and three functions:
//!
//! ```
//! use foretell_sdk::prelude::*;
//!
//! /// Multiplies by a factor.
//! pub struct Scaler {
//!     factor: f64,
//! }
//!
//! #[predictor]
//! impl Predictor for Scaler {
//!     fn load(_artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
//!         let factor = settings.real("factor").or(2.0)?;
//!         Ok(Self { factor })
//!     }
//!
//!     fn describe(&self) -> Signature {
//!         Signature::new("Multiplies numbers by a factor.")
//!             .input(Input::tensor("x", Datatype::Fp64, &[ANY]))
//!             .output(Output::prediction("y", Datatype::Fp64, &[ANY]))
//!             .example(
//!                 Example::new("zero stays zero")
//!                     .input(Tensor::vector([0.0]))
//!                     .output(Tensor::vector([0.0])),
//!             )
//!             .deterministic()
//!             .independent_rows()
//!     }
//!
//!     fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
//!         let x = inputs.slice::<f64>("x")?;
//!         let y: Vec<f64> = x.iter().map(|x| x * self.factor).collect();
//!         Ok(Outputs::new().vector(y))
//!     }
//! }
//! ```

mod bindings;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
mod inputs;
pub mod log;
mod outputs;
mod settings;
mod shim;
mod signature;
mod tensor;

pub use error::{InputFault, LoadError, PredictError};
pub use foretell_sdk_macros::predictor;
pub use inputs::{Inputs, Key, Rows};
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
        Settings, Signature, Tensor, Values, Vocabulary, predictor,
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
        Ok(Box::leak(Box::new(loaded)))
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
