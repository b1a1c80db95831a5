//! The forms in which version 1 takes its inputs.

use foretell_types::ErrorKind;
use foretell_types::record::Value;
use foretell_types::signature::{Bounds, Column as Feature, Domain, Promises};
use foretell_types::tensor::Blobs;

use foretell_types::Tensor;

use super::*;

const MAX_ROWS: u32 = 20;

fn read(body: &[u8], signature: &Signature) -> Result<(Inputs, Form), Fault> {
    super::read(body, signature, MAX_ROWS)
}

fn input(name: &str, datatype: Datatype, shape: &[i32], columns: &[&str]) -> Input {
    let column = |name: &&str| Feature {
        name: (*name).into(),
        doc: String::new(),
        domain: Domain::Real(Bounds { min: 0.0, max: 9.0 }),
        absent: None,
    };
    let columns = columns.iter().map(column).collect();
    Input {
        name: name.into(),
        doc: String::new(),
        datatype,
        shape: shape.into(),
        columns,
    }
}

fn signature(inputs: Vec<Input>) -> Signature {
    Signature {
        doc: String::new(),
        inputs,
        outputs: vec![],
        examples: vec![],
        promises: Promises::default(),
    }
}

fn table() -> Signature {
    signature(vec![input(
        "features",
        Datatype::Fp64,
        &[-1, 2],
        &["a", "b"],
    )])
}

fn pair() -> Signature {
    signature(vec![
        input("x", Datatype::Int64, &[-1, 2], &[]),
        input("t", Datatype::Bytes, &[-1], &[]),
    ])
}

fn tensor(name: &str, shape: &[u32], elements: Elements) -> NamedTensor {
    NamedTensor {
        name: name.into(),
        tensor: Tensor::new(shape.into(), elements).unwrap(),
    }
}

fn bytes(strings: &[&[u8]]) -> Elements {
    let mut blobs = Blobs::default();
    assert!(strings.iter().all(|string| blobs.push(string)));
    Elements::Bytes(blobs)
}

#[test]
fn rows_of_the_one_input_come_bare_or_by_its_name() {
    let expected = tensor(
        "features",
        &[2, 2],
        Elements::Fp64(vec![1.0, 2.0, 3.0, 4.5]),
    );
    for body in [
        r#"{"instances":[[1,2],[3,4.5]]}"#,
        r#"{"signature_name":"serving_default","instances":[{"features":[1,2]},{"features":[3,4.5]}]}"#,
    ] {
        let (inputs, form) = read(body.as_bytes(), &table()).unwrap();
        assert_eq!(inputs, Inputs::Tensors(vec![expected.clone()]), "{body}");
        assert_eq!(form, Form::Rows(Labels::Codes));
    }
}

