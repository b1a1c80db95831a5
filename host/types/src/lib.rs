//! The words of Foretell: what every part of the house agrees on.
//!
//! No I/O, no async runtime, no transport and no database; everything else may depend on this crate and it depends on
//! nothing of ours. Serde appears on [`signature::Signature`] alone, because its JSON form is a stored shape.
//!
//! Parsed once, at the edge: a [`ModelName`] or a [`Tensor`] that exists is valid, so nothing further in asks again.

pub mod blob;
pub mod compile;
pub mod digest;
pub mod id;
pub mod kind;
pub mod record;
pub mod role;
pub mod run;
pub mod scope;
pub mod signature;
pub mod tensor;
mod text;

pub use digest::{Digest, PluginDigest, VersionDigest};
pub use id::{KeyId, ModelName, ModelVersion, NameError, RequestId, TenantId, UserId, UserName};
pub use kind::ErrorKind;
pub use role::Role;
pub use scope::{Scope, Scopes};
pub use signature::{Mismatch, Signature};
pub use tensor::{Datatype, Elements, Tensor};
