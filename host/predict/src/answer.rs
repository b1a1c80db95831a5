//! A prediction's answer, and what records show of it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_store::MicroCredits;
use foretell_types::run::Usage;
use foretell_types::signature::Role;
use foretell_types::{Elements, Tensor};

use crate::account::Credits;
use crate::cache::Entry;
use crate::{Target, apart};

/// The answer to one prediction.
#[derive(Debug)]
pub struct Answer {
    /// The version that answered.
    pub target: Arc<Target>,
    /// All outputs, in signature order, as the signature promises them.
    pub outputs: Outputs,
    /// How many rows were asked for.
    pub rows: u32,
    /// What it used; nothing, if it was given before.
    pub usage: Usage,
    /// What the cache did for it.
    pub lookup: Lookup,
    /// Since when it is there.
    pub at: Instant,
    /// What it cost, in millionths of credits.
    pub credits: MicroCredits,
    /// Whether the same call was done before, and this one was for free.
    pub is_repeated: bool,
}

/// The outputs of a run, or those that were kept of an earlier one.
#[derive(Debug)]
pub struct Outputs(Source);

#[derive(Debug)]
enum Source {
    Run(Vec<Tensor>),
    Kept(Arc<Entry>),
}

impl Outputs {
    pub(crate) const fn run(outputs: Vec<Tensor>) -> Self {
        Self(Source::Run(outputs))
    }

    pub(crate) const fn kept(entry: Arc<Entry>) -> Self {
        Self(Source::Kept(entry))
    }
}

impl Deref for Outputs {
    type Target = [Tensor];

    fn deref(&self) -> &[Tensor] {
        match &self.0 {
            Source::Run(outputs) => outputs,
            Source::Kept(entry) => &entry.outputs,
        }
    }
}

/// What the cache did for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup {
    /// Whether it gave the answer.
    pub cached: Cached,
    /// How long it took, waiting for an equal question included.
    pub took: Duration,
}

impl Lookup {
    /// It was not asked.
    pub(crate) const BYPASS: Self = Self {
        cached: Cached::Bypass,
        took: Duration::ZERO,
    };
}

/// Whether an answer came from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    /// It was given before.
    Hit,
    /// It was not there, and was run.
    Miss,
    /// It was run without a look: the cache is off, the version is not to be cached, or the caller wants it run.
    Bypass,
}

impl Cached {
    /// The name in headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

impl Answer {
    /// What it cost, in credits, as a decimal number.
    pub const fn credits(&self) -> Credits {
        Credits(self.credits)
    }

    /// Writes it, where that holds up nobody, and counts how long it took.
    pub async fn write<T>(&self, write: impl FnOnce() -> T) -> T {
        let written = apart(self.json_bytes(), write).await;
        self.target.statistics.wrote(self);
        written
    }

    /// About how many bytes it has as JSON: what it costs to write.
    fn json_bytes(&self) -> usize {
        // A number with its comma; the braces and names of a row.
        const NUMBER: usize = 8;
        const ROW: usize = 32;
        let outputs = self.outputs.iter().map(|output| match output.elements() {
            Elements::Bytes(blobs) => blobs.joined.len() + NUMBER * blobs.ends.len(),
            elements => NUMBER * elements.len(),
        });
        outputs.sum::<usize>() + ROW * self.rows as usize
    }

    /// How sure the model is of a row, 0 to 1: its own confidence output if it has one, else the largest class
    /// probability. `None` for models that decide for no class.
    pub fn confidence(&self, row: usize) -> Option<f64> {
        let signature = &self.target.signature;
        if let Some((index, _)) = signature.output_of(Role::Confidence) {
            return self.outputs.get(index)?.elements().number(row);
        }
        signature.output_of(Role::Label)?;
        let (index, _) = signature.output_of(Role::Prediction)?;
        let probabilities = self.outputs.get(index)?;
        let width = match probabilities.shape() {
            [_] => 1,
            [_, classes] => *classes as usize,
            _ => return None,
        };
        let mut values =
            (row * width..(row + 1) * width).map(|at| probabilities.elements().number(at));
        let largest = values.try_fold(f64::NEG_INFINITY, |largest, value| {
            value.map(|value| largest.max(value))
        })?;
        // A lone probability is that of the second of two classes.
        let sure = if width == 1 {
            largest.max(1.0 - largest)
        } else {
            largest
        };
        (0.0..=1.0).contains(&sure).then_some(sure)
    }
}
