//! The two JSON parts of an upload: `settings` for the plugin, `runtime` for the host.

use std::collections::BTreeMap;
use std::fmt;

use foretell_store::port::models::Runtime;
use foretell_types::compile::{Setting, SettingValue};
use foretell_types::run::Isolation;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::text::shown;
use crate::{Limits, PredictError};

/// Settings of one version, at most.
const MAX_SETTINGS: usize = 256;
/// Bytes of a setting's name.
const MAX_NAME_BYTES: usize = 128;
const RUNTIME_KEYS: [&str; 5] = [
    "isolation",
    "deadline_ms",
    "memory_mib",
    "max_rows",
    "cache",
];

/// Settings in canonical form: sorted, without spaces.
pub(super) struct Settings {
    pub(super) list: Vec<Setting>,
    pub(super) canonical: String,
}

/// Reads the part `settings`: an object of true/false, numbers and texts.
///
/// # Errors
/// `Malformed` for what is no such object, `Invalid` for a value of another kind.
pub(super) fn settings(part: Option<&[u8]>) -> Result<Settings, PredictError> {
    let object = object("settings", part)?;
    if object.len() > MAX_SETTINGS {
        return Err(invalid(format!(
            "{} settings; at most {MAX_SETTINGS}",
            object.len()
        )));
    }
    let sorted: BTreeMap<_, _> = object.into_iter().collect();
    let list = sorted
        .iter()
        .map(|(name, value)| {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(invalid(format!(
                    "a setting's name is 1 to {MAX_NAME_BYTES} bytes"
                )));
            }
            Ok(Setting {
                name: name.clone(),
                value: setting(name, value)?,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Settings {
        list,
        canonical: to_text(&sorted)?,
    })
}

fn setting(name: &str, value: &Value) -> Result<SettingValue, PredictError> {
    match value {
        Value::Bool(truth) => Ok(SettingValue::Truth(*truth)),
        Value::String(text) => Ok(SettingValue::Text(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(SettingValue::Integer(whole)),
            (None, Some(real)) => Ok(SettingValue::Real(real)),
            (None, None) => Err(invalid(format!(
                "setting `{}`: {number} is no number we can hold",
                shown(name)
            ))),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(invalid(format!(
            "setting `{}` is true, false, a number or a text",
            shown(name)
        ))),
    }
}

/// Reads the part `runtime`, fills in defaults, and returns what was given in canonical form beside it: defaults may
/// change from one release to the next, what a version was uploaded with may not.
///
/// # Errors
/// `Malformed` for what is no object, `Invalid` for an unknown key or a value out of range.
pub(super) fn runtime(
    part: Option<&[u8]>,
    limits: &Limits,
) -> Result<(Runtime, String), PredictError> {
    let object = object("runtime", part)?;
    for key in object.keys() {
        if !RUNTIME_KEYS.contains(&key.as_str()) {
            let near = RUNTIME_KEYS
                .into_iter()
                .find(|known| strsim::damerau_levenshtein(known, key) <= 3)
                .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(invalid(format!(
                "unknown runtime key `{}`{near}",
                shown(key)
            )));
        }
    }
    let whole = |key: &str, default: u32, ceiling: u32| match object.get(key) {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|value| u32::try_from(value).ok())
            .filter(|value| (1..=ceiling).contains(value))
            .ok_or_else(|| {
                invalid(format!(
                    "runtime `{key}` is a whole number from 1 to {ceiling}"
                ))
            }),
    };
    let isolation = match object.get("isolation") {
        None => Isolation::default(),
        Some(value) => [Isolation::Fresh, Isolation::Reuse]
            .into_iter()
            .find(|isolation| value.as_str() == Some(isolation.as_str()))
            .ok_or_else(|| invalid("runtime `isolation` is \"fresh\" or \"reuse\"".into()))?,
    };
    let cache = match object.get("cache") {
        None => true,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| invalid("runtime `cache` is true or false".into()))?,
    };
    let runtime = Runtime {
        isolation,
        deadline_ms: whole(
            "deadline_ms",
            limits.default_deadline_ms,
            limits.deadline_ceiling_ms,
        )?,
        memory_mib: whole(
            "memory_mib",
            limits.default_memory_mib,
            limits.memory_ceiling_mib,
        )?,
        max_rows: whole("max_rows", limits.default_max_rows, limits.max_rows_ceiling)?,
        cache,
    };
    let sorted: BTreeMap<_, _> = object.into_iter().collect();
    Ok((runtime, to_text(&sorted)?))
}

fn object(name: &str, part: Option<&[u8]>) -> Result<Map<String, Value>, PredictError> {
    let malformed = |problem: String| {
        PredictError::Malformed(format!("the part `{name}` is not a JSON object: {problem}"))
    };
    match part {
        None => Ok(Map::new()),
        Some(bytes) => match serde_json::from_slice::<Distinct>(bytes) {
            Ok(distinct) => Ok(distinct.0),
            Err(_)
                if serde_json::from_slice(bytes).is_ok_and(|value: Value| !value.is_object()) =>
            {
                Err(malformed("it is another kind of value".into()))
            }
            Err(error) => Err(malformed(error.to_string())),
        },
    }
}

/// An object whose keys stand once each. serde_json keeps the last of two values, another reader may keep the first, and
/// the digest of a version must mean one thing.
struct Distinct(Map<String, Value>);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DistinctVisitor)
    }
}

