//! Why a model cannot be loaded, and why a prediction has no answer.

use std::error::Error;
use std::fmt;

/// Why a model cannot be loaded. The text is shown to whoever uploads it: say what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The artifact is not what this plugin reads.
    BadArtifact(String),
    /// A setting is missing, unknown or out of range.
    BadSetting {
        /// Its name.
        setting: String,
        /// What is wrong with it.
        message: String,
    },
    /// Anything else.
    Failed(String),
}

impl LoadError {
    /// The artifact is not what this plugin reads: say what was expected, and where.
    pub fn bad_artifact(message: impl fmt::Display) -> Self {
        Self::BadArtifact(message.to_string())
    }

    /// One setting is at fault. The getters of [`Settings`](crate::Settings) do this for you; use it for rules that
    /// they do not know, such as two settings that exclude each other.
    pub fn bad_setting(setting: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::BadSetting {
            setting: setting.into(),
            message: message.to_string(),
        }
    }

    /// Any other reason.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadArtifact(message) => write!(f, "artifact: {message}"),
            Self::BadSetting { setting, message } => write!(f, "setting `{setting}`: {message}"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

impl Error for LoadError {}

/// Why a prediction has no answer.
///
/// ```
/// # use foretell_sdk::prelude::*;
/// fn root(value: f64, row: usize) -> Result<f64, PredictError> {
///     if value < 0.0 {
///         return Err(PredictError::bad_input("no negative numbers here").row(row).column(0));
///     }
///     Ok(value.sqrt())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PredictError {
    /// The caller's doing: the text is shown to the caller, with status 400.
    BadInput(InputFault),
    /// The model's own doing: the text is logged, the caller gets status 500.
    Failed(String),
}

/// What is wrong with an input, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFault {
    /// The input's place in the signature.
    pub input: usize,
    /// The row, where one is at fault.
    pub row: Option<usize>,
    /// The column, where one is at fault.
    pub column: Option<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl PredictError {
    /// The caller's input is at fault; the first input, unless [`input`](Self::input) says another. The host has
    /// checked datatypes, shapes, bounds and vocabularies before: this is for rules that a signature cannot state.
    pub fn bad_input(message: impl fmt::Display) -> Self {
        Self::BadInput(InputFault {
            input: 0,
            row: None,
            column: None,
            message: message.to_string(),
        })
    }

    /// The model itself is at fault.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// Names the input at fault by its place in the signature. Means nothing for [`failed`](Self::failed).
    #[must_use]
    pub fn input(mut self, index: usize) -> Self {
        if let Self::BadInput(fault) = &mut self {
            fault.input = index;
        }
        self
    }

    /// Names the row at fault. Means nothing for [`failed`](Self::failed).
    #[must_use]
    pub fn row(mut self, row: usize) -> Self {
        if let Self::BadInput(fault) = &mut self {
            fault.row = Some(row);
        }
        self
    }

    /// Names the column at fault. Means nothing for [`failed`](Self::failed).
    #[must_use]
    pub fn column(mut self, column: usize) -> Self {
        if let Self::BadInput(fault) = &mut self {
            fault.column = Some(column);
        }
        self
    }
}

impl fmt::Display for PredictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) => f.write_str(message),
            Self::BadInput(fault) => {
                write!(f, "input {}", fault.input)?;
                if let Some(row) = fault.row {
                    write!(f, ", row {row}")?;
                }
                if let Some(column) = fault.column {
                    write!(f, ", column {column}")?;
                }
                write!(f, ": {}", fault.message)
            }
        }
    }
}

impl Error for PredictError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_fault_says_where() {
        let error = PredictError::bad_input("too hot").input(1).row(3).column(2);
        assert_eq!(error.to_string(), "input 1, row 3, column 2: too hot");
        assert_eq!(
            PredictError::failed("no memory").row(3),
            PredictError::failed("no memory")
        );
    }

    #[test]
    fn a_load_error_says_what_is_at_fault() {
        assert_eq!(
            LoadError::bad_setting("rate", "must not be 0").to_string(),
            "setting `rate`: must not be 0"
        );
        assert_eq!(
            LoadError::bad_artifact("line 2: no number").to_string(),
            "artifact: line 2: no number"
        );
    }
}
