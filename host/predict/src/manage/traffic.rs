//! Where a model's calls go: set, promoted, rolled back, looked at. Each act is one change of the store, or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use foretell_store::{
    Act, Canary, EntryOf, Guard, HeaderRule, ModelRecord, NewTraffic, Traffic, TrafficChange,
    VersionRecord,
};
use foretell_types::{KeyId, ModelVersion, TenantId};
use serde_json::json;

use super::Manager;
use super::acts::{self, Detailed};
use super::models::{WRITE, unknown_version};
use crate::release::other_inputs;
use crate::shadow::Comparison;
use crate::statistics::Counts;
use crate::text::shown;
use crate::{Call, ModelRef, PredictError};

/// The header by which calls stick to a canary's share where its owner names no other.
const STICKY: &str = "x-request-key";
/// Headers that hold secrets: no rule is made of them.
const SECRET: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
];
const MAX_HEADER_NAME: usize = 64;
const MAX_HEADER_VALUE: usize = 256;
const MAX_KEYS: usize = 100;
const MAX_WINDOW: u32 = 10_000;
const MAX_REASON: usize = 500;

/// What to do with a model's traffic.
#[derive(Debug, Clone)]
pub struct TrafficRequest {
    /// The act.
    pub act: TrafficAct,
    /// Why, for the record; at most 500 bytes.
    pub reason: Option<String>,
    /// The revision that it is meant for; none = whatever is there.
    pub revision: Option<u64>,
}

/// An act on a model's traffic.
#[derive(Debug, Clone)]
pub enum TrafficAct {
    /// Calls go to these versions and no others.
    Set(Box<TrafficPlan>),
    /// The canary becomes the active version.
    Promote,
    /// A canary is taken back; where there is none, the version that was active before is active again.
    RollBack,
}

/// Where calls shall go.
#[derive(Debug, Clone, Default)]
pub struct TrafficPlan {
    /// The version that answers where none is named.
    pub active: String,
    /// The version that answers some of these calls instead.
    pub canary: Option<CanaryPlan>,
    /// The version that is given copies of these calls.
    pub shadow: Option<String>,
}

/// Which calls a canary answers.
#[derive(Debug, Clone)]
pub struct CanaryPlan {
    /// The version.
    pub version: String,
    /// Its part of the calls that no other rule gives it, 0 to 100, in steps of a hundredth.
    pub percent: f64,
    /// Calls with this header, name and value, go to it.
    pub header: Option<(String, String)>,
    /// Calls with these API keys go to it, by their ids.
    pub keys: Vec<String>,
    /// The header whose value decides whether a call is of its part; none = `x-request-key`.
    pub sticky: Option<String>,
    /// When it is withdrawn; none = never.
    pub guard: Option<GuardPlan>,
}

/// When a canary is withdrawn.
#[derive(Debug, Clone, Copy)]
pub struct GuardPlan {
    /// How many of its latest calls are looked at, 1 to 10,000.
    pub window: u32,
    /// From how many calls on errors and latency are looked at, 1 to `window`.
    pub min_calls: u32,
    /// More than this part of them failed by its own fault, 0 to 100, in steps of a hundredth; none = not looked at.
    pub error_percent: Option<f64>,
    /// As many of them trapped, 1 and more; none = not looked at.
    pub traps: Option<u32>,
    /// More than one in twenty took longer; none = not looked at.
    pub latency_ms: Option<u32>,
}

impl Default for GuardPlan {
    fn default() -> Self {
        Self {
            window: 100,
            min_calls: 20,
            error_percent: Some(5.0),
            traps: Some(3),
            latency_ms: None,
        }
    }
}

impl TrafficRequest {
    /// All calls go to this version.
    pub fn activate(version: impl Into<String>) -> Self {
        Self {
            act: TrafficAct::Set(Box::new(TrafficPlan {
                active: version.into(),
                ..TrafficPlan::default()
            })),
            reason: None,
            revision: None,
        }
    }
}

