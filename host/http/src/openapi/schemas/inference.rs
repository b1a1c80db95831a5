//! Bodies of the inference protocols.

use foretell_types::Datatype;
use serde_json::json;

use super::super::reference;
use super::{Named, any, closed, count, list, named, number, one_of, open, text, truth};

pub(super) fn all() -> Named {
    [inference(), records_and_v1(), statistics()].concat()
}

fn inference() -> Named {
    let datatypes = Datatype::ALL.map(Datatype::as_str);
    let shape = list(&json!({"type": "integer"}));
    let parameters = || open([]);
    let tensor = open([
        ("name", text("the input's or output's")),
        ("datatype", one_of(&datatypes)),
        ("shape", shape.clone()),
        (
            "data?",
            any("the elements, row-major; absent where they stand behind the JSON"),
        ),
        ("parameters?", parameters()),
    ]);
    let metadata = list(&open([
        ("name", text("the tensor's")),
        ("datatype", one_of(&datatypes)),
        ("shape", shape.clone()),
    ]));
    let dims = list(&open([
        ("name", text("the tensor's")),
        ("data_type", text("Triton's name of the datatype")),
        ("dims", shape.clone()),
    ]));
    named([
        ("Tensor", tensor),
        (
            "InferRequest",
            open([
                ("id?", text("given back")),
                (
                    "inputs",
                    list(&open([
                        ("name", text("the input's")),
                        ("datatype", one_of(&datatypes)),
                        ("shape", list(&json!({"type": "integer", "minimum": 0}))),
                        (
                            "data?",
                            any(
                                "the elements, flat or nested; absent where they stand behind the JSON",
                            ),
                        ),
                        ("parameters?", parameters()),
                    ])),
                ),
                (
                    "outputs?",
                    list(&open([
                        ("name", text("the output's")),
                        ("parameters?", parameters()),
                    ])),
                ),
                (
                    "parameters?",
                    open([
                        (
                            "timeout?",
                            json!({"type": "integer", "minimum": 0, "description": "microseconds after which no answer is wanted"}),
                        ),
                        (
                            "priority?",
                            json!({"type": "integer", "minimum": 0, "description": "1 before 2, 0 last"}),
                        ),
                        ("binary_data_output?", truth("all outputs in binary form")),
                    ]),
                ),
            ]),
        ),
        (
            "InferResponse",
            open([
                ("model_name", text("the model")),
                ("model_version", text("the version that answered")),
                ("id", text("the request's, or a new one")),
                ("outputs", list(&reference("Tensor"))),
            ]),
        ),
        (
            "Binary",
            json!({"type": "string", "contentMediaType": "application/octet-stream", "description": "bytes; of tensors, with the header `Inference-Header-Content-Length`"}),
        ),
        ("GenerateRequest", open([("id?", text("given back"))])),
        (
            "GenerateResponse",
            open([
                ("model_name", text("the model")),
                ("model_version", text("the version that answered")),
                ("id", text("the request's, or a new one")),
            ]),
        ),
        (
            "ModelMetadata",
            open([
                ("name", text("the model's")),
                ("versions", list(&text("a version's name"))),
                ("platform", text("`foretell_wasm`")),
                ("inputs", metadata.clone()),
                ("outputs", metadata),
                (
                    "properties",
                    open([
                        ("version", text("the one described")),
                        ("digest", text("what it is")),
                        ("signature", text("all of the signature, as JSON text")),
                    ]),
                ),
            ]),
        ),
        (
            "ModelReady",
            open([
                ("name", text("the model's")),
                ("ready", truth("whether it answers")),
            ]),
        ),
        (
            "ModelConfig",
            open([
                ("name", text("the model's")),
                ("platform", text("`foretell_wasm`")),
                ("backend", text("`foretell`")),
                ("max_batch_size", count("rows of one request, at most")),
                ("input", dims.clone()),
                ("output", dims),
                ("default_model_filename", text("`model.wasm`")),
                (
                    "response_cache",
                    open([("enable", truth("whether answers are kept"))]),
                ),
            ]),
        ),
        (
            "IndexRequest",
            open([("ready?", truth("only what answers"))]),
        ),
        (
            "RepositoryIndex",
            list(&open([
                ("name", text("the model's")),
                ("version", text("the version's")),
                ("state", one_of(&["READY", "UNAVAILABLE"])),
                ("reason", text("why it is not ready")),
            ])),
        ),
        (
            "LoadRequest",
            open([(
                "parameters?",
                json!({
                    "type": "object",
                    "description": "`file:VERSION/model.wasm` and others in Base64, and `config`",
                }),
            )]),
        ),
        ("UnloadRequest", open([("parameters?", parameters())])),
    ])
}

fn records_and_v1() -> Named {
    let record = json!({"type": "object", "description": "features by name"});
    let one = || {
        [
            ("prediction", open([])),
            (
                "confidence?",
                json!({"type": "number", "minimum": 0, "maximum": 1}),
            ),
        ]
    };
    let [prediction, confidence] = one();
    let versions = list(&open([
        ("version", text("the version's")),
        ("state", text("`AVAILABLE`")),
    ]));
    named([
        (
            "PredictRequest",
            json!({"anyOf": [record, {"type": "array", "items": record, "minItems": 1}]}),
        ),
        (
            "PredictResponse",
            closed([
                ("model", text("the model")),
                ("version", text("the version that answered")),
                ("prediction?", prediction.1),
                (confidence.0, confidence.1),
                ("predictions?", list(&closed(one()))),
                ("cached", truth("whether it was given before")),
                ("credits", number("what it costs")),
                ("request_id", text("names the request")),
            ]),
        ),
        (
            "V1Request",
            open([
                (
                    "instances?",
                    json!({"type": "array", "items": {}, "description": "rows, objects by input name, or records"}),
                ),
                (
                    "inputs?",
                    any("one input as a whole, or an object of inputs by name"),
                ),
            ]),
        ),
        (
            "V1Response",
            open([
                ("predictions?", json!({"type": "array", "items": {}})),
                ("outputs?", any("for `inputs`")),
            ]),
        ),
        (
            "ModelStatus",
            open([
                ("name", text("the model's")),
                ("ready", truth("whether it answers")),
                ("model_version_status", versions),
            ]),
        ),
        (
            "ServingMetadata",
            open([("model_spec", open([])), ("metadata", open([]))]),
        ),
    ])
}

fn statistics() -> Named {
    let timed = || reference("Timed");
    let compute = || {
        [
            ("compute_input", timed()),
            ("compute_infer", timed()),
            ("compute_output", timed()),
        ]
    };
    let [input, infer, output] = compute();
    let inference = open([
        ("success", timed()),
        ("fail", timed()),
        ("queue", timed()),
        input,
        infer,
        output,
        ("cache_hit", timed()),
        ("cache_miss", timed()),
    ]);
    let [input, infer, output] = compute();
    let batch = open([
        ("batch_size", count("rows of each run")),
        input,
        infer,
        output,
    ]);
    named([
        (
            "Timed",
            open([
                ("count", count("how often")),
                ("ns", count("nanoseconds together")),
            ]),
        ),
        (
            "Statistics",
            open([(
                "model_stats",
                list(&open([
                    ("name", text("the model's")),
                    ("version", text("the version's")),
                    ("last_inference", count("milliseconds since 1970")),
                    ("inference_count", count("rows that were run")),
                    ("execution_count", count("runs")),
                    ("inference_stats", inference),
                    ("batch_stats", list(&batch)),
                ])),
            )]),
        ),
    ])
}
