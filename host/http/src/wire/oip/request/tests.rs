//! Inference requests: forms, orders, and a round trip for every datatype.

use foretell_predict::PredictError;
use foretell_types::tensor::Blobs;
use foretell_types::{Elements, ErrorKind};
use proptest::prelude::*;

use super::super::testing;
use super::*;
use crate::wire::oip::response::written;

const MAX_ROWS: u32 = 100;

fn read(body: &[u8], signature: &Signature) -> Result<(Inputs, Asked), Fault> {
    super::read(body, None, signature, MAX_ROWS)
}

fn signature(datatype: Datatype) -> Signature {
    testing::signature(vec![testing::input("x", datatype, &[-1])], Datatype::Fp64)
}

fn tensors(body: &str) -> Result<(Vec<NamedTensor>, Asked), Fault> {
    match read(body.as_bytes(), &signature(Datatype::Fp64))? {
        (Inputs::Tensors(tensors), asked) => Ok((tensors, asked)),
        (Inputs::Records(_), _) => panic!("records"),
    }
}

#[test]
fn keys_may_stand_in_any_order() {
    let fields = [
        r#""name":"x""#,
        r#""datatype":"FP64""#,
        r#""shape":[2,1]"#,
        r#""data":[[1.5],[2]]"#,
    ];
    let expected = Tensor::new(vec![2, 1], Elements::Fp64(vec![1.5, 2.0])).unwrap();
    for order in [
        [0, 1, 2, 3],
        [3, 2, 1, 0],
        [3, 1, 0, 2],
        [1, 3, 0, 2],
        [2, 1, 3, 0],
        [0, 3, 2, 1],
    ] {
        let tensor = order.map(|place| fields[place]).join(",");
        let (found, _) = tensors(&format!(r#"{{"inputs":[{{{tensor}}}],"id":"7"}}"#)).unwrap();
        assert_eq!(
            found,
            [NamedTensor {
                name: "x".into(),
                tensor: expected.clone()
            }],
            "{order:?}"
        );
    }
}

#[test]
fn what_other_servers_understand_is_passed_over() {
    let body = r#"{"id":"a b","model_name":"m","parameters":{"sequence_id":1,"priority":"2","timeout":5,"headers":{"a":[1]},
        "binary_data_output":true,"triton_enable_empty_final_response":false},
        "inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1],"parameters":{"content_type":"np"}}],
        "outputs":[{"name":"z","parameters":{"binary_data":true,"classification":3}},{"name":"y"}]}"#;
    let (_, asked) = tensors(body).unwrap();
    assert_eq!(
        asked,
        Asked {
            id: Some("a b".into()),
            outputs: Some(vec![
                Wanted {
                    place: 1,
                    binary: Some(true)
                },
                Wanted {
                    place: 0,
                    binary: None
                }
            ]),
            binary: true,
            urgency: Urgency {
                timeout: Some(Duration::from_micros(5)),
                priority: 2
            }
        }
    );
    let all = body.replace(
        r#"[{"name":"z","parameters":{"binary_data":true,"classification":3}},{"name":"y"}]"#,
        "[]",
    );
    assert_eq!(tensors(&all).unwrap().1.outputs, None);
}

