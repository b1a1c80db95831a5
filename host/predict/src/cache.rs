//! Answers that were given before: in this process, bounded in bytes and in time.
//!
//! What may be kept, and under which key, is the recall stage's to decide; here answers are kept, found again and let go.
//! The hazard that this contains is an answer that outlives its right to be given: an expired one is never found, and an
//! answer that is computed while its version or tenant is purged is not kept.
//!
//! Equal calls run once: the first one gets the [`Place`] of its key, the others wait for what it keeps. If it keeps
//! nothing (the run failed, the caller hung up), one of those who wait gets the place, and so on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foretell_store::port::UnixMs;
use foretell_types::{TenantId, Tensor, VersionDigest};
use quick_cache::sync::{Cache, DefaultLifecycle, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::answer::Outputs;
use crate::{Clock, Target};

/// Names a question: 256 bits over everything that an answer depends on.
pub(crate) type Key = [u8; 32];

/// Parts with a lock each. Their number is fixed, and not by processor, because an answer is kept only if it fits into
/// its part: the largest answer must not depend on the machine.
const SHARDS: usize = 16;

/// Bytes of an entry beside its tensors: key, slot and ghost in the table, counters, vectors' headers.
const OVERHEAD_BYTES: u64 = 256;

/// A usual entry, for the first estimate of how many there will be.
const USUAL_BYTES: u64 = 512;

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of answers with what surrounds them, at most; an answer of more than a sixteenth of it is not kept. Default
    /// 64 MiB.
    pub max_bytes: u64,
    /// How long an answer is given again. Default an hour.
    pub ttl: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            ttl: Duration::from_secs(3_600),
        }
    }
}

/// What the cache holds and how often it helped, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// Answers held, expired ones that nobody has asked for since included.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What they may be.
    pub max_bytes: u64,
    /// Questions that found an answer.
    pub hits: u64,
    /// Questions that found none, and were run.
    pub misses: u64,
}

/// Keeps answers. Cheap to share; one for each server.
pub struct AnswerCache {
    entries: Entries,
    max_bytes: u64,
    ttl_ms: UnixMs,
    clock: Clock,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Counts purges, so that who began before one does not leave its answer behind.
    purges: AtomicU64,
}

type Entries = Cache<Key, Arc<Entry>, ByBytes>;
type Guard<'a> = PlaceholderGuard<
    'a,
    Key,
    Arc<Entry>,
    ByBytes,
    DefaultHashBuilder,
    DefaultLifecycle<Key, Arc<Entry>>,
>;

/// An answer that is kept. It names its owner for purges and holds no [`Target`]: signatures are not weighed here.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) outputs: Vec<Tensor>,
    tenant: TenantId,
    version: VersionDigest,
    kept_at: UnixMs,
    weight: u64,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.weight
    }
}

/// What a question finds.
pub(crate) enum Found<'a> {
    /// An answer, to be given again.
    Answer(Outputs),
    /// None: whoever holds this place answers the question, and others wait for it.
    Place(Place<'a>),
    /// Someone else has been at it for as long as one may wait.
    Busy,
}

/// Where an answer is to be kept. Dropped without one, it goes to the next who waits for it.
pub(crate) struct Place<'a> {
    cache: &'a AnswerCache,
    key: Key,
    /// None: nobody waits, an answer that is there is replaced.
    guard: Option<Guard<'a>>,
    purges: u64,
}

