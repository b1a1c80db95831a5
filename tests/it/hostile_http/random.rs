//! Random bodies: each is refused as its caller's fault, or answered rightly. Never the server's fault.

use foretell_http::fuzzing::{self, Protocol};
use foretell_types::ErrorKind;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::{House, long};
use crate::fuzz_seeds::targets;
use crate::refusal::JSON;

/// Rows that the version takes.
const MAX_ROWS: u32 = 64;

/// A number as callers write it, and some that no caller should.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => any::<f64>().prop_filter("JSON has no others", |x| x.is_finite()).prop_map(|x| format!("{x:?}")),
        4 => any::<i64>().prop_map(|x| x.to_string()),
        1 => prop::sample::select(vec![
            "null", "-0", "1e400", "NaN", "true", "\"1\"", "[1]", "{}", "01", "1e-400", "", "\u{ff11}",
        ])
        .prop_map(str::to_owned),
    ]
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// A length of an axis: mostly the right one.
fn axis(right: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(right.to_string()),
        1 => prop::sample::select(vec![
            "0", "-1", "1", "65", "1.0", "4294967295", "4294967296", "18446744073709551616", "null", "\"1\"", "1e2",
        ])
        .prop_map(str::to_owned),
    ]
}

fn shape(rows: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => axis(rows).prop_map(|axis| format!("[{axis}]")),
        1 => prop::collection::vec(axis(rows), 0..10).prop_map(|axes| list(&axes)),
        1 => prop::sample::select(vec!["[4294967295,4294967295]", "[65536,65536,65536,65536]", "1", "{}", "[[1]]"])
            .prop_map(str::to_owned),
    ]
}

/// Fields of an object: some left out, some twice, in any order.
fn object(fields: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let count = fields.len();
    (
        Just(fields).prop_shuffle(),
        prop_oneof![6 => Just(count), 1 => 0..count],
        prop_oneof![9 => Just(false), 1 => Just(true)],
    )
        .prop_map(|(fields, kept, twice)| {
            let mut texts: Vec<_> = fields
                .iter()
                .take(kept)
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            if twice && let Some(first) = texts.first().cloned() {
                texts.push(first);
            }
            format!("{{{}}}", texts.join(","))
        })
}

fn v2() -> impl Strategy<Value = String> {
    prop::collection::vec(number(), 0..6)
        .prop_flat_map(|data| {
            let datatype = prop_oneof![
                6 => Just("\"FP64\"".to_owned()),
                1 => prop::sample::select(vec!["\"FP32\"", "\"INT64\"", "\"BOOL\"", "\"BYTES\"", "\"FP16\"", "\"X\"", "1"])
                    .prop_map(str::to_owned),
            ];
            let name = prop_oneof![9 => Just("\"x\""), 1 => Just("\"z\""), 1 => Just("1")];
            (name, datatype, shape(data.len()), Just(list(&data)))
        })
        .prop_flat_map(|(name, datatype, shape, data)| {
            object(vec![
                ("name", name.to_owned()),
                ("datatype", datatype),
                ("shape", shape),
                ("data", data),
            ])
        })
        .prop_flat_map(|tensor| object(vec![("inputs", format!("[{tensor}]"))]))
}

fn v1() -> impl Strategy<Value = String> {
    let flat = || prop::collection::vec(number(), 0..70).prop_map(|items| list(&items));
    let rows = prop_oneof![
        4 => flat(),
        1 => prop::collection::vec(number(), 0..5).prop_map(|items| {
            list(&items.iter().map(|item| format!("{{\"x\":{item}}}")).collect::<Vec<_>>())
        }),
        1 => prop::collection::vec(flat(), 0..3).prop_map(|lists| list(&lists)),
        1 => number(),
    ];
    let key = prop_oneof![Just("instances"), Just("inputs"), Just("other")];
    (key, rows).prop_flat_map(|(key, rows)| object(vec![(key, rows)]))
}

fn records() -> impl Strategy<Value = String> {
    let record = || number().prop_flat_map(|value| object(vec![("x", value)]));
    prop_oneof![
        record(),
        prop::collection::vec(record(), 0..70).prop_map(|records| list(&records)),
    ]
}

