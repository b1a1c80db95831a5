//! Every operation that there is.

use foretell_types::ErrorKind;

use super::{Access, Content, Operation, governance, recordings, users};

const READ: Access = Access::Scopes(&["infer", "models"]);
const INFER: Access = Access::Scopes(&["infer"]);
const MODELS: Access = Access::Scopes(&["models"]);
const KEYS: Access = Access::Scopes(&["keys"]);
const OPERATOR: Access = Access::Scopes(&["operator"]);

const NOT_FOUND: &[ErrorKind] = &[ErrorKind::NotFound];
const STATUS: &[ErrorKind] = &[ErrorKind::NotFound, ErrorKind::ModelUnloaded];
const CHANGES: &[ErrorKind] = &[ErrorKind::NotFound, ErrorKind::Conflict];
const LOADS: &[ErrorKind] = &[
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::UploadRefused,
    ErrorKind::RateLimited,
    ErrorKind::QuotaExhausted,
    ErrorKind::Overloaded,
];
pub(super) const PREDICTS: &[ErrorKind] = &[
    ErrorKind::MissingFeature,
    ErrorKind::UnknownFeature,
    ErrorKind::UnknownCategory,
    ErrorKind::OutOfRange,
    ErrorKind::PluginRefused,
    ErrorKind::NotFound,
    ErrorKind::RateLimited,
    ErrorKind::QuotaExhausted,
    ErrorKind::PluginTrapped,
    ErrorKind::MemoryLimit,
    ErrorKind::StackOverflow,
    ErrorKind::PluginContract,
    ErrorKind::ModelSuspended,
    ErrorKind::ModelUnloaded,
    ErrorKind::Overloaded,
    ErrorKind::DeadlineExceeded,
];
const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";
const EVENTS: &str = "text/event-stream";

fn get(path: &'static str, tag: &'static str, summary: &'static str) -> Operation {
    Operation::of("GET", path, tag, summary)
}

fn post(path: &'static str, tag: &'static str, summary: &'static str) -> Operation {
    Operation::of("POST", path, tag, summary)
}

