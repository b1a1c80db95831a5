//! An audit log as a busy server fills it: a row for each prediction and now and then one of what was refused, in the
//! batches of the server's writer, over a SQLite store of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use foretell_store::{
    Act, AuditKey, AuditQuery, Entry, Known, Page, Spent, Stores, Used, Verdict, Whose,
};
use foretell_types::{RequestId, TenantId};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::bench::Bench;

/// Rows that the server's writer puts into one transaction, at most.
pub(crate) const BATCH: u64 = 8_192;

/// For filling a log: a disk that needs longer has said enough.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

const TENANTS: u64 = 3;
const KEYS: u64 = 20;
const MODELS: u64 = 5;

/// Of so many rows one tells of what was refused.
const REFUSED: u64 = 1_024;

/// The first row's time, and rows of a millisecond: about what one processor answers.
const BEGIN_MS: i64 = 1_795_000_000_000;
const ROWS_PER_MS: u64 = 40;

/// Bytes of a row and of what indexes it, rounded up from the 435 that were found.
const ROW_BYTES: u64 = 480;

/// What is left free of a disk: for the write-ahead log, and for everybody else.
const SPARE_BYTES: u64 = 256 << 20;

/// Rows of a page.
const PAGE: u32 = 100;

/// Pages that are timed, at least and at most.
const LEAST_PAGES: usize = 5;
const MOST_PAGES: usize = 1_000;

/// A log and its store, removed with it.
pub(crate) struct Log {
    stores: Stores,
    runtime: Runtime,
    names: Names,
    rows: u64,
    folder: TempDir,
}

/// What is looked for: a page of it, the newest first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Search {
    /// One tenant's predictions: nearly every row of its.
    Predictions,
    /// What one tenant was refused: hardly any.
    Refusals,
    /// The row of one request, among everybody's.
    Request,
}

impl Log {
    /// An empty one, where there is room for so many rows.
    pub(crate) fn open(bench: &Bench, most_rows: u64) -> Result<Self> {
        let folder = bench.scratch()?;
        let disk = rustix::fs::statvfs(folder.path())
            .with_context(|| folder.path().display().to_string())?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = most_rows.saturating_mul(ROW_BYTES) + SPARE_BYTES;
        if free < needed {
            bail!(
                "a log of {most_rows} rows needs {:.1} GB of the disk of {}, of which {:.1} GB are free; make room, or \
                 name a folder of another disk with --out",
                needed as f64 / 1e9,
                folder.path().display(),
                free as f64 / 1e9
            );
        }
        let key = AuditKey::new(&[7; 32]);
        Ok(Self {
            stores: foretell_store::open("sqlite:", folder.path(), 1, key)?,
            runtime: Builder::new_current_thread().enable_all().build()?,
            names: Names::new()?,
            rows: 0,
            folder,
        })
    }

    /// One of so many rows, with room for some more.
    pub(crate) fn of(bench: &Bench, rows: u64, more: u64) -> Result<Self> {
        let mut log = Self::open(bench, rows + more)?;
        if log.fill(rows, PATIENCE)? {
            return Ok(log);
        }
        bail!(
            "after {} s the log has {} rows and not {rows}: this disk is too slow",
            PATIENCE.as_secs(),
            log.rows
        )
    }

    /// Writes until there are so many rows; false if that takes too long.
    pub(crate) fn fill(&mut self, rows: u64, within: Duration) -> Result<bool> {
        let began = Instant::now();
        while self.rows < rows {
            if began.elapsed() > within {
                return Ok(false);
            }
            self.write(BATCH.min(rows - self.rows))?;
        }
        Ok(true)
    }

    /// Rows in a second, over so many transactions of `rows` each.
    pub(crate) fn rate(&mut self, transactions: u64, rows: u64) -> Result<f64> {
        let mut took = Duration::ZERO;
        for _ in 0..transactions {
            took += self.write(rows)?;
        }
        Ok((transactions * rows) as f64 / took.as_secs_f64())
    }

