//! Places of the pool wear out, and are made new again.
//!
//! At the end of an instance the allocator looks at every page that is mapped in its memory, to find those that were
//! written. Pages that were only read stay mapped for the next instance in that place, which is what makes it quick. But
//! so one call that reads all of a large model makes every later one in its place pay for looking at all of it: twenty
//! times what a call costs that reads a page.
//!
//! So it is measured what the end of an instance takes. Where it takes much more than this version's cheapest, and has
//! done so for long enough to pay for it, the pages are given back to the system before the next end: what comes
//! afterwards maps what it needs, and no more. A version whose every call reads a lot has no cheap ends to compare with,
//! and is left as it is; one whose calls differ is left alone for longer each time that giving back did not pay.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rustix::mm::Advice;

/// An end that takes less is never worth a system call.
const CHEAP: Duration = Duration::from_micros(15);
/// An end is dear that takes so many times what the cheapest takes.
const DEAR: u64 = 4;
/// Giving back costs what so many dear ends cost: the call, and the faults of whatever is needed again.
const PRICE: u64 = 2;
/// Ends between giving back and the next dear end that make it worth while.
const WORTH_WHILE: u32 = 8;
/// The longest that a version is left alone, in prices: what does not pay then costs half a percent.
const PATIENCE: u64 = 256;
/// A place with so many cheap ends in a row is as new.
const AS_NEW: u32 = 64;

/// Where an instance's memory lies, as long as its store lives; afterwards the name of a place in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    base: usize,
    bytes: usize,
}

/// The wear of one version's places.
#[derive(Debug)]
pub(crate) struct Wear {
    /// What the cheapest end took, in nanoseconds.
    cheapest: AtomicU64,
    /// How many places there are that are worn, or were a moment ago.
    count: AtomicUsize,
    worn: Mutex<Worn>,
}

#[derive(Debug, Default)]
struct Worn {
    places: HashMap<usize, Place>,
    /// How many times its price giving back must have been worth before it is done; 0 is 1.
    patience: u64,
}

#[derive(Debug, Default)]
struct Place {
    /// What ends took here beyond the cheapest since the pages were given back, in nanoseconds.
    spent: u64,
    /// What the last dear end took.
    dear: u64,
    /// Cheap ends in a row.
    cheap: u32,
    /// Whether pages were given back here.
    renewed: bool,
}

impl Memory {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            base: bytes.as_ptr().expose_provenance(),
            bytes: bytes.len(),
        }
    }

    /// Gives every page back to the system: what was written is lost, what is read next is mapped anew.
    ///
    /// # Safety
    /// The memory is that of a store which still lives, and nobody will run its instance or read its memory any more.
    pub(crate) unsafe fn give_back(self) {
        let base = std::ptr::with_exposed_provenance_mut::<c_void>(self.base);
        // SAFETY: the range is mapped, because the store lives, and belongs to it alone. Private pages fall back to the
        // instance's image, or to zeros: the state in which the allocator itself wants them a moment later.
        let given = unsafe { rustix::mm::madvise(base, self.bytes, Advice::LinuxDontNeed) };
        if let Err(error) = given {
            // The end looks at every page then, as it would have anyway.
            tracing::debug!(%error, "pages cannot be given back");
        }
    }
}

impl Default for Wear {
    fn default() -> Self {
        Self {
            cheapest: AtomicU64::new(u64::MAX),
            count: AtomicUsize::new(0),
            worn: Mutex::default(),
        }
    }
}