/// A model's traffic, and how its versions do.
#[derive(Debug)]
pub struct TrafficReport {
    /// The model.
    pub record: ModelRecord,
    /// What was asked of each of its versions, in the record's order.
    pub versions: Vec<VersionReport>,
    /// The latest changes, newest first.
    pub changes: Vec<TrafficChange>,
}

/// How a version does.
#[derive(Debug)]
pub struct VersionReport {
    /// What it was asked since the server started.
    pub counts: Counts,
    /// What it said as a shadow; none before it was given a call.
    pub shadow: Option<Comparison>,
}

impl Manager {
    /// Where a model's calls go, and how its versions do.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such model.
    pub async fn traffic(&self, call: &Call, model: &str) -> Result<TrafficReport, PredictError> {
        // Of its owner's affair only: what a shadow said last shows what some caller was answered.
        let caller = self.parts.identity.caller(call, WRITE).await?;
        let record = self.model_of(&caller, model).await?;
        let (tenant, name) = (&caller.tenant, &record.name);
        let changes = self.parts.models.traffic_changes(&tenant.id, name).await?;
        let versions = record.versions.iter().map(|version| {
            let statistics = tenant.statistics(name, &version.version);
            VersionReport {
                counts: statistics.counts(),
                shadow: statistics.shadow.now(),
            }
        });
        Ok(TrafficReport {
            versions: versions.collect(),
            record,
            changes,
        })
    }

    /// Changes where a model's calls go, all at once. The versions are made ready before, so that the first call of a new
    /// one is like all others; calls under way end on the version with which they began.
    ///
    /// # Errors
    /// `NotFound` if the model or a version does not exist; `Invalid` for a rule that cannot be kept; `Conflict` if the
    /// traffic was changed meanwhile, or there is nothing to promote or to roll back; `Load` if a version cannot be made
    /// ready.
    pub async fn set_traffic(
        &self,
        call: &Call,
        model: &str,
        request: TrafficRequest,
    ) -> Result<ModelRecord, PredictError> {
        let caller = self.parts.identity.caller(call, WRITE).await?;
        let tenant = &caller.tenant.id;
        let record = self.model_of(&caller, model).await?;
        let reason = reason(&request)?;
        let traffic = match request.act {
            TrafficAct::Set(plan) => self.planned(tenant, &record, *plan).await?,
            TrafficAct::Promote => promoted(&record)?,
            TrafficAct::RollBack => {
                let changes = self.parts.models.traffic_changes(tenant, &record.name);
                rolled_back(&record, &changes.await?)?
            }
        };
        fits(&record, &traffic)?;
        if !record.unloaded {
            // What has calls already is not asked for again: a way back must not fail for a version that it leaves as it is.
            let is_new = |name: &ModelVersion| record.traffic.versions().all(|known| known != name);
            let new: Vec<_> = traffic.versions().filter(|name| is_new(name)).collect();
            self.make_ready(tenant, &record, &new).await?;
        }
        let change = NewTraffic {
            traffic,
            // What was decided by looking at the record is done to that record or not at all.
            expected: Some(request.revision.unwrap_or(record.revision)),
            at: self.parts.identity.now(),
            by: caller.principal.key.clone(),
            reason,
        };
        let name = &record.name;
        let (entry, after) = (
            self.act(call, &caller, Act::TrafficSet, name.as_str()),
            acts::traffic(&change.traffic),
        );
        let reason = change.reason.clone();
        let entry: EntryOf<Traffic> = Arc::new(move |before| {
            let before = acts::traffic(before);
            let detail = json!({"before": before, "after": after, "reason": reason});
            entry.clone().with(&detail)
        });
        let before = self
            .parts
            .models
            .set_traffic(tenant, name, &change, entry)
            .await?;
        let version = |traffic: &Traffic| {
            let canary = traffic.canary.as_ref();
            canary.map(|canary| canary.version.clone())
        };
        if version(&before) != version(&change.traffic) {
            self.parts.registry.end_trial(tenant, name);
        }
        self.parts.registry.changed(tenant, name);
        tracing::info!(%tenant, model = %name, actor = %caller.principal.actor, before = outline(&before), after = outline(&change.traffic), reason = change.reason, request_id = %call.request_id, "traffic set");
        self.model_of(&caller, model).await
    }

