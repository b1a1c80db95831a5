//! Raw tensors and compressed bodies, as clients of the protocol send and expect them.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use super::host::{Host, Reply};

const INFER: &str = "/v2/models/matrix/infer";
const LENGTH: &str = "inference-header-content-length";

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// What `tritonclient` sends by default: one input as raw bytes, all outputs wanted so.
fn body(rows: usize, values: &[f32]) -> (String, Vec<u8>) {
    let raw = floats(values);
    let json = json!({
        "id": "7",
        "inputs": [{"name": "x", "shape": [rows, 2], "datatype": "FP32", "parameters": {"binary_data_size": raw.len()}}],
        "parameters": {"binary_data_output": true},
    })
    .to_string();
    let length = json.len().to_string();
    (length, [json.as_bytes(), &raw].concat())
}

/// The JSON of an answer, and the raw bytes behind it.
fn pieces(reply: &Reply) -> (Value, &[u8]) {
    let length = reply.header(LENGTH).unwrap().parse().unwrap();
    let (json, raw) = reply.body.split_at(length);
    (serde_json::from_slice(json).unwrap(), raw)
}

#[tokio::test]
async fn raw_tensors_in_are_answered_by_raw_tensors() {
    let (host, key) = Host::with_models().await;
    let values = [1.0, f32::NAN, -0.0, f32::NEG_INFINITY];
    let (length, body) = body(2, &values);
    let reply = host
        .call("POST", INFER, &key, &[(LENGTH, &length)], &body)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(
        reply.header("content-type"),
        Some("application/octet-stream")
    );
    let (json, raw) = pieces(&reply);
    assert_eq!(
        json,
        json!({"model_name": "matrix", "model_version": "1", "id": "7", "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}}]})
    );
    assert_eq!(raw, floats(&values), "every bit");
}

#[tokio::test]
async fn json_in_may_be_answered_raw_and_raw_in_by_json() {
    let (host, key) = Host::with_models().await;
    let text = r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}],
        "outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
    let reply = host.post(INFER, &key, text).await;
    assert_eq!(pieces(&reply).1, floats(&[1.0, 2.0]));

    let (_, body) = body(1, &[3.0, 4.0]);
    let text = String::from_utf8_lossy(&body[..body.len() - 8]).replace("true", "false");
    let length = text.len().to_string();
    let body = [text.as_bytes(), &body[body.len() - 8..]].concat();
    let reply = host
        .call("POST", INFER, &key, &[(LENGTH, &length)], &body)
        .await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["outputs"][0]["data"], json!([3.0, 4.0]));
}

#[tokio::test]
async fn a_raw_request_is_the_one_input_and_nothing_else() {
    let (host, key) = Host::with_models().await;
    let raw = floats(&[1.0, 2.0, 3.0, 4.0]);
    let reply = host.call("POST", INFER, &key, &[(LENGTH, "0")], &raw).await;
    let (json, answer) = pieces(&reply);
    assert_eq!(json["outputs"][0]["shape"], json!([2, 2]));
    assert_eq!(json["id"], reply.header("x-request-id").unwrap());
    assert_eq!(answer, raw);
}

#[tokio::test]
async fn a_length_of_the_json_that_is_none_and_binary_tensors_of_other_protocols_are_refused() {
    let (host, key) = Host::with_models().await;
    let (length, body) = body(1, &[1.0, 2.0]);
    let longer = (body.len() + 1).to_string();
    for (path, length, expected) in [
        (INFER, "x", "Inference-Header-Content-Length is `x`"),
        (INFER, "-1", "Inference-Header-Content-Length is `-1`"),
        (INFER, &longer, "of the 1"),
        (INFER, "9", "at "),
        (
            "/v1/models/matrix:predict",
            &length,
            "are for /v2/models/{model}/infer",
        ),
        (
            "/api/predict/people",
            &length,
            "are for /v2/models/{model}/infer",
        ),
    ] {
        let reply = host
            .call("POST", path, &key, &[(LENGTH, length)], &body)
            .await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed"));
        assert!(reply.text.contains(expected), "{path}: {}", reply.text);
    }
}

#[tokio::test]
async fn compressed_bodies_are_inflated_and_the_length_of_the_json_counts_inflated_bytes() {
    let (host, key) = Host::with_models().await;
    let (length, body) = body(1, &[1.0, 2.0]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&body).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&body).unwrap();
    for (coding, body) in [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
    ] {
        let headers = [(LENGTH, length.as_str()), ("content-encoding", coding)];
        let reply = host.call("POST", INFER, &key, &headers, &body).await;
        assert_eq!(pieces(&reply).1, floats(&[1.0, 2.0]), "{coding}");
        let cut = &body[..body.len() - 3];
        let reply = host.call("POST", INFER, &key, &headers, cut).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed"));
    }
    let record = br#"{"age":49}"#;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(record).unwrap();
    let headers = [("content-encoding", "gzip")];
    let body = gzip.finish().unwrap();
    let reply = host.call("POST", "/api/predict/people", &key, &headers, &body);
    assert_eq!(reply.await.status, 200);
}

#[tokio::test]
async fn a_body_that_inflates_beyond_the_limit_is_413() {
    let (host, key) = Host::with_models().await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 100_000);
    for path in [INFER, "/api/predict/people", "/v1/models/matrix:predict"] {
        let headers = [("content-encoding", "gzip")];
        let reply = host.call("POST", path, &key, &headers, &bomb).await;
        assert_eq!((reply.status, reply.code().as_str()), (413, "too_large"));
        assert!(reply.text.contains("once inflated"), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_long_answer_is_compressed_for_those_who_accept_that() {
    let (host, key) = Host::with_models().await;
    let (length, long) = body(200, &[1.0; 400]);
    let json = String::from_utf8_lossy(&long[..length.parse().unwrap()]).replace("true", "false");
    let plain = [json.as_bytes(), &floats(&[1.0; 400])].concat();
    let plain_length = json.len().to_string();
    for (coding, length, body) in [
        ("gzip", &length, &long),
        ("deflate", &length, &long),
        ("gzip", &plain_length, &plain),
    ] {
        let headers = [(LENGTH, length.as_str()), ("accept-encoding", coding)];
        let reply = host.call("POST", INFER, &key, &headers, body).await;
        assert_eq!(reply.header("content-encoding"), Some(coding));
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
        let mut inflated = Vec::new();
        match coding {
            "gzip" => GzDecoder::new(&*reply.body).read_to_end(&mut inflated),
            _ => ZlibDecoder::new(&*reply.body).read_to_end(&mut inflated),
        }
        .unwrap();
        let headers = [(LENGTH, length.as_str())];
        let uncompressed = host.call("POST", INFER, &key, &headers, body).await;
        assert_eq!(inflated, uncompressed.body);
        assert_eq!(uncompressed.header("content-encoding"), None);
        if let Some(json) = uncompressed.header(LENGTH) {
            assert_eq!(reply.header(LENGTH), Some(json), "uncompressed bytes");
        }
    }
    let (length, short) = body(1, &[1.0; 2]);
    let headers = [(LENGTH, length.as_str()), ("accept-encoding", "gzip")];
    let reply = host.call("POST", INFER, &key, &headers, &short).await;
    assert_eq!(reply.header("content-encoding"), None);
}
