//! V2 inference over one forest, as a component of `wasi:http`: what the plugin `forest` does for trees of equal depth, with
//! thresholds as they are instead of prepared slots.
//!
//! The model is part of the module, laid out as it is walked: so a fresh instance has nothing to load.

use std::io::Read;

use serde::{Deserialize, Serialize};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// Features of a row.
const FEATURES: usize = 30;
/// Trees that are walked side by side, so that one waits for memory while another computes.
const LANES: usize = 6;
/// Levels of each tree.
const DEPTH: u32 = 6;
/// Leaves of each tree.
const LEAVES: usize = 1 << DEPTH;
/// A tree: a threshold for each node (node 0 is none), its feature, and the leaves.
const TREE: usize = 8 * LEAVES + LEAVES + 8 * LEAVES;

static MODEL: &[u8] = include_bytes!("../forest.bin");

#[derive(Deserialize)]
struct Question {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    data: Vec<f64>,
}

#[derive(Serialize)]
struct Answer {
    model_name: &'static str,
    model_version: &'static str,
    outputs: [Output; 2],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Numbers(Vec<f64>),
    Names(Vec<&'static str>),
}

#[derive(Serialize)]
struct Output {
    name: &'static str,
    datatype: &'static str,
    shape: [usize; 1],
    data: Data,
}

struct Forest;

wasip2::http::proxy::export!(Forest);

impl Guest for Forest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, body) = match request.method() {
            Method::Post => match infer(&request) {
                Ok(body) => (200, body),
                Err(problem) => (400, problem.into_bytes()),
            },
            _ => (200, b"ready".to_vec()),
        };
        let headers = Fields::new();
        let length = body.len().to_string().into_bytes();
        let set = headers
            .append("content-type", b"application/json")
            .and_then(|()| headers.append("content-length", &length));
        set.expect("headers that HTTP allows");
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).expect("a status of HTTP");
        let outgoing = response.body().expect("a body, for the first time");
        ResponseOutparam::set(out, Ok(response));
        let stream = outgoing.write().expect("a stream, for the first time");
        // What does not arrive, the caller has hung up on.
        let _ = stream.blocking_write_and_flush(&body);
        drop(stream);
        let _ = OutgoingBody::finish(outgoing, None);
    }
}

fn infer(request: &IncomingRequest) -> Result<Vec<u8>, String> {
    let body = request.consume().map_err(|()| "no body")?;
    let mut stream = body.stream().map_err(|()| "no stream")?;
    let mut text = Vec::new();
    stream
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    let question: Question = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let data = &question.inputs.first().ok_or("no input")?.data;
    if data.is_empty() || data.len() % FEATURES != 0 {
        return Err(format!("{} numbers are no rows of {FEATURES}", data.len()));
    }
    let probabilities: Vec<f64> = data.as_chunks::<FEATURES>().0.iter().map(probability).collect();
    let labels = probabilities
        .iter()
        .map(|probability| if *probability > 0.5 { "yes" } else { "no" })
        .collect();
    let shape = [probabilities.len()];
    let answer = Answer {
        model_name: "forest",
        model_version: "1",
        outputs: [
            Output {
                name: "probability",
                datatype: "FP64",
                shape,
                data: Data::Numbers(probabilities),
            },
            Output {
                name: "label",
                datatype: "BYTES",
                shape,
                data: Data::Names(labels),
            },
        ],
    };
    serde_json::to_vec(&answer).map_err(|error| error.to_string())
}

fn probability(row: &[f64; FEATURES]) -> f64 {
    let trees = MODEL.as_chunks::<TREE>().0;
    let (groups, rest) = trees.as_chunks::<LANES>();
    let mut sum = 0.0;
    for group in groups {
        let mut nodes = [1; LANES];
        for _ in 0..DEPTH {
            for (node, tree) in nodes.iter_mut().zip(group) {
                *node = step(tree, *node, row);
            }
        }
        for (node, tree) in nodes.iter().zip(group) {
            sum += leaf(tree, *node);
        }
    }
    for tree in rest {
        let last = (0..DEPTH).fold(1, |node, _| step(tree, node, row));
        sum += leaf(tree, last);
    }
    1.0 / (1.0 + (-sum).exp())
}

fn step(tree: &[u8; TREE], node: usize, row: &[f64; FEATURES]) -> usize {
    let feature = usize::from(tree[8 * LEAVES + node % LEAVES]);
    2 * node + usize::from(number(tree, node % LEAVES) < row[feature])
}

fn leaf(tree: &[u8; TREE], node: usize) -> f64 {
    number(tree, (8 * LEAVES + LEAVES) / 8 + node % LEAVES)
}

/// The number at a place of eight bytes.
fn number(tree: &[u8; TREE], place: usize) -> f64 {
    f64::from_le_bytes(tree.as_chunks::<8>().0[place])
}