    /// Writes so many rows in one transaction: the time until they are on the medium.
    fn write(&mut self, rows: u64) -> Result<Duration> {
        let last = self.rows + rows;
        let batch: Vec<Spent> = (self.rows + 1..=last)
            .map(|number| self.names.row(number))
            .collect();
        let batch = Arc::new(batch);
        let began = Instant::now();
        // As the server's writer: what is not written yet is kept.
        let written = self.stores.ledger.settle(Arc::clone(&batch));
        let written = self.runtime.block_on(written)?;
        let took = began.elapsed();
        if written != last {
            bail!("the log says that it has {written} rows and not {last}");
        }
        self.rows = last;
        Ok(took)
    }

    /// The time in which 19 of 20 pages are read.
    pub(crate) fn page_p95(&self, search: Search, budget: Duration) -> Result<Duration> {
        let (began, mut times) = (Instant::now(), Vec::new());
        while times.len() < LEAST_PAGES || times.len() < MOST_PAGES && began.elapsed() < budget {
            times.push(self.page(search, mix(times.len() as u64))?);
        }
        times.sort_unstable();
        // There is at least one.
        Ok(times[(times.len() * 19).div_ceil(20) - 1])
    }

    fn page(&self, search: Search, turn: u64) -> Result<Duration> {
        let of_tenant = |act| AuditQuery {
            whose: Whose::Tenant(self.names.tenant(turn)),
            act: Some(act),
            ..AuditQuery::default()
        };
        let number = turn % self.rows + 1;
        let query = match search {
            Search::Predictions => of_tenant(Act::Predict),
            Search::Refusals => of_tenant(Act::Refuse),
            Search::Request => AuditQuery {
                request_id: Some(request_id(number)),
                ..AuditQuery::default()
            },
        };
        let began = Instant::now();
        let found = self.stores.audit.page(&query, Page::Before(None), PAGE);
        let found = self.runtime.block_on(found)?;
        let took = began.elapsed();
        let is_right = match search {
            Search::Request => found.iter().map(|record| record.seq).eq([number]),
            Search::Predictions | Search::Refusals => {
                !found.is_empty()
                    && found
                        .iter()
                        .all(|record| query.act == Some(record.entry.act))
            }
        };
        if !is_right {
            bail!("{query:?} finds {} rows, and not those", found.len());
        }
        Ok(took)
    }

    /// A look at the whole log, and how long it takes.
    pub(crate) fn verify(&self) -> Result<(Duration, Verdict)> {
        let known = Known {
            last: Some(self.rows),
            ..Known::default()
        };
        let began = Instant::now();
        let verdict = self.stores.audit.verify(known);
        let verdict = self.runtime.block_on(verdict)?;
        Ok((began.elapsed(), verdict))
    }

    /// The same, where all rows must be good.
    pub(crate) fn verify_all(&self) -> Result<Duration> {
        let (took, verdict) = self.verify()?;
        if verdict.broken.is_some() || verdict.good != self.rows {
            bail!("a log of {} good rows is said to be {verdict:?}", self.rows);
        }
        Ok(took)
    }

    /// Its file, as somebody opens it who has no key and none of our program.
    pub(crate) fn file(&self) -> Result<Connection> {
        let file: PathBuf = self.folder.path().join("foretell.db");
        Connection::open(&file).with_context(|| format!("cannot open {}", file.display()))
    }

    /// Bytes of the database for each row, what is still in its write-ahead log among them.
    pub(crate) fn bytes_per_row(&self) -> Result<f64> {
        let file = self.file()?;
        let number = |name: &str| -> rusqlite::Result<i64> {
            file.pragma_query_value(None, name, |row| row.get(0))
        };
        let bytes = number("page_count")? * number("page_size")?;
        Ok(bytes as f64 / self.rows as f64)
    }
}

/// Who and what the rows are about.
struct Names {
    tenants: Vec<TenantId>,
    keys: Vec<Arc<str>>,
    models: Vec<Model>,
}

struct Model {
    name: String,
    digest: String,
}