#[test]
fn parameters_that_cannot_be_honoured_are_as_if_they_were_not_there() {
    let x = r#""inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1],"parameters":null}]"#;
    for parameters in [
        "null",
        "{}",
        r#"{"timeout":null,"priority":-1}"#,
        r#"{"timeout":1000.5,"priority":true}"#,
        r#"{"timeout":"soon","priority":[1]}"#,
        r#"{"timeout":0,"priority":{}}"#,
    ] {
        let outputs = r#""outputs":[{"name":"y","parameters":null}]"#;
        let body = format!(r#"{{{x},{outputs},"parameters":{parameters}}}"#);
        let (_, asked) = tensors(&body).unwrap();
        assert_eq!(asked.urgency, Urgency::default(), "{parameters}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_its_place() {
    let x = |rest: &str| format!(r#"{{"inputs":[{{"name":"x","datatype":"FP64",{rest}}}]}}"#);
    for (body, kind, expected) in [
        (
            "{}".to_owned(),
            ErrorKind::Malformed,
            "`inputs` is missing: a list of tensors",
        ),
        (
            "[]".to_owned(),
            ErrorKind::Malformed,
            "a list stands where an object should",
        ),
        (
            r#"{"inputs":{}}"#.to_owned(),
            ErrorKind::Malformed,
            "at /inputs",
        ),
        (
            r#"{"inputs":[{}]}"#.to_owned(),
            ErrorKind::Malformed,
            "at /inputs/0 (byte 13): a tensor lacks `name`",
        ),
        (
            r#"{"inputs":[{"name":"x"}]}"#.to_owned(),
            ErrorKind::Malformed,
            "lacks `datatype`",
        ),
        (x(r#""data":[1]"#), ErrorKind::Malformed, "lacks `shape`"),
        (
            x(r#""shape":[1]"#),
            ErrorKind::Malformed,
            "lacks `data` or the parameter `binary_data_size`",
        ),
        (
            x(r#""shape":[1],"data":1"#),
            ErrorKind::Malformed,
            "the list of a tensor's data should",
        ),
        (
            x(r#""shape":[-1],"data":[1]"#),
            ErrorKind::InvalidInput,
            "at /inputs/0/shape/0",
        ),
        (
            x(r#""shape":[1.5],"data":[1]"#),
            ErrorKind::InvalidInput,
            "an axis is a whole number",
        ),
        (
            x(r#""shape":[4294967296],"data":[1]"#),
            ErrorKind::InvalidInput,
            "an axis is a whole number",
        ),
        (
            x(r#""shape":[1,1,1,1,1,1,1,1,1],"data":[1]"#),
            ErrorKind::InvalidInput,
            "at most 8 axes",
        ),
        (
            x(r#""shape":[3],"data":[1,2]"#),
            ErrorKind::InvalidInput,
            "input `x`: the shape holds 3 elements, the data 2",
        ),
        (
            x(r#""shape":[1,4294967295],"data":[1,2]"#),
            ErrorKind::InvalidInput,
            "more than 268435456 elements",
        ),
        (
            x(r#""shape":[2,2],"data":[[1,2,3,4]]"#),
            ErrorKind::InvalidInput,
            "have the shape [1, 4], stated is [2, 2]",
        ),
        (
            x(r#""shape":[1],"data":["1"]"#),
            ErrorKind::InvalidInput,
            "at /inputs/0/data/0",
        ),
        (
            x(r#""shape":[1],"data":[nan]"#),
            ErrorKind::Malformed,
            "at /inputs/0/data/0",
        ),
        (
            x(r#""shape":[1],"data":[1],"name":"y""#),
            ErrorKind::Malformed,
            "the key `name` stands twice",
        ),
        (
            r#"{"inputs":[],"outputs":[{"name":"w"}]}"#.to_owned(),
            ErrorKind::InvalidInput,
            "unknown output `w`; the model has `y`, `z`",
        ),
        (
            r#"{"inputs":[],"outputs":[{}]}"#.to_owned(),
            ErrorKind::Malformed,
            "an output lacks `name`",
        ),
        (
            r#"{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}"#.to_owned(),
            ErrorKind::InvalidInput,
            "`y` stands twice",
        ),
        (
            r#"{"inputs":[]} {}"#.to_owned(),
            ErrorKind::Malformed,
            "more follows",
        ),
        (
            r#"{"id":1,"inputs":[]}"#.to_owned(),
            ErrorKind::Malformed,
            "at /id",
        ),
    ] {
        let fault = tensors(&body)
            .map(|found| panic!("{body} became {found:?}"))
            .unwrap_err();
        assert!(
            fault.message.contains(expected),
            "{body}: {}",
            fault.message
        );
        assert_eq!(fault.kind, kind, "{body}");
        assert_eq!(PredictError::from(fault).kind(), kind);
    }
    let unknown = r#"{"inputs":[{"name":"x","datatype":"FP8","shape":[1],"data":[1]}]}"#;
    assert!(
        tensors(unknown)
            .unwrap_err()
            .message
            .contains("unknown datatype `FP8`; use one of BOOL, UINT8")
    );
    let many = format!(
        r#"{{"inputs":[{}]}}"#,
        [r#"{"name":"x","datatype":"FP64","shape":[0],"data":[]}"#; 9].join(",")
    );
    assert!(
        tensors(&many)
            .unwrap_err()
            .message
            .contains("more inputs than the model has")
    );
}

#[test]
fn half_floats_are_refused_in_the_words_that_clients_know() {
    for (datatype, data) in [("FP16", "[1.0]"), ("BF16", "[[]]")] {
        for body in [
            format!(
                r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[1],"data":{data}}}]}}"#
            ),
            format!(
                r#"{{"inputs":[{{"data":{data},"shape":[1],"datatype":"{datatype}","name":"x"}}]}}"#
            ),
        ] {
            let message = tensors(&body).unwrap_err().message;
            let phrase = format!(
                "{datatype} data via JSON is not supported. Please use the binary data format for input x"
            );
            assert!(message.ends_with(&phrase), "{message}");
        }
    }
    let mut halves = signature(Datatype::Fp64);
    halves.outputs[0].datatype = Datatype::Fp16;
    let body = r#"{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1]}]}"#;
    let message = read(body.as_bytes(), &halves).unwrap_err().message;
    assert!(
        message.ends_with("Please use the binary data format for output y"),
        "{message}"
    );
    let other = body.replace("]}]}", r#"]}],"outputs":[{"name":"z"}]}"#);
    assert!(
        read(other.as_bytes(), &halves).is_ok(),
        "the other output can be written"
    );
}

fn any_elements() -> impl Strategy<Value = Elements> {
    fn list<T: Arbitrary + Clone>() -> impl Strategy<Value = Vec<T>> {
        proptest::collection::vec(any::<T>(), 0..40)
    }
    let fp32 = proptest::num::f32::ANY.prop_map(|v| if v.is_infinite() { f32::NAN } else { v });
    let fp64 = proptest::num::f64::ANY.prop_map(|v| if v.is_infinite() { f64::NAN } else { v });
    prop_oneof![
        proptest::collection::vec(0_u8..2, 0..40).prop_map(Elements::Bool),
        list().prop_map(Elements::Uint8),
        list().prop_map(Elements::Uint16),
        list().prop_map(Elements::Uint32),
        list().prop_map(Elements::Uint64),
        list().prop_map(Elements::Int8),
        list().prop_map(Elements::Int16),
        list().prop_map(Elements::Int32),
        list().prop_map(Elements::Int64),
        proptest::collection::vec(fp32, 0..40).prop_map(Elements::Fp32),
        proptest::collection::vec(fp64, 0..40).prop_map(Elements::Fp64),
        list::<String>().prop_map(|strings| {
            let mut blobs = Blobs::default();
            strings
                .iter()
                .for_each(|string| assert!(blobs.push(string.as_bytes())));
            Elements::Bytes(blobs)
        }),
    ]
}

/// Equal bits, but any NaN for any other.
fn same(a: &Elements, b: &Elements) -> bool {
    match (a, b) {
        (Elements::Fp32(a), Elements::Fp32(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        (Elements::Fp64(a), Elements::Fp64(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_to_the_same_bits(elements in any_elements()) {
        let tensor = Tensor::new(vec![u32::try_from(elements.len()).unwrap(), 1], elements).unwrap();
        let text = written("x", &tensor);
        let body = format!(r#"{{"inputs":[{text}]}}"#);
        let (inputs, _) = read(body.as_bytes(), &signature(tensor.datatype())).map_err(|f| TestCaseError::fail(f.message))?;
        let Inputs::Tensors(mut found) = inputs else { panic!("records") };
        let found = found.remove(0).tensor;
        prop_assert_eq!(found.shape(), tensor.shape());
        prop_assert!(same(found.elements(), tensor.elements()), "{:?} became {:?} by {}", tensor, found, text);
        // And so does the other order, in which the data are understood only at the end.
        let reordered: serde_json::Value = serde_json::from_str(&text).unwrap();
        let object = reordered.as_object().unwrap();
        let backwards: Vec<_> = object.iter().rev().map(|(k, v)| format!("{}:{v}", serde_json::json!(k))).collect();
        if tensor.datatype() != Datatype::Fp32 {
            // serde_json's tree holds doubles: singles would be written with other digits.
            let body = format!(r#"{{"inputs":[{{{}}}]}}"#, backwards.join(","));
            let (inputs, _) = read(body.as_bytes(), &signature(tensor.datatype())).map_err(|f| TestCaseError::fail(f.message))?;
            let Inputs::Tensors(found) = inputs else { panic!("records") };
            prop_assert!(same(found[0].tensor.elements(), tensor.elements()));
        }
    }
}

#[test]
fn a_shape_of_more_rows_than_a_version_takes_is_refused_before_its_data() {
    let body = |rows: u32, data: &str| {
        format!(r#"{{"inputs":[{{"name":"x","datatype":"FP64","shape":[{rows}],"data":{data}}}]}}"#)
    };
    let zeros = format!("[{}]", vec!["0"; 100].join(","));
    assert!(read(body(100, &zeros).as_bytes(), &signature(Datatype::Fp64)).is_ok());
    let fault = read(body(101, "?").as_bytes(), &signature(Datatype::Fp64)).unwrap_err();
    assert_eq!(fault.kind, ErrorKind::InvalidInput);
    assert!(fault.message.contains("at most 100"), "{}", fault.message);
}
