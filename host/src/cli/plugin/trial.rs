//! `plugin test`: a model's examples and its sample in the real sandbox, against the limits.

use std::path::Path;
use std::time::Duration;

use foretell_types::Tensor;
use foretell_types::compile::{Setting, SettingValue};
use foretell_types::run::{Isolation, RunError, RunLimits};
use foretell_types::signature::{Checked, NamedTensor};
use serde_json::{Value, json};

use super::{document, machine, prepare, refused, sizes};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, Rows};
use crate::cli::push::{self, Plugins};
use crate::cli::{Context, sample};
use crate::config::Config;
use crate::manifest::Manifest;
use crate::record;
use crate::sandbox::{Accepted, Candidate, Sandbox};

/// Predictions for one time: the first loads the version, and the median of an odd number is one that was measured.
const RUNS: usize = 21;

/// What predictions for one input showed.
struct Trial {
    what: String,
    /// Median time in the sandbox, a fresh instance each.
    compute: Duration,
    output_bytes: usize,
    verdict: Result<String, String>,
}

/// Builds, prepares, runs, compares, reports.
///
/// # Errors
/// `Data` for an upload that would be refused or an answer that is not the expected one; those of building.
pub(super) fn run(context: &Context, dir: &Path) -> Result<(), Failure> {
    let manifest = push::read(dir)?;
    let defaults = Config::default();
    let limits = limits(&manifest, &defaults);
    let file = Plugins::default().file(&manifest.plugin)?;
    let settings = settings(&manifest);
    let candidate = Candidate {
        plugin: &file,
        artifact: manifest
            .artifact
            .as_ref()
            .map(|artifact| artifact.file.as_path()),
        settings: &settings,
        memory_bytes: limits.memory_bytes,
    };
    let (accepted, trials) = context.block_on(async {
        let sandbox = Sandbox::new().map_err(|error| machine(&error))?;
        let accepted = prepare(&sandbox, candidate)
            .await?
            .map_err(|refusals| refused(&file, &refusals))?;
        let trials = try_all(&sandbox, &accepted, &manifest, limits).await?;
        Ok((accepted, trials))
    })?;
    match context.format() {
        Format::Json => output::document(&as_json(&accepted, &trials)?.to_string())?,
        Format::Table => as_rows(&accepted, &trials, limits, &defaults).print()?,
    }
    let failed: Vec<_> = trials
        .iter()
        .filter_map(|one| Some(format!("{}: {}", one.what, one.verdict.as_ref().err()?)))
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(Exit::Data, failed.join("\nforetell: ")))
    }
}

/// The limits of a server with its defaults, where the manifest does not say.
fn limits(manifest: &Manifest, defaults: &Config) -> RunLimits {
    let runtime = |name: &str, default: u32| {
        let given = manifest.runtime.get(name).and_then(Value::as_u64);
        given.unwrap_or(default.into())
    };
    RunLimits {
        deadline: Duration::from_millis(runtime("deadline_ms", defaults.sandbox.deadline_ms)),
        memory_bytes: runtime("memory_mib", defaults.sandbox.memory_mib) << 20,
        isolation: Isolation::Fresh,
    }
}

/// Settings for `load`, sorted as the manifest's table is.
fn settings(manifest: &Manifest) -> Vec<Setting> {
    let values = manifest.settings.iter().filter_map(|(name, value)| {
        let value = match value {
            Value::Bool(truth) => SettingValue::Truth(*truth),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => SettingValue::Integer(whole),
                None => SettingValue::Real(number.as_f64()?),
            },
            Value::String(text) => SettingValue::Text(text.clone()),
            // The manifest refuses anything else.
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(Setting {
            name: name.clone(),
            value,
        })
    });
    values.collect()
}