impl Names {
    fn new() -> Result<Self> {
        let tenants = (0..TENANTS).map(|n| TenantId::parse(&format!("tenant-{n}")));
        let models = (0..MODELS).map(|n| Model {
            name: format!("lead-score-{n}"),
            digest: hexadecimal(n),
        });
        Ok(Self {
            tenants: tenants.collect::<Result<_, _>>()?,
            keys: (0..KEYS).map(|n| format!("key_{n:016}").into()).collect(),
            models: models.collect(),
        })
    }

    /// One of the tenants.
    fn tenant(&self, number: u64) -> TenantId {
        self.tenants[(number % TENANTS) as usize].clone()
    }

    /// What is written for the row of this number; the same at every run.
    fn row(&self, number: u64) -> Spent {
        let chance = mix(number);
        let is_refused = number.is_multiple_of(REFUSED);
        // In turn, where there are few.
        let turn = if is_refused { number / REFUSED } else { chance };
        let key = turn % KEYS;
        let model = &self.models[(chance >> 8) as usize % self.models.len()];
        let prediction = Entry {
            at: BEGIN_MS + (number / ROWS_PER_MS) as i64,
            // A key is of one tenant.
            tenant: Some(self.tenant(key)),
            actor: Arc::clone(&self.keys[key as usize]),
            act: Act::Predict,
            object: format!("{}/1", model.name),
            outcome: "ok".into(),
            request_id: Some(request_id(number)),
            origin: None,
            detail: String::new(),
            once: None,
        };
        if is_refused {
            return Spent {
                entry: Entry {
                    act: Act::Refuse,
                    outcome: "rate_limited".into(),
                    detail: format!("{{\"count\":{}}}", chance % 1_000),
                    ..prediction
                },
                model: String::new(),
                version: String::new(),
                used: Used::default(),
            };
        }
        let used = Used {
            calls: 1,
            predictions: 1,
            compute_us: 5 + (chance >> 16) % 40,
            credits: 1_000_000,
            ..Used::default()
        };
        // As `evidence/rows.rs` has it.
        let detail = format!(
            "{{\"digest\":\"{}\",\"cache\":\"miss\",\"took_us\":{},\"predictions\":{},\"compute_us\":{},\
             \"micro_credits\":{},\"input\":\"{}\"}}",
            model.digest,
            60 + (chance >> 24) % 400,
            used.predictions,
            used.compute_us,
            used.credits,
            hexadecimal(number)
        );
        Spent {
            entry: Entry {
                detail,
                ..prediction
            },
            model: model.name.clone(),
            version: "1".to_owned(),
            used,
        }
    }
}

/// The request of a row: another for each.
fn request_id(number: u64) -> RequestId {
    RequestId::from_bits(u128::from(mix(number)) << 64 | u128::from(mix(!number)))
}

/// Something like a digest, as 64 hexadecimal digits.
fn hexadecimal(number: u64) -> String {
    let parts = [1, 2, 3, 4].map(|part| format!("{:016x}", mix(number.rotate_left(8) ^ part)));
    parts.concat()
}

/// splitmix64: numbers without order, another for each, the same at every run.
const fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn rows_are_of_all_and_each_says_what_a_prediction_says() {
        let names = Names::new().unwrap();
        let rows: Vec<Spent> = (1..BATCH).map(|number| names.row(number)).collect();
        let all = |what: fn(&Spent) -> String| rows.iter().map(what).collect::<BTreeSet<_>>().len();
        assert_eq!(all(|row| format!("{:?}", row.entry.tenant)), 3);
        assert_eq!(all(|row| row.entry.actor.to_string()), 20);
        assert_eq!(all(|row| row.entry.object.clone()), 5);
        assert_eq!(all(|row| format!("{:?}", row.entry.request_id)), rows.len());
        let refused = rows.iter().filter(|row| row.entry.act == Act::Refuse);
        assert_eq!(refused.count(), 7);
        let detail = &rows[0].entry.detail;
        let read: Value = serde_json::from_str(detail).unwrap();
        assert_eq!(read["input"].as_str().unwrap().len(), 64);
        assert!((220..270).contains(&detail.len()), "{detail}");
    }
}
