//! Why the engine does not start, and the one place where wasmtime's errors become the house's.

use std::time::Duration;

use crate::budget::Exhausted;
use crate::limits::Growth;
use foretell_types::run::{RunError, RunLimits};
use thiserror::Error;
use wasmtime::error::OutOfMemory;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmtimeBug};

/// When a machine that is short of memory may have some again.
const RECOVERS_IN: Duration = Duration::from_secs(2);

/// Why the engine does not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A configured value is out of its range, or the machine cannot grant it.
    #[error("the engine cannot be set up: {0}")]
    Setup(String),
    /// A thread or a folder could not be had.
    #[error("the engine cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// How a call into a guest ended, if not with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its time was up.
    Interrupted,
    /// There is no slot or no memory left.
    PoolFull(Exhausted),
    /// Anything else, as the caller will see it.
    Run(RunError),
}

impl Fault {
    /// As the caller of a prediction with these limits sees it.
    pub(crate) fn run_error(self, limits: &RunLimits) -> RunError {
        match self {
            Self::Interrupted => RunError::Deadline {
                deadline: limits.deadline,
            },
            // The slots stand in front of the pool, so this is a wait of no time that ends in "come again".
            Self::PoolFull(_) => RunError::Overloaded {
                waited: Duration::ZERO,
            },
            Self::Run(error) => error,
        }
    }
}

/// Reads an error that a guest gave as its answer: one that was refused memory because there was none may say so in its own
/// words, and is not to blame.
pub(crate) fn answered(error: RunError, growth: Growth) -> Fault {
    match growth {
        Growth::BeyondBudget { exhausted, .. } => Fault::PoolFull(exhausted),
        Growth::Granted | Growth::BeyondLimit => Fault::Run(error),
    }
}

/// Reads an error that a call ended with. `growth` says whether the guest was refused memory: whatever it trapped on then,
/// that was the cause.
pub(crate) fn fault(error: &wasmtime::Error, growth: Growth, limit_bytes: u64) -> Fault {
    read(error, growth, limit_bytes, RunError::Contract)
}

/// Reads an error that an instance did not even begin with: nothing was handed over yet that the guest could have got
/// wrong.
pub(crate) fn fault_at_start(error: &wasmtime::Error, growth: Growth, limit_bytes: u64) -> Fault {
    read(error, growth, limit_bytes, |complaint| {
        RunError::Internal(format!("an instance cannot be made: {complaint}"))
    })
}

fn read(
    error: &wasmtime::Error,
    growth: Growth,
    limit_bytes: u64,
    complaint: fn(String) -> RunError,
) -> Fault {
    let cause = Cause::of(error);
    match (cause, growth) {
        (Cause::Trap(Trap::Interrupt), _) => Fault::Interrupted,
        (Cause::Trap(Trap::StackOverflow), _) => Fault::Run(RunError::Stack),
        (_, Growth::BeyondLimit) => Fault::Run(RunError::Memory { limit_bytes }),
        (_, Growth::BeyondBudget { exhausted, .. }) => Fault::PoolFull(exhausted),
        (Cause::PoolFull, Growth::Granted) => Fault::PoolFull(Exhausted::Server),
        (Cause::Trap(trap), Growth::Granted) => Fault::Run(if breaks_the_interface(trap) {
            RunError::Contract(named(trap))
        } else {
            RunError::Trapped(named(trap))
        }),
        (Cause::Machine, Growth::Granted) => Fault::Run(RunError::Unavailable {
            cause: format!("the machine refuses what an instance needs: {error:#}"),
            retry_after: RECOVERS_IN,
        }),
        (Cause::Defect, Growth::Granted) => Fault::Run(RunError::Internal(format!("{error:#}"))),
        (Cause::Complaint, Growth::Granted) => Fault::Run(complaint(format!("{error:#}"))),
    }
}

/// What an error of wasmtime is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The guest trapped.
    Trap(Trap),
    /// Every place of the pool is taken.
    PoolFull,
    /// The system gave wasmtime no memory or no mapping, or failed otherwise.
    Machine,
    /// Wasmtime found itself in a state that should not be possible.
    Defect,
    /// A text without a type: what the canonical ABI says about what the guest handed over.
    Complaint,
}

