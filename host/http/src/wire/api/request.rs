//! The JSON bodies of management requests: small, so they are read whole and by serde.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use foretell_predict::{PredictError, apart};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::extract::Request;
use crate::text::shown;

/// Reads a body of at most `limit_bytes` as `T`. Whether the caller may ask is decided by the use case; the limit keeps
/// what is read before that small.
///
/// # Errors
/// `Malformed` for what is no `T`, `UnsupportedEncoding`, `TooLarge`, `BodyLost`.
pub(crate) async fn read_json<T: DeserializeOwned>(
    mut request: Request,
    limit_bytes: u64,
) -> Result<T, PredictError> {
    let bytes = request.read_plain(limit_bytes).await?;
    if bytes.is_empty() {
        return Err(PredictError::Malformed(
            "the body is empty; send JSON".into(),
        ));
    }
    let read = || {
        let mut body = serde_json::Deserializer::from_slice(&bytes);
        let read = body.deserialize_map(Object(PhantomData))?;
        body.end().map(|()| read)
    };
    apart(bytes.len(), read)
        .await
        .map_err(|error| PredictError::Malformed(format!("the body: {}", told(&error))))
}

/// An object, and no list of its fields: serde takes that for a structure, too, and nobody means it.
struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// The same within a body, where it may be null.
struct MaybeObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MaybeObject<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_map(Object(PhantomData)).map(Some)
    }
}

/// For fields that hold an object, or null.
pub(super) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(MaybeObject(PhantomData))
}

/// Values by names, none of which stands twice.
struct ByName<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ByName<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(name) = fields.next_key::<String>()? {
            if all.contains_key(&name) {
                // Which of them is meant is not for us to guess.
                return Err(Error::custom(format!("`{}` stands twice", shown(&name))));
            }
            all.insert(name, fields.next_value()?);
        }
        Ok(all)
    }
}

/// For fields that hold values by names.
pub(super) fn by_name<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    deserializer.deserialize_map(ByName(PhantomData))
}

/// The same where the values are objects.
pub(super) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    let all = by_name::<Nested<T>, D>(deserializer)?;
    Ok(all.into_iter().map(|(name, one)| (name, one.0)).collect())
}

struct Nested<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(PhantomData)).map(Self)
    }
}

/// What is wrong, in the words of JSON instead of those of our types.
fn told(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let (before, expected) = match words.split_once(", expected ") {
        Some((before, expected)) => (before, expected),
        None => return words,
    };
    let mut rest = expected.splitn(2, " at line ");
    let kind = rest.next().unwrap_or_default();
    let place = rest
        .next()
        .map_or_else(String::new, |place| format!(" at line {place}"));
    let kind = match kind {
        "f64" | "f32" => "a number",
        "u16" | "u32" | "u64" => "a whole number, 0 or more",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        other => other,
    };
    format!("{before}, expected {kind}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_in_the_words_of_json() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[expect(dead_code, reason = "what is read is not looked at")]
            number: f64,
        }
        let error = |body: &str| told(&serde_json::from_str::<Body>(body).unwrap_err());
        assert_eq!(
            error(r#"{"number":"10"}"#),
            "invalid type: string \"10\", expected a number at line 1 column 14"
        );
        assert_eq!(error("{}"), "missing field `number` at line 1 column 2");
    }
}
