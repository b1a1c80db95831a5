//! What a transport brings: who asks, for which model, and a body that is still unread.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use foretell_types::record::Record;
use foretell_types::run::Urgency;
use foretell_types::signature::{Checked, NamedTensor};
use foretell_types::{Mismatch, ModelName, ModelVersion, RequestId, Signature};

use crate::rate::Rate;
use crate::text::shown;
use crate::{PredictError, Target};

/// What every request says before its body.
#[derive(Debug, Clone)]
pub struct Call {
    /// Names the request in answers and logs.
    pub request_id: RequestId,
    /// What the caller shows.
    pub credentials: Credentials,
    /// The tenant of a `/tenants/{t}` prefix, as written.
    pub prefix: Option<String>,
    /// What the caller wants of the cache.
    pub cache: CacheUse,
    /// What it is to be done once for, however often it is sent: the header `Idempotency-Key`, as written.
    pub idempotency_key: Option<Arc<str>>,
    /// Whom it is about, as the caller names the person: the header `X-Subject`; none = nobody is named.
    pub subject: Option<Subject>,
    /// Where it comes from; none where nobody knows.
    pub address: Option<IpAddr>,
    /// How its limit of requests stands, once it was counted: for the answer's headers, whatever the answer is.
    pub rate: OnceLock<Rate>,
}

/// How a caller names the person whom a prediction is about. It is never stored or shown: a keyed hash stands for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject(Arc<str>);

/// Characters of a subject, at most.
const MAX_SUBJECT: usize = 256;

impl Subject {
    /// Accepts 1 to 256 visible ASCII characters.
    ///
    /// # Errors
    /// `Invalid` for any other text.
    pub fn parse(text: &str) -> Result<Self, PredictError> {
        let is_subject = (1..=MAX_SUBJECT).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_subject {
            Ok(Self(text.into()))
        } else {
            Err(PredictError::Invalid(format!(
                "a subject (`X-Subject`) is 1 to {MAX_SUBJECT} visible ASCII characters, without spaces"
            )))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(…)")
    }
}

/// What a caller wants of the prediction cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheUse {
    /// An answer that was given before will do.
    #[default]
    Recall,
    /// The prediction is to be run, and its answer kept in place of an earlier one.
    Refresh,
    /// The prediction is to be run, and its answer not kept.
    Bypass,
}

/// What a caller shows, as sent; never logged.
#[derive(Clone, Default)]
pub struct Credentials {
    key: Option<String>,
    session: Option<String>,
}

impl Credentials {
    /// The text of a key or a token, without `Bearer`; none = the caller shows nothing.
    pub const fn new(key: Option<String>) -> Self {
        Self { key, session: None }
    }

    /// The secret of a session. A transport takes it from a browser only where the request changes nothing, or where
    /// [`Sessions::csrf_holds`](crate::Sessions::csrf_holds).
    pub const fn of_session(secret: String) -> Self {
        Self {
            key: None,
            session: Some(secret),
        }
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether the caller shows nothing.
    pub const fn is_empty(&self) -> bool {
        self.key.is_none() && self.session.is_none()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() {
            "Credentials(none)"
        } else {
            "Credentials(…)"
        })
    }
}

/// A model and, where the caller names one, a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// The model.
    pub model: ModelName,
    /// The version; none = wherever the model's traffic goes.
    pub version: Option<ModelVersion>,
}

impl ModelRef {
    /// Reads the names of a path.
    ///
    /// # Errors
    /// `NotFound` for a text that no model can have as its name: to its caller it does not exist.
    pub fn parse(model: &str, version: Option<&str>) -> Result<Self, PredictError> {
        let version = version.map(|version| {
            ModelVersion::parse(version).map_err(|_| {
                PredictError::NotFound(format!(
                    "model `{}` has no version `{}`",
                    shown(model),
                    shown(version)
                ))
            })
        });
        Ok(Self {
            model: ModelName::parse(model).map_err(|_| {
                PredictError::NotFound(format!(
                    "Request for unknown model: '{}' is not found",
                    shown(model)
                ))
            })?,
            version: version.transpose()?,
        })
    }
}

/// The inputs of a prediction in one of the two forms that callers use.
#[derive(Debug, Clone, PartialEq)]
pub enum Inputs {
    /// Tensors by name.
    Tensors(Vec<NamedTensor>),
    /// Rows by feature name.
    Records(Vec<Record>),
}

impl Inputs {
    /// Holds them against a signature: the one check for every form.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(self, signature: &Signature) -> Result<Checked, Mismatch> {
        match self {
            Self::Tensors(tensors) => signature.check(tensors),
            Self::Records(records) => signature.tensors_from_records(&records),
        }
    }
}

/// What a body asks for.
#[derive(Debug)]
pub struct Decoded {
    /// The inputs.
    pub inputs: Inputs,
    /// How urgent it is.
    pub urgency: Urgency,
}

impl From<Inputs> for Decoded {
    /// Not urgent at all.
    fn from(inputs: Inputs) -> Self {
        Self {
            inputs,
            urgency: Urgency::default(),
        }
    }
}

/// A request's body, still unread: the corridor says when it is read and how long it may be, asks which model it is for, and says
/// for which version it is decoded.
pub trait Payload: Send {
    /// Reads the body, and returns its length in bytes.
    ///
    /// # Errors
    /// `TooLarge` past `limit_bytes`, `BodyLost` if it ends early, `UnsupportedEncoding`.
    fn read(
        &mut self,
        limit_bytes: u64,
    ) -> impl Future<Output = Result<usize, PredictError>> + Send;

    /// Which model is asked. Called after [`read`](Self::read): some transports say it in the body.
    ///
    /// # Errors
    /// `NotFound` for a name that no model can have.
    fn model(&self) -> Result<Cow<'_, ModelRef>, PredictError>;

    /// The value of a header that came with it, by its name in lower case; none where it is absent or no text.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The request whose recording this is, to be run again; none = it comes from a caller.
    fn replays(&self) -> Option<&RequestId> {
        None
    }

    /// Turns what was read into inputs for this version. Called where long work harms nobody. What was read is let go
    /// unless it is wanted again, for another version.
    ///
    /// # Errors
    /// `Malformed` for what is no body of this route, `Mismatch` for what cannot be an input of the version.
    fn decode(&mut self, target: &Target, again: bool) -> Result<Decoded, PredictError>;
}
