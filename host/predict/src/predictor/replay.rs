//! A recorded prediction, run again: by the same version, past the cache, on its caller's account.
//!
//! It goes through the corridor like any other. What it is asked of and with is its body: the recording, which is read where
//! a body is.

use std::borrow::Cow;
use std::sync::Arc;

use foretell_store::port::UnixMs;
use foretell_types::signature::NamedTensor;
use foretell_types::{RequestId, Scope, TenantId, VersionDigest};

use super::Predictor;
use crate::recording::{self, Content, Recorded};
use crate::text::shown;
use crate::{
    Answer, CacheUse, Call, Decoded, Evidence, Inputs, ModelRef, Payload, PredictError, Target,
};

/// What a recorded prediction came to when it was run again.
#[derive(Debug)]
pub struct Replay {
    /// The request that was recorded.
    pub of: RequestId,
    /// When it was answered.
    pub recorded_at: UnixMs,
    /// What was answered then, in signature order.
    pub recorded: Vec<NamedTensor>,
    /// What is answered now.
    pub answer: Answer,
    /// Whether the two are the same, bit for bit.
    pub identical: bool,
}

/// A recording as the body of a request.
struct FromRecording<'a> {
    evidence: &'a Arc<Evidence>,
    /// None where nobody is known who asks: it is refused before this is read.
    tenant: TenantId,
    /// As its caller wrote it.
    request_id: &'a str,
    found: Option<Found>,
    recorded: &'a mut Option<Outcome>,
}

struct Found {
    of: RequestId,
    model: ModelRef,
    digest: VersionDigest,
    inputs: Vec<NamedTensor>,
}

/// What came of the request when it was recorded.
struct Outcome {
    of: RequestId,
    at: UnixMs,
    outputs: Vec<NamedTensor>,
}

impl Predictor {
    /// Runs a recorded prediction of the caller's tenant again: the newest of a request. It costs what a prediction
    /// costs, and its record says that it is a replay; it is not recorded as another prediction.
    ///
    /// # Errors
    /// Those of a prediction; `NotFound` if there is no such recording, or its version is gone; `Conflict` if the recording was changed.
    pub async fn replay(&self, call: &Call, request_id: &str) -> Result<Replay, PredictError> {
        let asked = Call {
            cache: CacheUse::Bypass,
            ..call.clone()
        };
        // A recording is its tenant's and not its caller's: whoever sees one sees what others asked.
        let caller = match self.identity.caller(call, &[Scope::Keys]).await {
            Ok(caller) => caller,
            Err(error) => {
                let known = self.identity.recognised(&call.credentials);
                self.refused(call, known.as_ref(), "", &error);
                return Err(error);
            }
        };
        let mut recorded = None;
        let payload = FromRecording {
            evidence: self.books.evidence(),
            tenant: caller.tenant.id.clone(),
            request_id,
            found: None,
            recorded: &mut recorded,
        };
        let answer = Box::pin(self.predict(&asked, payload)).await;
        if let Some(rate) = asked.rate.get() {
            let _first = call.rate.set(*rate);
        }
        let answer = answer?;
        let Some(Outcome { of, at, outputs }) = recorded else {
            let cause = "a recording was replayed and not read".to_owned();
            return Err(PredictError::Internal(cause));
        };
        let identical = recording::same(&outputs, &answer.outputs);
        Ok(Replay {
            of,
            recorded_at: at,
            recorded: outputs,
            answer,
            identical,
        })
    }
}

impl FromRecording<'_> {
    fn unknown(&self) -> PredictError {
        let id = shown(self.request_id);
        PredictError::NotFound(format!("there is no recording of the request `{id}`"))
    }

    fn found(&self) -> Result<&Found, PredictError> {
        self.found.as_ref().ok_or_else(|| self.unknown())
    }
}

impl Payload for FromRecording<'_> {
    /// Its bytes are no caller's, so there is no limit to them.
    async fn read(&mut self, _: u64) -> Result<usize, PredictError> {
        let id = RequestId::parse(self.request_id).map_err(|_| self.unknown())?;
        let tenant = &self.tenant;
        // What was answered a moment ago is to be found.
        self.evidence.flush().await?;
        let recorder = self.evidence.recorder();
        let found = recorder.find(tenant, &id).await?;
        let Recorded {
            at,
            model,
            version,
            digest,
            content,
            ..
        } = found.ok_or_else(|| self.unknown())?;
        let Content { inputs, outputs } = content.map_err(|changed| {
            PredictError::Conflict(format!(
                "{changed}: what was recorded of the request `{id}` cannot be read"
            ))
        })?;
        let sizes = inputs
            .iter()
            .map(|input| input.tensor.elements().byte_len());
        let bytes = sizes.sum();
        *self.recorded = Some(Outcome {
            of: id.clone(),
            at,
            outputs,
        });
        self.found = Some(Found {
            of: id,
            model: ModelRef {
                model,
                version: Some(version),
            },
            digest,
            inputs,
        });
        Ok(bytes)
    }

    fn model(&self) -> Result<Cow<'_, ModelRef>, PredictError> {
        Ok(Cow::Borrowed(&self.found()?.model))
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn decode(&mut self, target: &Target, _: bool) -> Result<Decoded, PredictError> {
        let Found { of, digest, .. } = self.found()?;
        if *digest != target.digest {
            return Err(PredictError::Conflict(format!(
                "version `{}` of model `{}` is not what answered the request `{of}`",
                target.version, target.model
            )));
        }
        // It names its version, so nobody asks for it twice.
        let found = self.found.as_mut();
        let inputs = found.map(|found| std::mem::take(&mut found.inputs));
        Ok(Inputs::Tensors(inputs.unwrap_or_default()).into())
    }

    fn replays(&self) -> Option<&RequestId> {
        self.found.as_ref().map(|found| &found.of)
    }
}
