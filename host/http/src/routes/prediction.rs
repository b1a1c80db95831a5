//! The routes that predict, in every protocol.
//!
//! Nearly every request is one of these. They are found by hand in the path and do not pass the filters of the other
//! routes, which are tried one after the other, with clones and a boxed future for each.

use std::sync::Arc;

use foretell_predict::{Decoded, ModelRef, PredictError};

use super::{Handled, handle, post_only};
use crate::App;
use crate::extract::{Head, Request};
use crate::reply::{self, Failure, Response};
use crate::text::percent_decoded;
use crate::wire::oip::Pieces;
use crate::wire::payload::{PredictionBody, json_alone};
use crate::wire::written::Written;
use crate::wire::{api, kserve, oip};

/// What a path asks to be predicted. The names are any texts: whoever reads them as names checks them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    protocol: Protocol,
    model: String,
    version: Option<String>,
}

/// In which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// Ours: one record, or a list.
    Records,
    /// KServe's version 1.
    V1,
    /// The Open Inference Protocol.
    V2,
    /// The same, answered by events.
    V2Stream,
    /// Its `generate`.
    Generate,
    /// The same, answered by events.
    GenerateStream,
}

/// Whether a route, by its template, predicts: what it refuses is recorded by the corridor.
pub(crate) fn is_one(template: &str) -> bool {
    let verbs = [
        ":predict",
        "/infer",
        "/infer_stream",
        "/generate",
        "/generate_stream",
        "/replay",
    ];
    template.starts_with("/api/predict/") || verbs.iter().any(|verb| template.ends_with(verb))
}

impl Protocol {
    /// What stands at the end of a path of the Open Inference Protocol.
    fn of_verb(verb: &str) -> Option<Self> {
        Some(match verb {
            "infer" => Self::V2,
            "infer_stream" => Self::V2Stream,
            "generate" => Self::Generate,
            "generate_stream" => Self::GenerateStream,
            _ => return None,
        })
    }
}

impl Asked {
    /// What is asked for, if the path is one of these routes. A slash at its end changes nothing, as in all our paths.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        // The longest of these routes has six segments.
        let mut segments = [""; 6];
        let mut count = 0;
        for segment in path.split('/') {
            *segments.get_mut(count).filter(|_| !segment.is_empty())? = segment;
            count += 1;
        }
        let (protocol, model, version) = match segments.get(..count)? {
            ["api", "predict", model] => (Protocol::Records, percent_decoded(model), None),
            ["v1", "models", model] => (Protocol::V1, before_predict(model)?, None),
            ["v1", "models", model, "versions", version] => (
                Protocol::V1,
                percent_decoded(model),
                Some(before_predict(version)?),
            ),
            ["v2", "models", model, verb] => {
                (Protocol::of_verb(verb)?, percent_decoded(model), None)
            }
            ["v2", "models", model, "versions", version, verb] => (
                Protocol::of_verb(verb)?,
                percent_decoded(model),
                Some(percent_decoded(version)),
            ),
            _ => return None,
        };
        Some(Self {
            protocol,
            model,
            version,
        })
    }

    const fn template(&self) -> &'static str {
        match (self.protocol, &self.version) {
            (Protocol::Records, _) => "/api/predict/{model}",
            (Protocol::V1, None) => "/v1/models/{model}:predict",
            (Protocol::V1, Some(_)) => "/v1/models/{model}/versions/{version}:predict",
            (Protocol::V2, None) => "/v2/models/{model}/infer",
            (Protocol::V2, Some(_)) => "/v2/models/{model}/versions/{version}/infer",
            (Protocol::V2Stream, None) => "/v2/models/{model}/infer_stream",
            (Protocol::V2Stream, Some(_)) => "/v2/models/{model}/versions/{version}/infer_stream",
            (Protocol::Generate, None) => "/v2/models/{model}/generate",
            (Protocol::Generate, Some(_)) => "/v2/models/{model}/versions/{version}/generate",
            (Protocol::GenerateStream, None) => "/v2/models/{model}/generate_stream",
            (Protocol::GenerateStream, Some(_)) => {
                "/v2/models/{model}/versions/{version}/generate_stream"
            }
        }
    }

    /// The version that is meant: the path's, or, where a path has none, that of `?version=`.
    fn reference(&self, head: &Head) -> Result<ModelRef, Failure> {
        let in_query;
        let version = match self.protocol {
            Protocol::Records => {
                head.only_query(&["version"])?;
                in_query = head.query("version");
                in_query.as_deref()
            }
            Protocol::V1 => {
                head.no_version_query("/v1/models/{model}/versions/{version}")?;
                self.version.as_deref()
            }
            Protocol::V2 | Protocol::V2Stream | Protocol::Generate | Protocol::GenerateStream => {
                head.no_version_query("/v2/models/{model}/versions/{version}")?;
                self.version.as_deref()
            }
        };
        Ok(ModelRef::parse(&self.model, version)?)
    }
}

/// `iris` of `iris:predict`; nothing for another verb, or none.
fn before_predict(segment: &str) -> Option<String> {
    let mut name = percent_decoded(segment);
    let (before, verb) = name.split_once(':')?;
    let end = (verb == "predict").then_some(before.len())?;
    name.truncate(end);
    Some(name)
}

