//! Recordings: what was asked and what was answered, kept for tenants that want it, to be looked at and run again.
//!
//! Nothing is kept unless a tenant's owner asks for it. What is kept is sealed under a key of the person whom the prediction is
//! about (the caller says who that is, and a keyed hash stands for it), and that key under the host's own: whoever reads the
//! database alone reads nothing, and with a person's key all that was kept of it is gone.
//!
//! A prediction leaves a copy of its inputs and outputs as bytes and goes; they are sealed and written by whoever writes the
//! records ([`Evidence`](crate::Evidence)), after these. What waits is bounded. The hazard contained here is an input that
//! lies somewhere in clear, or under a key that was erased.

mod codec;
mod recorder;
mod sealed;

pub use codec::Content;
pub(crate) use codec::same;
pub(crate) use recorder::{Complete, Draft, NoRoom};
pub use recorder::{Recorded, Recorder};
pub use sealed::Changed;
