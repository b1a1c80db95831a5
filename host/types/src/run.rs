//! The seam between the corridor and the engine: running one prediction.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use thiserror::Error;

use crate::ErrorKind;
use crate::signature::Checked;
use crate::tensor::Tensor;
use crate::{TenantId, VersionDigest};

/// How instances of a version live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// A new instance for each prediction: nothing one caller leaves behind is there for the next.
    #[default]
    Fresh,
    /// An instance serves many predictions of its one tenant, until it faults or has served its share.
    Reuse,
}

impl Isolation {
    /// The name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reuse => "reuse",
        }
    }
}

/// What one prediction may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Time in the sandbox, at most.
    pub deadline: Duration,
    /// Linear memory, at most, in bytes.
    pub memory_bytes: u64,
    /// How the instance lives.
    pub isolation: Isolation,
}

/// How urgent a prediction is to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Urgency {
    /// After this time it wants no answer any more; none = it leaves that to the version.
    pub timeout: Option<Duration>,
    /// Among the predictions of one version that wait for a thread: 1 before 2, and so on; 0, which is what callers have who
    /// say nothing, after all of them.
    pub priority: u64,
}

/// One prediction to run.
#[derive(Debug)]
pub struct RunCall {
    /// Whose version it is; no instance ever serves two tenants.
    pub tenant: TenantId,
    /// Which compiled version.
    pub version: VersionDigest,
    /// Its inputs, in signature order.
    pub inputs: Checked,
    /// What it may use.
    pub limits: RunLimits,
    /// Whether its caller gives it less time than the version has: how it ends then says little about the version.
    pub is_hurried: bool,
    /// Its caller's priority, as in [`Urgency`].
    pub priority: u64,
    /// How many rows it may be run with in one call, its own included, because no row of the version looks at another; none = it
    /// is run by itself.
    pub joins: Option<u32>,
    /// Whether nobody waits for it: it gets what everything else leaves of the processor, and its deadline and its compute are
    /// processor time.
    pub is_aside: bool,
    /// Told when its guest begins, for whoever does not wait for its end.
    pub begun: Begun,
}

/// When a guest began. Clones tell of the same one.
#[derive(Debug, Clone, Default)]
pub struct Begun(Arc<OnceLock<Instant>>);

impl Begun {
    /// It begins now; of one that begins again, as on another thread, the first time counts.
    pub fn now(&self) {
        self.0.get_or_init(Instant::now);
    }

    /// How long ago; none = it has not begun.
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.get().map(Instant::elapsed)
    }
}

/// What a prediction used, whether it succeeded or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Waiting for a thread.
    pub queued: Duration,
    /// In the sandbox, instantiation included; of a run with others, its part by rows.
    pub compute: Duration,
    /// Which part of a run it was.
    pub batched: Batched,
}

impl Usage {
    /// Of a prediction that was run by itself.
    pub const fn alone(queued: Duration, compute: Duration) -> Self {
        Self {
            queued,
            compute,
            batched: Batched::Alone,
        }
    }
}

/// Which part of a run a prediction was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Batched {
    /// All of it.
    #[default]
    Alone,
    /// The first of several that were run in one call: so many rows, in this time.
    First {
        /// Of all of them together.
        rows: u32,
        /// In the sandbox, of the whole run.
        compute: Duration,
    },
    /// Another of several.
    Along {
        /// Of all of them together.
        rows: u32,
    },
}

/// What became of a prediction.
#[derive(Debug)]
pub struct RunOutcome {
    /// The outputs in signature order, not yet compared with the signature.
    pub result: Result<Vec<Tensor>, RunError>,
    /// What it used.
    pub usage: Usage,
}

/// Why a prediction has no outputs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// The plugin says that the input is bad; shown to the caller.
    #[error("{message}")]
    Refused {
        /// The plugin's words.
        message: String,
        /// Which input, by its place in the signature.
        input: u32,
        /// Which row.
        row: Option<u32>,
        /// Which column.
        column: Option<u32>,
    },
    /// The plugin reports a failure of its own, for its owner's log.
    #[error("the plugin failed: {0}")]
    Failed(String),
    /// The plugin trapped: the kind of trap.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// It wanted more memory than it may have.
    #[error("the plugin needs more memory than its limit of {limit_bytes} bytes")]
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// It recursed too deep.
    #[error("the plugin used up its stack")]
    Stack,
    /// It did not answer in time.
    #[error("the plugin did not answer within {} ms", deadline.as_millis())]
    Deadline {
        /// The time it had.
        deadline: Duration,
    },
    /// What it returned is no value of the interface's types.
    #[error("the plugin returned what is not valid: {0}")]
    Contract(String),
    /// No room to run it now.
    #[error("no free thread for this model within {} ms", waited.as_millis())]
    Overloaded {
        /// How long it waited.
        waited: Duration,
    },
    /// It cannot be run now: the compiled version could not be had, or the machine refuses what it needs.
    #[error("the version cannot be run now: {cause}; try again in {} s", whole_seconds(*retry_after))]
    Unavailable {
        /// Why.
        cause: String,
        /// When it may be possible; until then, calls are answered like this.
        retry_after: Duration,
    },
    /// A defect of ours on the way of the call, for the log.
    #[error("the engine failed: {0}")]
    Internal(String),
}

/// Rounded up: whoever waits as long as it says is not sent away again.
fn whole_seconds(time: Duration) -> u64 {
    let begun = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(begun).max(1)
}

impl RunError {
    /// The kind that callers see.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { .. } => ErrorKind::PluginRefused,
            Self::Failed(_) | Self::Trapped(_) => ErrorKind::PluginTrapped,
            Self::Memory { .. } => ErrorKind::MemoryLimit,
            Self::Stack => ErrorKind::StackOverflow,
            Self::Deadline { .. } => ErrorKind::DeadlineExceeded,
            Self::Contract(_) => ErrorKind::PluginContract,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

/// Runs predictions in the sandbox.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs one prediction to its end; whatever the guest does, this returns within its deadline and a little.
    async fn run(&self, call: RunCall) -> RunOutcome;

    /// Learns that a call of this tenant was refused before it came here, for want of a place: from now on, and until
    /// nobody was refused for a while, what the tenant sends should wait for a short time or not at all.
    fn refused(&self, _tenant: &TenantId) {}

    /// Makes a version ready to run before anybody asks for it.
    ///
    /// # Errors
    /// Those of a run that ends before the plugin is called.
    async fn load(&self, tenant: &TenantId, version: &VersionDigest) -> Result<(), RunError>;

    /// Forgets a version that is no longer stored, or that nobody may run for now.
    fn forget(&self, tenant: &TenantId, version: &VersionDigest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_is_rounded_up_to_whole_seconds() {
        for (millis, said) in [(0, 1), (900, 1), (1_000, 1), (1_900, 2), (2_001, 3)] {
            let error = RunError::Unavailable {
                cause: "it is being compiled".into(),
                retry_after: Duration::from_millis(millis),
            };
            let said = format!("try again in {said} s");
            assert!(error.to_string().ends_with(&said), "{millis} ms: {error}");
        }
    }
}
