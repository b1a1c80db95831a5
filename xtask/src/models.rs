//! The models on disk: `models/<name>/<version>/model.toml` and what it names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use toml::Table;

/// A model as it lies under `models/`.
#[derive(Debug)]
pub(crate) struct Model {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Its name, equal to its folder's parent.
    pub(crate) name: String,
    /// Its version, equal to its folder.
    pub(crate) version: String,
    /// The artifact's file and the digest it must have, where the model has one.
    pub(crate) artifact: Option<Artifact>,
    /// The request that shows the model working.
    pub(crate) sample: Sample,
}

/// Weights, as declared.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// The file.
    pub(crate) file: PathBuf,
    /// SHA-256 in lower-case hexadecimal.
    pub(crate) sha256: String,
}

/// A request with the answer that the training library gives.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The body of `POST /api/predict/{model}`.
    pub(crate) request: Vec<u8>,
    /// The file that it was read from.
    pub(crate) request_file: PathBuf,
    /// The named outputs that the answer must hold, or a list of those.
    pub(crate) response: Value,
    /// How far a number may be from the expected one.
    pub(crate) tolerance: f64,
}

/// Reads every model under `root/models`, sorted by name and version.
pub(crate) fn all(root: &Path) -> Result<Vec<Model>> {
    let mut models = Vec::new();
    for model in folders(&root.join("models"))? {
        for version in folders(&model)? {
            if version.join("model.toml").is_file() {
                let read =
                    Model::read(&version).with_context(|| format!("in {}", version.display()))?;
                models.push(read);
            }
        }
    }
    Ok(models)
}

impl Model {
    fn read(folder: &Path) -> Result<Self> {
        let manifest: Table = fs::read_to_string(folder.join("model.toml"))?.parse()?;
        let name = text(&manifest, "name")?;
        let version = text(&manifest, "version")?;
        if !folder.ends_with(Path::new(&name).join(&version)) {
            bail!(
                "model.toml says `{name}` version `{version}`; the folder must be models/{name}/{version}"
            );
        }
        let artifact = match manifest.get("artifact") {
            None => None,
            Some(_) => {
                let artifact = table(&manifest, "artifact")?;
                Some(Artifact {
                    file: folder.join(text(artifact, "file")?),
                    sha256: text(artifact, "sha256")?,
                })
            }
        };
        let sample = table(&manifest, "sample")?;
        let request_file = folder.join(text(sample, "request")?);
        let response = folder.join(text(sample, "response")?);
        Ok(Self {
            sample: Sample {
                request: fs::read(&request_file)
                    .with_context(|| format!("cannot read {}", request_file.display()))?,
                request_file,
                response: fs::read(&response)
                    .map_err(anyhow::Error::from)
                    .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
                    .with_context(|| format!("cannot read {}", response.display()))?,
                tolerance: tolerance(sample)?,
            },
            folder: folder.to_owned(),
            name,
            version,
            artifact,
        })
    }
}

fn tolerance(sample: &Table) -> Result<f64> {
    let value = sample
        .get("tolerance")
        .context("`sample.tolerance` is missing")?;
    let number = value.as_float().or_else(|| value.as_str()?.parse().ok());
    number
        .filter(|number| (0.0..=1e-3).contains(number))
        .context("`sample.tolerance` must be a number from 0 to 0.001")
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    if !parent.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn table<'a>(manifest: &'a Table, key: &str) -> Result<&'a Table> {
    manifest
        .get(key)
        .and_then(toml::Value::as_table)
        .with_context(|| format!("model.toml has no [{key}]"))
}

fn text(manifest: &Table, key: &str) -> Result<String> {
    manifest
        .get(key)
        .and_then(toml::Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("model.toml has no text `{key}`"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a model into `root` and returns its folder.
    pub(crate) fn write(root: &Path, name: &str, version: &str, manifest: &str) -> PathBuf {
        let folder = root.join("models").join(name).join(version);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model.toml"), manifest).unwrap();
        fs::write(folder.join("in.json"), "{}").unwrap();
        fs::write(folder.join("out.json"), r#"{"label":"a"}"#).unwrap();
        folder
    }

    /// A manifest that is complete but for its artifact.
    pub(crate) const MANIFEST: &str = "name = 'iris'\nversion = '1'\n[sample]\nrequest = 'in.json'\nresponse = 'out.json'\ntolerance = 1e-9\n";

    #[test]
    fn a_model_is_read_with_its_sample() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "iris", "1", MANIFEST);
        let models = all(root.path()).unwrap();
        assert_eq!(models.len(), 1);
        assert_eq!(models[0].name, "iris");
        assert_eq!(models[0].sample.response["label"], "a");
        assert_eq!(models[0].sample.tolerance, 1e-9);
    }

    #[test]
    fn a_folder_that_contradicts_its_manifest_is_refused() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "iris", "2", MANIFEST);
        let error = format!("{:#}", all(root.path()).unwrap_err());
        assert!(error.contains("must be models/iris/1"), "{error}");
    }

    #[test]
    fn a_sample_that_would_forgive_anything_is_refused() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "iris", "1", &MANIFEST.replace("1e-9", "0.5"));
        let error = format!("{:#}", all(root.path()).unwrap_err());
        assert!(error.contains("from 0 to 0.001"), "{error}");
    }
}
