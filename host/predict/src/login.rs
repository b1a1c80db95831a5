//! Logins that fail, and how long whoever failed waits after them.
//!
//! After five failures in a row nobody logs in with a name for a second, then for two, four, and so on up to a quarter of an
//! hour. An address has fifty of them, since there may be an office behind it, and gets one back each minute; it is counted
//! so that one password tried with many names is found as well.
//!
//! A login counts as failed from its beginning and is taken back when it succeeds, so that a thousand guesses at the same
//! time are no way around it. Names of nobody wait like all others: what is told to whoever guesses is the same. All of it is
//! in memory, up to a number: names by the thousand push out those that failed seldom, and not the one that is guessed at.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::AtomicI64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foretell_store::port::UnixMs;
use foretell_store::port::keys::KeyHash;
use foretell_types::UserName;

use crate::PredictError;
use crate::password::Passwords;

/// Names, and addresses, that are remembered, at most: some megabytes.
const MAX_KEPT: usize = 100_000;
const FIRST_WAIT_MS: UnixMs = 1_000;
const LONGEST_WAIT_MS: UnixMs = 15 * 60_000;

const OF_NAMES: Rule = Rule {
    free: 5,
    // At most 96 guesses a day are let in anyway: this is for those who guess no more.
    forgives_one_in_ms: 6 * 3_600_000,
};
const OF_ADDRESSES: Rule = Rule {
    free: 50,
    forgives_one_in_ms: 60_000,
};

/// What logging in takes, beside what is stored.
#[derive(Default)]
pub(crate) struct Logins {
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Attempts,
    /// The hash of the token that makes the first operator, while there is one.
    pub(crate) setup: tokio::sync::Mutex<Option<KeyHash>>,
    /// Users are changed one at a time, so that what was looked at before a change is still so.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// When sessions that are over were last removed.
    pub(crate) swept_at: AtomicI64,
}

/// Counts failures by name and by address.
pub(crate) struct Attempts {
    names: Tally,
    addresses: Tally,
    /// Makes names short, in a way that nobody outside can foresee.
    short: RandomState,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            names: Tally::new(OF_NAMES, MAX_KEPT),
            addresses: Tally::new(OF_ADDRESSES, MAX_KEPT),
            short: RandomState::new(),
        }
    }
}

/// A login that has begun. If it is dropped, it has failed.
#[must_use]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    name: Option<u64>,
    address: Option<u64>,
}

impl Attempts {
    /// Begins a login, with a name where one was given that can be one.
    ///
    /// # Errors
    /// `TooManyLogins` while the name or the address has to wait.
    pub(crate) fn begin(
        &self,
        name: Option<&UserName>,
        address: Option<IpAddr>,
        now: UnixMs,
    ) -> Result<Attempt<'_>, PredictError> {
        let name = name.map(|name| self.short.hash_one(name.as_str()));
        let address = address.map(|address| self.short.hash_one(network(address)));
        if let Some(address) = address {
            self.addresses.begin(address, now)?;
        }
        let attempt = Attempt {
            attempts: self,
            name,
            address,
        };
        if let Some(name) = name
            && let Err(refused) = self.names.begin(name, now)
        {
            // Nothing was tried.
            if let Some(address) = address {
                self.addresses.take_back(address);
            }
            return Err(refused);
        }
        Ok(attempt)
    }
}

impl Attempt<'_> {
    /// It was the right password: all is forgiven to the name, and this login to the address. (More, and whoever has an
    /// account would guess at those of others for ever.)
    pub(crate) fn succeeded(self) {
        if let Some(name) = self.name {
            self.attempts.names.forget(name);
        }
        self.take_back_address();
    }

    /// Nobody has looked at the password.
    pub(crate) fn was_none(self) {
        if let Some(name) = self.name {
            self.attempts.names.take_back(name);
        }
        self.take_back_address();
    }

    fn take_back_address(&self) {
        if let Some(address) = self.address {
            self.attempts.addresses.take_back(address);
        }
    }
}

