//! One prediction on its way through the engine, and what a thread of a lane does with it: alone, or with others in one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foretell_types::run::{Batched, Begun, RunError, RunLimits, RunOutcome, Usage};
use foretell_types::signature::Checked;
use foretell_types::tensor::Tensor;

use crate::batch::{self, Waiting};
use crate::call::{self, Host, Unanswered};
use crate::config::LaneConfig;
use crate::cost::{Expected, Kind};
use crate::error::Fault;
use crate::load::Loaded;
use crate::pool::Slot;
use crate::state::Until;
use crate::turns::thread_cpu_time;

/// How long what nobody waits for may wait for its thread, and then stay on it, while others hold the processor.
pub(crate) const ASIDE_PATIENCE: Duration = Duration::from_secs(30);

/// A batch that takes this many times as long as its predictions are expected to, one by one, and a little, is given up: one
/// of them may loop, and the others wait.
const OVERDUE: u32 = 4;
const A_LITTLE: Duration = Duration::from_millis(10);

/// One prediction on its way.
pub(crate) struct Job {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) inputs: Checked,
    pub(crate) limits: RunLimits,
    /// Whether its caller gives it less time than the version has.
    pub(crate) is_hurried: bool,
    pub(crate) priority: u64,
    /// How many rows it may be run with, its own included; none = it is run alone.
    pub(crate) joins: Option<u32>,
    /// Told when its guest begins.
    pub(crate) begun: Begun,
    /// Whether it was let in before: it is not refused for want of room any more.
    pub(crate) is_back: bool,
    pub(crate) bytes: usize,
}

impl Job {
    pub(crate) fn predict(
        &self,
        host: &Host,
        until: &Until,
        slot: Option<Slot>,
    ) -> Result<Vec<Tensor>, Unanswered> {
        let (loaded, inputs) = (&self.loaded, self.inputs.inputs());
        self.begun.now();
        call::predict(host, loaded, inputs, &self.limits, until, slot)
    }
}

/// What became of a job in one place.
pub(crate) enum Ran {
    /// It is over.
    Done(RunOutcome),
    /// It took longer than it may in place: run it on a lane.
    Overran(Job, Expected),
    /// The batch that it was in has no answer: run it on a lane by itself.
    Alone(Job, Expected),
    /// It has not begun, because its instance needs so many bytes that the server does not have.
    Starved(Job, u64),
}

/// Who waits for a lane; dropped, it is gone.
#[derive(Default)]
pub(crate) struct Caller {
    pub(crate) gone: Arc<AtomicBool>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

/// A place among what waits of a version, held by what the lane is given to do: dropped undone, it takes the prediction out.
pub(crate) struct Entry {
    loaded: Arc<Loaded>,
    number: u64,
}

impl Entry {
    pub(crate) fn of(loaded: Arc<Loaded>, waiting: Waiting) -> Self {
        let number = loaded.batches.enter(waiting);
        Self { loaded, number }
    }