impl Cause {
    fn of(error: &wasmtime::Error) -> Self {
        if let Some(trap) = error.downcast_ref::<Trap>() {
            Self::Trap(*trap)
        } else if error.is::<PoolConcurrencyLimitError>() {
            Self::PoolFull
        } else if error.is::<WasmtimeBug>() {
            Self::Defect
        } else if error.is::<OutOfMemory>() || error.chain().any(of_the_system) {
            Self::Machine
        } else {
            Self::Complaint
        }
    }
}

fn of_the_system(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<rustix::io::Errno>() || cause.is::<std::io::Error>() || cause.is::<OutOfMemory>()
}

/// Traps that the canonical ABI raises about values, rather than the guest's own code about itself.
const fn breaks_the_interface(trap: Trap) -> bool {
    matches!(
        trap,
        Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::InvalidChar
            | Trap::UnalignedPointer
            | Trap::CannotEnterComponent
            | Trap::CannotLeaveComponent
    )
}

fn named(trap: Trap) -> String {
    let text = trap.to_string();
    text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fail_has_its_own_name() {
        let run = |error: wasmtime::Error, growth| fault(&error, growth, 64);
        let (granted, refused) = (Growth::Granted, Growth::BeyondLimit);
        assert_eq!(run(Trap::Interrupt.into(), refused), Fault::Interrupted);
        assert_eq!(
            run(Trap::StackOverflow.into(), refused),
            Fault::Run(RunError::Stack)
        );
        assert_eq!(
            run(
                Trap::UnreachableCodeReached.into(),
                Growth::BeyondBudget {
                    wanted: 1,
                    exhausted: Exhausted::Part,
                }
            ),
            Fault::PoolFull(Exhausted::Part)
        );
        assert_eq!(
            run(Trap::UnreachableCodeReached.into(), refused),
            Fault::Run(RunError::Memory { limit_bytes: 64 })
        );
        assert_eq!(
            run(Trap::UnreachableCodeReached.into(), granted),
            Fault::Run(RunError::Trapped(
                "wasm `unreachable` instruction executed".into()
            ))
        );
        assert!(matches!(
            run(Trap::ListOutOfBounds.into(), granted),
            Fault::Run(RunError::Contract(_))
        ));
        assert_eq!(
            run(wasmtime::Error::msg("invalid utf-8 sequence"), granted),
            Fault::Run(RunError::Contract("invalid utf-8 sequence".into()))
        );
    }

    #[test]
    fn a_guest_that_found_no_memory_and_says_so_itself_is_not_to_blame() {
        let failed = || RunError::Failed("no memory".into());
        let growth = Growth::BeyondBudget {
            wanted: 1,
            exhausted: Exhausted::Server,
        };
        assert_eq!(
            answered(failed(), growth),
            Fault::PoolFull(Exhausted::Server)
        );
        for growth in [Growth::Granted, Growth::BeyondLimit] {
            assert_eq!(answered(failed(), growth), Fault::Run(failed()));
        }
    }

    #[test]
    fn what_the_machine_refuses_is_no_fault_of_the_plugin() {
        let io = || std::io::Error::from_raw_os_error(libc::ENOMEM);
        let errors = [
            wasmtime::Error::from(io()),
            wasmtime::Error::from(io()).context("failed to map memory"),
            wasmtime::Error::from(rustix::io::Errno::NOMEM).context("failed to map memory"),
            OutOfMemory::new(64).into(),
            wasmtime::Error::from(OutOfMemory::new(64)).context("while making a store"),
        ];
        for error in errors {
            for read in [fault, fault_at_start] {
                let fault = read(&error, Growth::Granted, 64);
                assert!(
                    matches!(&fault, Fault::Run(RunError::Unavailable { cause, .. }) if cause.contains("machine")),
                    "{error:?}: {fault:?}"
                );
            }
        }
    }

    #[test]
    fn a_complaint_before_the_guest_has_begun_is_about_us() {
        let error = || wasmtime::Error::msg("no such export");
        let at_start = fault_at_start(&error(), Growth::Granted, 64);
        assert!(
            matches!(&at_start, Fault::Run(RunError::Internal(cause)) if cause.contains("no such export")),
            "{at_start:?}"
        );
        assert_eq!(
            fault_at_start(&error(), Growth::BeyondLimit, 64),
            Fault::Run(RunError::Memory { limit_bytes: 64 }),
            "the limit refused the instance its first memory"
        );
        assert_eq!(
            fault_at_start(&Trap::UnreachableCodeReached.into(), Growth::Granted, 64),
            fault(&Trap::UnreachableCodeReached.into(), Growth::Granted, 64),
            "it has a start function, which trapped"
        );
    }
}