struct DistinctVisitor;

impl<'de> Visitor<'de> for DistinctVisitor {
    type Value = Distinct;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Distinct, A::Error> {
        let mut object = Map::new();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            if object.contains_key(&key) {
                let problem = format!("the key `{}` stands twice", shown(&key));
                return Err(A::Error::custom(problem));
            }
            object.insert(key, value);
        }
        Ok(Distinct(object))
    }
}

fn to_text(sorted: &BTreeMap<String, Value>) -> Result<String, PredictError> {
    serde_json::to_string(sorted)
        .map_err(|error| PredictError::Internal(format!("canonical settings: {error}")))
}

fn invalid(message: String) -> PredictError {
    PredictError::Invalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_sorted_and_keep_their_kinds() {
        let parsed = settings(Some(br#"{"b": 1, "a": 1.0, "c": "x", "d": true}"#)).unwrap();
        assert_eq!(parsed.canonical, r#"{"a":1.0,"b":1,"c":"x","d":true}"#);
        let values: Vec<_> = parsed
            .list
            .into_iter()
            .map(|setting| setting.value)
            .collect();
        assert_eq!(
            values,
            [
                SettingValue::Real(1.0),
                SettingValue::Integer(1),
                SettingValue::Text("x".into()),
                SettingValue::Truth(true)
            ]
        );
        assert_eq!(settings(None).unwrap().canonical, "{}");
    }

    #[test]
    fn what_is_no_setting_is_refused_by_name() {
        for (part, expected) in [
            (
                r#"{"a": null}"#,
                "setting `a` is true, false, a number or a text",
            ),
            (
                r#"[1]"#,
                "the part `settings` is not a JSON object: it is another kind of value",
            ),
            (
                r#"{"a": 1, "b": 2, "\u0061": 1}"#,
                "the part `settings` is not a JSON object: the key `a` stands twice at line 1 column 29",
            ),
        ] {
            assert_eq!(
                settings(Some(part.as_bytes()))
                    .err()
                    .map(|e| e.to_string())
                    .as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn runtime_keys_are_checked_and_defaults_filled_in() {
        let limits = Limits::default();
        let (parsed, given) = runtime(
            Some(br#"{"isolation": "reuse", "deadline_ms": 50}"#),
            &limits,
        )
        .unwrap();
        assert_eq!(
            (parsed.isolation, parsed.deadline_ms, parsed.memory_mib),
            (Isolation::Reuse, 50, 128)
        );
        assert_eq!(given, r#"{"deadline_ms":50,"isolation":"reuse"}"#);
        for (part, expected) in [
            (
                r#"{"deadline": 1}"#,
                "unknown runtime key `deadline`; did you mean `deadline_ms`?",
            ),
            (
                r#"{"deadline_ms": 0}"#,
                "runtime `deadline_ms` is a whole number from 1 to 60000",
            ),
            (
                r#"{"memory_mib": 1e9}"#,
                "runtime `memory_mib` is a whole number from 1 to 512",
            ),
            (
                r#"{"isolation": "shared"}"#,
                "runtime `isolation` is \"fresh\" or \"reuse\"",
            ),
            (r#"{"cache": 1}"#, "runtime `cache` is true or false"),
        ] {
            assert_eq!(
                runtime(Some(part.as_bytes()), &limits)
                    .err()
                    .map(|e| e.to_string())
                    .as_deref(),
                Some(expected)
            );
        }
    }
}
