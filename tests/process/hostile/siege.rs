//! A server, an attacker, a neighbour; and how an attack is watched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use foretell_tests::load::Latencies;
use foretell_tests::wire::{Connection, Reply, Target};
use foretell_tests::{Parts, Response, ServerProcess, Tenant};
use serde_json::json;
use tempfile::TempDir;

use super::rows::{Neighbour, ms};
use super::{Row, Rows, guests};

/// Predictions of the neighbour, quiet and under each attack, at least.
const AT_LEAST: u64 = 1_000;

/// Between two of them: a neighbour with an ordinary load, not another attack.
const PAUSE: Duration = Duration::from_micros(500);

/// Failures of the neighbour after which it gives up: the attack has won.
const MANY: usize = 20;

/// How long one attack may go on, whatever its counts.
const LONGEST: Duration = Duration::from_secs(240);

/// What a server may have in memory after an attack above what it had before. Code, connections and the allocator's own
/// reserves grow with first use; a leak of any of what is thrown here would pass this.
const GROWTH_MIB: u64 = 96;

/// Whether to take the full counts, which is not for every change.
pub(crate) fn long() -> bool {
    std::env::var_os("FORETELL_LONG").is_some()
}

/// One siege at a time: each measures, and two would measure each other.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] MutexGuard<'static, ()>);

impl Turn {
    /// Waits for it.
    pub(crate) fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        Self(TURN.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A server under attack.
pub(crate) struct Siege {
    pub(crate) server: ServerProcess,
    pub(crate) attacker: Tenant,
    pub(crate) neighbour: Tenant,
    pub(crate) rows: Rows,
    pub(crate) folder: TempDir,
    /// The neighbour on a quiet day.
    quiet: Latencies,
    /// So many attacks it has seen: what each leaves is named by it.
    pub(crate) attacks: u32,
    _turn: Turn,
}

/// What is thrown, and what may come back.
pub(crate) struct Attack<'a> {
    /// Its place in the table.
    pub(crate) id: &'a str,
    /// What is done.
    pub(crate) what: &'a str,
    /// How often at least: for every change, and in full.
    pub(crate) times: [u64; 2],
    /// Connections at once.
    pub(crate) connections: u64,
    /// Answers that must come, each at least once: `504 deadline_exceeded`.
    pub(crate) must: &'a [&'a str],
    /// Answers that may come, besides.
    pub(crate) may: &'a [&'a str],
    /// What the server may have in memory meanwhile, above what it had before and is allowed anyway.
    pub(crate) peak_mib: u64,
}

impl Default for Attack<'_> {
    fn default() -> Self {
        Self {
            id: "",
            what: "",
            times: [20, 1_000],
            connections: 2,
            must: &[],
            may: &[],
            peak_mib: 0,
        }
    }
}

/// What the neighbour was answered.
#[derive(Default)]
struct Heard {
    latencies: Latencies,
    failures: Vec<String>,
}

/// What the attackers were.
#[derive(Default)]
struct Came {
    counts: BTreeMap<String, u64>,
    latencies: Latencies,
}

impl Siege {
    /// A server with the two tenants, the neighbour's model warm. Without a cache, which would answer the neighbour from
    /// memory. `environment` configures it further.
    pub(crate) fn lay(test: &str, environment: &[(&str, &str)]) -> Self {
        let turn = Turn::take();
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start_with(
            folder.path(),
            &[&[("FORETELL_CACHE__ENABLED", "false")], environment].concat(),
        );
        let (attacker, neighbour) = (server.tenant("attacker"), server.tenant("neighbour"));
        neighbour
            .push("honest", "1", &foretell_tests::guests::honest())
            .is(201);
        let mut siege = Self {
            server,
            attacker,
            neighbour,
            rows: Rows::of(test),
            folder,
            quiet: Latencies::default(),
            attacks: 0,
            _turn: turn,
        };
        siege.listen(|heard| heard < AT_LEAST / 10);
        siege.quiet = siege.listen(|heard| heard < AT_LEAST).latencies;
        siege
    }

    /// Pushes the guest of the sieges as version 1 of the attacker's `guest`, and the engine's own as version 1 of
    /// `chameleon`; each also with isolation `reuse`, as version 2.
    pub(crate) fn arm(&self, deadline_ms: u64, memory_mib: u64) {
        for (version, isolation) in [("1", "fresh"), ("2", "reuse")] {
            let runtime = json!({
                "deadline_ms": deadline_ms,
                "memory_mib": memory_mib,
                "isolation": isolation,
            });
            for (name, plugin) in [
                ("guest", Parts::plugin(guests::guest())),
                ("chameleon", foretell_tests::guests::chameleon()),
            ] {
                self.attacker
                    .push(name, version, &plugin.runtime(runtime.clone()))
                    .is(201);
            }
        }
    }

    /// A tenant's connection.
    pub(crate) fn target(&self, tenant: &Tenant) -> Target {
        Target::new(self.server.url(), tenant.key())
    }

