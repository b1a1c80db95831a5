//! The data folder: made, locked, swept. Whoever holds a [`DataFolder`] is the only server on it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::lock::{Lock, LockError};

/// The data folder of a running server.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: Lock,
}

/// Why a folder cannot be the data folder.
#[derive(Debug, Error)]
pub enum FolderError {
    /// It cannot be made, or not be written.
    #[error("the data folder {}: {source}; choose another with --data-dir", path.display())]
    Io {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another server has it.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl DataFolder {
    /// Makes the folder where it is missing, locks it, and throws away what unfinished uploads left.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        make(path)?;
        // Absolute from here on: a later change of the working folder must not move the data.
        let path = path.canonicalize().map_err(io_error(path))?;
        let lock = Lock::take(&path)?;
        let folder = Self { path, _lock: lock };
        let uploads = folder.uploads();
        match fs::remove_dir_all(&uploads) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&uploads)(error));
            }
            _ => make(&uploads)?,
        }
        Ok(folder)
    }

    /// Looks whether a folder that exists could be opened, and changes nothing but its lock file.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn probe(path: &Path) -> Result<(), FolderError> {
        Lock::take(path)?;
        tempfile::tempfile_in(path).map_err(io_error(path))?;
        Ok(())
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where uploads lie until they are accepted. Empty at start.
    pub fn uploads(&self) -> PathBuf {
        self.path.join("tmp")
    }
}

/// Makes a folder for the owner alone, and those above it.
fn make(path: &Path) -> Result<(), FolderError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error(path))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_folder_belongs_to_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&root.path().join("a/b")).unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_unfinished_uploads_left_is_gone_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let left = root.path().join("tmp/upload-1");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, "half").unwrap();
        fs::write(root.path().join("foretell.db"), "whole").unwrap();
        let folder = DataFolder::open(root.path()).unwrap();
        assert!(!left.exists());
        assert!(folder.uploads().is_dir());
        assert!(root.path().join("foretell.db").exists());
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataFolder::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("--data-dir"), "{error}");
    }
}
