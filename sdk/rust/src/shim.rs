//! What stands between the interface's exports and an author's type: the same in the sandbox and in native tests.

use std::borrow::Cow;

use crate::inputs::{Inputs, Names};
use crate::{LoadError, Outputs, PredictError, Predictor, Settings, Signature, Tensor};

/// A loaded model and what the shim must remember of its signature.
#[derive(Debug)]
pub struct Loaded<M> {
    model: M,
    names: Vec<String>,
}

impl<M: Predictor> Loaded<M> {
    /// Loads the model.
    pub fn load(artifact: Vec<u8>, settings: &Settings) -> Result<Self, LoadError> {
        let loaded = M::load(&artifact, settings);
        drop(artifact);
        let model = loaded?;
        settings.finish()?;
        let inputs = model.describe().inputs;
        let names = crate::together(|| inputs.iter().map(|input| input.name.clone()).collect());
        Ok(Self { model, names })
    }

    /// The author's own type.
    pub const fn model(&self) -> &M {
        &self.model
    }

    /// Describes the model.
    pub fn describe(&self) -> Signature {
        self.model.describe()
    }

    /// Computes one answer in the sandbox, where the model lives as long as the instance.
    pub fn predict(&'static self, inputs: Vec<Tensor>) -> Result<Outputs, PredictError> {
        self.run(inputs, Cow::Borrowed(&self.names))
    }

    /// Computes one answer in a native test, where it does not.
    pub fn predict_in_test(&self, inputs: Vec<Tensor>) -> Result<Outputs, PredictError> {
        self.run(inputs, Cow::Owned(self.names.clone()))
    }

    fn run(&self, inputs: Vec<Tensor>, names: Names) -> Result<Outputs, PredictError> {
        let outputs = self.model.predict(&Inputs::new(inputs, names))?;
        for (index, tensor) in outputs.tensors.iter().enumerate() {
            if let Some(fault) = tensor.fault() {
                return Err(PredictError::failed(format!("output {index}: {fault}")));
            }
        }
        Ok(outputs)
    }
}

/// Exports a predictor from the crate it is called in. Written by `#[predictor]`.
///
/// The model lies in a thread-local, of which a guest has one: no `Send`, no `Sync` and no `unsafe` are needed. It
/// holds a leaked reference, so that reading it is one load, and nothing is ever dropped; the model lives as long as
/// its instance.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($model:ty) => {
        ::std::thread_local! {
            static LOADED: ::std::cell::Cell<
                ::std::option::Option<&'static $crate::__private::Loaded<$model>>,
            > = const { ::std::cell::Cell::new(::std::option::Option::None) };
        }

        struct Plugin;

        impl $crate::__private::wit::Guest for Plugin {
            fn load(
                artifact: ::std::vec::Vec<u8>,
                settings: ::std::vec::Vec<$crate::__private::wit::Setting>,
            ) -> ::std::result::Result<(), $crate::__private::wit::LoadError> {
                let loaded = $crate::__private::load(artifact, settings)?;
                LOADED.set(::std::option::Option::Some(loaded));
                ::std::result::Result::Ok(())
            }

            fn describe() -> $crate::__private::wit::Signature {
                $crate::__private::describe(LOADED.get())
            }

            fn predict(
                inputs: ::std::vec::Vec<$crate::__private::wit::Tensor>,
            ) -> ::std::result::Result<
                ::std::vec::Vec<$crate::__private::wit::Tensor>,
                $crate::__private::wit::PredictError,
            > {
                $crate::__private::predict(LOADED.get(), inputs)
            }
        }

        $crate::__private::bindings::__export_bindings!(
            Plugin with_types_in $crate::__private::bindings
        );
    };
}