/// Bodies, some of them damaged at one place.
fn body() -> impl Strategy<Value = (Protocol, String)> {
    let whole = prop_oneof![
        v2().prop_map(|body| (Protocol::V2, body)),
        v1().prop_map(|body| (Protocol::V1, body)),
        records().prop_map(|body| (Protocol::Records, body)),
    ];
    let damage = prop_oneof![
        6 => Just(None),
        1 => (any::<prop::sample::Index>(), prop::sample::select(vec!["", "{", "]", ",", "\"", "\u{0}", "9"])).prop_map(Some),
    ];
    (whole, damage).prop_map(|((protocol, body), damage)| match damage {
        None => (protocol, body),
        Some((at, instead)) => {
            let at = at.index(body.chars().count());
            let damaged = body
                .chars()
                .enumerate()
                .map(|(index, c)| {
                    if index == at {
                        instead.to_owned()
                    } else {
                        c.to_string()
                    }
                })
                .collect();
            (protocol, damaged)
        }
    })
}

/// The numbers that a body holds, read by serde_json, in the order in which they stand.
fn numbers(protocol: Protocol, body: &str) -> Vec<f64> {
    let json: Value = serde_json::from_str(body).expect("what we accept is JSON");
    let data = match protocol {
        Protocol::V2 => &json["inputs"][0]["data"],
        Protocol::V1 if json["instances"].is_null() => &json["inputs"],
        Protocol::V1 => &json["instances"],
        Protocol::Records => &json,
    };
    let mut found = Vec::new();
    collect(data, &mut found);
    found
}

fn collect(json: &Value, into: &mut Vec<f64>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, into)),
        Value::Number(number) => into.push(number.as_f64().expect("a number")),
        _ => into.push(f64::NAN),
    }
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}

#[test]
fn random_bodies_are_refused_as_their_callers_fault_or_read_rightly() {
    let cases = if long() { 100_000 } else { 500 };
    // That of the model `honest`.
    let signature = targets::signature(0);
    let mut accepted = 0_u32;
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let held = runner.run(&body(), |(protocol, body)| {
        let read = fuzzing::decode(protocol, body.as_bytes(), &signature, MAX_ROWS);
        let checked = read.and_then(|inputs| Ok(inputs.check(&signature)?));
        match checked {
            Ok(checked) => {
                let foretell_types::Elements::Fp64(values) = checked.inputs()[0].elements() else {
                    return Err(TestCaseError::fail("another datatype"));
                };
                prop_assert!(
                    same(values, &numbers(protocol, &body)),
                    "{body} became {values:?}"
                );
            }
            Err(error) => {
                let kind = error.kind();
                prop_assert!(
                    matches!(
                        kind,
                        ErrorKind::Malformed
                            | ErrorKind::InvalidInput
                            | ErrorKind::MissingFeature
                            | ErrorKind::UnknownFeature
                    ),
                    "{body}: {kind:?}"
                );
            }
        }
        Ok(())
    });
    held.unwrap_or_else(|error| panic!("{error}"));

    // The same generator, counted: were all refused, nothing above would have been compared.
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let (protocol, body) = body().new_tree(&mut runner).unwrap().current();
        accepted +=
            u32::from(fuzzing::decode(protocol, body.as_bytes(), &signature, MAX_ROWS).is_ok());
    }
    assert!((50..450).contains(&accepted), "{accepted} of 500 are read");
}

#[test]
fn the_server_answers_random_bodies_rightly_or_with_a_4xx() {
    let house = House::new("");
    let cases = if long() { 10_000 } else { 200 };
    let mut runner = TestRunner::deterministic();
    let mut answered = 0;
    for _ in 0..cases {
        let (protocol, body) = body().new_tree(&mut runner).unwrap().current();
        let path = match protocol {
            Protocol::Records => "/api/predict/honest",
            Protocol::V1 => "/v1/models/honest:predict",
            Protocol::V2 => "/v2/models/honest/infer",
        };
        let response = house
            .attacker
            .send("POST", path, JSON, body.clone().into_bytes());
        let text = response.text();
        if response.status != 200 {
            assert_eq!(response.status, 400, "{path} {body}: {text}");
            continue;
        }
        answered += 1;
        let json = response.json();
        let mut values = Vec::new();
        match protocol {
            Protocol::V2 => collect(&json["outputs"][0]["data"], &mut values),
            Protocol::V1 if json["predictions"].is_null() => {
                collect(&json["outputs"], &mut values);
            }
            Protocol::V1 => collect(&json["predictions"], &mut values),
            Protocol::Records if json["predictions"].is_null() => {
                collect(&json["prediction"], &mut values);
            }
            Protocol::Records => {
                let rows = json["predictions"].as_array().unwrap();
                rows.iter()
                    .for_each(|row| collect(&row["prediction"], &mut values));
            }
        }
        assert!(
            same(&values, &numbers(protocol, &body)),
            "{path} {body}: {text}"
        );
    }
    assert!(answered > cases / 20, "{answered} of {cases} are answered");
    house.neighbour_is_served();
}
