//! Bodies with raw tensors: where they stand, what is refused, and that they read back.

use foretell_types::ErrorKind;
use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::super::request::{Wanted, read};
use super::super::testing::{self, input};
use super::*;

fn signature(inputs: Vec<Input>) -> Signature {
    testing::signature(inputs, Datatype::Fp16)
}

fn two() -> Signature {
    signature(vec![
        input("a", Datatype::Fp32, &[-1, 2]),
        input("b", Datatype::Bytes, &[-1]),
    ])
}

fn tensors((inputs, asked): (Inputs, Asked)) -> (Vec<NamedTensor>, Asked) {
    match inputs {
        Inputs::Tensors(tensors) => (tensors, asked),
        Inputs::Records(_) => panic!("records"),
    }
}

fn headers(length: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(length).unwrap();
    headers.insert(INFERENCE_HEADER_CONTENT_LENGTH, value);
    headers
}

#[test]
fn a_body_is_split_where_its_header_says() {
    let split = |length: &str| Pieces::split(&headers(length), b"{}abc").ok();
    let json = |json, tail| Some(Pieces::Json { json, tail });
    assert_eq!(split("2"), json(&b"{}"[..], Some(&b"abc"[..])));
    assert_eq!(split("5"), json(b"{}abc", Some(b"")));
    assert_eq!(split("0"), Some(Pieces::Raw(b"{}abc")));
    for length in [
        "6",
        "-1",
        "+2",
        "2.0",
        "",
        " ",
        "0x2",
        "99999999999999999999999",
    ] {
        assert_eq!(split(length), None, "{length}");
    }
    let none = Pieces::split(&HeaderMap::new(), b"{}abc").unwrap();
    assert_eq!(Some(none), json(b"{}abc", None));
}

#[test]
fn raw_tensors_stand_behind_the_json_in_the_order_of_the_inputs() {
    let head = r#"{"inputs":[
        {"name":"b","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6,"other":[1]}},
        {"parameters":{"binary_data_size":8},"shape":[1,2],"datatype":"FP32","name":"a"}]}"#;
    let tail = b"\x02\0\0\0hi\0\0\x80\x3f\0\0\0\xc0";
    let asked = r#","parameters":{"binary_data_output":true}}"#;
    let head = format!("{}{asked}", &head[..head.len() - 1]);
    let (found, asked) = tensors(read(head.as_bytes(), Some(tail), &two(), 9).unwrap());
    assert_eq!(
        found[0].tensor.elements(),
        &raw::read(Datatype::Bytes, &tail[..6]).unwrap()
    );
    assert_eq!(found[1].tensor.elements(), &Elements::Fp32(vec![1.0, -2.0]));
    assert_eq!(asked.wanted(2), [(0, true), (1, true)]);
}

#[test]
fn an_output_says_itself_how_it_is_to_come_whatever_the_request_says_of_all() {
    for (first, last) in [("parameters", "outputs"), ("outputs", "parameters")] {
        let value = |key| match key {
            "parameters" => json!({"binary_data_output": true}),
            _ => json!([{"name": "z", "parameters": {"binary_data": false}}, {"name": "y"}]),
        };
        let inputs = r#""inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}]"#;
        let body = format!(
            r#"{{"{first}":{},"{last}":{},{inputs}}}"#,
            value(first),
            value(last)
        );
        let signature = signature(vec![input("x", Datatype::Int8, &[-1])]);
        let (_, asked) = read(body.as_bytes(), None, &signature, 9).unwrap();
        let z = Wanted {
            place: 1,
            binary: Some(false),
        };
        let y = Wanted {
            place: 0,
            binary: None,
        };
        assert_eq!(asked.outputs, Some(vec![z, y]));
        assert_eq!(asked.wanted(2), [(1, false), (0, true)]);
        // What JSON cannot carry is refused before it is run.
        let wrong = body.replace("true", "false");
        let fault = read(wrong.as_bytes(), None, &signature, 9).unwrap_err();
        assert!(
            fault.message.ends_with("binary data format for output y"),
            "{}",
            fault.message
        );
    }
}

#[test]
fn half_floats_come_in_as_raw_bytes() {
    let signature = signature(vec![input("x", Datatype::Bf16, &[-1])]);
    let body = r#"{"inputs":[{"name":"x","datatype":"BF16","shape":[2],"parameters":{"binary_data_size":4}}],"outputs":[{"name":"z"}]}"#;
    let (found, _) =
        tensors(read(body.as_bytes(), Some(&[0x80, 0x3f, 0, 0xc0]), &signature, 9).unwrap());
    assert_eq!(
        found[0].tensor.elements(),
        &Elements::Bf16(vec![0x3f80, 0xc000])
    );
}

