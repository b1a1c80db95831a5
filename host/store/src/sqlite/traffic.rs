//! Traffic in SQLite. Which versions calls go to stands in columns, so that the database itself sees to it that they
//! exist; the rules of a canary, and what was before a change, are JSON.

use foretell_types::{KeyId, ModelName, ModelVersion, TenantId};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Result, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::column;
use crate::port::models::KEPT_CHANGES;
use crate::{Canary, Guard, HeaderRule, NewTraffic, StoreError, Traffic, TrafficChange, refusal};

/// What a query of models selects to have [`current`] read it.
macro_rules! columns {
    () => {
        "m.active, m.revision, c.rules AS canary, s.version AS shadow"
    };
}
/// What it joins.
macro_rules! joins {
    () => {
        "LEFT JOIN traffic_roles c ON c.tenant = m.tenant AND c.model = m.name AND c.role = 'canary'
         LEFT JOIN traffic_roles s ON s.tenant = m.tenant AND s.model = m.name AND s.role = 'shadow'"
    };
}
pub(super) use {columns, joins};

/// The traffic in a row of [`columns`].
pub(super) fn current(row: &Row<'_>) -> Result<Traffic> {
    let canary = column::json_or_null::<StoredCanary>(row, "canary")?.map(|stored| {
        stored
            .try_into()
            .map_err(|error| unreadable(row, "canary", error))
    });
    Ok(Traffic {
        active: column::parsed_or_null(row, "active")?,
        canary: canary.transpose()?,
        shadow: column::parsed_or_null(row, "shadow")?,
    })
}

/// The revision in such a row.
pub(super) fn revision(row: &Row<'_>) -> Result<u64> {
    column::count(row, "revision")
}

/// A model's traffic and revision.
pub(super) fn find(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    model: &ModelName,
) -> Result<Option<(Traffic, u64)>> {
    tx.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM models m ",
        joins!(),
        " WHERE m.tenant = ?1 AND m.name = ?2"
    ))?
    .query_row([tenant.as_str(), model.as_str()], |row| {
        Ok((current(row)?, revision(row)?))
    })
    .optional()
}

/// Writes a change, from the traffic `before` at the revision before it, all of whose versions were seen to exist.
pub(super) fn write(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    model: &ModelName,
    (before, revision): (&Traffic, u64),
    change: &NewTraffic,
) -> std::result::Result<(), StoreError> {
    let (tenant, name, after) = (tenant.as_str(), model.as_str(), &change.traffic);
    let next = i64::try_from(revision)
        .unwrap_or(i64::MAX)
        .saturating_add(1);
    tx.prepare_cached(
        "UPDATE models SET active = ?3, revision = ?4 WHERE tenant = ?1 AND name = ?2",
    )?
    .execute(params![
        tenant,
        name,
        after.active.as_ref().map(ModelVersion::as_str),
        next
    ])?;
    tx.prepare_cached("DELETE FROM traffic_roles WHERE tenant = ?1 AND model = ?2")?
        .execute([tenant, name])?;
    let canary = after.canary.as_ref().map(|canary| {
        let rules = json(&StoredCanary::from(canary))?;
        Ok::<_, StoreError>(("canary", &canary.version, Some(rules)))
    });
    let shadow = after.shadow.as_ref().map(|shadow| ("shadow", shadow, None));
    for (role, version, rules) in canary.transpose()?.into_iter().chain(shadow) {
        tx.prepare_cached(
            "INSERT INTO traffic_roles (tenant, model, role, version, rules) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![tenant, name, role, version.as_str(), rules])?;
    }
    tx.prepare_cached(
        "INSERT INTO traffic_changes (tenant, model, revision, at, key, reason, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        tenant,
        name,
        next,
        change.at,
        change.by.as_ref().map(KeyId::as_str),
        change.reason,
        json(&Stored::from(before))?,
        json(&Stored::from(after))?,
    ])?;
    tx.prepare_cached(
        "DELETE FROM traffic_changes WHERE tenant = ?1 AND model = ?2 AND revision <= ?3",
    )?
    .execute(params![tenant, name, next - i64::from(KEPT_CHANGES)])?;
    Ok(())
}

