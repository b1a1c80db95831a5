//! Whether the question was asked before: a version that promises to be deterministic is run once for equal inputs.
//!
//! The answer that is given again is bit for bit the one that a run would give. So the key holds every bit that a plugin
//! can see: tenant, model, version digest (plugin, artifact, settings, runtime), and of each input its datatype, shape and
//! elements, where -0.0 is not 0.0 and no NaN is another. It does not hold which outputs were asked for: all of them are
//! kept, and a transport chooses among them for each answer. Nor does it hold the protocol: what is asked as a record
//! and as a tensor is the same question once it is checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_types::run::Usage;
use foretell_types::signature::Checked;
use foretell_types::{Elements, Tensor};

use super::run::Until;
use crate::answer::{Cached, Lookup};
use crate::cache::{AnswerCache, Found, Key, Place};
use crate::call::CacheUse;
use crate::{Answer, Target};

/// What became of the question.
pub(crate) enum Recalled<'a> {
    /// It was answered before. The answer costs no compute and held no instance.
    Hit(Answer),
    /// It has to be run.
    Miss(Missed<'a>),
}

/// A question that has to be run, with the place where its answer is to be kept.
pub(crate) struct Missed<'a> {
    pub(crate) target: Arc<Target>,
    pub(crate) inputs: Checked,
    pub(crate) place: Option<Place<'a>>,
    pub(crate) lookup: Lookup,
}

/// Inputs, and the key under which their answer is or will be known; none where it is not to be kept.
pub(crate) struct Question<'a> {
    inputs: Checked,
    /// The cache that may know the answer, and since when it is asked.
    known: Option<(&'a AnswerCache, Instant)>,
    key: Key,
    wanted: CacheUse,
}

impl Question<'_> {
    /// A keyed hash of version and inputs: equal questions have equal ones, and nobody without the key can try which inputs
    /// have it.
    pub(crate) const fn digest(&self) -> Key {
        self.key
    }

    /// How many rows are asked for.
    pub(crate) fn rows(&self) -> u32 {
        self.inputs.rows()
    }
}

/// Makes the key, which the record of the call shows, too.
pub(crate) fn question<'a>(
    cache: Option<&'a AnswerCache>,
    secret: &[u8; 32],
    wanted: CacheUse,
    target: &Target,
    inputs: Checked,
) -> Question<'a> {
    let cache = cache.filter(|_| wanted != CacheUse::Bypass && may_be_kept(target));
    let known = cache.map(|cache| (cache, Instant::now()));
    Question {
        key: key_of(secret, target, &inputs),
        inputs,
        known,
        wanted,
    }
}

/// Finds the answer, or the place for it. Equal questions are run once: whoever comes second waits for the first, as long
/// as the version has for one run, or as its own caller waits, and is then run by itself; of those who wait for a run that fails, one at a time is
/// run again.
pub(crate) async fn recall(
    question: Question<'_>,
    target: Arc<Target>,
    until: Option<Until>,
) -> Recalled<'_> {
    let Question {
        inputs,
        known,
        key,
        wanted,
    } = question;
    let Some((cache, begun)) = known else {
        return Recalled::Miss(Missed {
            target,
            inputs,
            place: None,
            lookup: Lookup::BYPASS,
        });
    };
    let (cached, place) = if wanted == CacheUse::Refresh {
        (Cached::Bypass, Some(cache.renew(key)))
    } else {
        let deadline = Duration::from_millis(u64::from(target.runtime.deadline_ms));
        let patience = until.map_or(deadline, |until| deadline.min(until.left()));
        match cache.find(&key, patience).await {
            Found::Answer(outputs) => {
                let at = Instant::now();
                return Recalled::Hit(Answer {
                    rows: inputs.rows(),
                    target,
                    outputs,
                    usage: Usage::default(),
                    lookup: Lookup {
                        cached: Cached::Hit,
                        took: at.saturating_duration_since(begun),
                    },
                    at,
                    credits: 0,
                    is_repeated: false,
                });
            }
            Found::Place(place) => (Cached::Miss, Some(place)),
            Found::Busy => (Cached::Miss, None),
        }
    };
    Recalled::Miss(Missed {
        target,
        inputs,
        place,
        lookup: Lookup {
            cached,
            took: begun.elapsed(),
        },
    })
}

/// Whether a version's answers may be given again: its author promises it, and whoever uploaded it does not forbid it.
fn may_be_kept(target: &Target) -> bool {
    target.signature.promises.deterministic && target.runtime.cache
}

/// Keyed BLAKE3 over everything that the answer depends on. Each part has its length before it, so that no two questions write
/// the same bytes.
fn key_of(secret: &[u8; 32], target: &Target, inputs: &Checked) -> Key {
    let mut hash = blake3::Hasher::new_keyed(secret);
    part(&mut hash, target.tenant.as_str().as_bytes());
    part(&mut hash, target.model.as_str().as_bytes());
    part(&mut hash, target.digest.0.as_bytes());
    length(&mut hash, inputs.inputs().len());
    for input in inputs.inputs() {
        tensor(&mut hash, input);
    }
    hash.finalize().into()
}

fn tensor(hash: &mut blake3::Hasher, tensor: &Tensor) {
    hash.update(&[tensor.datatype() as u8]);
    numbers(hash, tensor.shape(), u32::to_le_bytes);
    match tensor.elements() {
        Elements::Bool(values) | Elements::Uint8(values) => part(hash, values),
        Elements::Uint16(values) | Elements::Fp16(values) | Elements::Bf16(values) => {
            numbers(hash, values, u16::to_le_bytes);
        }
        Elements::Uint32(values) => numbers(hash, values, u32::to_le_bytes),
        Elements::Uint64(values) => numbers(hash, values, u64::to_le_bytes),
        Elements::Int8(values) => numbers(hash, values, i8::to_le_bytes),
        Elements::Int16(values) => numbers(hash, values, i16::to_le_bytes),
        Elements::Int32(values) => numbers(hash, values, i32::to_le_bytes),
        Elements::Int64(values) => numbers(hash, values, i64::to_le_bytes),
        Elements::Fp32(values) => numbers(hash, values, f32::to_le_bytes),
        Elements::Fp64(values) => numbers(hash, values, f64::to_le_bytes),
        Elements::Bytes(blobs) => {
            numbers(hash, &blobs.ends, u32::to_le_bytes);
            part(hash, &blobs.joined);
        }
    }
}

/// Numbers by their bits, a block at a time: hashing them one by one takes several times as long.
fn numbers<T: Copy, const N: usize>(
    hash: &mut blake3::Hasher,
    values: &[T],
    bits: impl Fn(T) -> [u8; N],
) {
    length(hash, values.len());
    let mut block = [0; 1_024];
    for values in values.chunks(block.len() / N) {
        for (bytes, value) in block.chunks_exact_mut(N).zip(values) {
            bytes.copy_from_slice(&bits(*value));
        }
        // As many bytes as were just written, which is at most the block.
        hash.update(&block[..values.len() * N]);
    }
}

fn part(hash: &mut blake3::Hasher, bytes: &[u8]) {
    length(hash, bytes.len());
    hash.update(bytes);
}

fn length(hash: &mut blake3::Hasher, length: usize) {
    hash.update(&(length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests;
