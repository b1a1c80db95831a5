//! The plugin interface, by version. A new track of the WIT is a new folder beside `v0_1`; the one place that chooses
//! between them is [`crate::load`].

pub(crate) mod v0_1;
