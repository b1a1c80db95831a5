//! The wall of files: a Landlock ruleset that handles every access there is and allows none.
//!
//! The worker has read its input by now, and its answer goes to a pipe that was open before: no path is of any use to it.
//! Behind the wall of system calls this one is a second lock on the same door; where that wall is missing, it is the only
//! one.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};

use super::Wall;

/// What is asked for. Older kernels know less of it (5.13 the files, 6.7 TCP ports, 6.12 signals to other processes), and
/// give what they know.
const NEWEST: ABI = ABI::V6;

/// Raises the wall, for the thread that calls and those that it starts.
pub(super) fn raise() -> Wall {
    match restrict() {
        Ok(RulesetStatus::FullyEnforced) => Wall::Whole,
        Ok(RulesetStatus::PartiallyEnforced) => Wall::Partial,
        Ok(RulesetStatus::NotEnforced) | Err(_) => Wall::Missing,
    }
}

fn restrict() -> Result<RulesetStatus, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset)
}
