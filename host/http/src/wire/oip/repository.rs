//! The model repository extension: what there is, and uploads in the form that clients of Triton know.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use foretell_predict::PredictError;
use foretell_predict::manage::ModelRecord;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::text::shown;
use crate::wire::json::{Fault, Reader};

/// `POST /v2/repository/index`: a version.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
}

/// Every version of every model, or those alone that answer.
pub(crate) fn index(models: &[ModelRecord], only_ready: bool) -> Vec<Entry<'_>> {
    let wanted = models
        .iter()
        .filter(|model| !(only_ready && model.unloaded));
    let entries = wanted.flat_map(|model| {
        let (state, reason) = match model.unloaded {
            true => ("UNAVAILABLE", "unloaded"),
            false => ("READY", ""),
        };
        model.versions.iter().map(move |version| Entry {
            name: model.name.as_str(),
            version: version.version.as_str(),
            state,
            reason,
        })
    });
    entries.collect()
}

/// Whether the body of a look at the index asks for what is ready alone; an empty one asks for all.
///
/// # Errors
/// `Malformed` for what is no such request.
pub(crate) fn read_index(body: &[u8]) -> Result<bool, Fault> {
    let mut ready = false;
    if !body.is_empty() {
        let mut reader = Reader::new(body)?;
        reader.object(|reader, key| {
            match key.as_ref() {
                "ready" => ready = reader.truth()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
    }
    Ok(ready)
}

/// The files of a version, as a call of `load` brings them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) version: String,
    /// Parts of an upload by name, with what they hold.
    pub(crate) parts: Vec<(&'static str, Bytes)>,
}

/// The names that files have in `load`, and the parts of an upload that they are.
const PARTS: [(&str, &str); 4] = [
    ("model.wasm", "plugin"),
    ("model.artifact", "artifact"),
    ("settings.json", "settings"),
    ("runtime.json", "runtime"),
];

/// Reads the body of a call of `load`; none where it brings no files, and the model is to be put back as it is.
///
/// Files are `"file:1/model.wasm": "<base64>"`, with a version's name before the slash. The parameters of a `config` become
/// the plugin's settings, where no file does.
///
/// # Errors
/// `Malformed` for what is no such request, `InvalidInput` for files that no version has.
pub(crate) fn read_load(body: &[u8]) -> Result<Option<Files>, Fault> {
    let mut files: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    let mut config = None;
    if body.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(body)?;
    reader.object(|reader, key| match key.as_ref() {
        "parameters" => reader.object(|reader, key| {
            if key == "config" {
                config = Some(reader.string()?);
            } else if key.starts_with("file:") {
                files.push((key.clone(), reader.string()?));
            } else {
                reader.skip()?;
            }
            Ok(())
        }),
        _ => reader.skip(),
    })?;
    reader.finish()?;
    let decoded = files.into_iter().map(|(key, base64)| {
        let bytes = STANDARD.decode(&*base64);
        let bytes = bytes.map_err(|_| Fault::invalid(format!("`{}` is no Base64", shown(&key))))?;
        Ok((key.into_owned(), Bytes::from(bytes)))
    });
    files_of(decoded.collect::<Result<_, Fault>>()?, config.as_deref())
}

/// Files by their names in `load`, and what a configuration says, as the parts of an upload; none without files.
///
/// # Errors
/// `InvalidInput` for files that no version has.
pub(crate) fn files_of(
    files: Vec<(String, Bytes)>,
    config: Option<&str>,
) -> Result<Option<Files>, Fault> {
    let Some((first, _)) = files.first() else {
        return match config {
            None => Ok(None),
            Some(_) => Err(Fault::invalid(
                "a version is immutable, so a `config` alone changes nothing: send it with the files of a new version, or leave it out",
            )),
        };
    };
    let version = split(first)?.0.to_owned();
    let mut parts: Vec<(&'static str, Bytes)> = Vec::new();
    for (key, bytes) in files {
        let (of, file) = split(&key)?;
        if of != version {
            return Err(Fault::invalid(
                "the files are of several versions: load one at a time",
            ));
        }
        let part = PARTS.iter().find(|(name, _)| *name == file);
        let Some((_, part)) = part else {
            let known: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
            return Err(Fault::invalid(format!(
                "`{}`: the files of a version are {}",
                shown(&key),
                known.join(", ")
            )));
        };
        parts.push((part, bytes));
    }
    let has = |part: &str| parts.iter().any(|(name, _)| *name == part);
    if let Some(config) = config
        && !has("settings")
        && let Some(settings) = settings(config).map_err(Fault::invalid)?
    {
        parts.push(("settings", settings.into()));
    }
    Ok(Some(Files { version, parts }))
}

/// `file:1/model.wasm` to `1` and `model.wasm`.
fn split(key: &str) -> Result<(&str, &str), Fault> {
    key.strip_prefix("file:")
        .and_then(|path| path.split_once('/'))
        .ok_or_else(|| {
            Fault::invalid(format!(
                "`{}`: a file is named `file:{{version}}/model.wasm`",
                shown(key)
            ))
        })
}

/// The settings that stand as parameters in a configuration of Triton's: `{"parameters": {"k": {"string_value": "v"}}}`.
fn settings(config: &str) -> Result<Option<Vec<u8>>, String> {
    let config: Value =
        serde_json::from_str(config).map_err(|error| format!("`config` is no JSON: {error}"))?;
    let parameters = match config.get("parameters") {
        None => return Ok(None),
        Some(parameters) => parameters.as_object(),
    };
    let mut settings = Map::new();
    for (name, value) in parameters.into_iter().flatten() {
        let text = value.get("string_value").filter(|text| text.is_string());
        let text = text.ok_or_else(|| {
            format!(
                "`config`: parameter `{}` is no {{\"string_value\": \"…\"}}",
                shown(name)
            )
        })?;
        settings.insert(name.clone(), text.clone());
    }
    let written = serde_json::to_vec(&settings).map_err(|error| error.to_string())?;
    Ok((!settings.is_empty()).then_some(written))
}

/// What a failed call of `load` begins with: a phrase that clients of Triton know.
pub(crate) fn failed_to_load(model: &str) -> String {
    format!("failed to load '{}'", shown(model))
}

/// The body of `unload` holds nothing that means something here, but should be what it is said to be.
///
/// # Errors
/// `Malformed` for what is no object.
pub(crate) fn read_unload(body: &[u8]) -> Result<(), PredictError> {
    if body.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(body)?;
    reader.object(|reader, _| reader.skip())?;
    Ok(reader.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: Value) -> Result<Option<Files>, String> {
        let body = serde_json::json!({ "parameters": parameters }).to_string();
        read_load(body.as_bytes()).map_err(|fault| fault.message)
    }

    #[test]
    fn files_become_the_parts_of_an_upload() {
        let found = read(serde_json::json!({
            "config": r#"{"backend": "x", "parameters": {"k": {"string_value": "v"}}}"#,
            "file:1.2/model.wasm": "AGFzbQ==",
            "file:1.2/model.artifact": "",
            "other": [1],
        }));
        let expected = Files {
            version: "1.2".into(),
            parts: vec![
                ("plugin", Bytes::from_static(b"\0asm")),
                ("artifact", Bytes::new()),
                ("settings", Bytes::from_static(br#"{"k":"v"}"#)),
            ],
        };
        assert_eq!(
            found.map(|files| files.map(sorted)),
            Ok(Some(sorted(expected)))
        );
        let own = read(serde_json::json!({
            "config": r#"{"parameters": {"k": {"string_value": "v"}}}"#,
            "file:1/model.wasm": "", "file:1/settings.json": "e30=",
        }));
        let parts = own.unwrap().unwrap().parts;
        assert!(parts.contains(&("settings", Bytes::from_static(b"{}"))) && parts.len() == 2);
    }

    fn sorted(mut files: Files) -> Files {
        files.parts.sort();
        files
    }

    #[test]
    fn without_files_a_model_is_put_back_as_it_is() {
        assert_eq!(read_load(b""), Ok(None));
        assert_eq!(read_load(b"{}"), Ok(None));
        assert_eq!(
            read(serde_json::json!({"unload_dependents": false})),
            Ok(None)
        );
    }

    #[test]
    fn what_no_version_has_is_refused() {
        for (parameters, expected) in [
            (
                serde_json::json!({"file:model.wasm": ""}),
                "`file:model.wasm`: a file is named",
            ),
            (
                serde_json::json!({"file:1/model.onnx": ""}),
                "the files of a version are model.wasm, model.artifact",
            ),
            (
                serde_json::json!({"file:1/../model.wasm": ""}),
                "the files of a version are",
            ),
            (
                serde_json::json!({"file:1/model.wasm": "", "file:2/model.wasm": ""}),
                "several versions",
            ),
            (serde_json::json!({"file:1/model.wasm": "?"}), "no Base64"),
            (
                serde_json::json!({"file:1/model.wasm": 7}),
                "at /parameters/file:1~1model.wasm",
            ),
            (serde_json::json!({"config": "{}"}), "immutable"),
            (
                serde_json::json!({"file:1/model.wasm": "", "config": "{"}),
                "`config` is no JSON",
            ),
            (
                serde_json::json!({"file:1/model.wasm": "", "config": r#"{"parameters": {"k": 1}}"#}),
                "parameter `k`",
            ),
        ] {
            let message = read(parameters).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert!(read_load(b"[]").is_err() && read_load(b"{} x").is_err());
    }

    #[test]
    fn the_index_asks_for_all_unless_it_says_otherwise() {
        for (body, expected) in [
            (&b""[..], Some(false)),
            (b"{}", Some(false)),
            (br#"{"ready":true,"x":1}"#, Some(true)),
            (br#"{"ready":1}"#, None),
            (b"[]", None),
        ] {
            assert_eq!(read_index(body).ok(), expected);
        }
    }
}