/// The same of a model's active version and of each that is named.
fn of_versions(
    paths: [&'static str; 2],
    operation: impl Fn(&'static str) -> Operation,
) -> [Operation; 2] {
    paths.map(operation)
}

pub(super) fn all() -> Vec<Operation> {
    let mut all = Vec::new();
    all.extend(predictions());
    all.extend(v2());
    all.extend(v1());
    all.extend(repository());
    all.extend(models());
    all.extend(keys_and_tenants());
    all.extend(governance::all());
    all.extend(recordings::all());
    all.extend(users::all());
    all.extend(health_and_docs());
    all
}

fn predictions() -> impl Iterator<Item = Operation> {
    let records = post(
        "/api/predict/{model}",
        "predict",
        "Predicts one record, or a list of records",
    )
    .needs(INFER)
    .query(&[("version", "another version than the model's traffic says")])
    .takes(&[(JSON, "PredictRequest")])
    .gives("PredictResponse")
    .fails(PREDICTS);
    let infer = of_versions(
        [
            "/v2/models/{model}/infer",
            "/v2/models/{model}/versions/{version}/infer",
        ],
        |path| {
            post(path, "v2", "Inference; tensors in JSON or in binary form")
                .needs(INFER)
                .takes(&[(JSON, "InferRequest"), (BINARY, "Binary")])
                .answers(
                    200,
                    "the outputs",
                    Content::Either(&[(JSON, "InferResponse"), (BINARY, "Binary")]),
                )
                .fails(PREDICTS)
        },
    );
    let infer_stream = of_versions(
        [
            "/v2/models/{model}/infer_stream",
            "/v2/models/{model}/versions/{version}/infer_stream",
        ],
        |path| {
            post(path, "v2", "Inference, answered by server-sent events")
                .needs(INFER)
                .takes(&[(JSON, "InferRequest")])
                .answers(200, "one event", Content::Either(&[(EVENTS, "")]))
                .fails(PREDICTS)
        },
    );
    let generate = of_versions(
        [
            "/v2/models/{model}/generate",
            "/v2/models/{model}/versions/{version}/generate",
        ],
        |path| {
            post(path, "v2", "Inference with inputs and outputs by name")
                .needs(INFER)
                .takes(&[(JSON, "GenerateRequest")])
                .gives("GenerateResponse")
                .fails(PREDICTS)
        },
    );
    let generate_stream = of_versions(
        [
            "/v2/models/{model}/generate_stream",
            "/v2/models/{model}/versions/{version}/generate_stream",
        ],
        |path| {
            post(path, "v2", "The same, answered by server-sent events")
                .needs(INFER)
                .takes(&[(JSON, "GenerateRequest")])
                .answers(200, "one event", Content::Either(&[(EVENTS, "")]))
                .fails(PREDICTS)
        },
    );
    let v1 = of_versions(
        [
            "/v1/models/{model}:predict",
            "/v1/models/{model}/versions/{version}:predict",
        ],
        |path| {
            post(path, "v1", "Predicts `instances`, or `inputs` as a whole")
                .needs(INFER)
                .takes(&[(JSON, "V1Request")])
                .gives("V1Response")
                .fails(PREDICTS)
        },
    );
    std::iter::once(records)
        .chain(infer)
        .chain(infer_stream)
        .chain(generate)
        .chain(generate_stream)
        .chain(v1)
}

fn v2() -> impl Iterator<Item = Operation> {
    let server = [
        get("/v2", "v2", "The server, and which extensions it has").gives("ServerMetadata"),
        get("/v2/health/live", "health", "Whether the process answers").gives("Live"),
        get("/v2/health/ready", "health", "Whether it takes new calls")
            .gives("Ready")
            .fails(&[ErrorKind::Draining]),
        get("/v2/models", "v2", "The names of the models")
            .needs(READ)
            .gives("ModelNames"),
        get("/v2/models/stats", "v2", "Statistics of all models")
            .needs(READ)
            .gives("Statistics"),
    ];
    let metadata = of_versions(
        [
            "/v2/models/{model}",
            "/v2/models/{model}/versions/{version}",
        ],
        |path| {
            get(path, "v2", "What a model takes and gives")
                .needs(READ)
                .gives("ModelMetadata")
                .fails(NOT_FOUND)
        },
    );
    let ready = of_versions(
        [
            "/v2/models/{model}/ready",
            "/v2/models/{model}/versions/{version}/ready",
        ],
        |path| {
            get(path, "v2", "Whether a model answers")
                .needs(READ)
                .gives("ModelReady")
                .fails(STATUS)
        },
    );
    let config = of_versions(
        [
            "/v2/models/{model}/config",
            "/v2/models/{model}/versions/{version}/config",
        ],
        |path| {
            get(path, "v2", "A model in the words of Triton's configuration")
                .needs(READ)
                .gives("ModelConfig")
                .fails(NOT_FOUND)
        },
    );
    let stats = of_versions(
        [
            "/v2/models/{model}/stats",
            "/v2/models/{model}/versions/{version}/stats",
        ],
        |path| {
            get(path, "v2", "Statistics of a model")
                .needs(READ)
                .gives("Statistics")
                .fails(NOT_FOUND)
        },
    );
    server
        .into_iter()
        .chain(metadata)
        .chain(ready)
        .chain(config)
        .chain(stats)
}

fn v1() -> impl Iterator<Item = Operation> {
    let server = [
        get("/", "health", "That something answers").gives("Alive"),
        get("/v1/models", "v1", "The names of the models")
            .needs(READ)
            .gives("ModelNames"),
    ];
    let status = of_versions(
        [
            "/v1/models/{model}",
            "/v1/models/{model}/versions/{version}",
        ],
        |path| {
            get(path, "v1", "Whether a model answers")
                .needs(READ)
                .gives("ModelStatus")
                .fails(STATUS)
        },
    );
    let metadata = of_versions(
        [
            "/v1/models/{model}/metadata",
            "/v1/models/{model}/versions/{version}/metadata",
        ],
        |path| {
            get(path, "v1", "A model in the words of TensorFlow Serving")
                .needs(READ)
                .gives("ServingMetadata")
                .fails(NOT_FOUND)
        },
    );
    server.into_iter().chain(status).chain(metadata)
}

fn repository() -> [Operation; 3] {
    [
        post(
            "/v2/repository/index",
            "repository",
            "Every version, and whether it is in service",
        )
        .needs(READ)
        .body(false, &[(JSON, "IndexRequest")])
        .gives("RepositoryIndex"),
        post(
            "/v2/repository/models/{model}/load",
            "repository",
            "Puts a model into service, or uploads one",
        )
        .needs(MODELS)
        .body(false, &[(JSON, "LoadRequest")])
        .answers(200, "it is in service", Content::Nothing)
        .fails(LOADS),
        post(
            "/v2/repository/models/{model}/unload",
            "repository",
            "Takes a model out of service",
        )
        .needs(MODELS)
        .body(false, &[(JSON, "UnloadRequest")])
        .answers(200, "it is out of service", Content::Nothing)
        .fails(NOT_FOUND),
    ]
}

fn models() -> [Operation; 10] {
    const VERSION: &str = "/api/models/{model}/versions/{version}";
    const TRAFFIC: &str = "/api/models/{model}/traffic";
    [
        get("/api/models", "models", "The models")
            .needs(READ)
            .gives("Models"),
        get("/api/models/{model}", "models", "A model")
            .needs(READ)
            .gives("Model")
            .fails(NOT_FOUND),
        get(
            "/api/models/{model}/openapi.json",
            "docs",
            "How one model is called, from its signature",
        )
        .needs(READ)
        .query(&[("version", "another version than the active one")])
        .gives("OpenApi")
        .fails(NOT_FOUND),
        get(VERSION, "models", "A version with its signature")
            .needs(READ)
            .gives("Version")
            .fails(NOT_FOUND),
        Operation::of("PUT", VERSION, "models", "Uploads a version")
            .needs(MODELS)
            .takes(&[
                ("multipart/form-data", "Upload"),
                ("application/wasm", "Binary"),
                (BINARY, "Binary"),
            ])
            .answers(201, "it is new", Content::Json("Version"))
            .answers(
                200,
                "it was there already, the same",
                Content::Json("Version"),
            )
            .fails(LOADS),
        Operation::of("DELETE", VERSION, "models", "Deletes a version for good")
            .needs(MODELS)
            .gives("Deleted")
            .fails(CHANGES),
        get(
            TRAFFIC,
            "models",
            "Where calls go, how each version does, what was changed",
        )
        .needs(MODELS)
        .gives("TrafficReport")
        .fails(NOT_FOUND),
        Operation::of(
            "PUT",
            TRAFFIC,
            "models",
            "Sends calls to versions; promotes a canary; rolls back",
        )
        .needs(MODELS)
        .takes(&[(JSON, "TrafficRequest")])
        .gives("Model")
        .fails(CHANGES),
        Operation::of(
            "DELETE",
            "/api/cache",
            "models",
            "Lets go of all answers kept for the tenant",
        )
        .needs(MODELS)
        .gives("Purged"),
        Operation::of(
            "DELETE",
            "/api/models/{model}/cache",
            "models",
            "Lets go of the answers kept of a model",
        )
        .needs(MODELS)
        .gives("Purged")
        .fails(NOT_FOUND),
    ]
}

fn keys_and_tenants() -> [Operation; 8] {
    [
        get("/api/keys", "keys", "The keys, without secrets")
            .needs(KEYS)
            .gives("Keys"),
        post(
            "/api/keys",
            "keys",
            "Makes a key; its secret is shown this once",
        )
        .needs(KEYS)
        .takes(&[(JSON, "NewKey")])
        .answers(201, "it is made", Content::Json("IssuedKey"))
        .once(),
        Operation::of("DELETE", "/api/keys/{id}", "keys", "Revokes a key at once")
            .needs(KEYS)
            .gives("Key")
            .fails(NOT_FOUND),
        post(
            "/api/keys/{id}/rotate",
            "keys",
            "Makes a successor; the old key goes on for a while",
        )
        .needs(KEYS)
        .takes(&[(JSON, "Rotation")])
        .answers(201, "it is made", Content::Json("IssuedKey"))
        .once()
        .fails(CHANGES),
        get("/api/tenants", "tenants", "The tenants")
            .needs(OPERATOR)
            .gives("Tenants"),
        post("/api/tenants", "tenants", "Makes a tenant")
            .needs(OPERATOR)
            .takes(&[(JSON, "NewTenant")])
            .answers(201, "it is made", Content::Json("Tenant"))
            .once()
            .fails(&[ErrorKind::Conflict]),
        get("/api/tenants/{tenant}", "tenants", "A tenant")
            .needs(OPERATOR)
            .gives("Tenant")
            .fails(NOT_FOUND),
        Operation::of(
            "DELETE",
            "/api/tenants/{tenant}",
            "tenants",
            "Deletes a tenant with all it has",
        )
        .needs(OPERATOR)
        .gives("Deleted")
        .fails(NOT_FOUND),
    ]
}

fn health_and_docs() -> [Operation; 6] {
    [
        get("/livez", "health", "Whether the process answers").gives("Status"),
        get("/readyz", "health", "Whether it takes new calls")
            .gives("Status")
            .fails(&[ErrorKind::Draining]),
        get("/health", "health", "Whether the server is well")
            .needs(Access::PublicOrKey)
            .gives("Health"),
        get("/openapi.json", "docs", "This document").gives("OpenApi"),
        get("/docs", "docs", "This document, for people").answers(
            200,
            "a page",
            Content::Either(&[("text/html", "")]),
        ),
        get("/docs/style.css", "docs", "How the page looks").answers(
            200,
            "a style sheet",
            Content::Either(&[("text/css", "")]),
        ),
    ]
}