async fn try_all(
    sandbox: &Sandbox,
    accepted: &Accepted,
    manifest: &Manifest,
    limits: RunLimits,
) -> Result<Vec<Trial>, Failure> {
    let signature = &accepted.signature;
    let mut trials = Vec::new();
    for example in &signature.examples {
        let named = signature.inputs.iter().zip(&example.inputs);
        let named = named.map(|(input, tensor)| NamedTensor {
            name: input.name.clone(),
            tensor: tensor.clone(),
        });
        let inputs = signature
            .check(named.collect())
            .map_err(|error| wrong_inputs(&example.name, &error))?;
        let compare = |outputs: &[Tensor]| {
            example
                .compare(outputs, &signature.outputs)
                .map(|()| format!("within {:e}", example.tolerance))
        };
        let what = format!("example {}", example.name);
        trials.push(try_one(sandbox, accepted, what, &inputs, limits, compare).await);
    }
    if let Some(sample) = &manifest.sample {
        let inputs = record::inputs(signature, &sample.request)
            .map_err(|error| wrong_inputs("the sample", &error))?;
        let compare = |outputs: &[Tensor]| {
            let found = record::predictions(signature, outputs, &sample.request);
            sample::compare(&sample.response, &found, sample.tolerance)
                .map(|difference| format!("matches (largest difference {difference:.1e})"))
        };
        let what = "sample".to_owned();
        trials.push(try_one(sandbox, accepted, what, &inputs, limits, compare).await);
    }
    Ok(trials)
}

fn wrong_inputs(what: &str, error: &foretell_types::Mismatch) -> Failure {
    Failure::new(Exit::Data, format_args!("{what}: {error}"))
}

async fn try_one(
    sandbox: &Sandbox,
    accepted: &Accepted,
    what: String,
    inputs: &Checked,
    limits: RunLimits,
    compare: impl Fn(&[Tensor]) -> Result<String, String>,
) -> Trial {
    let mut times = Vec::with_capacity(RUNS);
    let mut output_bytes = 0;
    let mut verdict = Err("it was not run".to_owned());
    for _ in 0..RUNS {
        let outcome = sandbox.run(accepted, inputs.clone(), limits).await;
        times.push(outcome.usage.compute);
        verdict = checked(accepted, inputs, outcome.result).and_then(|outputs| {
            output_bytes = outputs
                .iter()
                .map(|tensor| tensor.elements().byte_len())
                .sum();
            compare(&outputs)
        });
        // One wrong answer is enough, and a guest that hangs should not do so twenty times.
        if verdict.is_err() {
            break;
        }
    }
    times.sort_unstable();
    Trial {
        what,
        compute: times.get(times.len() / 2).copied().unwrap_or_default(),
        output_bytes,
        verdict,
    }
}

/// The outputs, if there are any and they are what the signature promises.
fn checked(
    accepted: &Accepted,
    inputs: &Checked,
    result: Result<Vec<Tensor>, RunError>,
) -> Result<Vec<Tensor>, String> {
    let outputs = result.map_err(|error| error.to_string())?;
    accepted.signature.check_outputs(&outputs, inputs.rows())?;
    Ok(outputs)
}

fn as_json(accepted: &Accepted, trials: &[Trial]) -> Result<Value, Failure> {
    let trials: Vec<_> = trials
        .iter()
        .map(|one| {
            json!({
                "what": one.what,
                "passed": one.verdict.is_ok(),
                "detail": one.verdict.as_ref().unwrap_or_else(|detail| detail),
                "compute_us": one.compute.as_secs_f64() * 1e6,
                "output_bytes": one.output_bytes,
            })
        })
        .collect();
    let mut document = document(accepted)?;
    document["trials"] = trials.into();
    Ok(document)
}

fn as_rows(accepted: &Accepted, trials: &[Trial], limits: RunLimits, defaults: &Config) -> Rows {
    let mut rows = Rows::new(&["WHAT", "VALUE"]);
    sizes(&mut rows, accepted, defaults);
    for one in trials {
        let verdict = one.verdict.as_ref().map_or("FAILED", String::as_str);
        rows.push([
            one.what.clone(),
            format!(
                "{verdict}; {:.1} us in the sandbox (limit {} ms), {} bytes of output",
                one.compute.as_secs_f64() * 1e6,
                limits.deadline.as_millis(),
                one.output_bytes
            ),
        ]);
    }
    rows
}