    /// Loads versions that calls are to go to.
    pub(super) async fn make_ready(
        &self,
        tenant: &TenantId,
        record: &ModelRecord,
        versions: &[&ModelVersion],
    ) -> Result<(), PredictError> {
        for version in versions.iter().filter_map(|name| held(record, name)) {
            let loaded = self.parts.runner.load(tenant, &version.digest).await;
            loaded.map_err(|error| PredictError::Load {
                target: format!("{tenant}/{} version {}", record.name, version.version),
                error,
            })?;
        }
        Ok(())
    }

    /// The traffic of a plan, whose names are read and whose rules are checked.
    async fn planned(
        &self,
        tenant: &TenantId,
        record: &ModelRecord,
        plan: TrafficPlan,
    ) -> Result<Traffic, PredictError> {
        let canary = match plan.canary {
            None => None,
            Some(canary) => {
                let canary = read_canary(record, canary)?;
                self.know_keys(tenant, &canary.keys).await?;
                Some(canary)
            }
        };
        Ok(Traffic {
            active: Some(version_of(record, &plan.active)?),
            canary,
            shadow: plan
                .shadow
                .map(|shadow| version_of(record, &shadow))
                .transpose()?,
        })
    }

    /// Refuses keys that the tenant does not have: nobody would ever come with them.
    async fn know_keys(&self, tenant: &TenantId, keys: &[KeyId]) -> Result<(), PredictError> {
        if keys.is_empty() {
            return Ok(());
        }
        let known = self.parts.keys.list(Some(tenant)).await?;
        match keys
            .iter()
            .find(|key| known.iter().all(|known| known.id != **key))
        {
            None => Ok(()),
            Some(key) => Err(PredictError::Invalid(format!(
                "`canary.keys`: this tenant has no key `{key}`; `GET /api/keys` lists those it has"
            ))),
        }
    }
}

fn held<'a>(record: &'a ModelRecord, name: &ModelVersion) -> Option<&'a VersionRecord> {
    record.versions.iter().find(|held| held.version == *name)
}

fn version_of(record: &ModelRecord, text: &str) -> Result<ModelVersion, PredictError> {
    let unknown = || unknown_version(&record.name, text, record.traffic.active.as_ref());
    let named = ModelRef::parse(record.name.as_str(), Some(text))?.version;
    named
        .filter(|name| held(record, name).is_some())
        .ok_or_else(unknown)
}

fn reason(request: &TrafficRequest) -> Result<String, PredictError> {
    let reason = request.reason.clone().unwrap_or_default();
    if reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(PredictError::Invalid(format!(
            "`reason` is one line of at most {MAX_REASON} bytes"
        )));
    }
    Ok(match (&request.act, reason.is_empty()) {
        (TrafficAct::Promote, true) => "promoted".to_owned(),
        (TrafficAct::RollBack, true) => "rolled back".to_owned(),
        _ => reason,
    })
}

/// The canary's traffic, all of it.
fn promoted(record: &ModelRecord) -> Result<Traffic, PredictError> {
    let Some(canary) = &record.traffic.canary else {
        return Err(PredictError::Conflict(format!(
            "model `{}` has no canary to promote; `{{\"active\": VERSION}}` activates any version (`foretell model activate`)",
            record.name
        )));
    };
    let active = canary.version.clone();
    Ok(Traffic {
        shadow: fitting_shadow(record, &active),
        active: Some(active),
        canary: None,
    })
}

