//! A result together with the place of the memory that it came from.
//!
//! The component model hides an instance's memory, and rightly so; but its end costs what pages are mapped in it (see
//! [`crate::wear`]), and only who knows where it lies can do something about that. The one to know is whoever lifts a
//! value out of it. The traits are meant to be derived, so this relies on details of the one version of wasmtime that the
//! workspace pins.

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Lift};

use crate::wear::Memory;

/// What was lifted, and from where.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) memory: Memory,
}

impl<T> Located<T> {
    fn new(cx: &LiftContext<'_>, value: T) -> Self {
        let memory = Memory::of(cx.memory());
        Self { value, memory }
    }
}

// SAFETY: everything that describes the type's shape is that of `T`.
unsafe impl<T: ComponentType> ComponentType for Located<T> {
    type Lower = T::Lower;

    const ABI: CanonicalAbiInfo = T::ABI;
    const IS_RUST_UNIT_TYPE: bool = T::IS_RUST_UNIT_TYPE;
    const MAY_REQUIRE_REALLOC: bool = T::MAY_REQUIRE_REALLOC;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        T::typecheck(ty, types)
    }
}

// SAFETY: lifts a `T`, which has the same shape, and reads nothing else.
unsafe impl<T: Lift> Lift for Located<T> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> wasmtime::Result<Self> {
        let value = T::linear_lift_from_flat(cx, ty, src)?;
        Ok(Self::new(cx, value))
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> wasmtime::Result<Self> {
        let value = T::linear_lift_from_memory(cx, ty, bytes)?;
        Ok(Self::new(cx, value))
    }
}