/// The changes that are kept, newest first.
pub(super) fn changes(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    model: &ModelName,
) -> Result<Vec<TrafficChange>> {
    let mut select = tx.prepare_cached(
        "SELECT * FROM traffic_changes WHERE tenant = ?1 AND model = ?2 ORDER BY revision DESC",
    )?;
    let rows = select.query_map([tenant.as_str(), model.as_str()], |row| {
        Ok(TrafficChange {
            revision: column::count(row, "revision")?,
            at: row.get("at")?,
            by: column::parsed_or_null(row, "key")?,
            reason: row.get("reason")?,
            before: stored(row, "before")?,
            after: stored(row, "after")?,
        })
    })?;
    rows.collect()
}

/// Refuses a change that is meant for another revision.
pub(super) fn expect(
    model: &ModelName,
    change: &NewTraffic,
    revision: u64,
) -> std::result::Result<(), StoreError> {
    match change.expected {
        Some(expected) if expected != revision => {
            Err(refusal::traffic_changed(model, expected, revision))
        }
        _ => Ok(()),
    }
}

fn stored(row: &Row<'_>, column: &str) -> Result<Traffic> {
    let stored: Stored = column::json(row, column)?;
    stored
        .try_into()
        .map_err(|error| unreadable(row, column, error))
}

fn unreadable(row: &Row<'_>, column: &str, error: foretell_types::NameError) -> rusqlite::Error {
    column::unreadable(row, column, Type::Text, error.into())
}

fn json(value: &impl Serialize) -> std::result::Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Conflict(format!("the traffic has no JSON form: {error}")))
}

/// Traffic as stored. It may only grow.
#[derive(Serialize, Deserialize)]
struct Stored {
    active: Option<String>,
    canary: Option<StoredCanary>,
    shadow: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredCanary {
    version: String,
    share: u16,
    /// Name and value.
    header: Option<(String, String)>,
    keys: Vec<String>,
    sticky: String,
    guard: Option<StoredGuard>,
}

#[derive(Serialize, Deserialize)]
struct StoredGuard {
    window: u32,
    min_calls: u32,
    errors: Option<u16>,
    traps: Option<u32>,
    latency_ms: Option<u32>,
}

impl From<&Traffic> for Stored {
    fn from(traffic: &Traffic) -> Self {
        let name = |version: &ModelVersion| version.as_str().to_owned();
        Self {
            active: traffic.active.as_ref().map(name),
            canary: traffic.canary.as_ref().map(StoredCanary::from),
            shadow: traffic.shadow.as_ref().map(name),
        }
    }
}

impl From<&Canary> for StoredCanary {
    fn from(canary: &Canary) -> Self {
        let header = canary.header.as_ref();
        Self {
            version: canary.version.as_str().to_owned(),
            share: canary.share,
            header: header.map(|rule| (rule.name.clone(), rule.value.clone())),
            keys: canary
                .keys
                .iter()
                .map(|key| key.as_str().to_owned())
                .collect(),
            sticky: canary.sticky.clone(),
            guard: canary.guard.map(|guard| StoredGuard {
                window: guard.window,
                min_calls: guard.min_calls,
                errors: guard.errors,
                traps: guard.traps,
                latency_ms: guard.latency_ms,
            }),
        }
    }
}

impl TryFrom<Stored> for Traffic {
    type Error = foretell_types::NameError;

    fn try_from(stored: Stored) -> std::result::Result<Self, Self::Error> {
        let name = |version: Option<String>| version.map(|v| ModelVersion::parse(&v)).transpose();
        Ok(Self {
            active: name(stored.active)?,
            canary: stored.canary.map(Canary::try_from).transpose()?,
            shadow: name(stored.shadow)?,
        })
    }
}

impl TryFrom<StoredCanary> for Canary {
    type Error = foretell_types::NameError;

    fn try_from(stored: StoredCanary) -> std::result::Result<Self, Self::Error> {
        Ok(Self {
            version: ModelVersion::parse(&stored.version)?,
            share: stored.share,
            header: stored
                .header
                .map(|(name, value)| HeaderRule { name, value }),
            keys: stored
                .keys
                .iter()
                .map(|key| KeyId::parse(key))
                .collect::<std::result::Result<_, _>>()?,
            sticky: stored.sticky,
            guard: stored.guard.map(|guard| Guard {
                window: guard.window,
                min_calls: guard.min_calls,
                errors: guard.errors,
                traps: guard.traps,
                latency_ms: guard.latency_ms,
            }),
        })
    }
}