/// The traffic before the release that is under way, or before the last one.
fn rolled_back(record: &ModelRecord, changes: &[TrafficChange]) -> Result<Traffic, PredictError> {
    let Traffic {
        active,
        canary,
        shadow,
    } = record.traffic.clone();
    if canary.is_some() {
        return Ok(Traffic {
            active,
            canary: None,
            shadow,
        });
    }
    // What was activated stands on a stack; what is activated again while it stands there takes down all above it. So a
    // second way back leads further back, and not forth again.
    let mut stack: Vec<&ModelVersion> = Vec::new();
    let oldest = changes
        .last()
        .and_then(|change| change.before.active.as_ref());
    let later = changes
        .iter()
        .rev()
        .filter_map(|change| change.after.active.as_ref());
    for name in oldest.into_iter().chain(later) {
        match stack.iter().position(|known| *known == name) {
            Some(at) => stack.truncate(at + 1),
            None => stack.push(name),
        }
    }
    // What was deleted since is passed over.
    let mut earlier = stack
        .into_iter()
        .rev()
        .filter(|name| Some(*name) != active.as_ref());
    let previous = earlier.find(|name| held(record, name).is_some()).cloned();
    let Some(previous) = previous else {
        return Err(PredictError::Conflict(format!(
            "model `{}` has nothing to roll back to: no canary is under way, and no version that was active before is \
             left; `{{\"active\": VERSION}}` activates any version (`foretell model activate`)",
            record.name
        )));
    };
    Ok(Traffic {
        shadow: fitting_shadow(record, &previous),
        active: Some(previous),
        canary: None,
    })
}

/// The shadow that there is, if it can be one of this version, too.
fn fitting_shadow(record: &ModelRecord, active: &ModelVersion) -> Option<ModelVersion> {
    let traffic = Traffic {
        active: Some(active.clone()),
        canary: None,
        shadow: record.traffic.shadow.clone(),
    };
    fits(record, &traffic).ok().and(traffic.shadow)
}

/// Refuses traffic in which a version is compared with itself, or gets calls that were made for other inputs.
fn fits(record: &ModelRecord, traffic: &Traffic) -> Result<(), PredictError> {
    let active = traffic.active.as_ref();
    let signature = |name: &ModelVersion| held(record, name).map(|held| &held.signature);
    let others = [
        // By header or by key, whoever calls knows of the canary.
        (
            "canary",
            traffic
                .canary
                .as_ref()
                .map(|canary| (&canary.version, canary.share > 0)),
        ),
        (
            "shadow",
            traffic.shadow.as_ref().map(|shadow| (shadow, true)),
        ),
    ];
    for (role, other) in others {
        let Some((other, takes_any)) = other else {
            continue;
        };
        if Some(other) == active {
            return Err(PredictError::Invalid(format!(
                "`{role}` is version `{other}`, which is the active one already; name another"
            )));
        }
        if let (true, Some(active), Some(other_signature)) =
            (takes_any, active.and_then(signature), signature(other))
            && let Some(difference) = other_inputs(active, other_signature)
        {
            let hint = if role == "canary" {
                "; give it no percentage, but calls of a header or of keys whose callers know it"
            } else {
                ""
            };
            return Err(PredictError::Invalid(format!(
                "`{role}`: version `{other}` takes other inputs than the active one ({difference}), so calls that were \
                 made for that one would fail{hint}"
            )));
        }
    }
    Ok(())
}

