//! What a store can answer instead of the thing asked for.

use foretell_types::ErrorKind;
use thiserror::Error;

/// Why a store call did not do what it was asked. Nothing was changed, whichever it is.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such thing (for this tenant).
    #[error("{0} does not exist")]
    NotFound(String),
    /// The name is taken, or the state forbids the act. Nothing was changed.
    #[error("{0}")]
    Conflict(String),
    /// The store is away, busy beyond its time, or its disk is full. Nothing was acknowledged; trying again may help.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What was read makes no sense: the data is damaged.
    #[error("the stored data is damaged: {0}")]
    Corrupt(String),
    /// Opening only: the URL, or the version of the data, is one that this program does not know.
    #[error("{0}")]
    Unsupported(String),
}

impl StoreError {
    /// The kind that callers see.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Corrupt(_) | Self::Unsupported(_) => ErrorKind::Internal,
        }
    }

    /// Whether the same call may succeed later without anything being done about it.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::NotFound(_) | Self::Conflict(_) | Self::Corrupt(_) | Self::Unsupported(_) => {
                false
            }
        }
    }
}
