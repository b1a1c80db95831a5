//! Bodies of REST with a mistake in them.

use serde_json::{Value, json};

use super::{Table, right};

pub(super) async fn all(table: &mut Table) {
    bodies(table).await;
    tensors(table).await;
    v1_and_generate(table).await;
    repository(table).await;
}

async fn bodies(table: &mut Table) {
    table.heading("Bodies that cannot be read", "request");
    let routes = [
        "/v2/models/matrix/infer",
        "/v2/models/matrix/infer_stream",
        "/v2/models/matrix/generate",
        "/v2/models/matrix/generate_stream",
        "/v1/models/matrix:predict",
        "/v2/repository/index",
        "/v2/repository/models/matrix/load",
        "/v2/repository/models/matrix/unload",
    ];
    let deep = "[".repeat(100_000);
    for path in routes {
        for (what, body) in [
            ("not JSON", &b"inputs"[..]),
            ("JSON that ends early", br#"{"inputs": ["#),
            ("a list", b"[1, 2]"),
            ("bytes that are no UTF-8", b"{\"inputs\": \"\xff\"}"),
            ("lists without end", deep.as_bytes()),
        ] {
            table.rest("POST", path, what, &[], body).await;
        }
        table
            .rest(
                "POST",
                path,
                "an encoding that is not known",
                &[("content-encoding", "br")],
                b"{}",
            )
            .await;
    }
    for path in &routes[..5] {
        table
            .rest(
                "POST",
                path,
                "gzip that is none",
                &[("content-encoding", "gzip")],
                b"{}",
            )
            .await;
        let long = vec![b' '; (8 << 20) + 1];
        table
            .rest("POST", path, "8 MiB and a byte", &[], &long)
            .await;
    }
}

/// A V2 request with something else in its one input.
fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut request: Value = serde_json::from_str(right("infer")).unwrap();
    change(&mut request);
    request
}

