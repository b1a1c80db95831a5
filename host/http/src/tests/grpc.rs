//! Calls of gRPC: what each is answered, and what a mistake is called.

use std::collections::HashMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use prost::Message;
use tonic::Code;
use tonic::body::Body;

use super::host::{Host, age};
use crate::grpc::messages::infer_parameter::ParameterChoice;
use crate::grpc::messages::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::grpc::messages::{
    InferParameter, InferTensorContents, ModelConfigRequest, ModelConfigResponse,
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ModelRepositoryParameter, ModelStatisticsRequest,
    ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest,
    ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest,
    ServerReadyResponse, model_repository_parameter,
};

/// What came back on a call.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) code: Code,
    pub(super) said: String,
    pub(super) metadata: http::HeaderMap,
    pub(super) messages: Vec<Bytes>,
}

impl Called {
    /// The one message of a call that succeeded.
    #[track_caller]
    pub(super) fn answer<M: Message + Default>(self) -> M {
        assert_eq!(self.code, Code::Ok, "{}", self.said);
        let [message] = <[Bytes; 1]>::try_from(self.messages).unwrap();
        M::decode(message).unwrap()
    }
}

/// A message in its frame.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

pub(super) async fn raw_call(
    host: &Host,
    method: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Called {
    let mut request = http::Request::post(format!("/inference.GRPCInferenceService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(Full::new(body))).unwrap();
    let response = host.calls.answer(request).await;
    let mut metadata = response.headers().clone();
    let collected = response.into_body().collect().await.unwrap();
    metadata.extend(collected.trailers().cloned().unwrap_or_default());
    let mut bytes = collected.to_bytes();
    let mut messages = Vec::new();
    while bytes.has_remaining() {
        assert_eq!(bytes.get_u8(), 0, "not compressed");
        let length = bytes.get_u32() as usize;
        messages.push(bytes.split_to(length));
    }
    let text = |name: &str| {
        let value = metadata.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    Called {
        code: Code::from_bytes(text("grpc-status").as_bytes()),
        said: crate::text::percent_decoded(&text("grpc-message")),
        metadata,
        messages,
    }
}

pub(super) async fn call(host: &Host, method: &str, key: &str, message: &impl Message) -> Called {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let headers = if key.is_empty() { &[] } else { &headers[..] };
    raw_call(host, method, headers, frame(&message.encode_to_vec())).await
}

pub(super) fn matrix(x: &[f32]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "matrix".into(),
        id: "7".into(),
        inputs: vec![InferInputTensor {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![x.len() as i64 / 2, 2],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![x.iter().flat_map(|x| x.to_le_bytes()).collect()],
        ..ModelInferRequest::default()
    }
}

/// One row of the table.
fn people(age: u32) -> ModelInferRequest {
    let row = [f64::from(age), 1.0];
    ModelInferRequest {
        model_name: "people".into(),
        inputs: vec![InferInputTensor {
            name: "features".into(),
            datatype: "FP64".into(),
            shape: vec![1, 2],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![row.iter().flat_map(|x| x.to_le_bytes()).collect()],
        ..ModelInferRequest::default()
    }
}

#[tokio::test]
async fn an_inference_is_answered_by_raw_tensors_whichever_way_it_came() {
    let (host, key) = Host::with_models().await;
    let raw = matrix(&[1.0, f32::NAN, -0.0, 4.0]);
    let mut typed = raw.clone();
    let bytes = std::mem::take(&mut typed.raw_input_contents).remove(0);
    typed.inputs[0].contents = Some(InferTensorContents {
        fp32_contents: vec![1.0, f32::NAN, -0.0, 4.0],
        ..InferTensorContents::default()
    });
    for request in [raw, typed] {
        let called = call(&host, "ModelInfer", &key, &request).await;
        assert_eq!(called.metadata["x-model-version"], "1");
        assert!(called.metadata.contains_key("x-request-id"));
        let answer: ModelInferResponse = called.answer();
        assert_eq!(
            (answer.model_name.as_str(), answer.model_version.as_str()),
            ("matrix", "1")
        );
        assert_eq!(answer.id, "7");
        assert_eq!(answer.outputs[0].shape, [2, 2]);
        assert_eq!(answer.outputs[0].datatype, "FP32");
        assert_eq!(answer.raw_output_contents, std::slice::from_ref(&bytes));
    }
    let mut without_id = matrix(&[1.0, 2.0]);
    without_id.id.clear();
    let called = call(&host, "ModelInfer", &key, &without_id).await;
    let id = called.metadata["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(called.answer::<ModelInferResponse>().id, id);
}

#[tokio::test]
async fn the_server_and_its_models_tell_what_they_are() {
    let (host, key) = Host::with_models().await;
    let live = call(&host, "ServerLive", "", &ServerLiveRequest {}).await;
    assert!(live.answer::<ServerLiveResponse>().live);
    let ready = call(&host, "ServerReady", "", &ServerReadyRequest {}).await;
    assert!(ready.answer::<ServerReadyResponse>().ready);
    let server = call(&host, "ServerMetadata", "", &ServerMetadataRequest {}).await;
    let server: ServerMetadataResponse = server.answer();
    assert_eq!(server.name, "foretell");
    assert!(server.extensions.contains(&"statistics".to_owned()));

    let (name, version) = ("people".to_owned(), String::new());
    let asked = ModelReadyRequest {
        name: name.clone(),
        version: "1".into(),
    };
    let ready = call(&host, "ModelReady", &key, &asked).await;
    assert!(ready.answer::<ModelReadyResponse>().ready);
    let asked = ModelMetadataRequest {
        name: name.clone(),
        version: version.clone(),
    };
    let told: ModelMetadataResponse = call(&host, "ModelMetadata", &key, &asked).await.answer();
    assert_eq!(told.versions, ["1"]);
    assert_eq!(told.inputs[0].shape, [-1, 2]);
    assert_eq!(told.outputs[1].datatype, "UINT32");
    assert!(told.properties.contains_key("signature"));
    let asked = ModelConfigRequest {
        name: name.clone(),
        version: version.clone(),
    };
    let told: ModelConfigResponse = call(&host, "ModelConfig", &key, &asked).await.answer();
    let config = told.config.unwrap();
    assert_eq!(
        (config.max_batch_size, &*config.input[0].dims),
        (10_240, &[2][..])
    );

    call(&host, "ModelInfer", &key, &matrix(&[1.0, 2.0])).await;
    let all = ModelStatisticsRequest::default();
    let told: ModelStatisticsResponse = call(&host, "ModelStatistics", &key, &all).await.answer();
    let counts: Vec<_> = told
        .model_stats
        .iter()
        .map(|m| (m.name.as_str(), m.inference_count))
        .collect();
    assert_eq!(counts, [("matrix", 1), ("people", 0)]);
    let stats = told.model_stats[0].inference_stats.as_ref().unwrap();
    assert_eq!(stats.compute_infer.unwrap().ns, 2_250_000);
}

#[tokio::test]
async fn the_repository_is_there_for_triton_s_clients_and_kserve_s() {
    let (host, key) = Host::with_models().await;
    let bytes = |bytes: &'static [u8]| ModelRepositoryParameter {
        parameter_choice: Some(model_repository_parameter::ParameterChoice::BytesParam(
            Bytes::from_static(bytes),
        )),
    };
    let load = RepositoryModelLoadRequest {
        model_name: "fresh".into(),
        parameters: HashMap::from([("file:3/model.wasm".to_owned(), bytes(b"people"))]),
        ..RepositoryModelLoadRequest::default()
    };
    let loaded = call(&host, "RepositoryModelLoad", &key, &load).await;
    assert!(loaded.answer::<RepositoryModelLoadResponse>().is_loaded);
    // KServe's name stands where Triton's has a repository.
    let unload = RepositoryModelUnloadRequest {
        repository_name: "fresh".into(),
        ..RepositoryModelUnloadRequest::default()
    };
    let unloaded = call(&host, "RepositoryModelUnload", &key, &unload).await;
    let unloaded: RepositoryModelUnloadResponse = unloaded.answer();
    assert_eq!(
        (unloaded.model_name.as_str(), unloaded.is_unloaded),
        ("fresh", true)
    );
    let asked = ModelReadyRequest {
        name: "fresh".into(),
        ..ModelReadyRequest::default()
    };
    let ready = call(&host, "ModelReady", &key, &asked).await;
    assert!(!ready.answer::<ModelReadyResponse>().ready);
    let index = call(
        &host,
        "RepositoryIndex",
        &key,
        &RepositoryIndexRequest::default(),
    )
    .await;
    let index: RepositoryIndexResponse = index.answer();
    let states: Vec<_> = index
        .models
        .iter()
        .map(|m| (m.name.as_str(), m.version.as_str(), m.state.as_str()))
        .collect();
    assert_eq!(
        states,
        [
            ("fresh", "3", "UNAVAILABLE"),
            ("matrix", "1", "READY"),
            ("people", "1", "READY")
        ]
    );
    let load = RepositoryModelLoadRequest {
        repository_name: "fresh".into(),
        ..RepositoryModelLoadRequest::default()
    };
    assert_eq!(
        call(&host, "RepositoryModelLoad", &key, &load).await.code,
        Code::Ok
    );
}

#[tokio::test]
async fn an_error_in_a_stream_is_an_answer_and_does_not_end_it() {
    let (host, key) = Host::with_models().await;
    let mut unknown = matrix(&[1.0, 2.0]);
    unknown.model_name = "nobody".into();
    let messages = [matrix(&[1.0, 2.0]), unknown, matrix(&[3.0, 4.0])];
    let mut body = BytesMut::new();
    for message in &messages {
        body.extend_from_slice(&frame(&message.encode_to_vec()));
    }
    body.extend_from_slice(&frame(b"\xff\xff"));
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let called = raw_call(&host, "ModelStreamInfer", &headers, body.freeze()).await;
    assert_eq!(called.code, Code::Ok);
    let answers: Vec<_> = called
        .messages
        .into_iter()
        .map(|message| ModelStreamInferResponse::decode(message).unwrap())
        .collect();
    assert_eq!(answers.len(), 4);
    for (answer, request) in [(&answers[0], &messages[0]), (&answers[2], &messages[2])] {
        let response = answer.infer_response.as_ref().unwrap();
        assert_eq!(response.raw_output_contents, request.raw_input_contents);
        assert_eq!(answer.error_message, "");
    }
    assert!(answers[1].error_message.contains("'nobody' is not found"));
    assert!(answers[3].error_message.starts_with("the message: "));
}

#[tokio::test]
async fn no_mistake_of_a_caller_is_the_server_s() {
    let (host, key) = Host::with_models().await;
    let change = |change: &dyn Fn(&mut ModelInferRequest)| {
        let mut request = matrix(&[1.0, 2.0]);
        change(&mut request);
        request
    };
    let parameter = |choice| InferParameter {
        parameter_choice: Some(choice),
    };
    let contents = || Some(InferTensorContents::default());
    for (what, request, code, expected) in [
        (
            "an unknown model",
            change(&|r| r.model_name = "nobody".into()),
            Code::NotFound,
            "Request for unknown model: 'nobody' is not found",
        ),
        (
            "no model",
            change(&|r| r.model_name.clear()),
            Code::NotFound,
            "is not found",
        ),
        (
            "an unknown version",
            change(&|r| r.model_version = "7".into()),
            Code::NotFound,
            "no version `7`",
        ),
        (
            "an unknown datatype",
            change(&|r| r.inputs[0].datatype = "FP8".into()),
            Code::InvalidArgument,
            "unknown datatype `FP8`",
        ),
        (
            "another datatype",
            change(&|r| r.inputs[0].datatype = "INT32".into()),
            Code::InvalidArgument,
            "has datatype INT32",
        ),
        (
            "an axis below zero",
            change(&|r| r.inputs[0].shape = vec![-1, 2]),
            Code::InvalidArgument,
            "not -1",
        ),
        (
            "another shape",
            change(&|r| r.inputs[0].shape = vec![2, 2]),
            Code::InvalidArgument,
            "holds 4 elements, the data 2",
        ),
        (
            "an unknown input",
            change(&|r| r.inputs[0].name = "y\n".into()),
            Code::InvalidArgument,
            "unknown input",
        ),
        (
            "no inputs",
            change(&|r| r.inputs.clear()),
            Code::InvalidArgument,
            "`raw_input_contents`",
        ),
        (
            "an input twice",
            change(&|r| {
                let again = r.inputs[0].clone();
                r.inputs.push(again);
            }),
            Code::InvalidArgument,
            "more inputs than the model has",
        ),
        (
            "two raw tensors for one input",
            change(&|r| r.raw_input_contents.push(Bytes::new())),
            Code::InvalidArgument,
            "more `raw_input_contents` than the model has inputs: at most 1",
        ),
        (
            "raw and typed",
            change(&|r| r.inputs[0].contents = contents()),
            Code::InvalidArgument,
            "send one of them",
        ),
        (
            "neither",
            change(&|r| r.raw_input_contents.clear()),
            Code::InvalidArgument,
            "holds 2 elements, the data 0",
        ),
        (
            "half floats as numbers",
            change(&|r| {
                r.raw_input_contents.clear();
                r.inputs[0].datatype = "FP16".into();
            }),
            Code::InvalidArgument,
            "FP16 has no list of its own",
        ),
        (
            "an unknown output",
            change(&|r| {
                r.outputs = vec![InferRequestedOutputTensor {
                    name: "z".into(),
                    ..InferRequestedOutputTensor::default()
                }];
            }),
            Code::InvalidArgument,
            "unknown output `z`",
        ),
        (
            "shared memory",
            change(&|r| {
                let region = parameter(ParameterChoice::StringParam("r".into()));
                r.inputs[0]
                    .parameters
                    .insert("shared_memory_region".into(), region);
            }),
            Code::InvalidArgument,
            "shared memory is not supported",
        ),
    ] {
        let called = call(&host, "ModelInfer", &key, &request).await;
        assert_eq!(called.code, code, "{what}: {}", called.said);
        assert!(called.said.contains(expected), "{what}: {}", called.said);
        assert!(!called.said.contains('\n'), "{what}");
        assert!(called.metadata.contains_key("code"), "{what}");
        assert!(called.messages.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn what_a_model_does_wrong_has_its_code_and_no_secret() {
    let (host, key) = Host::with_models().await;
    for (age, code, name) in [
        (age::TRAPS, Code::Internal, "plugin_trapped"),
        (age::TOO_LONG, Code::DeadlineExceeded, "deadline_exceeded"),
        (age::OVERLOADED, Code::Unavailable, "overloaded"),
        (age::REFUSED, Code::InvalidArgument, "plugin_refused"),
        (age::LIES, Code::Internal, "plugin_contract"),
        (age::PANICS, Code::Internal, "internal"),
    ] {
        let request = people(age);
        let called = call(&host, "ModelInfer", &key, &request).await;
        assert_eq!(called.code, code, "{name}: {}", called.said);
        assert_eq!(called.metadata["code"], name);
        assert_eq!(
            called.metadata.contains_key("retry-after"),
            code == Code::Unavailable
        );
        assert!(!called.said.contains("secret"), "{}", called.said);
    }
}

#[tokio::test]
async fn the_caller_s_deadline_is_kept() {
    let (host, key) = Host::with_models().await;
    let request = people(age::WAITS);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("grpc-timeout", "20m")];
    let called = raw_call(
        &host,
        "ModelInfer",
        &headers,
        frame(&request.encode_to_vec()),
    )
    .await;
    assert_eq!(called.code, Code::DeadlineExceeded, "{}", called.said);
    assert!(called.said.contains("20 ms"), "{}", called.said);
}
