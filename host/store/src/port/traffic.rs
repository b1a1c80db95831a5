//! Where a model's calls go, and how that came about.

use foretell_types::{KeyId, ModelVersion};

use super::UnixMs;

/// Where a model's calls go that name no version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// The version that answers; none = a call has to name one.
    pub active: Option<ModelVersion>,
    /// The version that answers some of them instead.
    pub canary: Option<Canary>,
    /// The version that runs copies of them, and answers none.
    pub shadow: Option<ModelVersion>,
}

impl Traffic {
    /// Every version that calls go to, or copies of them.
    pub fn versions(&self) -> impl Iterator<Item = &ModelVersion> {
        let canary = self.canary.as_ref().map(|canary| &canary.version);
        self.active.iter().chain(canary).chain(&self.shadow)
    }
}

/// A version on trial: which calls it answers, and when it is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The version.
    pub version: ModelVersion,
    /// Its part of the calls that no other rule gives it, in hundredths of a percent: 0 to 10,000.
    pub share: u16,
    /// Calls with this header go to it.
    pub header: Option<HeaderRule>,
    /// Calls with these API keys go to it.
    pub keys: Vec<KeyId>,
    /// The header, in lower case, whose value decides whether a call is of its part: equal values, equal decisions.
    pub sticky: String,
    /// When it is withdrawn by the server; none = never.
    pub guard: Option<Guard>,
}

/// A header, and the value that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// When a canary is withdrawn: at any of these, among its latest calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// How many of its latest calls are looked at: 1 to 10,000.
    pub window: u32,
    /// From how many calls on errors and latency are looked at: 1 to `window`.
    pub min_calls: u32,
    /// More calls than this part failed by the version's own fault, in hundredths of a percent; none = not looked at.
    pub errors: Option<u16>,
    /// As many calls as this trapped; none = not looked at.
    pub traps: Option<u32>,
    /// More than one call in twenty took longer, in milliseconds; none = not looked at.
    pub latency_ms: Option<u32>,
}

/// A change to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTraffic {
    /// Where calls shall go.
    pub traffic: Traffic,
    /// The revision that the change is meant for; none = whatever is there.
    pub expected: Option<u64>,
    /// When it is made.
    pub at: UnixMs,
    /// The key of whoever makes it; none = the server itself.
    pub by: Option<KeyId>,
    /// Why.
    pub reason: String,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficChange {
    /// The model's revision since then: the first change makes 1.
    pub revision: u64,
    /// When it was made.
    pub at: UnixMs,
    /// The key of whoever made it; none = the server itself.
    pub by: Option<KeyId>,
    /// Why.
    pub reason: String,
    /// Where calls went before.
    pub before: Traffic,
    /// Where they went from then on.
    pub after: Traffic,
}