/// What one customer of a provider has: an address of IPv4, or the first half of one of IPv6.
pub(crate) fn network(address: IpAddr) -> (u8, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (4, u32::from(address).into()),
        IpAddr::V6(address) => (6, u128::from(address) >> 64),
    }
}

#[derive(Clone, Copy)]
struct Rule {
    /// Failures before the first wait.
    free: u32,
    forgives_one_in_ms: UnixMs,
}

impl Rule {
    /// How many failures still count.
    fn count(self, failures: Failures, now: UnixMs) -> u32 {
        let forgiven = now.saturating_sub(failures.last).max(0) / self.forgives_one_in_ms;
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        failures.count.saturating_sub(forgiven)
    }

    /// How long to wait after the last of so many.
    fn wait_ms(self, count: u32) -> UnixMs {
        match count.checked_sub(self.free) {
            None => 0,
            // By the tenth doubling it is the longest.
            Some(doublings) => (FIRST_WAIT_MS << doublings.min(10)).min(LONGEST_WAIT_MS),
        }
    }
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: UnixMs,
}

impl Failures {
    /// The lowest go first where there is no room: those that failed seldom, and of them the longest ago.
    fn rank(&self) -> (u32, UnixMs) {
        (self.count, self.last)
    }
}

/// Failures of all names, or of all addresses.
struct Tally {
    rule: Rule,
    max_kept: usize,
    seen: Mutex<HashMap<u64, Failures>>,
}

impl Tally {
    fn new(rule: Rule, max_kept: usize) -> Self {
        Self {
            rule,
            max_kept,
            seen: Mutex::default(),
        }
    }

    fn begin(&self, who: u64, now: UnixMs) -> Result<(), PredictError> {
        let mut seen = self.seen();
        if seen.len() >= self.max_kept && !seen.contains_key(&who) {
            self.make_room(&mut seen, now);
        }
        let failures = seen.entry(who).or_insert(Failures {
            count: 0,
            last: now,
        });
        // A clock that was set back: the wait is counted from now on, and is no longer for it.
        failures.last = failures.last.min(now);
        let count = self.rule.count(*failures, now);
        let left_ms = failures.last + self.rule.wait_ms(count) - now;
        if left_ms > 0 {
            return Err(PredictError::TooManyLogins {
                retry_after: Duration::from_millis(left_ms.unsigned_abs()),
            });
        }
        *failures = Failures {
            count: count.saturating_add(1),
            last: now,
        };
        Ok(())
    }

