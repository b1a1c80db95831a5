//! Calls of gRPC with a mistake in them.

use bytes::Bytes;
use prost::Message;

use super::super::grpc::{frame, matrix};
use super::Table;
use crate::grpc::messages::infer_parameter::ParameterChoice;
use crate::grpc::messages::model_infer_request::InferRequestedOutputTensor;
use crate::grpc::messages::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelMetadataRequest,
    ModelRepositoryParameter, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
    model_repository_parameter,
};

pub(super) async fn all(table: &mut Table) {
    table.heading("gRPC", "method");
    let key = table.key.clone();
    let right = frame(&matrix(&[1.0, 2.0]).encode_to_vec());
    for (what, shown) in [("no key", None), ("a key that is none", Some("wrong"))] {
        for method in [
            "ModelReady",
            "ModelMetadata",
            "ModelConfig",
            "ModelStatistics",
            "ModelInfer",
            "ModelStreamInfer",
            "RepositoryIndex",
            "RepositoryModelLoad",
            "RepositoryModelUnload",
        ] {
            table.call(method, what, shown, right.clone()).await;
        }
    }
    for method in [
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
    ] {
        for (what, name, version) in [
            ("no such model", "nobody", ""),
            ("no such version", "matrix", "9"),
            ("a name that no model has", "a/b", ""),
        ] {
            // The four messages have the same fields.
            let message = ModelMetadataRequest {
                name: name.into(),
                version: version.into(),
            };
            if method == "ModelReady" && what != "no such model" {
                continue;
            }
            let (key, framed) = (key.clone(), frame(&message.encode_to_vec()));
            table.call(method, what, Some(&key), framed).await;
        }
        table
            .call(
                method,
                "bytes that are no message",
                Some(&key),
                frame(b"\xff\xff\xff"),
            )
            .await;
    }
    for method in [
        "ModelInfer",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    ] {
        table
            .call(
                method,
                "bytes that are no message",
                Some(&key),
                frame(b"\xff\xff\xff"),
            )
            .await;
        table
            .call(method, "no message", Some(&key), Bytes::new())
            .await;
        table
            .call(
                method,
                "a frame that ends early",
                Some(&key),
                Bytes::from_static(&[0, 0, 0, 0, 9, 1]),
            )
            .await;
    }
    for method in ["SystemSharedMemoryStatus", "TraceSetting", "Nothing"] {
        table
            .call(
                method,
                "a method that is left out",
                Some(&key),
                right.clone(),
            )
            .await;
    }
    inferences(table).await;
    loads(table).await;
}

async fn inferences(table: &mut Table) {
    let changed = |change: &dyn Fn(&mut ModelInferRequest)| {
        let mut request = matrix(&[1.0, 2.0]);
        change(&mut request);
        request
    };
    let cases: Vec<(&str, ModelInferRequest)> = vec![
        (
            "no such model",
            changed(&|request| request.model_name = "nobody".into()),
        ),
        (
            "no such version",
            changed(&|request| request.model_version = "9".into()),
        ),
        ("no model", changed(&|request| request.model_name.clear())),
        ("no inputs", changed(&|request| request.inputs.clear())),
        (
            "an unknown input",
            changed(&|request| request.inputs[0].name = "z".into()),
        ),
        (
            "an input twice",
            changed(&|request| {
                request.inputs.push(request.inputs[0].clone());
                request
                    .raw_input_contents
                    .push(request.raw_input_contents[0].clone());
            }),
        ),
        (
            "another datatype",
            changed(&|request| request.inputs[0].datatype = "INT64".into()),
        ),
        (
            "no datatype",
            changed(&|request| request.inputs[0].datatype = "FLOAT".into()),
        ),
        (
            "another rank",
            changed(&|request| request.inputs[0].shape = vec![2]),
        ),
        (
            "a negative length",
            changed(&|request| request.inputs[0].shape = vec![-1, 2]),
        ),
        (
            "a shape beyond all",
            changed(&|request| request.inputs[0].shape = vec![i64::MAX, i64::MAX]),
        ),
        (
            "no rows",
            changed(&|request| {
                request.inputs[0].shape = vec![0, 2];
                request.raw_input_contents[0] = Vec::new().into();
            }),
        ),
        (
            "too few raw bytes",
            changed(&|request| request.raw_input_contents[0] = vec![0; 7].into()),
        ),
        (
            "too many raw bytes",
            changed(&|request| request.raw_input_contents[0] = vec![0; 9].into()),
        ),
        (
            "no contents at all",
            changed(&|request| request.raw_input_contents.clear()),
        ),
        (
            "more raw contents than inputs",
            changed(&|request| request.raw_input_contents.push(vec![0; 8].into())),
        ),
        (
            "raw contents and typed ones",
            changed(&|request| {
                request.inputs[0].contents = Some(InferTensorContents {
                    fp32_contents: vec![1.0, 2.0],
                    ..InferTensorContents::default()
                });
            }),
        ),
        (
            "contents of another datatype",
            changed(&|request| {
                request.raw_input_contents.clear();
                request.inputs[0].contents = Some(InferTensorContents {
                    int_contents: vec![1, 2],
                    ..InferTensorContents::default()
                });
            }),
        ),
        (
            "an unknown output",
            changed(&|request| {
                request.outputs.push(InferRequestedOutputTensor {
                    name: "z".into(),
                    ..InferRequestedOutputTensor::default()
                });
            }),
        ),
        (
            "shared memory",
            changed(&|request| {
                let region = InferParameter {
                    parameter_choice: Some(ParameterChoice::StringParam("r".into())),
                };
                request.inputs[0]
                    .parameters
                    .insert("shared_memory_region".into(), region);
            }),
        ),
    ];
    for (what, message) in cases {
        table.message("ModelInfer", what, &message).await;
    }
    let long = frame(&vec![0; (8 << 20) + 1]);
    let key = table.key.clone();
    table
        .call("ModelInfer", "8 MiB and a byte", Some(&key), long)
        .await;
}

async fn loads(table: &mut Table) {
    let load = |name: &str, files: &[(&str, &[u8])]| RepositoryModelLoadRequest {
        model_name: name.into(),
        parameters: files
            .iter()
            .map(|(name, bytes)| {
                let choice =
                    model_repository_parameter::ParameterChoice::BytesParam(bytes.to_vec().into());
                let parameter = ModelRepositoryParameter {
                    parameter_choice: Some(choice),
                };
                ((*name).to_owned(), parameter)
            })
            .collect(),
        ..RepositoryModelLoadRequest::default()
    };
    for (what, message) in [
        ("no such model, and no files", load("nobody", &[])),
        (
            "a file of an unknown name",
            load("matrix", &[("file:2/model.onnx", b"x")]),
        ),
        (
            "no plugin among the files",
            load("matrix", &[("file:2/settings.json", b"{}")]),
        ),
        (
            "a plugin that is no WebAssembly",
            load("matrix", &[("file:2/model.wasm", b"not wasm")]),
        ),
        (
            "another content of a version that exists",
            load("matrix", &[("file:1/model.wasm", b"matrix2")]),
        ),
    ] {
        table.message("RepositoryModelLoad", what, &message).await;
    }
    let unload = RepositoryModelUnloadRequest {
        model_name: "nobody".into(),
        ..RepositoryModelUnloadRequest::default()
    };
    table
        .message("RepositoryModelUnload", "no such model", &unload)
        .await;
}
