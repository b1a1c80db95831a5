//! Load: requests at a fixed rate whatever the answers (open loop), or as fast as the answers come (closed loop).
//!
//! A user does not wait for other users. So an open loop measures each answer from the instant at which its request was
//! meant to go out: what a slow server makes later requests wait counts as its own. It uses one thread, so that it leaves
//! the server what there is; its clock ticks in milliseconds, which is what each latency may be too long.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::wire::{self, Reply, Target};

/// After the last request, how long answers are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// Times, to be looked at by rank.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Adds all of another.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this share of all stays within, such as 0.99; zero if there are none.
    pub fn at(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
    }
}

/// What is sent, and how.
#[derive(Debug, Clone)]
pub struct Load {
    /// To whom.
    pub target: Target,
    /// The bytes of each request.
    pub request: Vec<u8>,
    /// Connections, at most.
    pub connections: usize,
    /// For how long.
    pub length: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers by their label.
    pub counts: BTreeMap<String, u64>,
    /// Answers with 200 by the version that gave them.
    pub by_version: BTreeMap<String, u64>,
    /// Of answers with 200, from when the request was meant to go out.
    pub served: Latencies,
    /// The same from when it went out: what is left is the server's, where the generator itself is late.
    pub served_since_sent: Latencies,
    /// Of all other answers, from when the request went out.
    pub refused: Latencies,
    /// Requests that got no answer.
    pub lost: u64,
    /// Answers with 429 or 503 that do not say when to come back.
    pub without_retry_after: u64,
    /// Requests that began later than meant by a tenth of a second or more, for want of a connection or of processor time.
    pub late: u64,
    /// From the first request to the end of sending.
    pub length: Duration,
}

impl Seen {
    /// Requests answered with 200, per second.
    pub fn goodput(&self) -> f64 {
        self.served.count() as f64 / self.length.as_secs_f64().max(1e-9)
    }

    /// Requests per second.
    pub fn offered(&self) -> f64 {
        let requests = self.served.count() + self.refused.count() + self.lost as usize;
        requests as f64 / self.length.as_secs_f64().max(1e-9)
    }

    fn note(&mut self, answer: &io::Result<Reply>, since_meant: Duration, since_sent: Duration) {
        let Ok(reply) = answer else {
            self.lost += 1;
            return;
        };
        *self.counts.entry(reply.label()).or_default() += 1;
        if reply.status == 200 {
            *self.by_version.entry(reply.version.clone()).or_default() += 1;
            self.served.add(since_meant);
            self.served_since_sent.add(since_sent);
        } else {
            self.refused.add(since_sent);
        }
        if matches!(reply.status, 429 | 503) && !reply.has_retry_after {
            self.without_retry_after += 1;
        }
    }
}

impl Load {
    /// So many requests per second, whatever comes back. What a busy machine could not send in time is not sent at all:
    /// [`Seen::offered`] says how many went out.
    pub fn at_rate(&self, per_second: f64) -> Seen {
        let next = Cell::new(0_u32);
        let period = Duration::from_secs_f64(1.0 / per_second);
        self.run(move |start, length| {
            let after = period.saturating_mul(next.get());
            next.set(next.get() + 1);
            (after < length && start.elapsed() < length).then(|| start + after)
        })
    }

    /// Each connection sends its next request when the last one is answered, at once.
    pub fn closed(&self) -> Seen {
        self.run(|start, length| {
            let now = Instant::now();
            (now < start + length).then_some(now)
        })
    }

    /// `next` tells when the next request is to go out, until there is none.
    fn run(&self, next: impl Fn(Instant, Duration) -> Option<Instant> + 'static) -> Seen {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let seen = Rc::new(RefCell::new(Seen::default()));
        let next = Rc::new(next);
        let local = LocalSet::new();
        runtime.block_on(local.run_until(async {
            let start = Instant::now();
            let senders: Vec<_> = (0..self.connections)
                .map(|_| {
                    let (load, next, seen) = (self.clone(), Rc::clone(&next), Rc::clone(&seen));
                    tokio::task::spawn_local(async move {
                        let mut wire = None;
                        while let Some(meant) = next(start, load.length) {
                            sleep_until(meant).await;
                            if meant.elapsed() >= Duration::from_millis(100) {
                                seen.borrow_mut().late += 1;
                            }
                            let sent = Instant::now();
                            let answer = exchange(&load, &mut wire).await;
                            seen.borrow_mut()
                                .note(&answer, meant.elapsed(), sent.elapsed());
                        }
                    })
                })
                .collect();
            let all = async {
                for sender in senders {
                    sender.await.expect("a sender does not panic");
                }
            };
            timeout(self.length + LAST_ANSWERS, all)
                .await
                .expect("every request is answered, or its connection ends");
            seen.borrow_mut().length = start.elapsed().max(self.length);
        }));
        seen.take()
    }
}

async fn exchange(load: &Load, wire: &mut Option<TcpStream>) -> io::Result<Reply> {
    let mut stream = match wire.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(&load.target.address).await?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    stream.write_all(&load.request).await?;
    let mut received = Vec::with_capacity(1 << 10);
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(reply) = wire::read(&received)? {
            if !reply.is_last {
                *wire = Some(stream);
            }
            return Ok(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_read_by_rank() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.at(0.5), Duration::ZERO);
        for ms in (1..=100).rev() {
            latencies.add(Duration::from_millis(ms));
        }
        assert_eq!(latencies.at(0.5), Duration::from_millis(50));
        assert_eq!(latencies.at(0.99), Duration::from_millis(99));
        assert_eq!(latencies.at(1.0), Duration::from_millis(100));
    }
}