    /// Throws `shot` from several connections until it was thrown often enough and the neighbour has predicted often
    /// enough, and holds what came back and what the neighbour felt against what is meant.
    pub(crate) fn attack(
        &mut self,
        attack: &Attack<'_>,
        shot: impl Fn(&mut Connection, u64) -> String + Sync,
    ) -> &mut Self {
        let times = attack.times[usize::from(long())];
        self.attacks += 1;
        if long() {
            self.quiet = self.listen(|heard| heard < AT_LEAST).latencies;
        }
        self.server.forget_peak();
        let before = self.server.resident();
        let said_before = self.server.said().len();

        let (thrown, heard) = (AtomicU64::new(0), AtomicU64::new(0));
        let since = Instant::now();
        let goes_on = || {
            let enough = thrown.load(Ordering::Acquire) >= times
                && heard.load(Ordering::Acquire) >= AT_LEAST;
            !enough && since.elapsed() < LONGEST
        };
        let target = self.target(&self.attacker);
        let (felt, came) = thread::scope(|scope| {
            let attackers: Vec<_> = (0..attack.connections)
                .map(|_| {
                    let (shot, thrown, goes_on) = (&shot, &thrown, &goes_on);
                    let mut connection = Connection::new(target.clone());
                    scope.spawn(move || {
                        let mut came = Came::default();
                        while goes_on() {
                            let number = thrown.fetch_add(1, Ordering::AcqRel);
                            let began = Instant::now();
                            let label = shot(&mut connection, number);
                            came.latencies.add(began.elapsed());
                            *came.counts.entry(label).or_default() += 1;
                        }
                        came
                    })
                })
                .collect();
            let felt = self.listen(|predictions| {
                heard.store(predictions, Ordering::Release);
                goes_on()
            });
            // Whether or not it went on to the end, nobody waits for it any more.
            heard.store(AT_LEAST, Ordering::Release);
            let came = attackers.into_iter().fold(Came::default(), |mut all, one| {
                let one = one.join().unwrap();
                for (label, count) in one.counts {
                    *all.counts.entry(label).or_default() += count;
                }
                all.latencies.join(one.latencies);
                all
            });
            (felt, came)
        });

        let after = self.server.resident();
        let row = Row {
            id: attack.id.to_owned(),
            what: attack.what.to_owned(),
            thrown: thrown.into_inner(),
            answered_p99_ms: Some(ms(came.latencies.at(0.99))),
            came: came.counts,
            neighbour: Some(Neighbour::of(
                &self.quiet,
                &felt.latencies,
                felt.failures.len() as u64,
            )),
            resident_mib: [before.now >> 20, after.peak >> 20, after.now >> 20],
            figures: BTreeMap::new(),
        };
        self.rows.add(&row);
        self.holds(attack, &row, &felt, said_before);
        self
    }

    fn holds(&mut self, attack: &Attack<'_>, row: &Row, felt: &Heard, said_before: usize) {
        let what = format!("{}, {}", attack.id, attack.what);
        assert_eq!(felt.failures, Vec::<String>::new(), "{what}: the neighbour");
        self.is_unharmed(said_before, &what);
        let meant: BTreeSet<_> = attack.must.iter().chain(attack.may).copied().collect();
        for label in row.came.keys() {
            assert!(
                meant.contains(label.as_str()),
                "{what}: `{label}` came back: {row:?}"
            );
        }
        for label in attack.must {
            assert!(
                row.came.contains_key(*label),
                "{what}: `{label}` never came back: {row:?}"
            );
        }
        let [before, peak, after] = row.resident_mib;
        assert!(
            after <= before + GROWTH_MIB,
            "{what}: {after} MiB after {before} MiB"
        );
        assert!(
            peak <= before + GROWTH_MIB + attack.peak_mib,
            "{what}: {peak} MiB at most, {before} MiB before"
        );
    }

    /// The same process, and no panic in what it has said since it had said so much.
    pub(crate) fn is_unharmed(&mut self, said_before: usize, what: &str) {
        assert!(self.server.is_running(), "{what}: the server has ended");
        let said = self.server.said();
        // The words of a compile worker that died are those of another process.
        let panic = said[said_before..]
            .lines()
            .find(|line| line.contains("panicked") && !line.contains("a compile worker died"));
        assert_eq!(panic, None, "{what}");
    }

    /// Predicts as the neighbour, one by one, while `goes_on` says so of the count; every answer must be right.
    fn listen(&self, goes_on: impl Fn(u64) -> bool) -> Heard {
        let target = self.target(&self.neighbour);
        let request = target.post("/api/predict/honest", r#"{"x":0.5}"#);
        let mut connection = Connection::new(target);
        let mut heard = Heard::default();
        while heard.failures.len() < MANY && goes_on(heard.latencies.count() as u64) {
            let began = Instant::now();
            match connection.exchange(&request) {
                Ok(reply) if is_right(&reply) => heard.latencies.add(began.elapsed()),
                Ok(reply) => heard.failures.push(reply.label()),
                Err(error) => heard.failures.push(error.to_string()),
            }
            thread::park_timeout(PAUSE);
        }
        heard
    }
}

fn is_right(reply: &Reply) -> bool {
    let answer = serde_json::from_slice::<serde_json::Value>(&reply.body);
    reply.status == 200 && answer.is_ok_and(|answer| answer["prediction"]["y"] == 0.5)
}

/// What came back for one request of an attacker.
pub(crate) fn label(answer: std::io::Result<Reply>) -> String {
    match answer {
        Ok(reply) => reply.label(),
        Err(error) => format!("no answer: {error}"),
    }
}

/// The same for an upload: the first reason, where it was refused for reasons.
pub(crate) fn upload_label(response: &Response) -> String {
    let code = if response.status < 400 {
        return response.status.to_string();
    } else if response.status == 422 {
        let reason = &response.json()["errors"][0]["code"];
        reason.as_str().unwrap_or_default().to_owned()
    } else {
        response.code()
    };
    format!("{} {code}", response.status)
}
