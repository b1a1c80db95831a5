//! Every way in which a use case ends without its answer.

use std::time::Duration;

use foretell_store::StoreError;
use foretell_types::blob::BlobError;
use foretell_types::compile::{CompileError, Refusal};
use foretell_types::run::RunError;
use foretell_types::{ErrorKind, Mismatch, Scope};
use thiserror::Error;

use crate::rate::Rate;

/// Why a call has no answer. `Display` is the outside message: it says what to do next and holds no secret;
/// [`cause`](PredictError::cause) is the inside one, for the log.
#[derive(Debug, Error)]
pub enum PredictError {
    /// The body is not what the route reads.
    #[error("{0}")]
    Malformed(String),
    /// The inputs do not match the signature.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A field of a management request is out of range, or unknown.
    #[error("{0}")]
    Invalid(String),
    /// No credential, or one that opens nothing.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The credential lacks a scope.
    #[error("this key lacks the scope {}", any_of(.needed))]
    Forbidden {
        /// Any of these would do.
        needed: &'static [Scope],
    },
    /// The key is for other models.
    #[error("this key is not for the model `{model}`; use one that is, or one for all models")]
    NotItsModel {
        /// The model.
        model: String,
    },
    /// The key is for some models, and this is about all of them.
    #[error("this key is for single models, and this is about all of them; use one for all models")]
    NotItsModels,
    /// A key asks for more than its creator may give.
    #[error("{0}")]
    NotGrantable(String),
    /// An operator must say which tenant is meant.
    #[error(
        "an operator's key has no tenant of its own: put /tenants/{{tenant}} before the path (on the command line: --tenant NAME)"
    )]
    TenantRequired,
    /// No such thing, or not the caller's.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken by something else, or the state forbids the act.
    #[error("{0}")]
    Conflict(String),
    /// A body or a part of it is too long.
    #[error("{what} is larger than its limit of {limit_bytes} bytes")]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// Its limit.
        limit_bytes: u64,
    },
    /// A content encoding that is not supported.
    #[error("{0}")]
    UnsupportedEncoding(String),
    /// The upload is not accepted.
    #[error("the upload is refused: {}", list(.0))]
    UploadRefused(Vec<Refusal>),
    /// The prediction was run and has no answer.
    #[error("{}", shown(.error))]
    Run {
        /// Tenant, model and version, for the log.
        target: String,
        /// Why there is none.
        error: RunError,
    },
    /// The version cannot be made ready to run.
    #[error("{error}")]
    Load {
        /// Tenant, model and version, for the log.
        target: String,
        /// Why not.
        error: RunError,
    },
    /// The outputs are not what the signature promises.
    #[error(
        "the model `{model}` returned what its signature does not promise; its owner must repair it"
    )]
    Contract {
        /// The model.
        model: String,
        /// Tenant, model and version, for the log.
        target: String,
        /// What differs, for its owner.
        problem: String,
    },
    /// No room for one more request now.
    #[error("{what}; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// What is full.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The tenant has as much under way as it may.
    #[error("this tenant has {limit} {what} under way, as many as it may; try again in {} s", retry_after.as_secs())]
    TenantBusy {
        /// Predictions or uploads.
        what: &'static str,
        /// How many it may have.
        limit: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// As many requests in the window as there may be.
    #[error(
        "this {whose} has made the {} requests that it may make in {} s; try again in {} s",
        .rate.limit,
        .window.as_secs(),
        seconds(.retry_after)
    )]
    RateLimited {
        /// Tenant or key.
        whose: &'static str,
        /// How the limit stands.
        rate: Rate,
        /// How long the window is.
        window: Duration,
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many logins have failed, with this name or from this address.
    #[error("too many logins have failed; try again in {} s", seconds(.retry_after))]
    TooManyLogins {
        /// When to try again.
        retry_after: Duration,
    },
    /// The quota or the credits are used up.
    #[error("this {whose} is out of quota: {what}")]
    QuotaExhausted {
        /// Tenant or key.
        whose: &'static str,
        /// What is used up, and how much there was.
        what: String,
        /// When there is more.
        retry_after: Duration,
    },
    /// The tenant may keep no more.
    #[error(
        "this tenant may keep {limit} {what}, and this would be more; delete versions that nobody needs, or ask the operator for more"
    )]
    StorageFull {
        /// How much it may keep.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// The version failed again and again, and is left alone for a while.
    #[error(
        "version `{version}` of `{model}` failed too often in a row and is suspended; its owner finds the reason in the log; try again in {} s",
        retry_after.as_secs()
    )]
    Suspended {
        /// The model.
        model: String,
        /// The version.
        version: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The model's owner has unloaded it.
    #[error(
        "model `{model}` is not ready: it was unloaded; POST /v2/repository/models/{model}/load loads it again"
    )]
    Unloaded {
        /// The model.
        model: String,
    },
    /// The caller's own timeout is over.
    #[error("the prediction took longer than the {} ms that its request allows", timeout.as_secs_f64() * 1e3)]
    TimedOut {
        /// The request's `timeout`.
        timeout: Duration,
    },
    /// The caller went away, or its body ended early.
    #[error("the body ended before it was complete")]
    BodyLost,
    /// Something that the server needs is away.
    #[error("the server cannot do this now; try again in a few seconds")]
    Unavailable(String),
    /// A defect of ours.
    #[error("internal error; give the request id to the operator")]
    Internal(String),
}