/// Answers what was asked for.
pub(crate) async fn answer(app: &App, asked: Asked, request: Request) -> Response {
    handle(asked.template(), request, |request| async move {
        post_only(&request)?;
        let model = asked.reference(&request.head)?;
        match asked.protocol {
            Protocol::Records => records(app, request, model).await,
            Protocol::V1 => v1(app, request, model).await,
            Protocol::V2 => v2(app, request, model, false).await,
            Protocol::V2Stream => v2(app, request, model, true).await,
            Protocol::Generate => generate(app, request, model, false).await,
            Protocol::GenerateStream => generate(app, request, model, true).await,
        }
    })
    .await
}

async fn records(app: &App, request: Request, model: ModelRef) -> Handled {
    let head = Arc::clone(&request.head);
    let mut form = api::Form::One;
    let body = PredictionBody::new(request, model, |body, target| {
        let body = json_alone(body)?;
        let (inputs, found) = api::read(body, &target.signature, target.runtime.max_rows)?;
        form = found;
        Ok(inputs.into())
    });
    let answer = app.predictor.predict(&head.call, body).await?;
    let request_id = head.call.request_id.as_str();
    let write = || Written::json(&api::prediction(&answer, form, request_id));
    Ok(reply::prediction(&head, &answer, write).await)
}

async fn v1(app: &App, request: Request, model: ModelRef) -> Handled {
    let head = Arc::clone(&request.head);
    let mut form = kserve::Form::Columns;
    let body = PredictionBody::new(request, model, |body, target| {
        let body = json_alone(body)?;
        let (inputs, found) = kserve::read(body, &target.signature, target.runtime.max_rows)?;
        form = found;
        Ok(inputs.into())
    });
    let answer = app.predictor.predict(&head.call, body).await?;
    let write = || Written::json(&kserve::prediction(&answer, form));
    Ok(reply::prediction(&head, &answer, write).await)
}

async fn v2(app: &App, request: Request, model: ModelRef, is_stream: bool) -> Handled {
    let head = Arc::clone(&request.head);
    let mut asked = oip::Asked::default();
    let body = PredictionBody::new(request, model, |body, target| {
        let (signature, max_rows) = (&target.signature, target.runtime.max_rows);
        let (inputs, found) = match body {
            Pieces::Json { json, tail } => oip::read(json, tail, signature, max_rows)?,
            Pieces::Raw(input) => oip::read_raw(input, signature, max_rows)?,
        };
        if is_stream && found.wants_binary() {
            let problem = "a stream carries JSON: leave `binary_data` and `binary_data_output` out";
            return Err(PredictError::Malformed(problem.into()));
        }
        asked = found;
        Ok(Decoded {
            inputs,
            urgency: asked.urgency,
        })
    });
    let answer = app.predictor.predict(&head.call, body).await?;
    let request_id = head.call.request_id.as_str();
    let write = || oip::write(&answer, &asked, request_id, is_stream);
    Ok(reply::prediction(&head, &answer, write).await)
}

async fn generate(app: &App, request: Request, model: ModelRef, is_stream: bool) -> Handled {
    let head = Arc::clone(&request.head);
    let mut asked = oip::Generate::default();
    let body = PredictionBody::new(request, model, |body, target| {
        let body = json_alone(body)?;
        let (signature, max_rows) = (&target.signature, target.runtime.max_rows);
        let (inputs, found) = oip::read_generate(body, signature, max_rows)?;
        asked = found;
        Ok(inputs.into())
    });
    let answer = app.predictor.predict(&head.call, body).await?;
    let body = oip::generated(&answer, &asked, head.call.request_id.as_str());
    let write = || match is_stream {
        true => Written::event(&body),
        false => Written::json(&body),
    };
    Ok(reply::prediction(&head, &answer, write).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str) -> Option<(Protocol, String, Option<String>)> {
        Asked::of(path).map(|asked| (asked.protocol, asked.model, asked.version))
    }

    #[test]
    fn the_routes_that_predict_are_found_in_the_path() {
        use Protocol::{Generate, GenerateStream, Records, V1, V2, V2Stream};
        for (path, protocol, model, version) in [
            ("/api/predict/m", Records, "m", None),
            ("/api/predict/m/", Records, "m", None),
            ("/api/predict/%6d%2f", Records, "m/", None),
            ("/v1/models/m:predict", V1, "m", None),
            ("/v1/models/m%3Apredict", V1, "m", None),
            ("/v1/models/m/versions/1:predict", V1, "m", Some("1")),
            ("/v2/models/m/infer", V2, "m", None),
            ("/v2/models/infer/infer", V2, "infer", None),
            ("/v2/models/m/versions/1/infer", V2, "m", Some("1")),
            ("/v2/models/m/infer_stream", V2Stream, "m", None),
            (
                "/v2/models/m/versions/1/infer_stream",
                V2Stream,
                "m",
                Some("1"),
            ),
            ("/v2/models/m/generate", Generate, "m", None),
            (
                "/v2/models/m/versions/1/generate_stream",
                GenerateStream,
                "m",
                Some("1"),
            ),
        ] {
            let expected = (protocol, model.to_owned(), version.map(str::to_owned));
            assert_eq!(asked(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn every_other_path_is_left_to_the_other_routes() {
        for path in [
            "",
            "/",
            "/api/predict",
            "/api/predict/",
            "/api/predict//",
            "/api/predict/m/x",
            "//api/predict/m",
            "/API/predict/m",
            "/v1/models/m",
            "/v1/models/m:explain",
            "/v1/models/m:predict:predict",
            "/v1/models/m/versions/1",
            "/v2/models//infer",
            "/v2/models/m/ready",
            "/v2/models/m/versions/1/infer/x",
            "/v2/models/m/versions/1/infer/x/y/z",
            "v2/models/m/infer",
        ] {
            assert_eq!(asked(path), None, "{path}");
        }
    }
}
