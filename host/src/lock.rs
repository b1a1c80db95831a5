//! One server for one data folder: an advisory lock that the system lets go of however the process ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// The lock of a data folder; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the folder cannot be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "the data folder {} is in use by process {holder}; stop that server, or choose another folder with --data-dir",
        folder.display()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The process id that the holder wrote; `?` if it could not be read.
        holder: String,
    },
    /// The lock file cannot be made or locked.
    #[error("the lock of the data folder, {}: {source}", file.display())]
    Io {
        /// The lock file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of a folder at once, or says who has it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let io_error = |source| LockError::Io {
            file: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io_error)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                let holder = match (read, holder.trim()) {
                    (Ok(_), pid) if !pid.is_empty() => pid.to_owned(),
                    // The holder is between taking the lock and writing its id.
                    _ => "?".to_owned(),
                };
                return Err(LockError::Held {
                    folder: folder.to_owned(),
                    holder,
                });
            }
            Err(errno) => return Err(io_error(errno.into())),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io_error)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_learns_the_folder_and_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(&folder.path().display().to_string()),
            "{error}"
        );
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_longer_id_of_an_earlier_holder_leaves_no_digits() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lock"), "99999999999999999999\n").unwrap();
        let _lock = Lock::take(folder.path()).unwrap();
        let written = std::fs::read_to_string(folder.path().join("lock")).unwrap();
        assert_eq!(written.trim(), std::process::id().to_string());
    }
}
