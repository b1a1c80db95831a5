//! One corridor behind every door: the same tensors give the same answers, whichever protocol asks.

use foretell_types::tensor::Blobs;
use foretell_types::{Datatype, Elements, Tensor};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::grpc::call;
use super::host::Host;
use crate::grpc::messages::model_infer_request::InferInputTensor;
use crate::grpc::messages::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::wire::raw;

const COLUMNS: usize = 3;
const LENGTH: &str = "inference-header-content-length";

/// Elements of every datatype, in rows of three; finite, since JSON has no other numbers.
fn any_elements() -> impl Strategy<Value = Elements> {
    fn rows<S: Strategy>(item: S) -> impl Strategy<Value = Vec<S::Value>>
    where
        S::Value: Clone,
    {
        prop::collection::vec(item, COLUMNS..4 * COLUMNS).prop_map(|mut items: Vec<S::Value>| {
            items.truncate(items.len() / COLUMNS * COLUMNS);
            items
        })
    }
    prop_oneof![
        rows(0_u8..2).prop_map(Elements::Bool),
        rows(any::<u8>()).prop_map(Elements::Uint8),
        rows(any::<u16>()).prop_map(Elements::Uint16),
        rows(any::<u32>()).prop_map(Elements::Uint32),
        rows(any::<u64>()).prop_map(Elements::Uint64),
        rows(any::<i8>()).prop_map(Elements::Int8),
        rows(any::<i16>()).prop_map(Elements::Int16),
        rows(any::<i32>()).prop_map(Elements::Int32),
        rows(any::<i64>()).prop_map(Elements::Int64),
        rows(any::<u16>()).prop_map(Elements::Fp16),
        rows(any::<u16>()).prop_map(Elements::Bf16),
        rows(prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL)
            .prop_map(Elements::Fp32),
        rows(prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL)
            .prop_map(Elements::Fp64),
        rows(any::<String>()).prop_map(|strings| {
            let mut blobs = Blobs::default();
            for string in &strings {
                assert!(blobs.push(string.as_bytes()));
            }
            Elements::Bytes(blobs)
        }),
    ]
}

fn model(datatype: Datatype) -> String {
    format!("echo-{}", datatype.as_str().to_lowercase())
}

/// A server with a model for each datatype, which returns what it gets.
async fn house() -> (Host, String) {
    let host = Host::start().await;
    let key = host.tenant("acme").await;
    let wasm = [("content-type", "application/wasm")];
    for datatype in Datatype::ALL {
        let path = format!("/api/models/{}/versions/1", model(datatype));
        let plugin = format!("echo {datatype}");
        let reply = host
            .call("PUT", &path, &key, &wasm, plugin.as_bytes())
            .await;
        assert_eq!(reply.status, 201, "{}", reply.text);
    }
    (host, key)
}

/// A tensor's data as our own JSON has them.
fn data(tensor: &Tensor) -> Value {
    let text = crate::wire::json::write::written(tensor.elements());
    serde_json::from_str(&text).unwrap()
}

