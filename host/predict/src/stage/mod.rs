//! The stages of a prediction, one file each, in the order in which they are passed.
//!
//! `reserve` (quota and credits) and `record` (audit) are not here yet: they come with the features that they serve,
//! between `recall` and `run`, and around all.

pub(crate) mod admit;
pub(crate) mod bearer;
pub(crate) mod check;
pub(crate) mod identify;
pub(crate) mod once;
pub(crate) mod recall;
pub(crate) mod reserve;
pub(crate) mod resolve;
pub(crate) mod run;
pub(crate) mod settle;
pub(crate) mod suspend;
