//! How a command ends: a message that says what to do next, and a code that scripts can rely on (sysexits.h).

use std::fmt;
use std::process::ExitCode;

/// The codes of sysexits.h that this program uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command line is wrong.
    Usage = 64,
    /// The input is wrong: a manifest, a plugin, a request, an answer that is not the expected one.
    Data = 65,
    /// What was named does not exist: a file, a model, a key.
    NoInput = 66,
    /// The server cannot be reached, or cannot answer now.
    Unavailable = 69,
    /// A defect of this program or of the server.
    Software = 70,
    /// The operating system refuses something.
    Os = 71,
    /// A file or folder cannot be made.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Not now; the same command may work later.
    TryAgain = 75,
    /// No key, or one that may not do this.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code to end with.
    pub exit: Exit,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl Failure {
    /// Joins the two.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }

    /// A failed file operation, coded by what failed.
    pub fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::NoInput,
            ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::Io,
        };
        Self::new(exit, format_args!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The code for an HTTP status that is no success.
pub fn of_status(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::NoPermission,
        404 => Exit::NoInput,
        429 => Exit::TryAgain,
        502..=504 => Exit::Unavailable,
        500.. => Exit::Software,
        _ => Exit::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_ends_with_the_code_that_scripts_expect() {
        for (status, exit) in [
            (400, 65),
            (401, 77),
            (403, 77),
            (404, 66),
            (409, 65),
            (413, 65),
            (422, 65),
            (429, 75),
            (500, 70),
            (503, 69),
            (504, 69),
        ] {
            assert_eq!(of_status(status) as u8, exit, "{status}");
        }
    }

    #[test]
    fn a_missing_file_is_no_input() {
        let error = std::fs::read("/no/such/file").unwrap_err();
        let failure = Failure::io("model.toml", &error);
        assert_eq!(failure.exit, Exit::NoInput);
        assert!(failure.message.starts_with("model.toml: "));
    }
}
