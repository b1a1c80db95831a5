//! What every row of the benches stands on: load over HTTP, processor time, and figures with their goals.
//!
//! The hazard that it exists to contain is a figure that flatters. So load with a fixed rate counts latency from the
//! moment at which a request was due, what was never answered counts, too, and the generator says how busy it was
//! itself; sides are compared in rounds that alternate, and a figure is shown with its spread.

pub mod cpu;
pub mod document;
pub mod figure;
pub mod http;
pub mod load;
pub mod machine;
pub mod pairs;
pub mod processor;
