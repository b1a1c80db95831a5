//! Recordings as JSON: whether they are made, what was recorded of a person and that it was erased, what came of a replay.

use foretell_predict::manage::{MAX_RECORDINGS, Receipt, RecordingPolicy, RetentionPreview};
use foretell_predict::{Recorded, Replay};
use foretell_types::Digest;
use foretell_types::signature::NamedTensor;
use serde::{Deserialize, Serialize};

use super::credits::Credits;
use super::query::{limit, parameter};
use crate::extract::Head;
use crate::reply::Failure;
use crate::text::rfc3339;
use crate::wire::oip;

/// Recordings of a page, if nobody says how many.
const USUAL_RECORDINGS: u32 = 100;
const PARAMETERS: &[&str] = &["limit", "cursor"];

/// The body of `PUT /api/recording`, and what it and `GET` answer. All of it is to be said: who turns recording off without
/// a word about days must not lose what was to be kept for longer than usual.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordingRule {
    enabled: bool,
    days: u32,
}

impl From<RecordingRule> for RecordingPolicy {
    fn from(RecordingRule { enabled, days }: RecordingRule) -> Self {
        Self { enabled, days }
    }
}

impl From<RecordingPolicy> for RecordingRule {
    fn from(RecordingPolicy { enabled, days }: RecordingPolicy) -> Self {
        Self { enabled, days }
    }
}

/// The body of `GET /api/recording/retention`: what a sweep would take now.
#[derive(Debug, Serialize)]
pub(crate) struct Retention {
    enabled: bool,
    days: u32,
    recordings: u64,
    /// Null = there is none.
    oldest: Option<String>,
    due: u64,
}

impl From<RetentionPreview> for Retention {
    fn from(preview: RetentionPreview) -> Self {
        let RetentionPreview {
            policy,
            recordings,
            oldest,
            due,
        } = preview;
        Self {
            enabled: policy.enabled,
            days: policy.days,
            recordings,
            oldest: oldest.map(rfc3339),
            due,
        }
    }
}

/// What `GET /api/subjects/{subject}` asks for.
#[derive(Debug)]
pub(crate) struct SubjectPage {
    /// The number of the recording before the page.
    pub(crate) after: u64,
    pub(crate) limit: u32,
}

