//! Records in: one or a list.

use foretell_types::Datatype;
use foretell_types::record::Value;
use foretell_types::signature::{Input, Promises};

use super::*;

const MAX_ROWS: u32 = 3;

fn read(body: &[u8], signature: &Signature) -> Result<(Inputs, Form), Fault> {
    super::read(body, signature, MAX_ROWS)
}

fn signature() -> Signature {
    let input = Input {
        name: "x".into(),
        doc: String::new(),
        datatype: Datatype::Fp64,
        shape: vec![-1],
        columns: vec![],
    };
    Signature {
        doc: String::new(),
        inputs: vec![input],
        outputs: vec![],
        examples: vec![],
        promises: Promises::default(),
    }
}

#[test]
fn one_record_or_a_list_of_them() {
    let record = vec![("x".to_owned(), Value::Whole(1))];
    for (body, records, form) in [
        (r#"{"x":1}"#, vec![record.clone()], Form::One),
        (r#" [{"x":1}] "#, vec![record.clone()], Form::List),
        ("[]", vec![], Form::List),
        ("{}", vec![vec![]], Form::One),
    ] {
        assert_eq!(
            read(body.as_bytes(), &signature()),
            Ok((Inputs::Records(records), form)),
            "{body}"
        );
    }
}

#[test]
fn anything_else_is_refused() {
    let far_too_many: Vec<_> = (0..100).map(|i| format!("\"k{i}\":1")).collect();
    for (body, kind) in [
        ("1", ErrorKind::Malformed),
        ("[1]", ErrorKind::Malformed),
        (r#"{"x":{"y":1}}"#, ErrorKind::InvalidInput),
        (r#"{"x":1e999}"#, ErrorKind::InvalidInput),
        (r#"{"x":1}{"x":1}"#, ErrorKind::Malformed),
        (r#"{"x":1,"x":1}"#, ErrorKind::Malformed),
        (
            &format!("{{{}}}", far_too_many.join(",")),
            ErrorKind::InvalidInput,
        ),
    ] {
        assert_eq!(
            read(body.as_bytes(), &signature()).unwrap_err().kind,
            kind,
            "{body}"
        );
    }
}

#[test]
fn more_records_than_a_version_takes_are_refused_at_the_first_too_many() {
    let list = |records: &[&str]| format!("[{}]", records.join(","));
    let record = r#"{"x":1}"#;
    assert!(read(list(&[record; 3]).as_bytes(), &signature()).is_ok());
    // The fourth is not looked at.
    let fault = read(
        list(&[record, record, record, "?"]).as_bytes(),
        &signature(),
    )
    .unwrap_err();
    assert_eq!(fault.kind, ErrorKind::InvalidInput);
    assert!(
        fault.message.contains("more than 3 rows are given"),
        "{}",
        fault.message
    );
}

#[test]
fn a_body_of_another_protocol_is_told_its_path() {
    for (body, path) in [
        (
            r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1]}]}"#,
            "/v2/models/{model}/infer",
        ),
        (r#"{"id":"1","inputs":[[1,2]]}"#, "/v2/models/{model}/infer"),
        (r#"{"instances":[{"x":1}]}"#, "/v1/models/{model}:predict"),
        (r#"{"instances":[[1]]}"#, "/v1/models/{model}:predict"),
    ] {
        let fault = read(body.as_bytes(), &signature()).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::InvalidInput, "{body}");
        assert!(fault.message.contains(path), "{body}: {}", fault.message);
    }
    // A model may have a feature of that name.
    let mut named = signature();
    named.inputs[0].name = "inputs".into();
    let record = vec![("inputs".to_owned(), Value::List(vec![Value::Whole(1)]))];
    assert_eq!(
        read(br#"{"inputs":[1]}"#, &named),
        Ok((Inputs::Records(vec![record]), Form::One))
    );
}
