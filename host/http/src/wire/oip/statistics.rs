//! The statistics extension.

use foretell_predict::manage::VersionCounts;
use foretell_predict::statistics::{BatchCounts, Timed};
use serde::Serialize;

/// `GET /v2/models/{m}/stats`.
#[derive(Serialize)]
pub(crate) struct Statistics<'a> {
    model_stats: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    version: &'a str,
    last_inference: u64,
    inference_count: u64,
    execution_count: u64,
    inference_stats: Inference,
    batch_stats: Vec<Batch>,
}

/// Runs of one size.
#[derive(Serialize)]
struct Batch {
    batch_size: u32,
    compute_input: Duration,
    compute_infer: Duration,
    compute_output: Duration,
}

#[derive(Serialize)]
struct Inference {
    success: Duration,
    fail: Duration,
    queue: Duration,
    compute_input: Duration,
    compute_infer: Duration,
    compute_output: Duration,
    cache_hit: Duration,
    cache_miss: Duration,
}

#[derive(Serialize)]
struct Duration {
    count: u64,
    ns: u64,
}

impl From<Timed> for Duration {
    fn from(Timed { count, ns }: Timed) -> Self {
        Self { count, ns }
    }
}

impl From<&BatchCounts> for Batch {
    fn from(counts: &BatchCounts) -> Self {
        Self {
            batch_size: counts.rows,
            compute_input: counts.compute_input.into(),
            compute_infer: counts.compute_infer.into(),
            compute_output: counts.compute_output.into(),
        }
    }
}

/// The counts of these versions.
pub(crate) fn statistics(versions: &[VersionCounts]) -> Statistics<'_> {
    let models = versions.iter().map(|version| {
        let counts = &version.counts;
        Model {
            name: version.model.as_str(),
            version: version.version.as_str(),
            last_inference: counts.last_inference,
            inference_count: counts.inference_count,
            execution_count: counts.execution_count,
            inference_stats: Inference {
                success: counts.success.into(),
                fail: counts.fail.into(),
                queue: counts.queue.into(),
                compute_input: counts.compute_input.into(),
                compute_infer: counts.compute_infer.into(),
                compute_output: counts.compute_output.into(),
                cache_hit: counts.cache_hit.into(),
                cache_miss: counts.cache_miss.into(),
            },
            batch_stats: counts.batches.iter().map(Batch::from).collect(),
        }
    });
    Statistics {
        model_stats: models.collect(),
    }
}