#[test]
fn records_are_rows_too() {
    let (inputs, form) = read(br#"{"instances":[{"a":1,"b":null}]}"#, &table()).unwrap();
    assert_eq!(
        inputs,
        Inputs::Records(vec![vec![
            ("a".into(), Value::Whole(1)),
            ("b".into(), Value::Null)
        ]])
    );
    assert_eq!(form, Form::Rows(Labels::Names));
}

#[test]
fn several_inputs_come_by_name_in_rows_or_columns() {
    let expected = Inputs::Tensors(vec![
        tensor("x", &[2, 2], Elements::Int64(vec![1, 2, 3, 4])),
        tensor("t", &[2], bytes(&["é".as_bytes(), &[255]])),
    ]);
    for (body, form) in [
        (
            r#"{"instances":[{"x":[1,2],"t":"é"},{"t":{"b64":"/w=="},"x":[3,4]}]}"#,
            Form::Rows(Labels::Codes),
        ),
        (
            r#"{"inputs":{"x":[[1,2],[3,4]],"t":["é",{"b64":"/w=="}]}}"#,
            Form::Columns,
        ),
    ] {
        assert_eq!(
            read(body.as_bytes(), &pair()),
            Ok((expected.clone(), form)),
            "{body}"
        );
    }
}

#[test]
fn the_one_input_may_be_a_column_and_bytes_may_be_bare() {
    let text = signature(vec![input("t", Datatype::Bytes, &[-1], &[])]);
    let expected = Inputs::Tensors(vec![tensor("t", &[2], bytes(&[b"a", &[255]]))]);
    for body in [
        r#"{"instances":["a",{"b64":"/w=="}]}"#,
        r#"{"inputs":["a",{"b64":"/w=="}]}"#,
    ] {
        assert_eq!(read(body.as_bytes(), &text).unwrap().0, expected, "{body}");
    }
    let first = read(br#"{"instances":[{"b64":"/w=="}]}"#, &text).unwrap().0;
    assert_eq!(
        first,
        Inputs::Tensors(vec![tensor("t", &[1], bytes(&[&[255]]))])
    );
}

#[test]
fn other_bodies_are_refused() {
    for (body, kind, expected) in [
        (
            "{}",
            ErrorKind::Malformed,
            "send `instances` (rows) or `inputs` (columns)",
        ),
        (
            r#"{"instances":[],"inputs":[]}"#,
            ErrorKind::Malformed,
            "send either",
        ),
        (
            r#"{"instances":{"a":1}}"#,
            ErrorKind::Malformed,
            "Expected \"instances\" to be a list",
        ),
        (
            r#"{"instances":[[1],[2,3]]}"#,
            ErrorKind::InvalidInput,
            "several inputs",
        ),
        (
            r#"{"instances":[{"x":[1,2],"y":3}]}"#,
            ErrorKind::InvalidInput,
            "the model has no input `y`",
        ),
        (
            r#"{"instances":[{"x":[1,2]}]}"#,
            ErrorKind::InvalidInput,
            "input `t` is missing in a row",
        ),
        (
            r#"{"instances":[{"x":[1,2],"t":"a"},{"x":[1],"t":"a"}]}"#,
            ErrorKind::InvalidInput,
            "this row has the shape [1]",
        ),
        (
            r#"{"instances":[{"x":[1,2],"t":"a"},{"x":[1,2],"x":[1,2]}]}"#,
            ErrorKind::Malformed,
            "stands twice",
        ),
        (
            r#"{"inputs":{"x":[[1,2]],"q":[1]}}"#,
            ErrorKind::InvalidInput,
            "no input `q`",
        ),
        (
            r#"{"inputs":{"x":[["1"]]}}"#,
            ErrorKind::InvalidInput,
            "at /inputs/x/0/0",
        ),
        (
            r#"{"instances":[[1,2]]"#,
            ErrorKind::Malformed,
            "the end of the body",
        ),
        (
            r#"{"inputs":{"x":[[1,2]],"t":["a"]}}]"#,
            ErrorKind::Malformed,
            "more follows",
        ),
    ] {
        let signature = pair();
        let fault = read(body.as_bytes(), &signature)
            .map(|found| panic!("{body} became {found:?}"))
            .unwrap_err();
        assert!(
            fault.message.contains(expected),
            "{body}: {}",
            fault.message
        );
        assert_eq!(fault.kind, kind, "{body}");
    }
}

#[test]
fn more_rows_than_a_version_takes_are_refused_before_they_are_understood() {
    let rows =
        |row: &str, count: usize| format!(r#"{{"instances":[{}]}}"#, vec![row; count].join(","));
    let plain = signature(vec![input("x", Datatype::Int8, &[-1, 1], &[])]);
    assert!(read(rows("[1]", 20).as_bytes(), &plain).is_ok());
    // What they hold is no row of this model, and not looked at.
    for row in ["[1]", r#"{"b":1}"#, r#""text""#] {
        let fault = read(rows(row, 21).as_bytes(), &plain).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::InvalidInput);
        assert!(fault.message.contains("at most 20"), "{}", fault.message);
    }
    let one = signature(vec![input("x", Datatype::Int8, &[30], &[])]);
    assert!(
        read(rows("1", 30).as_bytes(), &one).is_ok(),
        "elements are no rows"
    );
}
