//! What a guest may grow to. Nothing else of it grows: stack, time and results have limits of their own.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::budget::{Exhausted, Share};

/// What became of a guest's wish for more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It got all that it asked for.
    Granted,
    /// It asked for more than it may have.
    BeyondLimit,
    /// It asked for what it may have, and the server has no more for it.
    BeyondBudget {
        /// Bytes that it would have then, all together.
        wanted: u64,
        /// Who has no more.
        exhausted: Exhausted,
    },
}

/// The limiter of one store.
///
/// A refused growth is no trap: the guest sees `memory.grow` fail and may go on. That it was refused is kept, because a
/// guest that then traps has run out of memory, whatever the trap is called.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes: u64,
    table_elements: u64,
    memory_used: u64,
    table_used: u64,
    growth: Growth,
    share: Option<Arc<Share>>,
}

impl Limiter {
    pub(crate) const fn new(
        memory_bytes: u64,
        table_elements: u64,
        share: Option<Arc<Share>>,
    ) -> Self {
        Self {
            memory_bytes,
            table_elements,
            memory_used: 0,
            table_used: 0,
            growth: Growth::Granted,
            share,
        }
    }

    /// What became of the wishes since the last [`Limiter::begin`]: the first that was refused, for what a guest asks for
    /// afterwards may be a consequence.
    pub(crate) const fn growth(&self) -> Growth {
        self.growth
    }

    /// Whether the server wants every guest to end.
    pub(crate) fn is_over(&self) -> bool {
        self.share.as_ref().is_some_and(|share| share.is_closed())
    }

    const fn refuse(&mut self, growth: Growth) -> bool {
        if matches!(self.growth, Growth::Granted) {
            self.growth = growth;
        }
        false
    }

    /// Begins a call: what an earlier one was refused is its own affair.
    pub(crate) const fn begin(&mut self) {
        self.growth = Growth::Granted;
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        if let Some(share) = &self.share {
            share.give(self.memory_used);
        }
    }
}

impl ResourceLimiter for Limiter {
    // Sums, so that the limit is the store's, however its memories are counted at admission.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let wanted = self.memory_used.saturating_add(more);
        if wanted > self.memory_bytes || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(self.refuse(Growth::BeyondLimit));
        }
        if let Some(share) = &self.share
            && let Err(exhausted) = share.take(more, self.memory_bytes)
        {
            return Ok(self.refuse(Growth::BeyondBudget { wanted, exhausted }));
        }
        self.memory_used = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self
            .table_used
            .saturating_add(desired.saturating_sub(current) as u64);
        if wanted > self.table_elements || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(self.refuse(Growth::BeyondLimit));
        }
        self.table_used = wanted;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use foretell_types::TenantId;

    use super::*;
    use crate::budget;

    #[test]
    fn memories_share_one_limit() {
        let mut limiter = Limiter::new(100, 10, None);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!(limiter.growth(), Growth::Granted);
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.growth(), Growth::BeyondLimit);
        limiter.begin();
        assert_eq!(limiter.growth(), Growth::Granted);
    }

    #[test]
    fn a_growth_beyond_the_pool_is_refused_and_counted_as_such() {
        let mut limiter = Limiter::new(100, 10, None);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(limiter.growth(), Growth::BeyondLimit);
    }

    #[test]
    fn stores_share_the_servers_budget_and_give_back_what_they_took() {
        let budget = budget::of(100);
        let share = |name| Some(budget.share(&TenantId::parse(name).unwrap()));
        let mut first = Limiter::new(80, 10, share("acme"));
        let mut second = Limiter::new(80, 10, share("bob"));
        assert!(first.memory_growing(0, 70, None).unwrap());
        assert!(second.memory_growing(0, 10, None).unwrap());
        assert!(!second.memory_growing(10, 40, None).unwrap());
        let refused = Growth::BeyondBudget {
            wanted: 40,
            exhausted: Exhausted::Server,
        };
        assert_eq!(second.growth(), refused);
        assert!(!second.memory_growing(10, 1_000, None).unwrap());
        assert!(!second.table_growing(0, 1_000, None).unwrap());
        assert_eq!(second.growth(), refused, "the first cause is the one");
        drop(first);
        assert!(second.memory_growing(10, 40, None).unwrap());
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
