//! Where a model's calls go, as JSON. What its owner is shown can be sent back as it is.

use std::time::Duration;

use foretell_predict::manage::{
    self, CanaryPlan, GuardPlan, TrafficAct, TrafficChange, TrafficPlan, TrafficReport,
    TrafficRequest, VersionReport,
};
use foretell_predict::{Comparison, PredictError};
use serde::{Deserialize, Serialize};

use super::request::object;
use crate::text::rfc3339;

/// The body of `PUT /api/models/{m}/traffic`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrafficBody {
    active: Option<String>,
    #[serde(default, deserialize_with = "object")]
    canary: Option<Canary>,
    shadow: Option<String>,
    #[serde(default)]
    promote: bool,
    #[serde(default)]
    rollback: bool,
    reason: Option<String>,
    revision: Option<u64>,
}

impl TryFrom<TrafficBody> for TrafficRequest {
    type Error = PredictError;

    fn try_from(body: TrafficBody) -> Result<Self, PredictError> {
        let is_plan = body.active.is_some() || body.canary.is_some() || body.shadow.is_some();
        let act = match (body.active, body.promote, body.rollback) {
            (Some(active), false, false) => TrafficAct::Set(Box::new(TrafficPlan {
                active,
                canary: body.canary.map(CanaryPlan::from),
                shadow: body.shadow,
            })),
            (None, true, false) if !is_plan => TrafficAct::Promote,
            (None, false, true) if !is_plan => TrafficAct::RollBack,
            (None, false, false) if is_plan => {
                return Err(PredictError::Malformed(
                    "`active` is missing: the version that answers whatever the others do not"
                        .into(),
                ));
            }
            _ => {
                return Err(PredictError::Malformed(
                    "say one of three things: `active` (with `canary` and `shadow`, where there shall be any), \
                     `\"promote\": true` or `\"rollback\": true`"
                        .into(),
                ));
            }
        };
        Ok(Self {
            act,
            reason: body.reason,
            revision: body.revision,
        })
    }
}

/// A canary, as sent and as shown.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Canary {
    version: String,
    #[serde(default)]
    percent: f64,
    #[serde(default, deserialize_with = "object")]
    header: Option<Header>,
    #[serde(default)]
    keys: Vec<String>,
    sticky: Option<String>,
    /// Absent = the usual one; null = none.
    #[serde(default = "usual_guard", deserialize_with = "object")]
    guard: Option<Guard>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    value: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Guard {
    window: u32,
    /// Absent = the usual one, or all of a smaller window.
    min_calls: Option<u32>,
    error_percent: Option<f64>,
    traps: Option<u32>,
    latency_ms: Option<u32>,
}

#[expect(clippy::unnecessary_wraps, reason = "it is what an absent field means")]
fn usual_guard() -> Option<Guard> {
    Some(Guard::default())
}

impl Default for Guard {
    fn default() -> Self {
        let GuardPlan {
            window,
            error_percent,
            traps,
            latency_ms,
            ..
        } = GuardPlan::default();
        Self {
            window,
            min_calls: None,
            error_percent,
            traps,
            latency_ms,
        }
    }
}

impl From<Canary> for CanaryPlan {
    fn from(canary: Canary) -> Self {
        Self {
            version: canary.version,
            percent: canary.percent,
            header: canary.header.map(|header| (header.name, header.value)),
            keys: canary.keys,
            sticky: canary.sticky,
            guard: canary.guard.map(|guard| GuardPlan {
                window: guard.window,
                min_calls: guard
                    .min_calls
                    .unwrap_or(GuardPlan::default().min_calls.min(guard.window)),
                error_percent: guard.error_percent,
                traps: guard.traps,
                latency_ms: guard.latency_ms,
            }),
        }
    }
}

/// Where calls go.
#[derive(Debug, Serialize)]
pub(super) struct Traffic {
    active: Option<String>,
    canary: Option<Canary>,
    shadow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

impl Traffic {
    /// That of a model, at its revision.
    pub(super) fn of(record: &manage::ModelRecord) -> Self {
        Self {
            revision: Some(record.revision),
            ..Self::from(&record.traffic)
        }
    }
}

impl From<&manage::Traffic> for Traffic {
    fn from(traffic: &manage::Traffic) -> Self {
        Self {
            active: traffic.active.as_ref().map(ToString::to_string),
            canary: traffic.canary.as_ref().map(Canary::from),
            shadow: traffic.shadow.as_ref().map(ToString::to_string),
            revision: None,
        }
    }
}

impl From<&manage::Canary> for Canary {
    fn from(canary: &manage::Canary) -> Self {
        let header = canary.header.as_ref();
        Self {
            version: canary.version.to_string(),
            percent: percent(canary.share),
            header: header.map(|rule| Header {
                name: rule.name.clone(),
                value: rule.value.clone(),
            }),
            keys: canary.keys.iter().map(ToString::to_string).collect(),
            sticky: Some(canary.sticky.clone()),
            guard: canary.guard.map(|guard| Guard {
                window: guard.window,
                min_calls: Some(guard.min_calls),
                error_percent: guard.errors.map(percent),
                traps: guard.traps,
                latency_ms: guard.latency_ms,
            }),
        }
    }
}

fn percent(share: u16) -> f64 {
    f64::from(share) / 100.0
}

/// Where calls go, for whoever may see the model: the rules of a canary are its owner's to know.
#[derive(Debug, Serialize)]
pub(super) struct Outline<'a> {
    active: Option<&'a str>,
    canary: Option<CanaryOutline<'a>>,
    shadow: Option<&'a str>,
    revision: u64,
}