/// Through every door that the datatype can pass: the bytes of the answer's tensor.
async fn answers(host: &Host, key: &str, tensor: &Tensor) -> Vec<(&'static str, Vec<u8>)> {
    let datatype = tensor.datatype();
    let name = model(datatype);
    let infer = format!("/v2/models/{name}/infer");
    let mut bytes = Vec::new();
    raw::write(tensor.elements(), &mut bytes);
    let mut found = Vec::new();

    let head = json!({
        "inputs": [{"name": "x", "shape": tensor.shape(), "datatype": datatype.as_str(),
            "parameters": {"binary_data_size": bytes.len()}}],
        "parameters": {"binary_data_output": true},
    })
    .to_string();
    let length = head.len().to_string();
    let body = [head.as_bytes(), &bytes].concat();
    let reply = host
        .call("POST", &infer, key, &[(LENGTH, &length)], &body)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let at: usize = reply.header(LENGTH).unwrap().parse().unwrap();
    found.push(("binary", reply.body[at..].to_vec()));

    if datatype != Datatype::Bytes {
        let reply = host
            .call("POST", &infer, key, &[(LENGTH, "0")], &bytes)
            .await;
        let at: usize = reply.header(LENGTH).unwrap().parse().unwrap();
        found.push(("raw", reply.body[at..].to_vec()));
    }

    let input = InferInputTensor {
        name: "x".into(),
        datatype: datatype.as_str().into(),
        shape: tensor.shape().iter().map(|axis| i64::from(*axis)).collect(),
        ..InferInputTensor::default()
    };
    let by_raw = ModelInferRequest {
        model_name: name.clone(),
        inputs: vec![input.clone()],
        raw_input_contents: vec![bytes.clone().into()],
        ..ModelInferRequest::default()
    };
    let answer: ModelInferResponse = call(host, "ModelInfer", key, &by_raw).await.answer();
    found.push(("gRPC, raw", answer.raw_output_contents[0].to_vec()));
    if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) {
        // Neither lists of gRPC nor JSON carry them.
        return found;
    }
    let by_list = ModelInferRequest {
        raw_input_contents: vec![],
        inputs: vec![InferInputTensor {
            contents: Some(contents(tensor.elements())),
            ..input
        }],
        ..by_raw
    };
    let answer: ModelInferResponse = call(host, "ModelInfer", key, &by_list).await.answer();
    found.push(("gRPC, by lists", answer.raw_output_contents[0].to_vec()));

    // JSON comes back as JSON: read by the same reader, it gives bytes to compare.
    let read = |data: &Value| {
        let flat = data.to_string();
        let mut reader = crate::wire::json::Reader::new(flat.as_bytes()).unwrap();
        let leaf = crate::wire::json::Leaf::OrBase64;
        let nested = crate::wire::json::read_nested(&mut reader, datatype, leaf, None).unwrap();
        let mut bytes = Vec::new();
        raw::write(&nested.elements, &mut bytes);
        bytes
    };
    let body = json!({"inputs": [{"name": "x", "shape": tensor.shape(), "datatype": datatype.as_str(), "data": data(tensor)}]});
    let reply = host.post(&infer, key, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    found.push(("JSON", read(&reply.json()["outputs"][0]["data"])));

    let rows: Vec<Value> = data(tensor)
        .as_array()
        .unwrap()
        .chunks(COLUMNS)
        .map(|row| json!(row))
        .collect();
    let body = json!({ "instances": rows });
    let predict = format!("/v1/models/{name}:predict");
    let reply = host.post(&predict, key, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    found.push(("V1", read(&reply.json()["predictions"])));

    let records: Vec<Value> = rows.iter().map(|row| json!({"x": row})).collect();
    let body = Value::from(records);
    let path = format!("/api/predict/{name}");
    let reply = host.post(&path, key, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let answer = reply.json();
    let predictions = answer["predictions"].as_array().unwrap();
    let outputs: Vec<&Value> = predictions
        .iter()
        .map(|one| &one["prediction"]["y"])
        .collect();
    found.push(("records", read(&json!(outputs))));

    let generate = format!("/v2/models/{name}/generate");
    let body = json!({ "x": rows });
    let reply = host.post(&generate, key, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    found.push(("generate", read(&reply.json()["y"])));
    found
}

fn contents(elements: &Elements) -> InferTensorContents {
    fn wide<N: Copy, W: From<N>>(values: &[N]) -> Vec<W> {
        values.iter().map(|value| W::from(*value)).collect()
    }
    let mut contents = InferTensorContents::default();
    match elements {
        Elements::Bool(v) => contents.bool_contents = v.iter().map(|v| *v != 0).collect(),
        Elements::Uint8(v) => contents.uint_contents = wide(v),
        Elements::Uint16(v) => contents.uint_contents = wide(v),
        Elements::Uint32(v) => contents.uint_contents = v.clone(),
        Elements::Uint64(v) => contents.uint64_contents = v.clone(),
        Elements::Int8(v) => contents.int_contents = wide(v),
        Elements::Int16(v) => contents.int_contents = wide(v),
        Elements::Int32(v) => contents.int_contents = v.clone(),
        Elements::Int64(v) => contents.int64_contents = v.clone(),
        Elements::Fp32(v) => contents.fp32_contents = v.clone(),
        Elements::Fp64(v) => contents.fp64_contents = v.clone(),
        Elements::Bytes(v) => {
            contents.bytes_contents = v.iter().map(|bytes| bytes.to_vec().into()).collect();
        }
        Elements::Fp16(_) | Elements::Bf16(_) => panic!("they have no list"),
    }
    contents
}

#[test]
fn the_same_tensors_through_every_door_give_the_same_bits() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (host, key) = runtime.block_on(house());
    let mut cases = TestRunner::new(Config::with_cases(128));
    let held = cases.run(&any_elements(), |elements| {
        let rows = u32::try_from(elements.len() / COLUMNS).unwrap();
        let tensor = Tensor::new(vec![rows, COLUMNS as u32], elements).unwrap();
        let mut expected = Vec::new();
        raw::write(tensor.elements(), &mut expected);
        for (door, found) in runtime.block_on(answers(&host, &key, &tensor)) {
            prop_assert_eq!(&found, &expected, "{} of {}", door, tensor.datatype());
        }
        Ok(())
    });
    held.unwrap();
}
