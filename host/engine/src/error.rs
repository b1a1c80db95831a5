//! Why the engine does not start, and the one place where wasmtime's errors become the house's.

use std::time::Duration;

use crate::limits::Growth;
use foretell_types::run::{RunError, RunLimits};
use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Trap};

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
    /// The server has no slot or no memory left.
    PoolFull,
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
            Self::PoolFull => RunError::Overloaded {
                waited: Duration::ZERO,
            },
            Self::Run(error) => error,
        }
    }
}

/// Reads an error of wasmtime. `growth` says whether the guest was refused memory: whatever it trapped on then, that was
/// the cause.
pub(crate) fn fault(error: &wasmtime::Error, growth: Growth, limit_bytes: u64) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return Fault::Interrupted;
    }
    if trap == Some(&Trap::StackOverflow) {
        return Fault::Run(RunError::Stack);
    }
    match growth {
        Growth::Granted => {}
        Growth::BeyondLimit => return Fault::Run(RunError::Memory { limit_bytes }),
        Growth::BeyondBudget { .. } => return Fault::PoolFull,
    }
    match trap {
        Some(trap) if breaks_the_interface(*trap) => Fault::Run(RunError::Contract(named(*trap))),
        Some(trap) => Fault::Run(RunError::Trapped(named(*trap))),
        None if error.is::<PoolConcurrencyLimitError>() => Fault::PoolFull,
        // What is no trap is the canonical ABI's complaint about what the guest handed over.
        None => Fault::Run(RunError::Contract(format!("{error:#}"))),
    }
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
                Growth::BeyondBudget { wanted: 1 }
            ),
            Fault::PoolFull
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
}
