//! What the data folder keeps secret: 32 random bytes each, readable by the owner alone, made at the first start.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The secrets of one data folder.
pub struct Secrets {
    /// Keys the hashes of API keys: without it a copy of the database opens nothing.
    pub pepper: [u8; 32],
    /// Keys the MAC over compiled code: without it nobody can plant machine code in the store.
    pub code_mac: [u8; 32],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// Why the secrets cannot be had.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// A file cannot be read or made.
    #[error("the secret {}: {source}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold 32 bytes.
    #[error(
        "the secret {} has {found} bytes and not 32; restore it from a backup of the data folder", file.display()
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// How many it has.
        found: usize,
    },
    /// A secret is gone while the data that needs it is there.
    #[error(
        "the secret {} is missing, and without it no API key and no model of {} can be used; restore both from the same \
         backup, or move the data folder away to begin anew", file.display(), database.display()
    )]
    Missing {
        /// Which.
        file: PathBuf,
        /// What needs it.
        database: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("no randomness from the system: {0}")]
    Random(String),
}

impl Secrets {
    /// Reads the secrets of a data folder, and makes those that are missing. The folder must be locked: two makers
    /// would each keep their own.
    ///
    /// # Errors
    /// [`SecretsError`].
    pub fn of(data_dir: &Path) -> Result<Self, SecretsError> {
        let dir = data_dir.join("secrets");
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir);
        made.map_err(io_error(&dir))?;
        Ok(Self {
            // A new pepper beside an old database would lock everybody out without a word.
            pepper: load(&dir, "pepper", &data_dir.join("foretell.db"))?,
            // Snapshots and code are sealed under it: beside a new one, no stored model would be accepted.
            code_mac: load(&dir, "code-mac", &data_dir.join("foretell.db"))?,
        })
    }
}

fn load(dir: &Path, name: &str, needed_by: &Path) -> Result<[u8; 32], SecretsError> {
    let file = dir.join(name);
    match fs::read(&file) {
        Ok(bytes) => bytes
            .as_slice()
            .try_into()
            .map_err(|_| SecretsError::Damaged {
                found: bytes.len(),
                file,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if needed_by.exists() {
                let database = needed_by.to_owned();
                return Err(SecretsError::Missing { file, database });
            }
            make(dir, &file)
        }
        Err(error) => Err(io_error(&file)(error)),
    }
}

/// Written beside, synced, renamed: after a crash the file is whole or absent.
fn make(dir: &Path, file: &Path) -> Result<[u8; 32], SecretsError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| SecretsError::Random(error.to_string()))?;
    let written = tempfile::NamedTempFile::new_in(dir).and_then(|mut new| {
        new.write_all(&secret)?;
        new.as_file()
            .set_permissions(fs::Permissions::from_mode(0o400))?;
        new.as_file().sync_all()?;
        new.persist(file).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()
    });
    written.map_err(io_error(file))?;
    Ok(secret)
}

fn io_error(file: &Path) -> impl FnOnce(io::Error) -> SecretsError {
    move |source| SecretsError::Io {
        file: file.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_read_by_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Secrets::of(dir.path()).unwrap();
        let second = Secrets::of(dir.path()).unwrap();
        assert_eq!(first.pepper, second.pepper);
        assert_eq!(first.code_mac, second.code_mac);
        assert_ne!(first.pepper, first.code_mac);
        for name in ["pepper", "code-mac"] {
            let mode = fs::metadata(dir.path().join("secrets").join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o400, "{name}");
        }
        assert_eq!(format!("{first:?}"), "Secrets(…)");
    }

    #[test]
    fn a_secret_that_is_gone_or_cut_is_never_replaced_beside_its_data() {
        for name in ["pepper", "code-mac"] {
            let dir = tempfile::tempdir().unwrap();
            Secrets::of(dir.path()).unwrap();
            let secret = dir.path().join("secrets").join(name);
            fs::remove_file(&secret).unwrap();
            fs::write(dir.path().join("foretell.db"), "").unwrap();
            let error = Secrets::of(dir.path()).unwrap_err();
            assert!(matches!(error, SecretsError::Missing { .. }), "{error}");
            fs::write(&secret, "short").unwrap();
            let error = Secrets::of(dir.path()).unwrap_err().to_string();
            assert!(error.contains("5 bytes and not 32"), "{error}");
        }
    }
}
