//! Whether an answer is the expected one, and how it looks in a table.

use serde_json::Value;

/// The predictions in a response of `/api/predict`, in the form of a `sample.response.json`: the named outputs of one row,
/// or a list of those.
pub(crate) fn predictions(response: &Value) -> Value {
    match response["predictions"].as_array() {
        None => response["prediction"].clone(),
        Some(rows) => rows.iter().map(|row| row["prediction"].clone()).collect(),
    }
}

/// Where `answer` differs from `expected`: the first place, in words; `None` if it agrees.
///
/// Everything in `expected` must be in `answer`. Numbers agree within `tolerance`, lists have equal lengths.
pub(crate) fn difference(expected: &Value, answer: &Value, tolerance: f64) -> Option<String> {
    at("", expected, answer, tolerance)
}

/// The first of some predictions in a few words, and how many there are if not one.
pub(crate) fn summary(predictions: &Value) -> String {
    match predictions.as_array() {
        None => row(predictions),
        Some(rows) => match rows.first() {
            None => "no rows".to_owned(),
            Some(first) if rows.len() == 1 => row(first),
            Some(first) => format!("{}, ... ({} rows)", row(first), rows.len()),
        },
    }
}

fn at(path: &str, expected: &Value, answer: &Value, tolerance: f64) -> Option<String> {
    let place = || if path.is_empty() { "the answer" } else { path };
    match (expected, answer) {
        (Value::Object(expected), Value::Object(answer)) => {
            expected.iter().find_map(|(key, value)| {
                let path = format!("{path}/{key}");
                match answer.get(key) {
                    None => Some(format!("{path} is missing")),
                    Some(got) => at(&path, value, got, tolerance),
                }
            })
        }
        (Value::Array(expected), Value::Array(answer)) => {
            if expected.len() != answer.len() {
                let (got, wanted) = (answer.len(), expected.len());
                return Some(format!("{} has {got} entries, expected {wanted}", place()));
            }
            let pairs = expected.iter().zip(answer).enumerate();
            pairs
                .map(|(index, (expected, got))| {
                    at(&format!("{path}/{index}"), expected, got, tolerance)
                })
                .find_map(|difference| difference)
        }
        (Value::Number(expected), Value::Number(got)) => {
            let near = match (expected.as_f64(), got.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() <= tolerance,
                _ => expected == got,
            };
            (!near).then(|| format!("{} is {got}, expected {expected}", place()))
        }
        _ => (expected != answer).then(|| format!("{} is {answer}, expected {expected}", place())),
    }
}

/// The outputs of one row; of a list of probabilities the largest.
fn row(outputs: &Value) -> String {
    let Some(outputs) = outputs.as_object() else {
        return scalar(outputs);
    };
    let words: Vec<String> = outputs.values().map(scalar).collect();
    words.join(" ")
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.6}", number.as_f64().unwrap_or(f64::NAN))
        }
        Value::Array(values) => {
            let largest = values.iter().filter_map(Value::as_f64).reduce(f64::max);
            largest.map_or_else(
                || format!("{} values", values.len()),
                |largest| format!("{largest:.6}"),
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_predictions_of_both_kinds_of_response_are_found() {
        let one = json!({"model": "m", "prediction": {"label": "yes"}, "credits": 1});
        assert_eq!(predictions(&one), json!({"label": "yes"}));
        let many = json!({"predictions": [{"prediction": {"label": "a"}}, {"prediction": {"label": "b"}}]});
        assert_eq!(predictions(&many), json!([{"label": "a"}, {"label": "b"}]));
    }

    #[test]
    fn numbers_agree_within_the_tolerance_and_an_answer_may_hold_more() {
        let expected = json!({"label": "yes", "probability": 0.5});
        let answer = json!({"label": "yes", "probability": 0.500_000_01, "margin": 0.0});
        assert_eq!(difference(&expected, &answer, 1e-6), None);
        assert!(difference(&expected, &answer, 1e-9).is_some());
    }

    #[test]
    fn every_kind_of_difference_is_told_by_its_place() {
        let expected = json!([{"label": "yes", "probability": 0.5}]);
        for (answer, words) in [
            (
                json!(null),
                r#"the answer is null, expected [{"label":"yes","probability":0.5}]"#,
            ),
            (json!([]), "the answer has 0 entries, expected 1"),
            (json!([{}]), "/0/label is missing"),
            (
                json!([{"label": "no", "probability": 0.5}]),
                r#"/0/label is "no", expected "yes""#,
            ),
            (
                json!([{"label": "yes", "probability": 0.6}]),
                "/0/probability is 0.6, expected 0.5",
            ),
            (
                json!([{"label": "yes", "probability": null}]),
                "/0/probability is null, expected 0.5",
            ),
        ] {
            assert_eq!(difference(&expected, &answer, 1e-6).as_deref(), Some(words));
        }
    }

    #[test]
    fn a_summary_shows_the_first_row_and_the_number_of_rows() {
        let one = json!({"probability": 0.123_456_78, "label": "no"});
        assert_eq!(summary(&one), "0.123457 no");
        let classes = json!({"probabilities": [0.1, 0.9], "label": "b"});
        assert_eq!(summary(&classes), "0.900000 b");
        assert_eq!(summary(&json!([one, classes])), "0.123457 no, ... (2 rows)");
    }
}