    fn take_back(&self, who: u64) {
        if let Some(failures) = self.seen().get_mut(&who) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn forget(&self, who: u64) {
        self.seen().remove(&who);
    }

    /// Lets go of what no longer counts, and then, unless that was much, of the lower half.
    fn make_room(&self, seen: &mut HashMap<u64, Failures>, now: UnixMs) {
        seen.retain(|_, failures| self.rule.count(*failures, now) > 0);
        if seen.len() <= self.max_kept / 4 * 3 {
            return;
        }
        let mut ranks: Vec<_> = seen.values().map(Failures::rank).collect();
        let middle = ranks.len() / 2;
        // There are more than none, and so the middle is one of them.
        let (_, median, _) = ranks.select_nth_unstable(middle);
        let median = *median;
        seen.retain(|_, failures| failures.rank() > median);
    }

    /// A panic elsewhere leaves counts behind that can be used.
    fn seen(&self) -> MutexGuard<'_, HashMap<u64, Failures>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_795_000_000_000;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    /// How long a login has to wait; none = it was begun, and failed.
    fn fails(attempts: &Attempts, who: &str, address: Option<&str>, now: UnixMs) -> Option<u64> {
        let address = address.map(|address| address.parse().unwrap());
        match attempts.begin(Some(&name(who)), address, now) {
            Ok(_failed) => None,
            Err(PredictError::TooManyLogins { retry_after }) => {
                Some(u64::try_from(retry_after.as_millis()).unwrap())
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn after_five_failures_the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let attempts = Attempts::default();
        let mut now = NOW;
        for _ in 0..5 {
            assert_eq!(fails(&attempts, "a", None, now), None);
        }
        let waits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900];
        for seconds in waits {
            let ms = seconds * 1_000;
            assert_eq!(fails(&attempts, "a", None, now), Some(ms));
            // Who does not wait waits no longer for it.
            now += UnixMs::try_from(ms).unwrap() - 1;
            assert_eq!(fails(&attempts, "a", None, now), Some(1));
            now += 1;
            assert_eq!(fails(&attempts, "a", None, now), None);
        }
        assert_eq!(fails(&attempts, "b", None, now), None, "others do not wait");
    }

    #[test]
    fn the_right_password_ends_the_row_and_what_was_not_looked_at_is_no_failure() {
        let attempts = Attempts::default();
        for _ in 0..4 {
            assert_eq!(fails(&attempts, "a", None, NOW), None);
        }
        for _ in 0..9 {
            attempts
                .begin(Some(&name("a")), None, NOW)
                .unwrap()
                .was_none();
        }
        attempts
            .begin(Some(&name("a")), None, NOW)
            .unwrap()
            .succeeded();
        for _ in 0..5 {
            assert_eq!(fails(&attempts, "a", None, NOW), None);
        }
        assert_eq!(fails(&attempts, "a", None, NOW), Some(1_000));
    }

    #[test]
    fn guesses_at_the_same_time_count_before_any_of_them_is_answered() {
        let attempts = Attempts::default();
        let user = name("a");
        let begun = (0..1_000).map(|_| attempts.begin(Some(&user), None, NOW));
        let begun: Vec<_> = begun.collect();
        assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 5);
    }

    #[test]
    fn an_address_that_tries_many_names_waits_and_a_success_of_its_own_does_not_help() {
        let attempts = Attempts::default();
        let here = Some("203.0.113.7");
        for n in 0..50 {
            assert_eq!(fails(&attempts, &format!("user{n}"), here, NOW), None);
        }
        assert_eq!(fails(&attempts, "next", here, NOW), Some(1_000));
        let (own, address) = (name("own"), "203.0.113.7".parse().unwrap());
        let after = NOW + 1_000;
        let mine = attempts.begin(Some(&own), Some(address), after).unwrap();
        mine.succeeded();
        assert_eq!(fails(&attempts, "next", here, after), Some(1_000));
        assert_eq!(fails(&attempts, "next", Some("203.0.113.8"), after), None);
        // One is given back each minute.
        assert_eq!(fails(&attempts, "next", here, after + 60_000), None);
    }

    #[test]
    fn addresses_of_one_network_are_one_and_the_same() {
        let network_of = |text: &str| network(text.parse().unwrap());
        assert_eq!(
            network_of("2001:db8:1:2:3::4"),
            network_of("2001:db8:1:2::")
        );
        assert_ne!(network_of("2001:db8:1:2::"), network_of("2001:db8:1:3::"));
        assert_eq!(network_of("::ffff:203.0.113.7"), network_of("203.0.113.7"));
        assert_ne!(network_of("203.0.113.7"), network_of("203.0.113.8"));
    }

    #[test]
    fn a_name_that_waits_does_not_count_against_the_address() {
        let attempts = Attempts::default();
        let here = Some("203.0.113.7");
        for _ in 0..5 {
            assert_eq!(fails(&attempts, "a", here, NOW), None);
        }
        for _ in 0..1_000 {
            assert_eq!(fails(&attempts, "a", here, NOW), Some(1_000));
        }
        assert_eq!(fails(&attempts, "b", here, NOW), None);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            assert_eq!(fails(&attempts, "a", None, NOW), None);
        }
        let back = NOW - 3_600_000;
        assert_eq!(fails(&attempts, "a", None, back), Some(1_000));
        assert_eq!(fails(&attempts, "a", None, back + 1_000), None);
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_does_not_free_the_one_that_waits() {
        let tally = Tally::new(OF_NAMES, 100);
        let mut now = NOW;
        for _ in 0..7 {
            now += LONGEST_WAIT_MS;
            tally.begin(0, now).unwrap();
        }
        for n in 1..10_000 {
            tally.begin(n, now).unwrap();
            assert!(tally.seen().len() <= 100);
        }
        let refused = tally.begin(0, now).unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(4)));
    }
}
