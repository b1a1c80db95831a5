//! `foretell:plugin` 0.1: the three functions of a plugin, in the house's own types.

pub(crate) mod bindings;
mod convert;
mod located;

use foretell_types::Signature;
use foretell_types::compile::{Refusal, Setting};
use foretell_types::run::RunError;
use foretell_types::tensor::Tensor;
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentExportIndex, HasSelf, Instance, InstancePre, Linker, TypedFunc,
};

use self::bindings::exports::foretell::plugin::inference as guest;
use self::located::Located;
use crate::state::CallState;

/// The interface that a plugin exports. The version is that of the track; wasmtime finds any compatible one under it.
pub(crate) const INFERENCE: &str = "foretell:plugin/inference@0.1.0";

/// What `predict` takes.
type Inputs<'a> = (&'a [guest::TensorParam<'a>],);
/// What `predict` returns.
type Outputs = (Located<Result<Vec<guest::TensorResult>, guest::PredictError>>,);

/// A component of the world, linked and ready to be instantiated.
pub(crate) struct Plugin {
    pre: InstancePre<CallState>,
    load: ComponentExportIndex,
    describe: ComponentExportIndex,
    predict: ComponentExportIndex,
}

impl Plugin {
    /// Links the component and finds its functions.
    ///
    /// # Errors
    /// The component is not of the world.
    pub(crate) fn new(component: &Component) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(component.engine());
        bindings::Predictor::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        let pre = linker.instantiate_pre(component)?;
        let interface = component
            .get_export_index(None, INFERENCE)
            .ok_or_else(|| wasmtime::Error::msg(format!("no exported interface `{INFERENCE}`")))?;
        let function = |name: &str| {
            component.get_export(Some(&interface), name).ok_or_else(|| {
                wasmtime::Error::msg(format!("no function `{name}` in `{INFERENCE}`"))
            })
        };
        let (item, predict) = function("predict")?;
        let ComponentItem::ComponentFunc(ty) = item else {
            return Err(wasmtime::Error::msg("`predict` is no function"));
        };
        ty.typecheck::<Inputs<'_>, Outputs>(&pre.instance_type())?;
        Ok(Self {
            load: function("load")?.1,
            describe: function("describe")?.1,
            predict,
            pre,
        })
    }

    /// A new instance in the store.
    pub(crate) fn instantiate(&self, store: &mut Store<CallState>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
    }

    /// Calls `load`. The inner error is the plugin's own, ready to be shown.
    pub(crate) fn load(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        artifact: &[u8],
        settings: &[Setting],
    ) -> wasmtime::Result<Result<(), Refusal>> {
        let settings = convert::settings(settings);
        let function = instance
            .get_typed_func::<(&[u8], &[guest::Setting<'_>]), (Result<(), guest::LoadError>,)>(
                &mut *store,
                &self.load,
            )?;
        let (result,) = function.call(store, (artifact, &settings))?;
        Ok(result.map_err(convert::load_error))
    }

    /// Calls `describe`. The inner error says which tensor of an example is none.
    pub(crate) fn describe(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
    ) -> wasmtime::Result<Result<Signature, String>> {
        let function =
            instance.get_typed_func::<(), (guest::Signature,)>(&mut *store, &self.describe)?;
        let (signature,) = function.call(store, ())?;
        Ok(convert::signature(signature))
    }

    /// Calls `predict`. The inner error is what the plugin answered, or what is wrong with its answer.
    pub(crate) fn predict(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        inputs: &[Tensor],
    ) -> wasmtime::Result<Result<Vec<Tensor>, RunError>> {
        let function = instance
            .get_func(&mut *store, self.predict)
            .ok_or_else(|| wasmtime::Error::msg("no function `predict`"))?;
        // SAFETY: `new` has compared this very export of this very component with these very types. Doing it again for
        // every call, as the safe way does, would cost a third of what the call into the sandbox costs.
        let function = unsafe { TypedFunc::<Inputs<'_>, Outputs>::new_unchecked(function) };
        let inputs: Vec<_> = inputs.iter().map(convert::input).collect();
        let (Located { value, memory },) = function.call(&mut *store, (&inputs,))?;
        store.data_mut().memory = Some(memory);
        Ok(match value {
            Ok(outputs) => convert::outputs(outputs),
            Err(error) => Err(convert::predict_error(error)),
        })
    }
}
