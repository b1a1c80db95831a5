//! Frames and messages of gRPC that are not as they should be, and callers who may not send them.

use bytes::Bytes;
use prost::Message;
use tonic::Code;

use super::grpc::{call, frame, matrix, raw_call};
use super::host::{Host, OPERATOR};
use crate::grpc::messages::InferParameter;

#[tokio::test]
async fn a_message_of_many_empty_fields_is_refused_before_anything_is_made_of_them() {
    let (host, key) = Host::with_models().await;
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    // Two bytes each on the wire, and hundreds once they are decoded.
    for (field, expected) in [
        (5, "more inputs than the model has: at most 1"),
        (6, "more outputs than the model has: at most 1"),
        (7, "more `raw_input_contents` than the model has inputs"),
        (4, "more parameters: at most 256"),
    ] {
        let mut message = b"\x0a\x06matrix".to_vec();
        for _ in 0..1 << 20 {
            message.extend([field << 3 | 2, 0]);
        }
        let called = raw_call(&host, "ModelInfer", &headers, frame(&message)).await;
        assert_eq!(called.code, Code::InvalidArgument);
        assert!(called.said.contains(expected), "{}", called.said);
    }
    let mut many = matrix(&[1.0, 2.0]);
    for number in 0..300 {
        let name = number.to_string();
        many.inputs[0]
            .parameters
            .insert(name, InferParameter::default());
    }
    let called = call(&host, "ModelInfer", &key, &many).await;
    assert!(
        called
            .said
            .contains("more parameters of inputs: at most 256"),
        "{}",
        called.said
    );
}

#[tokio::test]
async fn callers_and_frames_that_are_not_as_they_should_be_are_told_so() {
    let (host, key) = Host::with_models().await;
    let bearer = format!("Bearer {key}");
    let own = ("authorization", bearer.as_str());
    let other = format!("Bearer {}", host.tenant("other").await);
    let operator = format!("Bearer {OPERATOR}");
    let message = frame(&matrix(&[1.0, 2.0]).encode_to_vec());
    let mut compressed = message.to_vec();
    compressed[0] = 1;
    let large = frame(&[0; 9 << 20]);
    for (what, headers, body, code) in [
        ("no key", &[][..], &message, Code::Unauthenticated),
        (
            "a wrong key",
            &[("x-api-key", "ftl_live_x")],
            &message,
            Code::Unauthenticated,
        ),
        (
            "another tenant",
            &[("authorization", other.as_str())],
            &message,
            Code::NotFound,
        ),
        (
            "an operator",
            &[("authorization", operator.as_str())],
            &message,
            Code::InvalidArgument,
        ),
        (
            "an operator for a tenant",
            &[
                ("authorization", operator.as_str()),
                ("x-foretell-tenant", "acme"),
            ],
            &message,
            Code::Ok,
        ),
        (
            "a tenant for another",
            &[
                ("authorization", other.as_str()),
                ("x-foretell-tenant", "acme"),
            ],
            &message,
            Code::NotFound,
        ),
        (
            "its own tenant",
            &[own, ("x-foretell-tenant", "acme")],
            &message,
            Code::Ok,
        ),
        ("nothing", &[own], &Bytes::new(), Code::InvalidArgument),
        (
            "half a frame",
            &[own],
            &message.slice(..20),
            Code::InvalidArgument,
        ),
        (
            "what is no message",
            &[own],
            &frame(b"\xff\xff"),
            Code::InvalidArgument,
        ),
        ("too much", &[own], &large, Code::InvalidArgument),
        (
            "said to be compressed",
            &[own],
            &compressed.into(),
            Code::InvalidArgument,
        ),
        (
            "in another coding",
            &[own, ("grpc-encoding", "zstd")],
            &message,
            Code::Unimplemented,
        ),
    ] {
        let called = raw_call(&host, "ModelInfer", headers, body.clone()).await;
        assert_eq!(called.code, code, "{what}: {}", called.said);
        assert!(called.metadata.contains_key("x-request-id"), "{what}");
    }
    for method in ["SystemSharedMemoryStatus", "TraceSetting", "", "modelinfer"] {
        let called = raw_call(&host, method, &[own], message.clone()).await;
        assert_eq!(called.code, Code::Unimplemented, "{method}");
    }
}
