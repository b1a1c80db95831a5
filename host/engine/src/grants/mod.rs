//! Imports that a plugin may be granted. Deny is the default: what is not here is refused at upload, by name.

pub(crate) mod log;