    /// What the prediction is called among those that wait.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Runs the prediction, and what may be run along with it, on this thread. Nothing, if another has taken it along.
    pub(crate) fn run(self, host: &Host, config: &LaneConfig) {
        let boarded = self.loaded.batches.board(self.number);
        // Whatever a prediction holds is given back before anybody hears of its end, this place too.
        drop(self);
        match boarded {
            None => {}
            Some(mut calls) if calls.len() == 1 => {
                if let Some(waiting) = calls.pop() {
                    alone(waiting, host, config);
                }
            }
            Some(calls) => together(calls, host),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Outside the lock: it holds a prediction's inputs.
        drop(self.loaded.batches.take(self.number));
    }
}

/// Runs one prediction. What has begun ends at its deadline, or at the next tick once its caller hangs up.
fn alone(waiting: Waiting, host: &Host, config: &LaneConfig) {
    let Waiting {
        job,
        expected,
        answer,
        gone,
        since,
        span,
    } = waiting;
    let _entered = span.enter();
    let queued = since.elapsed();
    let (started, cpu) = (Instant::now(), thread_cpu_time());
    let (deadline, is_aside) = (job.limits.deadline, expected.kind == Kind::Aside);
    let until = if is_aside {
        // Others may hold the processor for long, which is no fault of the guest.
        Until::either(started + deadline.max(ASIDE_PATIENCE), Arc::clone(&gone))
            .or_computed(cpu + deadline)
    } else {
        Until::either(started + deadline, Arc::clone(&gone))
    };
    let mut result = job.predict(host, &until, None);
    let computed = thread_cpu_time().saturating_sub(cpu);
    let starved = is_aside
        && computed < deadline
        && matches!(result, Err(Unanswered::Fault(Fault::Interrupted)));
    if starved {
        // Others held the processor, for so long that nobody can wait for it: it is as if there had been no thread.
        let overloaded = RunError::Overloaded {
            waited: started.elapsed(),
        };
        result = Err(Unanswered::Fault(Fault::Run(overloaded)));
    }
    let compute = if is_aside {
        computed
    } else {
        started.elapsed()
    };
    let ran = if let Err(Unanswered::Starved { bytes, .. }) = result {
        Ran::Starved(job, bytes)
    } else {
        // What was cut short says nothing about what it costs.
        let is_cut = starved
            || job.is_hurried && matches!(result, Err(Unanswered::Fault(Fault::Interrupted)));
        if !is_cut && !gone.load(Ordering::Relaxed) {
            // CPU time, not wall time: what the lane costs is not what its low priority makes of it.
            job.loaded.cost.record(job.bytes, computed, config);
        }
        let outcome = outcome(result, &job.limits, Usage::alone(queued, compute));
        drop(job);
        Ran::Done(outcome)
    };
    // Nobody listens any more where the caller has hung up.
    let _ = answer.send(ran);
}

/// Runs several predictions in one call. They share what it takes by their rows.
fn together(calls: Vec<Waiting>, host: &Host) {
    let Some((inputs, rows)) = batch::join(&calls) else {
        return send_back(calls);
    };
    let Some(first) = calls.first() else {
        return;
    };
    let (loaded, limits) = (Arc::clone(&first.job.loaded), first.job.limits);
    let span = first.span.clone();
    let _entered = span.enter();
    let one_by_one: Duration = calls.iter().map(|call| call.expected.cost).sum();
    let (started, cpu) = (Instant::now(), thread_cpu_time());
    // In processor time, as what they are expected to cost: others may hold the processor meanwhile.
    let until =
        Until::from(started + limits.deadline).or_computed(cpu + one_by_one * OVERDUE + A_LITTLE);
    for call in &calls {
        call.job.begun.now();
    }
    let result = call::predict(host, &loaded, &inputs, &limits, &until, None);
    let (compute, computed) = (started.elapsed(), thread_cpu_time().saturating_sub(cpu));
    drop(inputs);
    let each = match result {
        Ok(outputs) => batch::split(&outputs, &rows),
        Err(Unanswered::Starved { bytes, .. }) => {
            for Waiting { job, answer, .. } in calls {
                let _ = answer.send(Ran::Starved(job, bytes));
            }
            return;
        }
        Err(_) => None,
    };
    let Some(each) = each else {
        tracing::debug!(
            calls = calls.len(),
            "a batch has no answer, and its predictions are run one by one"
        );
        loaded.batches.judge(calls.len(), one_by_one, one_by_one);
        return send_back(calls);
    };
    loaded.batches.judge(calls.len(), one_by_one, computed);
    drop(loaded);
    let all: u32 = rows.iter().sum();
    for (at, (call, outputs)) in calls.into_iter().zip(each).enumerate() {
        let part = f64::from(call.job.inputs.rows()) / f64::from(all.max(1));
        let usage = Usage {
            queued: started.saturating_duration_since(call.since),
            compute: compute.mul_f64(part),
            batched: match at {
                0 => Batched::First { rows: all, compute },
                _ => Batched::Along { rows: all },
            },
        };
        drop(call.job);
        // Nobody listens any more where a caller has hung up.
        let _ = call.answer.send(Ran::Done(RunOutcome {
            result: Ok(outputs),
            usage,
        }));
    }
}

/// Gives predictions back to whoever waits for them, to be run by themselves.
fn send_back(calls: Vec<Waiting>) {
    for Waiting {
        mut job,
        expected,
        answer,
        ..
    } in calls
    {
        job.joins = None;
        job.is_back = true;
        let _ = answer.send(Ran::Alone(job, expected));
    }
}

pub(crate) fn outcome(
    result: Result<Vec<Tensor>, Unanswered>,
    limits: &RunLimits,
    usage: Usage,
) -> RunOutcome {
    RunOutcome {
        result: result.map_err(|unanswered| unanswered.run_error(limits)),
        usage,
    }
}

pub(crate) fn failed(error: RunError, queued: Duration) -> RunOutcome {
    RunOutcome {
        result: Err(error),
        usage: Usage::alone(queued, Duration::ZERO),
    }
}

pub(crate) fn overloaded(waited: Duration) -> RunOutcome {
    failed(RunError::Overloaded { waited }, waited)
}
