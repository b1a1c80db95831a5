//! Copies of calls for a version that answers none: what it would have said, beside what was said.
//!
//! A copy is taken where a call is about to be run, and run once the answer is there: with what is left of the processor, on a
//! thread of its own, and only as many at once as have a place. So a shadow that is slow, or never ends, costs its own copies
//! and nobody's call. Large calls are not copied, for copying them would be felt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foretell_types::run::Runner;
use foretell_types::signature::Checked;
use foretell_types::{Elements, Signature, Tensor};

use crate::stage::admit::{Gate, Permit};
use crate::stage::run;
use crate::stage::suspend::{Pass, Rule, pass_of_copy};
use crate::tenant::{Activity, Tenant};
use crate::{Answer, PredictError, Target};

/// Copies that are kept or run at once, on this host and for one tenant: each holds inputs and outputs of its call.
const MAX_COPIES: usize = 16;
const MAX_COPIES_PER_TENANT: usize = 4;

/// Bytes of inputs, and of outputs, up to which a call is copied: it takes some microseconds for each 64 KiB.
const MAX_COPIED_BYTES: usize = 1 << 20;

/// Takes copies of calls, and runs them.
pub(crate) struct Shadows {
    runner: Arc<dyn Runner>,
    gate: Gate,
    suspension: Rule,
}

/// A copy of a call that is about to be run.
pub(crate) struct Copy<'a> {
    shadows: &'a Shadows,
    target: Arc<Target>,
    inputs: Checked,
    pass: Pass,
    permit: Permit,
}

impl Shadows {
    pub(crate) fn new(runner: Arc<dyn Runner>, suspension: Rule) -> Self {
        Self {
            runner,
            gate: Gate::new(Activity::Copy, MAX_COPIES, MAX_COPIES_PER_TENANT),
            suspension,
        }
    }

    /// A copy of a call for this shadow; none where as many are under way as may, where the shadow is suspended, and of a
    /// large call.
    pub(crate) fn copy(
        &self,
        shadow: &Arc<Target>,
        tenant: &Arc<Tenant>,
        inputs: &Checked,
    ) -> Option<Copy<'_>> {
        let copy = self
            .gate
            .permit(tenant)
            .ok()
            .filter(|_| bytes(inputs.inputs()) <= MAX_COPIED_BYTES)
            .and_then(|permit| Some((permit, pass_of_copy(shadow, self.suspension).ok()?)))
            .map(|(permit, pass)| Copy {
                shadows: self,
                target: Arc::clone(shadow),
                inputs: inputs.clone(),
                pass,
                permit,
            });
        if copy.is_none() {
            shadow.statistics.shadow.skipped();
        }
        copy
    }
}

fn bytes(tensors: &[Tensor]) -> usize {
    let sizes = tensors.iter().map(|tensor| tensor.elements().byte_len());
    sizes.sum()
}

impl Copy<'_> {
    /// Runs it beside everything else, and compares it with what the caller is answered.
    pub(crate) fn run(self, answer: &Answer) {
        let Self {
            shadows,
            target,
            inputs,
            pass,
            permit,
        } = self;
        if bytes(&answer.outputs) > MAX_COPIED_BYTES {
            return target.statistics.shadow.skipped();
        }
        let runner = Arc::clone(&shadows.runner);
        let answered = Answered {
            by: Arc::clone(&answer.target),
            outputs: answer.outputs.to_vec(),
            compute: answer.usage.compute,
        };
        tokio::spawn(async move {
            compare(&*runner, pass, target, inputs, &answered).await;
            drop(permit);
        });
    }
}

/// What a caller was answered.
struct Answered {
    by: Arc<Target>,
    outputs: Vec<Tensor>,
    compute: Duration,
}

async fn compare(
    runner: &dyn Runner,
    pass: Pass,
    target: Arc<Target>,
    inputs: Checked,
    answered: &Answered,
) {
    let compared = &target.statistics.shadow;
    let rows = inputs.rows();
    let ran = run::aside(runner, &target, inputs).await;
    let result = ran.result.map_err(|error| PredictError::Run {
        target: target.to_string(),
        error,
    });
    let result = result.and_then(|outputs| {
        let fault = target.signature.check_outputs(&outputs, rows);
        fault
            .map(|()| outputs)
            .map_err(|problem| PredictError::Contract {
                model: target.model.to_string(),
                target: target.to_string(),
                problem,
            })
    });
    pass.judge(result.as_ref().err());
    match result {
        Ok(outputs) => {
            let difference = difference(
                (&answered.by.signature, &answered.outputs),
                (&target.signature, &outputs),
            );
            compared.ran(difference, ran.usage.compute, answered.compute);
        }
        // What the version itself came to is its owner's to know.
        Err(error) if error.is_fault_of_plugin() || error.is_of_inputs() => compared.failed(&error),
        // No thread or no memory was left for it, or something of ours failed: it was not run.
        Err(_) => compared.skipped(),
    }
}

