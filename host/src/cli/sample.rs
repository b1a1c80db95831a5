//! Whether a prediction is the expected one.

use serde_json::Value;

/// Compares a prediction with the expected one: numbers within `tolerance`, everything else equal. What the expected
/// one does not name is not looked at. Returns the largest difference of any number.
///
/// # Errors
/// A text with the place, the expected and the found value of the first difference.
pub(super) fn compare(expected: &Value, found: &Value, tolerance: f64) -> Result<f64, String> {
    compare_at("", expected, found, tolerance)
}

/// The predictions in the body of an answer, in the sample's form: one, or a list.
pub(super) fn predictions(body: &Value) -> Value {
    match body.get("predictions").and_then(Value::as_array) {
        Some(list) => list
            .iter()
            .map(|one| one.get("prediction").cloned().unwrap_or_default())
            .collect(),
        None => body.get("prediction").cloned().unwrap_or_default(),
    }
}

fn compare_at(place: &str, expected: &Value, found: &Value, tolerance: f64) -> Result<f64, String> {
    let differs = || {
        let place = if place.is_empty() {
            "the prediction"
        } else {
            place
        };
        Err(format!(
            "{place}: expected {expected}, found {found} (tolerance {tolerance})"
        ))
    };
    match (expected, found) {
        (Value::Object(fields), Value::Object(_)) => {
            largest(fields.iter().map(|(name, expected)| {
                let place = if place.is_empty() {
                    name.clone()
                } else {
                    format!("{place}.{name}")
                };
                match found.get(name) {
                    Some(found) => compare_at(&place, expected, found, tolerance),
                    None => Err(format!(
                        "{place}: expected {expected}, found nothing of that name"
                    )),
                }
            }))
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => largest(
            items
                .iter()
                .zip(others)
                .enumerate()
                .map(|(at, (expected, found))| {
                    compare_at(&format!("{place}[{at}]"), expected, found, tolerance)
                }),
        ),
        (Value::Number(wanted), Value::Number(got)) => match (wanted.as_f64(), got.as_f64()) {
            (Some(wanted), Some(got)) if (wanted - got).abs() <= tolerance => {
                Ok((wanted - got).abs())
            }
            _ => differs(),
        },
        _ if expected == found => Ok(0.0),
        _ => differs(),
    }
}

fn largest(differences: impl Iterator<Item = Result<f64, String>>) -> Result<f64, String> {
    differences
        .into_iter()
        .try_fold(0.0, |largest: f64, one| Ok(largest.max(one?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_compared_within_the_tolerance_and_all_else_exactly() {
        for (expected, found, result) in [
            (json!({"p": 0.5}), json!({"p": 0.5000001, "q": 1}), Ok(1e-7)),
            (
                json!({"p": 0.5}),
                json!({"p": 0.6}),
                Err("p: expected 0.5, found 0.6 (tolerance 0.000001)"),
            ),
            (json!({"p": [0.1, 0.2]}), json!({"p": [0.1, 0.2]}), Ok(0.0)),
            (
                json!({"p": [0.1, 0.2]}),
                json!({"p": [0.1]}),
                Err("p: expected [0.1,0.2], found [0.1]"),
            ),
            (
                json!({"p": [0.1, 0.2]}),
                json!({"p": [0.1, 0.3]}),
                Err("p[1]: expected 0.2, found 0.3"),
            ),
            (
                json!({"label": "yes"}),
                json!({"label": "no"}),
                Err("label: expected \"yes\", found \"no\""),
            ),
            (
                json!({"label": "yes"}),
                json!({}),
                Err("label: expected \"yes\", found nothing"),
            ),
            (
                json!({"a": 1}),
                json!(null),
                Err("the prediction: expected {\"a\":1}, found null"),
            ),
            (
                json!([{"a": 1}]),
                json!([{"a": 2}]),
                Err("[0].a: expected 1, found 2"),
            ),
            (json!({"n": null}), json!({"n": null}), Ok(0.0)),
            (
                json!({"n": null}),
                json!({"n": 0}),
                Err("n: expected null, found 0"),
            ),
        ] {
            match (compare(&expected, &found, 1e-6), result) {
                (Ok(difference), Ok(wanted)) => {
                    assert!(
                        (difference - wanted).abs() < 1e-12,
                        "{expected} {found}: {difference}"
                    );
                }
                (Err(error), Err(message)) => assert!(error.contains(message), "{error}"),
                (got, wanted) => panic!("{expected} {found}: {got:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn one_prediction_and_a_list_are_found_in_their_bodies() {
        let one = json!({"model": "m", "prediction": {"p": 1}});
        assert_eq!(predictions(&one), json!({"p": 1}));
        let list = json!({"predictions": [{"prediction": {"p": 1}}, {"prediction": {"p": 2}}]});
        assert_eq!(predictions(&list), json!([{"p": 1}, {"p": 2}]));
        assert_eq!(predictions(&json!({})), Value::Null);
    }
}