async fn tensors(table: &mut Table) {
    const INFER: &str = "/v2/models/matrix/infer";
    table.heading("Tensors in JSON", "request");
    let set =
        |field: &'static str, value: Value| with(|request| request["inputs"][0][field] = value);
    for (what, body) in [
        ("no inputs", json!({})),
        ("an empty list of inputs", json!({"inputs": []})),
        ("an input that is none", json!({"inputs": [7]})),
        ("an unknown input", set("name", json!("z"))),
        (
            "an input without a name",
            json!({"inputs": [{"shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}),
        ),
        (
            "an input twice",
            with(|request| request["inputs"] = json!([request["inputs"][0], request["inputs"][0]])),
        ),
        ("another datatype", set("datatype", json!("INT64"))),
        ("no datatype", set("datatype", json!("FLOAT32"))),
        ("FP16 in JSON", set("datatype", json!("FP16"))),
        ("another rank", set("shape", json!([2]))),
        ("another width", set("shape", json!([2, 1]))),
        (
            "no rows",
            with(|request| {
                request["inputs"][0]["shape"] = json!([0, 2]);
                request["inputs"][0]["data"] = json!([]);
            }),
        ),
        ("a negative length", set("shape", json!([-1, 2]))),
        (
            "a length that is no whole number",
            set("shape", json!([1.5, 2])),
        ),
        (
            "a shape beyond all",
            set("shape", json!([4_294_967_295_u64, 4_294_967_295_u64])),
        ),
        (
            "a shape of nine axes",
            set("shape", json!([1, 1, 1, 1, 1, 1, 1, 1, 2])),
        ),
        ("too few elements", set("data", json!([1]))),
        ("too many elements", set("data", json!([1, 2, 3]))),
        ("lists of uneven length", set("data", json!([[1], [2, 3]]))),
        ("a text among numbers", set("data", json!([1, "2"]))),
        (
            "a number beyond its datatype",
            set("data", json!([1, 1e300])),
        ),
        (
            "no data",
            with(|request| {
                request["inputs"][0].as_object_mut().unwrap().remove("data");
            }),
        ),
        (
            "an unknown output",
            with(|request| request["outputs"] = json!([{"name": "z"}])),
        ),
        (
            "an output twice",
            with(|request| request["outputs"] = json!([{"name": "y"}, {"name": "y"}])),
        ),
        (
            "an id that is no text",
            with(|request| request["id"] = json!(7)),
        ),
        (
            "shared memory",
            with(|request| {
                request["inputs"][0]["parameters"] =
                    json!({"shared_memory_region": "r", "shared_memory_byte_size": 8});
            }),
        ),
    ] {
        table.json(INFER, what, &body).await;
    }
    let binary = with(|request| request["parameters"] = json!({"binary_data_output": true}));
    table
        .json(
            "/v2/models/matrix/infer_stream",
            "binary outputs in a stream",
            &binary,
        )
        .await;

    table.heading("Binary tensors", "request");
    let binary = json!({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]});
    let json_bytes = binary.to_string();
    let body = |tail: usize| [json_bytes.as_bytes(), &vec![0; tail]].concat();
    let length = json_bytes.len().to_string();
    for (what, header, body) in [
        ("a header that is no number", "x", body(8)),
        ("a header beyond the body", "99999", body(8)),
        ("a negative header", "-1", body(8)),
        ("a header within the JSON", "5", body(8)),
        ("no bytes behind the JSON", length.as_str(), body(0)),
        ("too few bytes", length.as_str(), body(7)),
        ("too many bytes", length.as_str(), body(9)),
        ("a raw request of another length", "0", vec![0; 7]),
    ] {
        let headers = [("inference-header-content-length", header)];
        table.rest("POST", INFER, what, &headers, &body).await;
    }
    let lying = |size: Value| {
        json!({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": size}}]}).to_string()
    };
    for (what, size) in [
        ("a size that is not the tensor's", json!(4)),
        ("a size beyond all", json!(u64::MAX)),
        ("a size that is no number", json!("eight")),
    ] {
        let json = lying(size);
        let length = json.len().to_string();
        let headers = [("inference-header-content-length", length.as_str())];
        let body = [json.as_bytes(), &[0; 8]].concat();
        table.rest("POST", INFER, what, &headers, &body).await;
    }
    let headers = [("inference-header-content-length", "2")];
    table
        .rest(
            "POST",
            "/v1/models/matrix:predict",
            "binary tensors in another protocol",
            &headers,
            b"{}",
        )
        .await;
}

async fn v1_and_generate(table: &mut Table) {
    table.heading("KServe V1, generate and records", "request");
    for (what, body) in [
        ("neither form", json!({})),
        (
            "both forms",
            json!({"instances": [[1, 2]], "inputs": [[1, 2]]}),
        ),
        ("instances that are no list", json!({"instances": 7})),
        ("no instances", json!({"instances": []})),
        ("a row too short", json!({"instances": [[1]]})),
        ("rows of uneven length", json!({"instances": [[1, 2], [1]]})),
        ("a text for a number", json!({"instances": [["1", 2]]})),
        ("an unknown input", json!({"inputs": {"z": [[1, 2]]}})),
        ("Base64 that is none", json!({"instances": [{"b64": "?"}]})),
    ] {
        table.json("/v1/models/matrix:predict", what, &body).await;
    }
    for (what, body) in [
        (
            "a missing feature",
            json!({"instances": [{"job": "admin"}]}),
        ),
        (
            "an unknown feature",
            json!({"instances": [{"age": 1, "jbo": "admin"}]}),
        ),
        (
            "a text outside the vocabulary",
            json!({"instances": [{"age": 1, "job": "king"}]}),
        ),
        (
            "a number outside the range",
            json!({"instances": [{"age": 121}]}),
        ),
    ] {
        table.json("/v1/models/people:predict", what, &body).await;
        let record = &body["instances"][0];
        table.json("/api/predict/people", what, record).await;
    }
    table
        .json("/api/predict/people", "an empty list", &json!([]))
        .await;
    table
        .json(
            "/api/predict/people?verson=1",
            "an unknown query parameter",
            &json!({"age": 1}),
        )
        .await;
    for (what, body) in [
        ("no input", json!({})),
        ("an id that is no text", json!({"id": 7, "x": [1, 2]})),
        ("another width", json!({"x": [1, 2, 3]})),
        ("a text for numbers", json!({"x": "one"})),
    ] {
        table.json("/v2/models/matrix/generate", what, &body).await;
        table
            .json("/v2/models/matrix/generate_stream", what, &body)
            .await;
    }
}

async fn repository(table: &mut Table) {
    table.heading("The repository", "request");
    const LOAD: &str = "/v2/repository/models/matrix/load";
    for (method, path) in [
        ("GET", "/v2/repository/index"),
        ("GET", LOAD),
        ("GET", "/v2/repository/models/matrix/unload"),
    ] {
        table.rest(method, path, "another method", &[], b"").await;
    }
    table
        .json(
            "/v2/repository/index",
            "`ready` that is no truth",
            &json!({"ready": "yes"}),
        )
        .await;
    for (path, what) in [
        (
            "/v2/repository/models/nobody/load",
            "no such model, and no files",
        ),
        ("/v2/repository/models/nobody/unload", "no such model"),
        (
            "/v2/repository/models/a%2Fb/load",
            "a name that no model has",
        ),
    ] {
        table.json(path, what, &json!({})).await;
    }
    for (what, files) in [
        (
            "a file that is no Base64",
            json!({"file:2/model.wasm": "?"}),
        ),
        (
            "a file of an unknown name",
            json!({"file:2/model.onnx": "AA=="}),
        ),
        (
            "a file without a version",
            json!({"file:model.wasm": "AA=="}),
        ),
        (
            "files of two versions",
            json!({"file:2/model.wasm": "AA==", "file:3/settings.json": "e30="}),
        ),
        (
            "no plugin among the files",
            json!({"file:2/settings.json": "e30="}),
        ),
        (
            "settings that are no JSON",
            json!({"file:2/model.wasm": "AA==", "file:2/settings.json": "AA=="}),
        ),
        (
            "runtime that is unknown",
            json!({"file:2/model.wasm": "AA==", "file:2/runtime.json": "eyJhIjoxfQ=="}),
        ),
        (
            "a plugin that is no WebAssembly",
            json!({"file:2/model.wasm": "bm90IHdhc20="}),
        ),
        (
            "another content of a version that exists",
            json!({"file:1/model.wasm": "bWF0cml4Mg=="}),
        ),
        (
            "a version that no version is called",
            json!({"file:a b/model.wasm": "AA=="}),
        ),
    ] {
        table.json(LOAD, what, &json!({"parameters": files})).await;
    }
}