impl PredictError {
    /// The kind that decides status and code.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed(_) | Self::BodyLost => ErrorKind::Malformed,
            Self::Mismatch(mismatch) => mismatch.kind(),
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Unauthenticated(_) => ErrorKind::Unauthenticated,
            Self::Forbidden { .. }
            | Self::NotItsModel { .. }
            | Self::NotItsModels
            | Self::NotGrantable(_) => ErrorKind::Forbidden,
            Self::TenantRequired => ErrorKind::TenantRequired,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::UnsupportedEncoding(_) => ErrorKind::UnsupportedEncoding,
            Self::UploadRefused(_) => ErrorKind::UploadRefused,
            Self::Run { error, .. } | Self::Load { error, .. } => error.kind(),
            Self::Contract { .. } => ErrorKind::PluginContract,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::TenantBusy { .. } | Self::RateLimited { .. } | Self::TooManyLogins { .. } => {
                ErrorKind::RateLimited
            }
            Self::QuotaExhausted { .. } | Self::StorageFull { .. } => ErrorKind::QuotaExhausted,
            Self::Suspended { .. } => ErrorKind::ModelSuspended,
            Self::Unloaded { .. } => ErrorKind::ModelUnloaded,
            Self::TimedOut { .. } => ErrorKind::DeadlineExceeded,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Whether the plugin did not do its work. A caller in a hurry says nothing about it.
    pub const fn is_fault_of_plugin(&self) -> bool {
        !matches!(self, Self::TimedOut { .. }) && self.kind().is_fault_of_plugin()
    }

    /// Whether the version itself does not do its work, now or for a while.
    pub const fn is_fault_of_version(&self) -> bool {
        self.is_fault_of_plugin() || matches!(self, Self::Suspended { .. })
    }