impl AnswerCache {
    /// An empty one.
    pub fn new(limits: &CacheLimits, clock: Clock) -> Self {
        let max_bytes = limits.max_bytes;
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(
                usize::try_from(max_bytes / USUAL_BYTES).unwrap_or(usize::MAX),
            )
            .weight_capacity(max_bytes)
            .build()
            .unwrap_or_else(|_| unreachable!("both capacities are given"));
        let entries = Cache::with_options(
            options,
            ByBytes,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        Self {
            entries,
            max_bytes,
            ttl_ms: UnixMs::try_from(limits.ttl.as_millis()).unwrap_or(UnixMs::MAX),
            clock,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            purges: AtomicU64::new(0),
        }
    }

    /// Looks for an answer; waits for one that is on its way, at most for `patience`.
    pub(crate) async fn find(&self, key: &Key, patience: Duration) -> Found<'_> {
        let found = self.look(key, patience).await;
        let count = match found {
            Found::Answer(_) => &self.hits,
            Found::Place(_) | Found::Busy => &self.misses,
        };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    async fn look(&self, key: &Key, patience: Duration) -> Found<'_> {
        let purges = self.purges.load(Ordering::Acquire);
        loop {
            // Without a timer, as most questions end here.
            let mut found = self.entries.get(key);
            if found.is_none() {
                let waited = self.entries.get_value_or_guard_async(key);
                match tokio::time::timeout(patience, waited).await {
                    Ok(Ok(entry)) => found = Some(entry),
                    Ok(Err(guard)) => {
                        return Found::Place(Place {
                            cache: self,
                            key: *key,
                            guard: Some(guard),
                            purges,
                        });
                    }
                    Err(_) => return Found::Busy,
                }
            }
            match found {
                Some(entry) if self.is_fresh(&entry) => {
                    return Found::Answer(Outputs::kept(entry));
                }
                // Makes room for the guard; whoever comes first of those who see it expired gets it.
                _ => drop(self.entries.remove_if(key, |entry| !self.is_fresh(entry))),
            }
        }
    }

    /// A place for an answer that replaces what is there; nobody waits for it.
    pub(crate) fn renew(&self, key: Key) -> Place<'_> {
        Place {
            cache: self,
            key,
            guard: None,
            purges: self.purges.load(Ordering::Acquire),
        }
    }

    /// A clock that was set back makes an answer of the future: it has expired too, rather than live longer.
    fn is_fresh(&self, entry: &Entry) -> bool {
        let age = self.clock.now().saturating_sub(entry.kept_at);
        (0..self.ttl_ms).contains(&age)
    }

    /// Lets go of a tenant's answers; returns how many there were.
    pub(crate) fn purge_tenant(&self, tenant: &TenantId) -> usize {
        self.purge(|entry| entry.tenant == *tenant)
    }

    /// Lets go of the answers of some of a tenant's versions; returns how many there were.
    pub(crate) fn purge_versions(&self, tenant: &TenantId, versions: &[VersionDigest]) -> usize {
        self.purge(|entry| entry.tenant == *tenant && versions.contains(&entry.version))
    }

    fn purge(&self, goes: impl Fn(&Entry) -> bool) -> usize {
        // Before anything is removed: see `Place::keep`.
        self.purges.fetch_add(1, Ordering::AcqRel);
        let removed = AtomicU64::new(0);
        self.entries.retain(|_, entry| {
            let goes = goes(entry);
            if goes {
                removed.fetch_add(1, Ordering::Relaxed);
            }
            !goes
        });
        usize::try_from(removed.into_inner()).unwrap_or(usize::MAX)
    }

    /// What it holds and how often it helped.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.entries.len(),
            bytes: self.entries.weight(),
            max_bytes: self.max_bytes,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

impl Place<'_> {
    /// Keeps an answer, gives it to those who wait for it, and hands it back.
    pub(crate) fn keep(self, target: &Target, outputs: Vec<Tensor>) -> Outputs {
        let cache = self.cache;
        let entry = Arc::new(Entry {
            weight: weight(&target.tenant, &outputs),
            outputs,
            tenant: target.tenant.clone(),
            version: target.digest,
            kept_at: cache.clock.now(),
        });
        match self.guard {
            // An error: a renewed answer came first, and is as good.
            Some(guard) => drop(guard.insert(Arc::clone(&entry))),
            None => cache.entries.insert(self.key, Arc::clone(&entry)),
        }
        // A purge counts itself before it removes, and both sides hold the lock of the key's part: what was kept before
        // its pass is removed by it, what was kept afterwards sees the count.
        if cache.purges.load(Ordering::Acquire) != self.purges {
            let ours = |kept: &Arc<Entry>| Arc::ptr_eq(kept, &entry);
            drop(cache.entries.remove_if(&self.key, ours));
        }
        Outputs::kept(entry)
    }
}

fn weight(tenant: &TenantId, outputs: &[Tensor]) -> u64 {
    let tensors: usize = outputs
        .iter()
        .map(|tensor| {
            size_of::<Tensor>() + size_of_val(tensor.shape()) + tensor.elements().byte_len()
        })
        .sum();
    OVERHEAD_BYTES + (tenant.as_str().len() + tensors) as u64
}

#[cfg(test)]
mod tests;