impl Wear {
    /// Whether the pages of this place should be given back before its instance ends.
    pub(crate) fn is_worn_out(&self, memory: Memory) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // Whoever is busy here is about to know more: nobody waits for that.
        let Some(mut worn) = self.try_lock() else {
            return false;
        };
        let patience = worn.patience.max(1);
        let Some(place) = worn.places.get_mut(&memory.base) else {
            return false;
        };
        let worn_out = place.dear > 0 && place.spent >= patience * PRICE * place.dear;
        if worn_out {
            *place = Place {
                renewed: true,
                ..Place::default()
            };
        }
        worn_out
    }

    /// Takes in what the end of an instance took.
    pub(crate) fn ended(&self, memory: Memory, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = self.cheapest.load(Ordering::Relaxed);
        let cheapest = before.min(nanos);
        // Written seldom: all cores read this line at every call.
        if cheapest < before {
            self.cheapest.store(cheapest, Ordering::Relaxed);
        }
        if took > CHEAP && nanos > cheapest.saturating_mul(DEAR) {
            self.dear(memory, nanos, nanos - cheapest);
        } else if self.count.load(Ordering::Relaxed) > 0 {
            self.cheap(memory);
        }
    }

    fn dear(&self, memory: Memory, took: u64, beyond: u64) {
        let mut worn = self.lock();
        let worn = &mut *worn;
        let place = worn.places.entry(memory.base).or_default();
        if std::mem::take(&mut place.renewed) {
            worn.patience = if place.cheap < WORTH_WHILE {
                (worn.patience.max(1) * 2).min(PATIENCE)
            } else {
                1
            };
        }
        place.spent = place.spent.saturating_add(beyond);
        place.dear = took;
        place.cheap = 0;
        self.count.store(worn.places.len(), Ordering::Relaxed);
    }

    fn cheap(&self, memory: Memory) {
        let Some(mut worn) = self.try_lock() else {
            return;
        };
        if let Some(place) = worn.places.get_mut(&memory.base) {
            place.cheap += 1;
            if place.cheap >= AS_NEW {
                worn.places.remove(&memory.base);
                self.count.store(worn.places.len(), Ordering::Relaxed);
            }
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Worn>> {
        match self.worn.try_lock() {
            Ok(worn) => Some(worn),
            Err(TryLockError::Poisoned(worn)) => Some(worn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Nothing is ever half done under the lock.
    fn lock(&self) -> MutexGuard<'_, Worn> {
        self.worn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIGHT: Duration = Duration::from_micros(3);
    const HEAVY: Duration = Duration::from_micros(110);
    const HERE: Memory = Memory {
        base: 1 << 20,
        bytes: 1 << 16,
    };
    const THERE: Memory = Memory {
        base: 1 << 21,
        bytes: 1 << 16,
    };

    /// One call: gives whether its pages were given back. `reads_all` makes a place heavy, which it stays until then.
    fn call(wear: &Wear, heavy: &mut bool, reads_all: bool) -> bool {
        *heavy |= reads_all;
        let renewed = wear.is_worn_out(HERE);
        *heavy &= !renewed;
        wear.ended(HERE, if *heavy { HEAVY } else { LIGHT });
        renewed
    }

    #[test]
    fn a_place_where_one_call_read_everything_is_soon_as_quick_as_before() {
        let (wear, mut heavy) = (Wear::default(), false);
        for _ in 0..100 {
            assert!(!call(&wear, &mut heavy, false));
        }
        call(&wear, &mut heavy, true);
        let renewed: Vec<_> = (0..1_000).map(|_| call(&wear, &mut heavy, false)).collect();
        let first = renewed.iter().position(|renewed| *renewed);
        assert!(first.is_some_and(|calls| calls <= 3), "{first:?}");
        assert_eq!(renewed.iter().filter(|renewed| **renewed).count(), 1);
        assert_eq!(wear.count.load(Ordering::Relaxed), 0, "it is as new");
    }

    #[test]
    fn a_version_whose_every_call_reads_everything_keeps_its_pages() {
        let (wear, mut heavy) = (Wear::default(), false);
        for _ in 0..10_000 {
            assert!(!call(&wear, &mut heavy, true));
        }
    }

    #[test]
    fn a_version_that_needs_its_pages_again_and_again_is_left_alone_for_longer_and_longer() {
        let (wear, mut heavy) = (Wear::default(), false);
        call(&wear, &mut heavy, false);
        let renewed = (0..100_000)
            .filter(|number| call(&wear, &mut heavy, number % 2 == 0))
            .count();
        assert!((5..300).contains(&renewed), "{renewed} of 100,000");
    }

    #[test]
    fn a_version_that_was_left_alone_for_long_is_not_once_giving_back_has_paid() {
        let (wear, mut heavy) = (Wear::default(), false);
        call(&wear, &mut heavy, false);
        for number in 0..10_000 {
            call(&wear, &mut heavy, number % 2 == 0);
        }
        let next = (0..2_000).position(|_| call(&wear, &mut heavy, false));
        assert!(next.is_some(), "in the end it is tried again");
        for _ in 0..WORTH_WHILE {
            call(&wear, &mut heavy, false);
        }
        call(&wear, &mut heavy, true);
        let next = (0..2_000).position(|_| call(&wear, &mut heavy, false));
        assert!(next.is_some_and(|calls| calls <= 3), "{next:?}");
    }

    #[test]
    fn a_version_that_seldom_reads_everything_is_cheap_between() {
        let (wear, mut heavy) = (Wear::default(), false);
        call(&wear, &mut heavy, false);
        let mut dear = 0;
        for number in 0..100_000 {
            call(&wear, &mut heavy, number % 100 == 0);
            dear += u32::from(heavy);
        }
        assert!(dear < 5_000, "{dear} dear ends of 100,000");
    }

    #[test]
    fn other_places_are_not_concerned_and_a_single_slow_end_is_forgotten() {
        let wear = Wear::default();
        wear.ended(HERE, LIGHT);
        wear.ended(THERE, 100 * HEAVY);
        for _ in 0..AS_NEW {
            assert!(!wear.is_worn_out(HERE));
            assert!(!wear.is_worn_out(THERE), "it may have been the machine");
            wear.ended(THERE, LIGHT);
        }
        assert_eq!(wear.count.load(Ordering::Relaxed), 0);
    }
}
