//! `model push DIR...`: from folders to versions that answer, checked by their samples.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::{Map, Value, json};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{self, Format, Rows};
use super::progress::Progress;
use super::{predict, sample};
use crate::client::{Answer, Client};
use crate::manifest::{self, Manifest, ManifestError, PluginSource};

/// Bytes read from a file at once.
const CHUNK: usize = 64 << 10;

/// Uploads models: builds the plugin where the manifest names a crate, and checks the answer to the sample.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// Folders with a model.toml, such as models/iris/1; several in one command are pushed in turn.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Send the model's calls to this version from now on; a model's first version is active anyway.
    #[arg(long)]
    activate: bool,
    /// Do not send the sample's request.
    #[arg(long)]
    no_sample: bool,
}

/// A version that the server accepted.
struct Pushed {
    name: String,
    version: String,
    body: Answer,
    new: bool,
    active: bool,
    sample: Sample,
}

enum Sample {
    /// The model has none, or it was not wanted.
    None,
    /// The answer is the expected one; the largest difference of any number.
    Matches(f64),
    /// It is another one.
    Differs(String),
}

impl Push {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        // Every manifest first: a mistake in the last one should not be found after minutes of uploads.
        let manifests = models(&self.dirs)?
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        let mut plugins = Plugins::default();
        let (mut pushed, mut failures) = (Vec::new(), Vec::new());
        for manifest in &manifests {
            let outcome = plugins
                .file(&manifest.plugin)
                .and_then(|plugin| context.block_on(self.push(&client, manifest, &plugin)));
            match outcome {
                Ok(one) => pushed.push(one),
                Err(failure) => failures.push(Failure::new(
                    failure.exit,
                    format_args!("{} version {}: {failure}", manifest.name, manifest.version),
                )),
            }
        }
        self.print(context.format(), &pushed)?;
        failures.extend(pushed.iter().filter_map(|one| match &one.sample {
            Sample::Differs(difference) => Some(Failure::new(
                Exit::Data,
                format_args!(
                    "{} version {}: the sample's answer differs: {difference}",
                    one.name, one.version
                ),
            )),
            Sample::None | Sample::Matches(_) => None,
        }));
        finish(failures)
    }

    async fn push(
        &self,
        client: &Client,
        manifest: &Manifest,
        plugin: &Path,
    ) -> Result<Pushed, Failure> {
        let (name, version) = (&manifest.name, &manifest.version);
        let path = format!("/api/models/{name}/versions/{version}");
        let form = form(manifest, plugin).await?;
        let mut body = client.upload(&path, form).await?;
        let new = body.status == 201;
        let is_active = |body: &Answer| body.json.get("active") == Some(&Value::Bool(true));
        let sample = match &manifest.sample {
            Some(sample) if !self.no_sample => {
                let route = predict::path(name, Some(version));
                let answer = client
                    .tenant(Method::POST, &route, Some(&sample.request))
                    .await?;
                let found = sample::predictions(&answer.json);
                match sample::compare(&sample.response, &found, sample.tolerance) {
                    Ok(difference) => Sample::Matches(difference),
                    Err(difference) => Sample::Differs(difference),
                }
            }
            _ => Sample::None,
        };
        // A version whose sample is wrong does not go live.
        if self.activate && !is_active(&body) && !matches!(sample, Sample::Differs(_)) {
            let traffic = json!({"active": version.as_str()});
            let route = format!("/api/models/{name}/traffic");
            client.tenant(Method::PUT, &route, Some(&traffic)).await?;
            body = client.tenant(Method::GET, &path, None).await?;
        }
        Ok(Pushed {
            name: name.to_string(),
            version: version.to_string(),
            new,
            active: is_active(&body),
            body,
            sample,
        })
    }

    /// One folder: the route's own answer. Several: a list of them.
    fn print(&self, format: Format, pushed: &[Pushed]) -> Result<(), Failure> {
        match (format, pushed) {
            (_, []) => Ok(()),
            (Format::Json, [one]) if self.dirs.len() == 1 => {
                if let Sample::Matches(difference) = one.sample {
                    output::note(format_args!(
                        "the sample's answer is the expected one (largest difference {difference:.1e})"
                    ));
                }
                output::document(&one.body.text)
            }
            (Format::Json, many) => {
                let bodies: Value = many.iter().map(|one| one.body.json.clone()).collect();
                output::document(&bodies.to_string())
            }
            (Format::Table, many) => {
                let mut rows = Rows::new(&["MODEL", "VERSION", "STATE", "ACTIVE", "SAMPLE"]);
                for one in many {
                    let sample = match &one.sample {
                        Sample::None => "-".to_owned(),
                        Sample::Matches(difference) => {
                            format!("matches (largest difference {difference:.1e})")
                        }
                        Sample::Differs(_) => "DIFFERS".to_owned(),
                    };
                    rows.push([
                        one.name.clone(),
                        one.version.clone(),
                        if one.new { "new" } else { "unchanged" }.to_owned(),
                        if one.active { "yes" } else { "no" }.to_owned(),
                        sample,
                    ]);
                }
                rows.print()
            }
        }
    }
}

/// The folders that hold a model. A pattern such as `models/*/*` finds training scripts, too: among several, what is
/// there and holds no model is passed over.
fn models(dirs: &[PathBuf]) -> Result<Vec<&Path>, Failure> {
    if let [one] = dirs {
        return Ok(vec![one]);
    }
    let mut found = Vec::new();
    for dir in dirs {
        match std::fs::metadata(dir) {
            Err(error) => return Err(Failure::io(dir.display(), &error)),
            Ok(_) if dir.join(manifest::FILE).is_file() => found.push(dir.as_path()),
            Ok(data) if data.is_dir() => {
                output::note(format_args!(
                    "{} holds no {}; passed over",
                    dir.display(),
                    manifest::FILE
                ));
            }
            Ok(_) => {}
        }
    }
    if found.is_empty() {
        return Err(Failure::new(
            Exit::NoInput,
            format_args!("none of these folders holds a {}", manifest::FILE),
        ));
    }
    Ok(found)
}