impl SubjectPage {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidInput` for a parameter that there is not, and for a value that is none.
    pub(crate) fn of(head: &Head) -> Result<Self, Failure> {
        head.only_query(PARAMETERS)?;
        let number = |text: &str| text.parse::<u64>().ok();
        let after = parameter(head, "cursor", "the `next_cursor` of a page", number)?;
        Ok(Self {
            after: after.unwrap_or(0),
            limit: limit(head, USUAL_RECORDINGS, MAX_RECORDINGS)?,
        })
    }
}

/// The body of `GET /api/subjects/{subject}`.
#[derive(Serialize)]
pub(crate) struct Recordings<'a> {
    recordings: Vec<Recording<'a>>,
    /// Where the next page goes on; null = there is none.
    next_cursor: Option<String>,
}

impl<'a> Recordings<'a> {
    /// A page. It may hold fewer than were asked for although there are more, because its bytes are limited, too: only an
    /// empty one is the last.
    pub(crate) fn of(page: &'a [Recorded]) -> Self {
        Self {
            recordings: page.iter().map(Recording::from).collect(),
            next_cursor: page.last().map(|last| last.seq.to_string()),
        }
    }

    /// About how many bytes a page is written from.
    pub(crate) fn bytes(page: &[Recorded]) -> usize {
        let contents = page.iter().filter_map(|one| one.content.as_ref().ok());
        let tensors = contents.flat_map(|content| content.inputs.iter().chain(&content.outputs));
        tensors
            .map(|named| named.tensor.elements().byte_len())
            .sum()
    }
}

#[derive(Serialize)]
struct Recording<'a> {
    request_id: &'a str,
    at: String,
    model: &'a str,
    version: &'a str,
    digest: String,
    /// Whether what lies there is not what was written: it cannot be read then, and neither inputs nor outputs are shown.
    changed: bool,
    inputs: Option<Vec<oip::Named<'a>>>,
    outputs: Option<Vec<oip::Named<'a>>>,
}

impl<'a> From<&'a Recorded> for Recording<'a> {
    fn from(recorded: &'a Recorded) -> Self {
        let content = recorded.content.as_ref().ok();
        Self {
            request_id: recorded.request_id.as_str(),
            at: rfc3339(recorded.at),
            model: recorded.model.as_str(),
            version: recorded.version.as_str(),
            digest: recorded.digest.to_string(),
            changed: content.is_none(),
            inputs: content.map(|content| tensors(&content.inputs)),
            outputs: content.map(|content| tensors(&content.outputs)),
        }
    }
}

/// The body of `DELETE /api/subjects/{subject}`: the receipt.
#[derive(Debug, Serialize)]
pub(crate) struct Erased<'a> {
    tenant: &'a str,
    /// What stood for the person.
    subject: String,
    recordings: u64,
    at: String,
    request_id: &'a str,
    signature: String,
}

impl<'a> From<&'a Receipt> for Erased<'a> {
    fn from(receipt: &'a Receipt) -> Self {
        Self {
            tenant: receipt.tenant.as_str(),
            subject: receipt.subject.to_string(),
            recordings: receipt.recordings,
            at: rfc3339(receipt.at),
            request_id: receipt.request_id.as_str(),
            signature: Digest::from_bytes(receipt.signature).to_string(),
        }
    }
}

/// The body of `POST /api/predictions/{request_id}/replay`.
#[derive(Serialize)]
pub(crate) struct Replayed<'a> {
    request_id: &'a str,
    replay_of: &'a str,
    model: &'a str,
    version: &'a str,
    identical: bool,
    outputs: Vec<oip::Named<'a>>,
    recorded_outputs: Vec<oip::Named<'a>>,
    credits: Credits,
}

impl<'a> Replayed<'a> {
    pub(crate) fn of(replay: &'a Replay, request_id: &'a str) -> Self {
        let (answer, target) = (&replay.answer, &replay.answer.target);
        let declared = target.signature.outputs.iter();
        let outputs = declared.zip(answer.outputs.iter());
        Self {
            request_id,
            replay_of: replay.of.as_str(),
            model: target.model.as_str(),
            version: target.version.as_str(),
            identical: replay.identical,
            outputs: outputs
                .map(|(declared, tensor)| oip::named(&declared.name, tensor))
                .collect(),
            recorded_outputs: tensors(&replay.recorded),
            credits: Credits(answer.credits),
        }
    }
}

fn tensors(named: &[NamedTensor]) -> Vec<oip::Named<'_>> {
    let tensors = named.iter();
    tensors
        .map(|named| oip::named(&named.name, &named.tensor))
        .collect()
}

#[cfg(test)]
mod tests {
    use foretell_predict::{Changed, Content};
    use foretell_types::{Elements, ModelName, ModelVersion, RequestId, Tensor, VersionDigest};
    use serde_json::json;

    use super::*;

    fn recorded(content: Result<Content, Changed>) -> Recorded {
        Recorded {
            seq: 7,
            request_id: RequestId::parse("one").unwrap(),
            at: 1_795_559_696_123,
            model: ModelName::parse("m").unwrap(),
            version: ModelVersion::parse("1").unwrap(),
            digest: VersionDigest(Digest::from_bytes([0; 32])),
            content,
        }
    }

    #[test]
    fn a_recording_that_was_changed_is_told_as_changed_and_does_not_hide_the_others() {
        let tensor = Tensor::new(vec![1], Elements::Fp64(vec![f64::NAN])).unwrap();
        let content = Content {
            inputs: vec![],
            outputs: vec![NamedTensor {
                name: "y".to_owned(),
                tensor,
            }],
        };
        let page = [recorded(Ok(content)), recorded(Err(Changed))];
        assert_eq!(Recordings::bytes(&page), 8);
        let shown = json!(Recordings::of(&page));
        let [whole, changed] = [0, 1].map(|at| &shown["recordings"][at]);
        assert_eq!(whole["changed"], false);
        assert_eq!(
            whole["outputs"],
            json!([{
                "name": "y", "datatype": "FP64", "shape": [1],
                "parameters": {"non_finite": true}, "data": [null],
            }])
        );
        assert_eq!(
            *changed,
            json!({
                "request_id": "one", "at": "2026-11-24T22:34:56.123Z", "model": "m", "version": "1",
                "digest": "0".repeat(64), "changed": true, "inputs": null, "outputs": null,
            })
        );
        assert_eq!(shown["next_cursor"], "7");
    }

    #[test]
    fn only_an_empty_page_is_the_last() {
        let shown = json!(Recordings::of(&[]));
        assert_eq!(shown, json!({"recordings": [], "next_cursor": null}));
    }
}
