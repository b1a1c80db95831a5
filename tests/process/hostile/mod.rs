//! The hostile table: every attack against a server of its own process, while a neighbour is served.
//!
//! Each attack measures the neighbour quiet, then while the attack runs, and leaves a row: what was thrown, what came back,
//! what the neighbour felt, what the server has in memory. What must hold is asserted: no failure of the neighbour, the
//! same process, no panic, nothing but the answers that are meant. Times are shown and not asserted: they are the
//! machine's as much as the server's.

pub(crate) mod guests;
mod predictions;
pub(crate) mod rows;
mod secrets;
mod shapes;
mod siege;
mod uploads;

pub(crate) use rows::{Row, Rows};
pub(crate) use siege::{Attack, Siege, Turn, long};