/// Reads a manifest, with the code that scripts expect.
///
/// # Errors
/// `NoInput` for a file that does not exist, `Data` for anything else.
pub(super) fn read(dir: &Path) -> Result<Manifest, Failure> {
    Manifest::read(dir).map_err(|error| {
        let exit = match &error {
            ManifestError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Exit::NoInput
            }
            _ => Exit::Data,
        };
        Failure::new(exit, error)
    })
}

/// All failures as one, with the code of the first.
fn finish(failures: Vec<Failure>) -> Result<(), Failure> {
    let Some(first) = failures.first() else {
        return Ok(());
    };
    let messages: Vec<_> = failures.iter().map(ToString::to_string).collect();
    Err(Failure::new(first.exit, messages.join("\nforetell: ")))
}

/// Plugins built so far: models of one family share one.
#[derive(Default)]
pub(super) struct Plugins(HashMap<PathBuf, PathBuf>);

impl Plugins {
    /// The plugin's file, built first where the source is a crate.
    ///
    /// # Errors
    /// Those of building.
    pub(super) fn file(&mut self, source: &PluginSource) -> Result<PathBuf, Failure> {
        let dir = match source {
            PluginSource::Wasm(file) => return Ok(file.clone()),
            PluginSource::Crate(dir) => dir
                .canonicalize()
                .map_err(|error| Failure::io(dir.display(), &error))?,
        };
        if let Some(built) = self.0.get(&dir) {
            return Ok(built.clone());
        }
        let built = super::plugin::build(&dir)?;
        self.0.insert(dir, built.clone());
        Ok(built)
    }
}

/// The parts of an upload, streamed from their files.
async fn form(manifest: &Manifest, plugin: &Path) -> Result<Form, Failure> {
    let plugin_bytes = tokio::fs::metadata(plugin)
        .await
        .map_err(|error| Failure::io(plugin.display(), &error))?
        .len();
    let artifact_bytes = manifest
        .artifact
        .as_ref()
        .map_or(0, |artifact| artifact.bytes);
    let what = format!("{} version {}", manifest.name, manifest.version);
    let progress = Arc::new(Progress::bytes(what.clone(), plugin_bytes + artifact_bytes));
    let then: Arc<str> = format!("{what}: the server prepares it").into();
    let mut form = Form::new().part(
        "plugin",
        file_part(plugin, "application/wasm", &progress, &then).await?,
    );
    if let Some(artifact) = &manifest.artifact {
        let part = file_part(&artifact.file, "application/octet-stream", &progress, &then).await?;
        form = form.part("artifact", part);
    }
    for (name, fields) in [
        ("settings", &manifest.settings),
        ("runtime", &manifest.runtime),
    ] {
        if !fields.is_empty() {
            form = form.part(name, json_part(fields)?);
        }
    }
    Ok(form)
}

fn json_part(fields: &Map<String, Value>) -> Result<Part, Failure> {
    Part::text(Value::Object(fields.clone()).to_string())
        .mime_str("application/json")
        .map_err(|error| Failure::new(Exit::Software, error))
}

async fn file_part(
    path: &Path,
    mime: &str,
    progress: &Arc<Progress>,
    then: &Arc<str>,
) -> Result<Part, Failure> {
    let failure = |error: std::io::Error| Failure::io(path.display(), &error);
    let file = File::open(path).await.map_err(failure)?;
    let length = file.metadata().await.map_err(failure)?.len();
    let (progress, then) = (Arc::clone(progress), Arc::clone(then));
    let chunks = stream::try_unfold(
        (file, progress, then),
        |(mut file, progress, then)| async move {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).await?;
            if read == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            chunk.truncate(read);
            progress.advance(read as u64, &then);
            Ok(Some((chunk, (file, progress, then))))
        },
    );
    Part::stream_with_length(Body::wrap_stream(chunks), length)
        .file_name(
            path.file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        )
        .mime_str(mime)
        .map_err(|error| Failure::new(Exit::Software, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn among_several_folders_those_without_a_model_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let dir = |name: &str| root.path().join(name);
        for name in ["model", "scripts"] {
            std::fs::create_dir(dir(name)).unwrap();
        }
        std::fs::write(dir("model").join(manifest::FILE), "").unwrap();
        std::fs::write(dir("a-file"), "").unwrap();
        let given = [dir("scripts"), dir("model"), dir("a-file")];
        assert_eq!(models(&given), Ok(vec![given[1].as_path()]));
        assert_eq!(
            models(&[dir("scripts"), dir("a-file")]).unwrap_err().exit,
            Exit::NoInput
        );
        assert_eq!(
            models(&[dir("model"), dir("misspelt")]).unwrap_err().exit,
            Exit::NoInput
        );
        // One folder was meant: reading it says what is missing.
        assert_eq!(
            models(&[dir("scripts")]),
            Ok(vec![dir("scripts").as_path()])
        );
        assert_eq!(read(&dir("scripts")).unwrap_err().exit, Exit::NoInput);
    }

    #[test]
    fn several_failures_end_with_the_code_of_the_first() {
        assert_eq!(finish(vec![]), Ok(()));
        let failure = finish(vec![
            Failure::new(Exit::Unavailable, "a"),
            Failure::new(Exit::Data, "b"),
        ])
        .unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(failure.message, "a\nforetell: b");
    }
}
