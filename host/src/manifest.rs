//! `model.toml`: what a model on disk is made of.
//!
//! ```toml
//! name = "lead-score"
//! version = "1"
//!
//! [plugin]
//! crate = "../../../plugins/forest"      # built on push; or: wasm = "forest.wasm"
//!
//! [artifact]
//! file = "model.ftl"
//! sha256 = "…64 digits…"
//!
//! [settings]                             # for the plugin's `load`: texts, numbers, true and false
//! [runtime]                              # for the host: isolation, deadline_ms, memory_mib, max_rows, cache
//!
//! [sample]
//! request = "sample.request.json"        # one record, or a list of records
//! response = "sample.response.json"      # its prediction, or a list of predictions
//! tolerance = 1e-6
//! ```
//!
//! Paths are relative to the folder of the file. A model lies in `<name>/<version>/`; a plugin's own folder (one with a
//! `Cargo.toml` beside the manifest) may have any name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use foretell_types::{Digest, ModelName, ModelVersion, NameError};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The manifest's file name.
pub const FILE: &str = "model.toml";

/// A model on disk, read and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The folder.
    pub dir: PathBuf,
    /// The model's name.
    pub name: ModelName,
    /// The version's name.
    pub version: ModelVersion,
    /// Where its code comes from.
    pub plugin: PluginSource,
    /// Its weights.
    pub artifact: Option<Artifact>,
    /// Settings for the plugin.
    pub settings: Map<String, Value>,
    /// Settings for the host.
    pub runtime: Map<String, Value>,
    /// A request with its known answer.
    pub sample: Option<Sample>,
}

/// Where a plugin's code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// A crate to build: its folder.
    Crate(PathBuf),
    /// A component or core module.
    Wasm(PathBuf),
}

/// Weights whose digest was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The file.
    pub file: PathBuf,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

/// A request with its known answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// One record, or a list of records.
    pub request: Value,
    /// The prediction of the record, or a list of predictions.
    pub response: Value,
    /// Largest absolute difference of any number.
    pub tolerance: f64,
}

/// Why a folder is no model.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// A file cannot be read.
    #[error("{}: {source}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not TOML, or has other fields.
    #[error("{}: {message}", file.display())]
    Syntax {
        /// The manifest.
        file: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A name is not one.
    #[error("{}: {source}", file.display())]
    Name {
        /// The manifest.
        file: PathBuf,
        /// Why.
        source: NameError,
    },
    /// Name or version is not that of the folder.
    #[error("{}: {field} is `{written}`, but the folder says `{folder}`; rename one of them", file.display())]
    Path {
        /// The manifest.
        file: PathBuf,
        /// `name` or `version`.
        field: &'static str,
        /// What the manifest says.
        written: String,
        /// What the folder is called.
        folder: String,
    },
    /// A field's value cannot be used.
    #[error("{}: {message}", file.display())]
    Invalid {
        /// The manifest.
        file: PathBuf,
        /// Which field and what it takes.
        message: String,
    },
    /// The artifact is another one than the manifest says.
    #[error(
        "{}: SHA-256 is {found}, but model.toml says {written}; restore the file, or write the new digest if it was \
         meant to change", file.display()
    )]
    Artifact {
        /// The artifact.
        file: PathBuf,
        /// The digest in the manifest.
        written: Digest,
        /// The digest of the file.
        found: Digest,
    },
    /// A sample is not JSON.
    #[error("{}: not JSON: {source}", file.display())]
    Sample {
        /// The file.
        file: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
}