/// How an answer differs from another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// What differs first, for people.
    text: String,
    /// The largest difference between two numbers; none where something else differs.
    largest: Option<f64>,
}

/// The first difference of each output that was answered from what the shadow says, and the largest of all.
fn difference(
    (signature, answered): (&Signature, &[Tensor]),
    (shadow_signature, shadow): (&Signature, &[Tensor]),
) -> Option<Difference> {
    let mut found: Option<Difference> = None;
    for (output, answered) in signature.outputs.iter().zip(answered) {
        let name = &output.name;
        let at = shadow_signature
            .outputs
            .iter()
            .position(|other| other.name == *name);
        let text = match at.and_then(|at| shadow.get(at)) {
            None => format!("output `{name}` is missing"),
            Some(other)
                if other.datatype() != answered.datatype() || other.shape() != answered.shape() =>
            {
                format!(
                    "output `{name}` is {} {:?} instead of {} {:?}",
                    other.datatype(),
                    other.shape(),
                    answered.datatype(),
                    answered.shape()
                )
            }
            Some(other) => match of_elements(answered.elements(), other.elements()) {
                None => continue,
                Some((text, largest)) => {
                    let text = format!("output `{name}`, {text}");
                    let first = found.get_or_insert(Difference { text, largest });
                    first.largest = match (first.largest, largest) {
                        (Some(a), Some(b)) => Some(a.max(b)),
                        (a, b) => a.or(b),
                    };
                    continue;
                }
            },
        };
        found.get_or_insert(Difference {
            text,
            largest: None,
        });
    }
    found
}

/// The first difference, and the largest in numbers. Two NaN are equal.
fn of_elements(answered: &Elements, shadow: &Elements) -> Option<(String, Option<f64>)> {
    if answered == shadow {
        return None;
    }
    let pairs = (0..answered.len()).filter_map(|at| {
        let (a, b) = (answered.number(at)?, shadow.number(at)?);
        (a != b && !(a.is_nan() && b.is_nan())).then_some((at, a, b))
    });
    let mut first = None;
    let mut largest = None;
    for (at, a, b) in pairs {
        first.get_or_insert((at, a, b));
        let apart = (a - b).abs();
        if apart.is_finite() {
            largest = Some(largest.map_or(apart, |most: f64| most.max(apart)));
        }
    }
    match (first, answered) {
        (Some((at, a, b)), _) => Some((format!("element {at}: {b} instead of {a}"), largest)),
        // Numbers that differ in nothing but NaN are equal.
        (None, Elements::Fp32(_) | Elements::Fp64(_)) => None,
        (None, _) => Some(("its elements differ".to_owned(), None)),
    }
}

/// What became of the copies that a shadow was given.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    ran: AtomicU64,
    differing: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
    /// Nanoseconds in the sandbox, of the shadow and of those that answered the same calls.
    compute: AtomicU64,
    answered_compute: AtomicU64,
    /// The bits of a number that is not negative: such numbers are in the order of their bits.
    largest: AtomicU64,
    /// What differed or failed last.
    last: Mutex<Option<String>>,
}

/// The same, of one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// Copies that were run to an answer, equal or not.
    pub ran: u64,
    /// Those of them whose answer was another one.
    pub differing: u64,
    /// The largest difference between two numbers of answers.
    pub largest: f64,
    /// Copies that failed.
    pub failed: u64,
    /// Copies that were not run: too many were under way, or the version was suspended.
    pub skipped: u64,
    /// In the sandbox, of all that ran: processor time.
    pub compute: Duration,
    /// The same of the versions that answered those calls.
    pub answered_compute: Duration,
    /// What differed or failed last.
    pub last: Option<String>,
}

