//! Writing and building plugins: what `foretell plugin new` and `foretell plugin build` do.
//!
//! Nothing here talks to a server or runs a plugin. A plugin is built by cargo for `wasm32-unknown-unknown`, which has
//! no system interface at all, and wrapped into a component of the world `foretell:plugin/predictor`.

pub mod build;
pub mod new;
pub mod toolchain;

/// Takes a line that says what is being done. It is called rarely, from the calling thread.
pub type Progress<'a> = &'a dyn Fn(&str);