impl Manifest {
    /// Reads the manifest of a folder and everything it names but the plugin.
    ///
    /// # Errors
    /// [`ManifestError`] for the first fault.
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let file = dir.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(io_error(&file))?;
        let written: Written = toml::from_str(&text).map_err(|error| ManifestError::Syntax {
            file: file.clone(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let name_error = |source| ManifestError::Name {
            file: file.clone(),
            source,
        };
        let name = ModelName::parse(&written.name).map_err(name_error)?;
        let version = ModelVersion::parse(&written.version).map_err(name_error)?;
        check_path(dir, &file, &name, &version)?;
        let invalid = |message: String| ManifestError::Invalid {
            file: file.clone(),
            message,
        };
        Ok(Self {
            plugin: plugin(dir, written.plugin).map_err(invalid)?,
            artifact: written
                .artifact
                .map(|artifact| read_artifact(dir, &file, artifact))
                .transpose()?,
            settings: settings(written.settings).map_err(invalid)?,
            runtime: runtime(written.runtime),
            sample: written
                .sample
                .map(|sample| read_sample(dir, &file, sample))
                .transpose()?,
            dir: dir.to_owned(),
            name,
            version,
        })
    }
}

/// `model.toml` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    version: String,
    plugin: WrittenPlugin,
    artifact: Option<WrittenArtifact>,
    #[serde(default)]
    settings: toml::Table,
    #[serde(default)]
    runtime: WrittenRuntime,
    sample: Option<WrittenSample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlugin {
    #[serde(rename = "crate")]
    source: Option<PathBuf>,
    wasm: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenArtifact {
    file: PathBuf,
    sha256: String,
}

/// The ranges are the server's: its operator may have changed them.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WrittenRuntime {
    isolation: Option<Isolation>,
    deadline_ms: Option<u32>,
    memory_mib: Option<u32>,
    max_rows: Option<u32>,
    cache: Option<bool>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Isolation {
    Fresh,
    Reuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSample {
    request: PathBuf,
    response: PathBuf,
    tolerance: f64,
}

fn io_error(file: &Path) -> impl FnOnce(io::Error) -> ManifestError {
    move |source| ManifestError::Io {
        file: file.to_owned(),
        source,
    }
}

/// `<name>/<version>/model.toml`, unless a `Cargo.toml` beside it says that this is a plugin's own folder.
fn check_path(
    dir: &Path,
    file: &Path,
    name: &ModelName,
    version: &ModelVersion,
) -> Result<(), ManifestError> {
    if dir.join("Cargo.toml").is_file() {
        return Ok(());
    }
    // `.` and links have names only after this.
    let dir = dir.canonicalize().map_err(io_error(dir))?;
    let called = |path: Option<&Path>| {
        path.and_then(Path::file_name)
            .map_or(String::new(), |name| name.to_string_lossy().into_owned())
    };
    let folders = [
        ("version", version.as_str(), called(Some(&dir))),
        ("name", name.as_str(), called(dir.parent())),
    ];
    for (field, written, folder) in folders {
        if written != folder {
            return Err(ManifestError::Path {
                file: file.to_owned(),
                field,
                written: written.to_owned(),
                folder,
            });
        }
    }
    Ok(())
}

fn plugin(dir: &Path, written: WrittenPlugin) -> Result<PluginSource, String> {
    match (written.source, written.wasm) {
        (Some(path), None) => Ok(PluginSource::Crate(dir.join(path))),
        (None, Some(path)) => Ok(PluginSource::Wasm(dir.join(path))),
        _ => Err("[plugin] takes either `crate`, a folder, or `wasm`, a file".to_owned()),
    }
}

fn read_artifact(
    dir: &Path,
    manifest: &Path,
    written: WrittenArtifact,
) -> Result<Artifact, ManifestError> {
    let sha256 = Digest::parse(&written.sha256).ok_or_else(|| ManifestError::Invalid {
        file: manifest.to_owned(),
        message: "artifact.sha256 takes 64 hexadecimal digits".to_owned(),
    })?;
    let file = dir.join(written.file);
    let (found, bytes) = digest_of(&file).map_err(io_error(&file))?;
    if found != sha256 {
        return Err(ManifestError::Artifact {
            file,
            written: sha256,
            found,
        });
    }
    Ok(Artifact {
        file,
        sha256,
        bytes,
    })
}

/// SHA-256 and length of a file, read in pieces.
///
/// # Errors
/// Those of reading.
pub fn digest_of(file: &Path) -> io::Result<(Digest, u64)> {
    struct Hash(Sha256);
    impl io::Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Hash(Sha256::new());
    let bytes = io::copy(&mut File::open(file)?, &mut hash)?;
    Ok((Digest::from_bytes(hash.0.finalize().into()), bytes))
}

fn settings(table: toml::Table) -> Result<Map<String, Value>, String> {
    let wrong = |name: &str| format!("settings.{name} takes a text, a number, true or false");
    let values = table.into_iter().map(|(name, value)| {
        let value = match value {
            toml::Value::String(text) => Value::String(text),
            toml::Value::Integer(number) => Value::from(number),
            toml::Value::Boolean(truth) => Value::Bool(truth),
            toml::Value::Float(number) => serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| wrong(&name))?,
            toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                return Err(wrong(&name));
            }
        };
        Ok((name, value))
    });
    values.collect()
}

fn runtime(written: WrittenRuntime) -> Map<String, Value> {
    let isolation = written.isolation.map(|isolation| match isolation {
        Isolation::Fresh => "fresh",
        Isolation::Reuse => "reuse",
    });
    [
        ("isolation", isolation.map(Value::from)),
        ("deadline_ms", written.deadline_ms.map(Value::from)),
        ("memory_mib", written.memory_mib.map(Value::from)),
        ("max_rows", written.max_rows.map(Value::from)),
        ("cache", written.cache.map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

fn read_sample(
    dir: &Path,
    manifest: &Path,
    written: WrittenSample,
) -> Result<Sample, ManifestError> {
    let invalid = |message: &str| ManifestError::Invalid {
        file: manifest.to_owned(),
        message: message.to_owned(),
    };
    if !written.tolerance.is_finite() || written.tolerance < 0.0 {
        return Err(invalid("sample.tolerance takes a number from 0"));
    }
    let request = read_json(&dir.join(written.request))?;
    let response = read_json(&dir.join(written.response))?;
    // An empty expectation would be met by any answer.
    let comparable = match (&request, &response) {
        (Value::Object(_), Value::Object(expected)) => !expected.is_empty(),
        (Value::Array(records), Value::Array(expected)) => {
            !records.is_empty() && records.len() == expected.len()
        }
        _ => false,
    };
    if !comparable {
        return Err(invalid(
            "the sample takes one record and its prediction, or lists of as many records as predictions",
        ));
    }
    Ok(Sample {
        request,
        response,
        tolerance: written.tolerance,
    })
}

fn read_json(file: &Path) -> Result<Value, ManifestError> {
    let text = std::fs::read_to_string(file).map_err(io_error(file))?;
    serde_json::from_str(&text).map_err(|source| ManifestError::Sample {
        file: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "lead-score"
version = "1"
[plugin]
crate = "../plugin"
[artifact]
file = "model.bin"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
[settings]
threshold = 0.5
rounds = 3
mode = "fast"
strict = true
[runtime]
isolation = "reuse"
deadline_ms = 50
[sample]
request = "request.json"
response = "response.json"
tolerance = 1e-6
"#;

    fn folder(root: &Path, name: &str, version: &str, manifest: &str) -> PathBuf {
        let dir = root.join(name).join(version);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(FILE), manifest).unwrap();
        std::fs::write(dir.join("model.bin"), "abc").unwrap();
        std::fs::write(dir.join("request.json"), r#"{"age": 49}"#).unwrap();
        std::fs::write(dir.join("response.json"), r#"{"probability": 0.5}"#).unwrap();
        dir
    }

    #[test]
    fn a_manifest_is_read_with_everything_that_it_names() {
        let root = tempfile::tempdir().unwrap();
        let dir = folder(root.path(), "lead-score", "1", GOOD);
        let manifest = Manifest::read(&dir).unwrap();
        assert_eq!(manifest.name.as_str(), "lead-score");
        assert_eq!(manifest.plugin, PluginSource::Crate(dir.join("../plugin")));
        assert_eq!(manifest.artifact.unwrap().bytes, 3);
        assert_eq!(
            Value::Object(manifest.settings).to_string(),
            r#"{"mode":"fast","rounds":3,"strict":true,"threshold":0.5}"#
        );
        assert_eq!(
            Value::Object(manifest.runtime).to_string(),
            r#"{"isolation":"reuse","deadline_ms":50}"#
        );
        let sample = manifest.sample.unwrap();
        assert_eq!(sample.tolerance, 1e-6);
        assert_eq!(sample.response["probability"], 0.5);
    }

    #[test]
    fn each_fault_names_the_field_and_what_it_takes() {
        for (change, message) in [
            (
                ("name = \"lead-score\"", "name = \"other\""),
                "name is `other`, but the folder says `lead-score`",
            ),
            (
                ("version = \"1\"", "version = \"2\""),
                "version is `2`, but the folder says `1`",
            ),
            (
                ("name = \"lead-score\"", "name = \"a/b\""),
                "model name `a/b` is not valid",
            ),
            (
                ("crate = \"../plugin\"", ""),
                "either `crate`, a folder, or `wasm`, a file",
            ),
            (
                ("crate =", "wasm = \"x.wasm\"\ncrate ="),
                "either `crate`, a folder, or `wasm`, a file",
            ),
            (
                ("sha256 = \"ba78", "sha256 = \"ba79"),
                "model.bin: SHA-256 is ba7816bf",
            ),
            (
                ("sha256 = \"ba78", "sha256 = \"xx78"),
                "64 hexadecimal digits",
            ),
            (
                ("threshold = 0.5", "threshold = [1]"),
                "settings.threshold takes a text",
            ),
            (
                ("threshold = 0.5", "threshold = inf"),
                "settings.threshold takes a text",
            ),
            (
                ("isolation = \"reuse\"", "isolation = \"shared\""),
                "unknown variant",
            ),
            (
                ("deadline_ms = 50", "deadline = 50"),
                "unknown field `deadline`",
            ),
            (
                ("tolerance = 1e-6", "tolerance = -1.0"),
                "sample.tolerance takes a number from 0",
            ),
            (("request.json", "nope.json"), "nope.json: No such file"),
            (("[plugin]", "[plugn]"), "unknown field `plugn`"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let text = GOOD.replacen(change.0, change.1, 1);
            assert_ne!(text, GOOD, "{change:?}");
            let error = Manifest::read(&folder(root.path(), "lead-score", "1", &text))
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{change:?}: {error}");
        }
    }

    #[test]
    fn a_sample_that_any_answer_would_meet_is_refused() {
        for (request, response) in [
            ("{}", "{}"),
            ("[]", "[]"),
            ("[{}, {}]", "[{\"a\": 1}]"),
            ("{}", "[{\"a\": 1}]"),
            ("1", "1"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let dir = folder(root.path(), "lead-score", "1", GOOD);
            std::fs::write(dir.join("request.json"), request).unwrap();
            std::fs::write(dir.join("response.json"), response).unwrap();
            assert!(Manifest::read(&dir).is_err(), "{request} {response}");
        }
    }

    #[test]
    fn a_plugins_own_folder_may_have_any_name() {
        let root = tempfile::tempdir().unwrap();
        let dir = folder(root.path(), "my", "plugin", GOOD);
        assert!(matches!(
            Manifest::read(&dir),
            Err(ManifestError::Path { .. })
        ));
        std::fs::write(dir.join("Cargo.toml"), "").unwrap();
        assert!(Manifest::read(&dir).is_ok());
    }
}
