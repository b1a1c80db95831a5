//! The load generator: many connections to one server, for so long, and what became of every request.
//!
//! It takes one processor: pin it to one (`taskset -c 1`) and the server to another.

mod connection;
mod run;
mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::http::Request;

pub use run::run;

/// What to send, how fast, and for how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The server, as `host:port`.
    pub address: String,
    /// Requests, sent in turn.
    pub requests: Vec<Request>,
    /// How fast.
    pub pace: Pace,
    /// Load before anything is counted.
    pub warm_up: Duration,
    /// Time that is counted.
    pub measure: Duration,
    /// Time for requests that are late at the end; those that are then not answered are counted as such.
    pub patience: Duration,
    /// Requests of the whole run, at most; it ends early when they are sent.
    pub max_requests: u64,
    /// Further connections that are open all the time and say nothing.
    pub idle_connections: usize,
    /// Processes whose use of the processor is counted.
    pub processes: Vec<u32>,
}

/// How fast requests follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// Each connection sends its next request when it has the answer to the last: what the server can do.
    Closed {
        /// Connections.
        connections: usize,
    },
    /// Requests are due at fixed times, whatever the server does: what callers feel. Latency is counted from the time at
    /// which a request was due, so one that waits for a free connection has waited.
    Open {
        /// Connections.
        connections: usize,
        /// Requests that become due in a second.
        per_second: f64,
    },
}

/// What became of the requests of the time that is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Answers, whatever their status.
    pub answered: u64,
    /// Answers in a second.
    pub per_second: f64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections that failed, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were due and were not answered by the end of the run. Their latency is counted as what they had
    /// waited until then.
    pub unanswered: u64,
    /// Connections that the server closed in order, and that were opened again.
    pub reopened: u64,
    /// Bytes of the answers in a second.
    pub bytes_per_second: f64,
    /// Microseconds from a request to the last byte of its answer.
    pub latency: Latency,
    /// Microseconds of the processor that the named processes spent on an answer.
    pub server_cpu_us: f64,
    /// How much of the time the generator itself was busy: near 1, it is the generator that is measured.
    pub own_load: f64,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Pace {
    /// Connections.
    pub const fn connections(self) -> usize {
        match self {
            Self::Closed { connections } | Self::Open { connections, .. } => connections,
        }
    }
}

impl Outcome {
    /// Whether every request was answered with 200.
    pub fn all_succeeded(&self) -> bool {
        self.unanswered == 0 && self.errors.is_empty() && self.statuses.keys().eq([&200])
    }
}