#[test]
fn bytes_that_do_not_fit_what_announces_them_are_refused() {
    let x = |fields: &str| {
        format!(
            r#"{{"inputs":[{{"name":"x","datatype":"INT16","shape":[2],{fields}}}],"outputs":[{{"name":"z"}}]}}"#
        )
    };
    let sized = |size: &str| x(&format!(r#""parameters":{{"binary_data_size":{size}}}"#));
    let signature = signature(vec![input("x", Datatype::Int16, &[-1])]);
    for (body, tail, expected) in [
        (
            sized("4"),
            Some(&b"abc"[..]),
            "input `x`: `binary_data_size` is 4, 3 bytes are left",
        ),
        (
            sized("4"),
            None,
            "no header Inference-Header-Content-Length",
        ),
        (sized("4"), Some(b"abcde"), "1 bytes follow the JSON"),
        (
            sized("3"),
            Some(b"abc"),
            "3 bytes are no whole number of INT16",
        ),
        (sized("2"), Some(b"ab"), "holds 2 elements, the data 1"),
        (
            sized("-4"),
            Some(b"abcd"),
            "`binary_data_size` is a whole number",
        ),
        (
            sized("4.0"),
            Some(b"abcd"),
            "`binary_data_size` is a whole number",
        ),
        (
            sized("null"),
            Some(b"abcd"),
            "at /inputs/0/parameters/binary_data_size",
        ),
        (
            sized("18446744073709551615"),
            Some(b"abcd"),
            "4 bytes are left",
        ),
        (
            x(r#""data":[1,2],"parameters":{"binary_data_size":4}"#),
            Some(b"abcd"),
            "not both",
        ),
        (
            x(r#""parameters":{}"#),
            Some(b"abcd"),
            "lacks `data` or the parameter `binary_data_size`",
        ),
        (x(r#""parameters":7"#), None, "at /inputs/0/parameters"),
        (
            x(r#""parameters":{"shared_memory_region":"r"}"#),
            None,
            "shared memory is not supported",
        ),
        (
            x(r#""data":[1,2]"#),
            Some(b"abcd"),
            "4 bytes follow the JSON",
        ),
    ] {
        let fault = read(body.as_bytes(), tail, &signature, 9).unwrap_err();
        assert!(
            fault.message.contains(expected),
            "{body}: {}",
            fault.message
        );
        assert!(matches!(
            fault.kind,
            ErrorKind::Malformed | ErrorKind::InvalidInput
        ));
    }
    let rows = sized("4");
    let fault = read(rows.as_bytes(), Some(b"abcd"), &signature, 1).unwrap_err();
    assert!(fault.message.contains("at most 1"), "{}", fault.message);
}

#[test]
fn a_raw_request_is_the_one_input_whose_free_axis_follows_from_its_length() {
    let raw = |datatype, shape: &[i32], body: &[u8]| {
        let signature = signature(vec![input("x", datatype, shape)]);
        read_raw(body, &signature, 3).map(|read| {
            let (mut found, asked) = tensors(read);
            assert!(asked.binary && asked.outputs.is_none());
            found.remove(0).tensor.into_parts()
        })
    };
    for (shape, bytes, expected) in [
        (&[-1, 2][..], 8, &[2, 2][..]),
        (&[-1, 2], 12, &[3, 2]),
        (&[2, -1], 12, &[2, 3]),
        (&[-1, 2, -1], 16, &[1, 2, 4]),
        (&[2, 2], 8, &[2, 2]),
        (&[-1], 2, &[1]),
        (&[-1], 0, &[0]),
    ] {
        let (found, elements) = raw(Datatype::Int16, shape, &vec![0; bytes]).unwrap();
        assert_eq!(found, expected, "{shape:?}");
        assert_eq!(elements.byte_len(), bytes);
    }
    for (shape, bytes, expected) in [
        (&[-1, 2][..], 6, "no multiple of the 2"),
        (&[-1, 2], 16, "more than 3 rows"),
        (&[2, 2], 6, "holds 4 elements, the data 3"),
        (&[-1], 3, "no whole number"),
        (&[2, -1, -1], 4, "2 free axes"),
        (&[-1, -1, -1], 4, "3 free axes"),
    ] {
        let fault = raw(Datatype::Int16, shape, &vec![0; bytes]).unwrap_err();
        assert!(fault.message.contains(expected), "{}", fault.message);
    }
    // One byte string, without its length.
    let (found, elements) = raw(Datatype::Bytes, &[-1], b"\x01\0\0\0").unwrap();
    let Elements::Bytes(blobs) = elements else {
        panic!("not BYTES")
    };
    assert_eq!(
        (found, blobs.iter().collect::<Vec<_>>()),
        (vec![1], vec![&b"\x01\0\0\0"[..]])
    );
    assert!(raw(Datatype::Bytes, &[2], b"").is_err());
    let fault = read_raw(b"", &two(), 3).unwrap_err();
    assert!(
        fault.message.contains("this one has 2"),
        "{}",
        fault.message
    );
}

proptest! {
    #[test]
    fn no_body_and_no_length_breaks_the_reader(
        length in 0_usize..80,
        size in 0_u64..40,
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let json = json!({"inputs": [{"name": "b", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}]});
        let body = [json.to_string().as_bytes(), &body].concat();
        let Ok(pieces) = Pieces::split(&headers(&length.to_string()), &body) else { return Ok(()) };
        // Whatever it is, it is read or refused.
        match pieces {
            Pieces::Json { json, tail } => drop(read(json, tail, &two(), 9)),
            Pieces::Raw(body) => drop(read_raw(body, &two(), 9)),
        }
    }
}
