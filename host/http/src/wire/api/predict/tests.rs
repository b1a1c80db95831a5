//! Records in: one or a list.

use foretell_types::record::Value;
use foretell_types::signature::{Input, Promises};
use foretell_types::{Datatype, ErrorKind};

use super::*;

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
