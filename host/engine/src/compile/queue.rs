//! Who may wait for a compile worker, and who is next.
//!
//! Uploads and recompiles of stored versions stand in it alike. It is bounded, so that a caller hears at once that there
//! is no room instead of waiting for minutes; a tenant has a share of it, so that one that uploads without end is the
//! only one to hear it; and tenants are served in turn, so that an upload waits for one of each other tenant at most, not
//! for all of the one before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foretell_types::TenantId;
use foretell_types::compile::CompileError;
use tokio::sync::oneshot;

use crate::config::CompileLimits;

/// The queue, and the workers behind it.
pub(super) struct Queue {
    /// Workers at once.
    workers: usize,
    /// Those that wait or run, at most.
    places: usize,
    /// The same of one tenant.
    share: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    /// How many wait or run, of each tenant that has any.
    held: HashMap<TenantId, usize>,
    /// One line for each tenant that waits; the front one is served next.
    lines: VecDeque<(TenantId, VecDeque<Waiting>)>,
    /// The number of the next place.
    next: u64,
}

struct Waiting {
    number: u64,
    turn: oneshot::Sender<()>,
}

/// A place among those that wait or run. Dropping it makes room, wherever it stands.
pub(super) struct Place {
    queue: Arc<Queue>,
    tenant: TenantId,
    number: u64,
}

impl Queue {
    pub(super) fn new(limits: &CompileLimits) -> Arc<Self> {
        let workers = limits.workers.max(1);
        Arc::new(Self {
            workers,
            places: workers + limits.queue,
            share: limits.per_tenant.max(1),
            state: Mutex::default(),
        })
    }

    /// How many wait or run.
    pub(super) fn in_hand(&self) -> usize {
        self.state().held.values().sum()
    }

    /// Waits for a worker.
    ///
    /// # Errors
    /// [`CompileError::TenantBusy`] and [`CompileError::Busy`], at once.
    pub(super) async fn enter(self: &Arc<Self>, tenant: &TenantId) -> Result<Place, CompileError> {
        let (place, turn) = self.stand_in_line(tenant)?;
        turn.await
            .map_err(|_| CompileError::Worker("the engine is stopping".into()))?;
        Ok(place)
    }

    fn stand_in_line(
        self: &Arc<Self>,
        tenant: &TenantId,
    ) -> Result<(Place, oneshot::Receiver<()>), CompileError> {
        let mut state = self.state();
        if state
            .held
            .get(tenant)
            .is_some_and(|held| *held >= self.share)
        {
            return Err(CompileError::TenantBusy { limit: self.share });
        }
        if state.held.values().sum::<usize>() >= self.places {
            return Err(CompileError::Busy);
        }
        *state.held.entry(tenant.clone()).or_default() += 1;
        let number = state.next;
        state.next += 1;
        let (turn, comes) = oneshot::channel();
        let waiting = Waiting { number, turn };
        match state.lines.iter_mut().find(|(whose, _)| whose == tenant) {
            Some((_, line)) => line.push_back(waiting),
            None => state
                .lines
                .push_back((tenant.clone(), VecDeque::from([waiting]))),
        }
        state.serve(self.workers);
        let place = Place {
            queue: Arc::clone(self),
            tenant: tenant.clone(),
            number,
        };
        Ok((place, comes))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives free workers to those whose turn it is.
    fn serve(&mut self, workers: usize) {
        while self.running < workers {
            let Some((tenant, mut line)) = self.lines.pop_front() else {
                return;
            };
            let next = line.pop_front();
            if !line.is_empty() {
                self.lines.push_back((tenant, line));
            }
            if let Some(next) = next {
                self.running += 1;
                // Whoever has given up in this very moment drops its place, and with it the worker.
                let _ = next.turn.send(());
            }
        }
    }

    /// Whether it waited still, and waits no more.
    fn withdraw(&mut self, tenant: &TenantId, number: u64) -> bool {
        let Some(at) = self.lines.iter().position(|(whose, _)| whose == tenant) else {
            return false;
        };
        let Some((_, line)) = self.lines.get_mut(at) else {
            return false;
        };
        let before = line.len();
        line.retain(|waiting| waiting.number != number);
        let waited = line.len() < before;
        if line.is_empty() {
            self.lines.remove(at);
        }
        waited
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if !state.withdraw(&self.tenant, self.number) {
            state.running -= 1;
        }
        if let Some(held) = state.held.get_mut(&self.tenant) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.tenant);
            }
        }
        state.serve(self.queue.workers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(workers: usize, queue: usize, per_tenant: usize) -> Arc<Queue> {
        Queue::new(&CompileLimits {
            workers,
            queue,
            per_tenant,
            ..CompileLimits::default()
        })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    type Standing = (Place, oneshot::Receiver<()>);

    fn stand(queue: &Arc<Queue>, name: &str) -> Result<Standing, CompileError> {
        queue.stand_in_line(&tenant(name))
    }

    fn has_turn(standing: &mut Standing) -> bool {
        standing.1.try_recv().is_ok()
    }

    #[test]
    fn a_tenant_with_its_share_is_told_so_while_others_have_room() {
        let queue = queue(1, 4, 2);
        let held: Vec<_> = ["a", "a", "b", "b", "c"]
            .into_iter()
            .map(|name| stand(&queue, name).unwrap())
            .collect();
        assert!(matches!(
            stand(&queue, "a"),
            Err(CompileError::TenantBusy { limit: 2 })
        ));
        assert!(matches!(stand(&queue, "d"), Err(CompileError::Busy)));
        assert_eq!(queue.in_hand(), 5);
        drop(held);
        assert_eq!(queue.in_hand(), 0);
        assert!(queue.state().held.is_empty() && queue.state().lines.is_empty());
    }

    #[test]
    fn tenants_are_served_in_turn() {
        let queue = queue(1, 8, 8);
        let mut standing: Vec<_> = ["a", "a", "a", "b", "c", "b"]
            .into_iter()
            .map(|name| Some(stand(&queue, name).unwrap()))
            .collect();
        let mut served = Vec::new();
        while let Some(at) = standing
            .iter_mut()
            .position(|one| one.as_mut().is_some_and(has_turn))
        {
            served.push(at);
            standing[at] = None;
        }
        assert_eq!(served, [0, 1, 3, 4, 2, 5]);
    }

    #[test]
    fn whoever_gives_up_makes_room_whether_waiting_or_running() {
        let queue = queue(1, 2, 3);
        let mut running = stand(&queue, "a").unwrap();
        let waiting = stand(&queue, "a").unwrap();
        let mut last = stand(&queue, "b").unwrap();
        assert!(has_turn(&mut running) && !has_turn(&mut last));
        drop(waiting);
        assert_eq!(queue.in_hand(), 2);
        assert!(!has_turn(&mut last), "the worker is still taken");
        drop(running);
        assert!(has_turn(&mut last));
        drop(last);
        assert!(has_turn(&mut stand(&queue, "c").unwrap()));
    }

    #[test]
    fn as_many_run_as_there_are_workers() {
        let queue = queue(3, 8, 8);
        let mut standing: Vec<_> = (0..5).map(|_| stand(&queue, "a").unwrap()).collect();
        let running = standing
            .iter_mut()
            .filter_map(|one| has_turn(one).then_some(()));
        assert_eq!(running.count(), 3);
    }
}
