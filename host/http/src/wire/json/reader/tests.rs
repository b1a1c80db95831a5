//! What the reader takes and what it refuses, and that it agrees with serde_json about everything else.

use std::time::{Duration, Instant};

use foretell_types::record::Value;
use proptest::prelude::*;

use super::*;
use crate::wire::json::read_record;

/// Walks over a whole body.
fn walk(body: &[u8]) -> Result<(), Fault> {
    let mut reader = Reader::new(body)?;
    reader.skip()?;
    reader.finish()
}

fn refused(body: &[u8]) -> String {
    match walk(body) {
        Ok(()) => panic!("accepted: {}", String::from_utf8_lossy(body)),
        Err(fault) => fault.message,
    }
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (body, expected) in [
        (&b""[..], "the body is empty; send JSON"),
        (b"  \n", "the body is empty; send JSON"),
        (
            b"\xff\xfe{\0}\0",
            "the body is not UTF-8; send JSON in UTF-8",
        ),
        (
            b"\xef\xbb\xbf{}",
            "the body begins with a byte order mark; send JSON in UTF-8 without it",
        ),
        (
            b"{}x",
            "at the top (byte 2): more follows the end of the JSON",
        ),
        (b"[1,]", "at /1 (byte 3): `]` stands where a number should"),
        (
            b"[1 2]",
            "at /0 (byte 3): `2` stands where `,` or `]` in a list should",
        ),
        (
            br#"{"a":NaN}"#,
            "at /a (byte 5): `NaN` stands where a number should",
        ),
        (
            br#"{"a":[0,Infinity]}"#,
            "at /a/1 (byte 8): `Infinity` stands where a number should",
        ),
        (
            br#"{"a":1,"a":2}"#,
            "at the top (byte 10): the key `a` stands twice",
        ),
        (
            br#"{"a":1,}"#,
            "at the top (byte 7): `}` stands where a text should",
        ),
        (
            br#"{a:1}"#,
            "at the top (byte 1): `a:1` stands where a text should",
        ),
        (
            br#"{"a~/b":["#,
            "at /a~0~1b/0 (byte 9): the end of the body stands where a value should",
        ),
        (
            b"01",
            "at the top (byte 0): `01` stands where a number should",
        ),
        (
            b"-",
            "at the top (byte 0): `-` stands where a number should",
        ),
        (
            b"1.",
            "at the top (byte 0): `1.` stands where a number should",
        ),
        (
            b".5",
            "at the top (byte 0): `.5` stands where a number should",
        ),
        (
            b"1e",
            "at the top (byte 0): `1e` stands where a number should",
        ),
        (
            b"+1",
            "at the top (byte 0): `+1` stands where a number should",
        ),
        (
            b"tru",
            "at the top (byte 0): `tru` stands where true or false should",
        ),
        (
            br#""\ud800""#,
            "at the top (byte 7): half of a surrogate pair stands alone in a text",
        ),
        (
            br#""\ud800\u0041""#,
            "at the top (byte 13): half of a surrogate pair stands alone in a text",
        ),
        (
            br#""\udc00""#,
            "at the top (byte 7): half of a surrogate pair stands alone in a text",
        ),
        (
            br#""\x""#,
            "at the top (byte 2): a text has an unknown escape",
        ),
        (
            br#""\u12g4""#,
            "at the top (byte 3): \\u wants four hexadecimal digits",
        ),
        (
            b"\"a\nb\"",
            "at the top (byte 2): a control character stands in a text; write it as \\u00XX",
        ),
        (b"\"abc", "at the top (byte 4): a text has no end"),
    ] {
        assert_eq!(refused(body), expected, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn depth_is_bounded_without_recursion_to_the_end() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // An empty list opens a level like any other.
    assert_eq!(walk(nested(MAX_DEPTH).as_bytes()), Ok(()));
    assert!(refused(nested(MAX_DEPTH + 1).as_bytes()).contains("nested deeper than 64"));
    assert!(refused(nested(100_000).as_bytes()).contains("nested deeper than 64"));
    assert!(refused("{\"a\":".repeat(100_000).as_bytes()).contains("nested deeper than 64"));
}

#[test]
fn keys_are_looked_at_once_each_and_a_million_not_at_all() {
    let object = |keys: std::ops::Range<usize>| {
        let keys: Vec<String> = keys.map(|i| format!("\"k{i}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    let many = object(0..MAX_KEYS);
    let since = Instant::now();
    assert_eq!(walk(many.as_bytes()), Ok(()));
    // Far more than it takes, far less than a comparison of all pairs would.
    assert!(
        since.elapsed() < Duration::from_secs(20),
        "{:?}",
        since.elapsed()
    );
    let doubled = many.replace(&format!("k{}", MAX_KEYS - 1), "k0");
    assert!(refused(doubled.as_bytes()).contains("the key `k0` stands twice"));
    let million = object(0..1_000_000);
    assert!(refused(million.as_bytes()).contains("an object has more than 65536 keys"));
    let mut reader = Reader::new(million.as_bytes()).unwrap();
    let fault = read_record(&mut reader, 50).unwrap_err();
    assert_eq!(fault.kind, ErrorKind::InvalidInput);
}

#[test]
fn keys_written_differently_are_the_same_key() {
    assert!(refused(br#"{"a":1,"\u0061":2}"#).contains("stands twice"));
}

#[test]
fn values_of_records_keep_what_they_are() {
    let body = br#"{"i": 170141183460469231731687303715884105727, "n": -0, "f": 1.0, "e": 1e2, "big": 1e300,
        "huge": 9999999999999999999999999999999999999999999, "s": "\u00e9\ud83d\ude00\n", "t": true, "z": null, "l": [1, [2.5]]}"#;
    let mut reader = Reader::new(body).unwrap();
    let record = read_record(&mut reader, 50).unwrap();
    reader.finish().unwrap();
    let values: Vec<_> = record.into_iter().map(|(_, value)| value).collect();
    assert_eq!(
        values,
        [
            Value::Whole(i128::MAX),
            Value::Whole(0),
            Value::Real(1.0),
            Value::Real(100.0),
            Value::Real(1e300),
            Value::Real(1e43),
            Value::Text("é😀\n".into()),
            Value::Truth(true),
            Value::Null,
            Value::List(vec![Value::Whole(1), Value::List(vec![Value::Real(2.5)])]),
        ]
    );
}

#[test]
fn numbers_that_no_double_holds_are_refused() {
    let digits = "9".repeat(400);
    for number in ["1e400", "-1e400", &digits] {
        let body = format!("{{\"a\":{number}}}");
        let fault = read_record(&mut Reader::new(body.as_bytes()).unwrap(), 50).unwrap_err();
        assert!(
            fault.message.contains("is outside the range of numbers"),
            "{}",
            fault.message
        );
        assert!(
            fault.message.len() < 200,
            "a message is short whatever was sent"
        );
    }
}

#[test]
fn the_place_in_a_message_has_an_end() {
    let key = "k".repeat(1_000);
    let body = format!("{{\"{key}\":{{\"{key}\":[x");
    assert!(refused(body.as_bytes()).len() < 700);
}

/// A value as serde_json sees it, for the comparison.
fn tree(reader: &mut Reader<'_>) -> Result<serde_json::Value, Fault> {
    use serde_json::Value as Json;
    Ok(match reader.peek() {
        Some(b'{') => {
            let mut map = serde_json::Map::new();
            reader.object(|reader, key| {
                map.insert(key.to_string(), tree(reader)?);
                Ok(())
            })?;
            Json::Object(map)
        }
        Some(b'[') => {
            let mut items = Vec::new();
            reader.array(|reader, _| {
                items.push(tree(reader)?);
                Ok(())
            })?;
            Json::Array(items)
        }
        Some(b'"') => Json::String(reader.string()?.into_owned()),
        Some(b't' | b'f') => Json::Bool(reader.truth()?),
        Some(b'n') => reader.null().map(|()| Json::Null)?,
        _ => {
            let number = reader.number()?;
            serde_json::from_str(number.text).map_err(|_| reader.malformed("out of range"))?
        }
    })
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value as Json;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_filter_map("finite", |v| serde_json::Number::from_f64(v)
            .map(Json::Number)),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            proptest::collection::vec((any::<String>(), inner), 0..24)
                .prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

/// Bytes that are nearly JSON, so that the rare branches are met.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\"),
        Just("\\u"),
        Just("d83d"),
        Just("\"a\""),
        Just("\"b\""),
        Just("0"),
        Just("-"),
        Just("1"),
        Just("."),
        Just("e"),
        Just("+"),
        Just("true"),
        Just("null"),
        Just("false"),
        Just(" "),
        Just("\n"),
        Just("é"),
        Just("\u{1}"),
        Just("n"),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_alike(json in any_json()) {
        for text in [serde_json::to_string(&json).unwrap(), serde_json::to_string_pretty(&json).unwrap()] {
            let mut reader = Reader::new(text.as_bytes()).unwrap();
            prop_assert_eq!(&tree(&mut reader).unwrap(), &json);
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn what_serde_json_refuses_is_refused(text in nearly_json()) {
        let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
        let ours = Reader::new(text.as_bytes()).and_then(|mut reader| {
            let value = tree(&mut reader)?;
            reader.finish()?;
            Ok(value)
        });
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => prop_assert_eq!(theirs, ours),
            (Err(_), Err(_)) => {}
            // The one thing in which we are stricter here.
            (Ok(_), Err(fault)) => prop_assert!(fault.message.contains("stands twice"), "{}: {}", text, fault.message),
            (Err(error), Ok(_)) => prop_assert!(false, "{text}: {error}"),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _either = walk(&body);
    }
}