fn read_canary(record: &ModelRecord, plan: CanaryPlan) -> Result<Canary, PredictError> {
    let header = plan.header.map(|(name, value)| {
        let name = header_name("canary.header.name", &name)?;
        let fits = (1..=MAX_HEADER_VALUE).contains(&value.len()) && value.trim() == value && !value.chars().any(char::is_control);
        if !fits {
            return Err(PredictError::Invalid(format!(
                "`canary.header.value` is a text of 1 to {MAX_HEADER_VALUE} bytes, without blanks at its ends and control characters"
            )));
        }
        Ok(HeaderRule { name, value })
    });
    if plan.keys.len() > MAX_KEYS {
        return Err(PredictError::Invalid(format!(
            "`canary.keys` are {MAX_KEYS} at most"
        )));
    }
    let keys = plan.keys.iter().map(|key| {
        KeyId::parse(key).map_err(|_| {
            PredictError::Invalid(format!(
                "`canary.keys`: `{}` is no id of a key; ids begin with key_",
                shown(key)
            ))
        })
    });
    let canary = Canary {
        version: version_of(record, &plan.version)?,
        share: share("canary.percent", plan.percent)?,
        header: header.transpose()?,
        keys: keys
            .collect::<Result<BTreeSet<_>, _>>()?
            .into_iter()
            .collect(),
        sticky: header_name("canary.sticky", plan.sticky.as_deref().unwrap_or(STICKY))?,
        guard: plan.guard.map(read_guard).transpose()?,
    };
    if canary.share == 0 && canary.header.is_none() && canary.keys.is_empty() {
        return Err(PredictError::Invalid(
            "the canary would get no calls: give it `percent` above 0, a `header` or `keys`".into(),
        ));
    }
    Ok(canary)
}

fn read_guard(plan: GuardPlan) -> Result<Guard, PredictError> {
    let GuardPlan {
        window,
        min_calls,
        error_percent,
        traps,
        latency_ms,
    } = plan;
    if !(1..=MAX_WINDOW).contains(&window) {
        return Err(PredictError::Invalid(format!(
            "`canary.guard.window` is 1 to {MAX_WINDOW} calls"
        )));
    }
    if !(1..=window).contains(&min_calls) {
        return Err(PredictError::Invalid(format!(
            "`canary.guard.min_calls` is 1 to `window`, which is {window}"
        )));
    }
    if traps == Some(0) || latency_ms == Some(0) {
        return Err(PredictError::Invalid(
            "`canary.guard.traps` and `latency_ms` are 1 at least; null leaves them out".into(),
        ));
    }
    Ok(Guard {
        window,
        min_calls,
        errors: error_percent
            .map(|percent| share("canary.guard.error_percent", percent))
            .transpose()?,
        traps,
        latency_ms,
    })
}

/// Hundredths of a percent.
fn share(field: &str, percent: f64) -> Result<u16, PredictError> {
    let hundredths = (percent * 100.0).round();
    let is_whole = (percent * 100.0 - hundredths).abs() < 1e-6;
    if !(0.0..=100.0).contains(&percent) || !is_whole {
        return Err(PredictError::Invalid(format!(
            "`{field}` is 0 to 100, in steps of 0.01"
        )));
    }
    // 0 to 10,000, by the check above.
    Ok(hundredths as u16)
}

/// A header's name, in lower case.
fn header_name(field: &str, name: &str) -> Result<String, PredictError> {
    let name = name.to_ascii_lowercase();
    let is_name = (1..=MAX_HEADER_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_name {
        return Err(PredictError::Invalid(format!(
            "`{field}` is the name of a header: 1 to {MAX_HEADER_NAME} letters, digits, - and _"
        )));
    }
    if SECRET.contains(&name.as_str()) {
        return Err(PredictError::Invalid(format!(
            "`{field}` is `{name}`, which holds secrets; for calls of an API key, give its id in `keys`"
        )));
    }
    Ok(name)
}

/// For the log.
fn outline(traffic: &Traffic) -> String {
    let name = |version: Option<&ModelVersion>| version.map_or("none", |v| v.as_str()).to_owned();
    let canary = traffic.canary.as_ref().map_or_else(String::new, |canary| {
        format!(
            ", canary {} {} %",
            canary.version,
            f64::from(canary.share) / 100.0
        )
    });
    let shadow = traffic
        .shadow
        .as_ref()
        .map_or_else(String::new, |shadow| format!(", shadow {shadow}"));
    format!("active {}{canary}{shadow}", name(traffic.active.as_ref()))
}