    /// Whether another version may well answer where this one does not: its inputs may be others, and its code may be there.
    pub(crate) const fn may_be_of_version(&self) -> bool {
        self.is_fault_of_version()
            || self.is_of_inputs()
            || matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Internal)
    }

    /// Whether the inputs are refused, by the signature or by the plugin.
    pub(crate) const fn is_of_inputs(&self) -> bool {
        matches!(self, Self::Mismatch(_)) || matches!(self.kind(), ErrorKind::PluginRefused)
    }

    /// Whether the plugin ended by a trap.
    pub const fn is_trap(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::PluginTrapped | ErrorKind::StackOverflow
        )
    }

    /// What the log should hold beyond the outside message.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Run { target, error } | Self::Load { target, error } => {
                Some(format!("{target}: {error}"))
            }
            Self::Contract {
                target, problem, ..
            } => Some(format!("{target}: {problem}")),
            Self::Unavailable(cause) | Self::Internal(cause) => Some(cause.clone()),
            _ => None,
        }
    }

    /// When to try again, where that may help.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. }
            | Self::TenantBusy { retry_after, .. }
            | Self::RateLimited { retry_after, .. }
            | Self::TooManyLogins { retry_after }
            | Self::QuotaExhausted { retry_after, .. }
            | Self::Suspended { retry_after, .. } => Some(*retry_after),
            Self::Run {
                error: RunError::Unavailable { retry_after, .. },
                ..
            }
            | Self::Load {
                error: RunError::Unavailable { retry_after, .. },
                ..
            } => Some(*retry_after),
            Self::Run {
                error: RunError::Overloaded { .. },
                ..
            }
            | Self::Unavailable(_) => Some(Duration::from_secs(2)),
            // Time alone makes no room.
            Self::StorageFull { .. } => Some(Duration::from_secs(3_600)),
            _ => None,
        }
    }

    /// The reasons of a refused upload; empty otherwise.
    pub fn refusals(&self) -> &[Refusal] {
        match self {
            Self::UploadRefused(refusals) => refusals,
            _ => &[],
        }
    }
}

impl From<StoreError> for PredictError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(_) => Self::NotFound(error.to_string()),
            StoreError::Conflict(message) => Self::Conflict(message),
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Corrupt(_) | StoreError::Unsupported(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}

impl From<BlobError> for PredictError {
    fn from(error: BlobError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// What preparing a real plugin takes, about.
const COMPILE_RETRY: Duration = Duration::from_secs(10);

impl From<CompileError> for PredictError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Refused(refusals) => Self::UploadRefused(refusals),
            CompileError::Busy => Self::Overloaded {
                what: "too many uploads are waiting",
                retry_after: COMPILE_RETRY,
            },
            CompileError::TenantBusy { limit } => Self::TenantBusy {
                what: "versions to compile",
                limit,
                retry_after: COMPILE_RETRY,
            },
            error @ CompileError::Changed(_) => Self::Unavailable(error.to_string()),
            CompileError::Worker(cause) => Self::Unavailable(cause),
        }
    }
}

/// What callers see of a failed run: the plugin's words only where they are meant for the caller.
fn shown(error: &RunError) -> String {
    match error {
        RunError::Refused {
            message,
            row: Some(row),
            ..
        } => format!("the model refuses row {row}: {message}"),
        RunError::Refused { message, .. } => format!("the model refuses the input: {message}"),
        RunError::Failed(_) | RunError::Trapped(_) => {
            "the model failed; its owner finds the reason in the log".into()
        }
        RunError::Memory { limit_bytes } => format!(
            "the model needed more than its {} MiB of memory",
            limit_bytes >> 20
        ),
        RunError::Stack => "the model used up its stack".into(),
        RunError::Deadline { deadline } => format!(
            "the model did not answer within {} ms",
            deadline.as_millis()
        ),
        RunError::Contract(_) => {
            "the model returned what is not valid; its owner must repair it".into()
        }
        RunError::Overloaded { .. } => {
            "the model has no free thread; try again in a few seconds".into()
        }
        RunError::Unavailable { retry_after, .. } => format!(
            "the model cannot be run now; try again in {} s",
            retry_after.as_secs_f64().ceil().max(1.0)
        ),
        RunError::Internal(_) => {
            "the prediction failed inside the server; its operator finds the reason in the log"
                .into()
        }
    }
}

fn any_of(scopes: &[Scope]) -> String {
    let names: Vec<_> = scopes
        .iter()
        .map(|scope| format!("`{}`", scope.as_str()))
        .collect();
    names.join(" or ")
}

fn list(refusals: &[Refusal]) -> String {
    let texts: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Whole seconds, rounded up: whoever comes back then is not too early.
fn seconds(duration: &Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