impl Compared {
    fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, error: &PredictError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        // The reason is its owner's to know, in the words of the log.
        self.say(error.cause().unwrap_or_else(|| error.to_string()));
    }

    fn ran(&self, difference: Option<Difference>, compute: Duration, answered: Duration) {
        self.ran.fetch_add(1, Ordering::Relaxed);
        let nanos = |time: Duration| time.as_nanos() as u64;
        self.compute.fetch_add(nanos(compute), Ordering::Relaxed);
        self.answered_compute
            .fetch_add(nanos(answered), Ordering::Relaxed);
        let Some(Difference { text, largest }) = difference else {
            return;
        };
        self.differing.fetch_add(1, Ordering::Relaxed);
        let bits = largest.unwrap_or(0.0).to_bits();
        self.largest.fetch_max(bits, Ordering::Relaxed);
        self.say(text);
    }

    fn say(&self, text: String) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// The comparison as of this moment; none before there was a copy.
    pub(crate) fn now(&self) -> Option<Comparison> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let now = Comparison {
            ran: read(&self.ran),
            differing: read(&self.differing),
            largest: f64::from_bits(read(&self.largest)),
            failed: read(&self.failed),
            skipped: read(&self.skipped),
            compute: Duration::from_nanos(read(&self.compute)),
            answered_compute: Duration::from_nanos(read(&self.answered_compute)),
            last: self
                .last
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        };
        (now.ran + now.failed + now.skipped > 0).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use foretell_types::Datatype;
    use foretell_types::signature::{Output, Role};
    use foretell_types::tensor::Blobs;

    use super::*;
    use crate::registry::testing::target;

    fn signature(names: &[&str]) -> Signature {
        let outputs = names.iter().map(|name| Output {
            name: (*name).to_owned(),
            doc: String::new(),
            datatype: Datatype::Fp64,
            shape: vec![-1],
            role: Role::Other,
            classes: vec![],
        });
        Signature {
            outputs: outputs.collect(),
            ..target("t", 1, vec![]).signature
        }
    }

    fn numbers(values: &[f64]) -> Tensor {
        Tensor::new(vec![values.len() as u32], Elements::Fp64(values.to_vec())).unwrap()
    }

    fn text(value: &[u8]) -> Tensor {
        let mut blobs = Blobs::default();
        assert!(blobs.push(value));
        Tensor::new(vec![1], Elements::Bytes(blobs)).unwrap()
    }

    #[test]
    fn equal_answers_do_not_differ_whatever_else_the_shadow_returns_and_in_whatever_order() {
        let (one, other) = (signature(&["p", "q"]), signature(&["extra", "q", "p"]));
        let (p, q) = (numbers(&[f64::NAN, 0.5]), numbers(&[1.0]));
        let shadow = [numbers(&[7.0]), q.clone(), p.clone()];
        assert_eq!(difference((&one, &[p, q]), (&other, &shadow)), None);
    }

    #[test]
    fn the_first_difference_is_told_and_the_largest_counted() {
        let signature = signature(&["p", "q"]);
        let answered = [numbers(&[1.0, 2.0]), numbers(&[3.0])];
        let shadow = [numbers(&[1.0, 2.5]), numbers(&[5.0])];
        let found = difference((&signature, &answered), (&signature, &shadow)).unwrap();
        assert_eq!(found.text, "output `p`, element 1: 2.5 instead of 2");
        assert_eq!(found.largest, Some(2.0));
    }

    #[test]
    fn what_is_missing_or_of_another_kind_differs() {
        let (both, lone) = (signature(&["p", "q"]), signature(&["p"]));
        let one = [numbers(&[1.0]), numbers(&[1.0])];
        for (shadow_signature, shadow, told) in [
            (&lone, vec![numbers(&[1.0])], "output `q` is missing"),
            (
                &both,
                vec![numbers(&[1.0, 2.0]), numbers(&[1.0])],
                "output `p` is FP64 [2] instead of FP64 [1]",
            ),
            (
                &both,
                vec![text(b"x"), numbers(&[1.0])],
                "output `p` is BYTES [1] instead of FP64 [1]",
            ),
        ] {
            let found = difference((&both, &one), (shadow_signature, &shadow)).unwrap();
            assert_eq!((found.text.as_str(), found.largest), (told, None));
        }
        let found = difference((&lone, &[text(b"a")]), (&lone, &[text(b"b")])).unwrap();
        assert_eq!(found.text, "output `p`, its elements differ");
    }

    #[test]
    fn counts_of_comparisons_add_up() {
        let compared = Compared::default();
        assert_eq!(compared.now(), None);
        let ms = Duration::from_millis;
        compared.ran(None, ms(2), ms(1));
        for largest in [0.5, 0.25] {
            let difference = Difference {
                text: format!("{largest} apart"),
                largest: Some(largest),
            };
            compared.ran(Some(difference), ms(2), ms(1));
        }
        compared.skipped();
        let now = compared.now().unwrap();
        assert_eq!(
            (now.ran, now.differing, now.skipped, now.failed),
            (3, 2, 1, 0)
        );
        assert_eq!(
            (now.largest, now.compute, now.answered_compute),
            (0.5, ms(6), ms(3))
        );
        assert_eq!(now.last.as_deref(), Some("0.25 apart"));
    }
}