#[derive(Debug, Serialize)]
struct CanaryOutline<'a> {
    version: &'a str,
    percent: f64,
}

impl<'a> From<&'a manage::ModelRecord> for Outline<'a> {
    fn from(record: &'a manage::ModelRecord) -> Self {
        let traffic = &record.traffic;
        Self {
            active: traffic.active.as_ref().map(|version| version.as_str()),
            canary: traffic.canary.as_ref().map(|canary| CanaryOutline {
                version: canary.version.as_str(),
                percent: percent(canary.share),
            }),
            shadow: traffic.shadow.as_ref().map(|version| version.as_str()),
            revision: record.revision,
        }
    }
}

/// The body of `GET /api/models/{m}/traffic`.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    model: &'a str,
    traffic: Traffic,
    versions: Vec<Version<'a>>,
    changes: Vec<Change<'a>>,
}

/// How a version does, since the server started.
#[derive(Debug, Serialize)]
struct Version<'a> {
    version: &'a str,
    /// `active`, `canary`, `shadow`, or null.
    role: Option<&'static str>,
    answered: u64,
    failed: u64,
    /// Of those, by its own fault.
    faults: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    shadow: Option<Shadow<'a>>,
}

/// What a version said as a shadow.
#[derive(Debug, Serialize)]
struct Shadow<'a> {
    ran: u64,
    differing: u64,
    largest_difference: f64,
    failed: u64,
    skipped: u64,
    mean_ms: Option<f64>,
    /// Of the versions that answered the same calls.
    answered_mean_ms: Option<f64>,
    last: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Change<'a> {
    revision: u64,
    at: String,
    /// The key's id; null = the server itself.
    by: Option<&'a str>,
    reason: &'a str,
    before: Traffic,
    after: Traffic,
}

impl<'a> From<&'a TrafficReport> for Report<'a> {
    fn from(report: &'a TrafficReport) -> Self {
        let record = &report.record;
        let versions = record.versions.iter().zip(&report.versions);
        Self {
            model: record.name.as_str(),
            traffic: Traffic::of(record),
            versions: versions
                .map(|(version, report)| Version::of(&record.traffic, version, report))
                .collect(),
            changes: report.changes.iter().map(Change::from).collect(),
        }
    }
}

impl<'a> Version<'a> {
    fn of(
        traffic: &manage::Traffic,
        version: &'a manage::VersionRecord,
        report: &'a VersionReport,
    ) -> Self {
        let name = Some(&version.version);
        let canary = traffic.canary.as_ref().map(|canary| &canary.version);
        let role = match () {
            () if name == traffic.active.as_ref() => Some("active"),
            () if name == canary => Some("canary"),
            () if name == traffic.shadow.as_ref() => Some("shadow"),
            () => None,
        };
        let counts = &report.counts;
        Self {
            version: version.version.as_str(),
            role,
            answered: counts.success.count,
            failed: counts.fail.count,
            faults: counts.faults,
            p50_ms: counts.p50.map(ms),
            p99_ms: counts.p99.map(ms),
            shadow: report.shadow.as_ref().map(Shadow::from),
        }
    }
}

impl<'a> From<&'a Comparison> for Shadow<'a> {
    fn from(comparison: &'a Comparison) -> Self {
        let ran = u32::try_from(comparison.ran).unwrap_or(u32::MAX);
        let mean = |all: Duration| all.checked_div(ran).map(ms);
        Self {
            ran: comparison.ran,
            differing: comparison.differing,
            largest_difference: comparison.largest,
            failed: comparison.failed,
            skipped: comparison.skipped,
            mean_ms: mean(comparison.compute),
            answered_mean_ms: mean(comparison.answered_compute),
            last: comparison.last.as_deref(),
        }
    }
}

impl<'a> From<&'a TrafficChange> for Change<'a> {
    fn from(change: &'a TrafficChange) -> Self {
        Self {
            revision: change.revision,
            at: rfc3339(change.at),
            by: change.by.as_ref().map(|key| key.as_str()),
            reason: &change.reason,
            before: Traffic::from(&change.before),
            after: Traffic::from(&change.after),
        }
    }
}

/// Milliseconds, to a microsecond.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
