//! The run itself: connections as tasks of one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet, yield_now};
use tokio::time::{sleep_until, timeout_at};

use super::connection::Connection;
use super::tally::{Spent, Tally};
use super::{Outcome, Pace, Plan};
use crate::cpu;

/// The timer of the runtime ticks in milliseconds: from here to its time, a request's task looks at the clock.
const SPIN: Duration = Duration::from_micros(1_500);

/// Connections that fail one after the other until the server is given up.
const MAX_FAILURES: u32 = 100;

/// Sends the load and counts what becomes of it. Takes the plan's time and some seconds, at most.
///
/// # Errors
/// If the plan cannot be followed, or the server refuses connections.
pub fn run(plan: &Plan) -> Result<Outcome> {
    if plan.requests.is_empty() || plan.pace.connections() == 0 {
        bail!("a load needs a request and a connection");
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = LocalSet::new().block_on(&runtime, drive(plan))?;
    Ok(outcome)
}

/// What all connections share.
struct Shared {
    address: String,
    requests: Vec<Vec<u8>>,
    pace: Pace,
    begin: Instant,
    end: Instant,
    max_requests: u64,
    next: Cell<u64>,
    failures: Cell<u32>,
    /// Requests sent and answers read.
    moves: Cell<u64>,
    /// Time in which there was nothing to do.
    idle: Cell<Duration>,
    tally: RefCell<Tally>,
    /// When the requests under way were due.
    under_way: RefCell<std::collections::BTreeMap<u64, Instant>>,
}

async fn drive(plan: &Plan) -> Result<Outcome> {
    let connect = |address: &str| {
        let address = address.to_owned();
        async move {
            Connection::open(&address)
                .await
                .with_context(|| format!("no connection to {address}"))
        }
    };
    let mut idle = Vec::with_capacity(plan.idle_connections);
    for _ in 0..plan.idle_connections {
        idle.push(connect(&plan.address).await?);
    }
    let mut connections = Vec::with_capacity(plan.pace.connections());
    for _ in 0..plan.pace.connections() {
        connections.push(connect(&plan.address).await?);
    }

    let begin = Instant::now();
    let span = begin + plan.warm_up..begin + plan.warm_up + plan.measure;
    let shared = Rc::new(Shared {
        address: plan.address.clone(),
        requests: plan
            .requests
            .iter()
            .map(|request| request.encode(&plan.address))
            .collect(),
        pace: plan.pace,
        begin,
        end: span.end,
        max_requests: plan.max_requests,
        next: Cell::new(0),
        failures: Cell::new(0),
        moves: Cell::new(0),
        idle: Cell::new(Duration::ZERO),
        tally: RefCell::new(Tally::new(span.clone())?),
        under_way: RefCell::default(),
    });
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn_local(Rc::clone(&shared).serve(connection));
    }
    let mut awake = JoinSet::new();
    // One that waits for each answer before it asks again keeps no server busy, and may run beside another load.
    if matches!(plan.pace, Pace::Closed { connections: 2.. }) {
        awake.spawn_local(Rc::clone(&shared).stay_awake());
    }
    sleep_until(span.start.into()).await;
    let before = (cpu::time_of(&plan.processes), shared.busy());
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    tokio::pin!(all_ended);
    let ended = timeout_at(span.end.into(), &mut all_ended).await.is_ok();
    let spent = Spent {
        by_server: cpu::time_of(&plan.processes).saturating_sub(before.0),
        by_generator: shared.busy().saturating_sub(before.1),
        until: Instant::now(),
    };
    if !ended {
        // What is late is waited for, but not for ever; the rest is counted as it stands.
        let _ = timeout_at((span.end + plan.patience).into(), all_ended).await;
    }
    drop(idle);
    shared.count_unanswered();
    if shared.failures.get() >= MAX_FAILURES {
        bail!(
            "{MAX_FAILURES} connections to {} failed one after the other: {:?}",
            plan.address,
            shared.tally.borrow().outcome(spent).errors
        );
    }
    Ok(shared.tally.borrow().outcome(spent))
}

impl Shared {
    /// Sends requests over this connection, and over others where it fails, until the run ends.
    async fn serve(self: Rc<Self>, first: Connection) {
        let mut connection = Some(first);
        while self.failures.get() < MAX_FAILURES {
            let Some((number, due)) = self.take() else {
                return;
            };
            if let Some(due) = due {
                wait_for(due).await;
            }
            let started = Instant::now();
            let due = due.unwrap_or(started);
            self.under_way.borrow_mut().insert(number, due);
            self.moved();
            let request = &self.requests[number as usize % self.requests.len()];
            let answered = async {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => Connection::open(&self.address).await?,
                };
                let answered = open.exchange(request).await?;
                connection = (!answered.closes).then_some(open);
                std::io::Result::Ok(answered)
            }
            .await;
            let now = Instant::now();
            self.moved();
            self.under_way.borrow_mut().remove(&number);
            let mut tally = self.tally.borrow_mut();
            match answered {
                Ok(answered) => {
                    let belongs = match self.pace {
                        Pace::Closed { .. } => now,
                        Pace::Open { .. } => due,
                    };
                    tally.answer(belongs, now - due, answered.status, answered.bytes, now);
                    if answered.closes {
                        tally.reopened(now);
                    }
                    self.failures.set(0);
                }
                Err(error) => {
                    tally.error(now, error.kind().to_string());
                    self.failures.set(self.failures.get() + 1);
                }
            }
        }
    }

    /// Looks for answers without end. A generator that sleeps has to be woken by the server's own system call, which costs the
    /// server more than all else that it sends, and the more often the slower it is: no caller across a network is felt so.
    async fn stay_awake(self: Rc<Self>) {
        loop {
            let (moves, since) = (self.moves.get(), Instant::now());
            yield_now().await;
            if self.moves.get() == moves {
                self.idle.set(self.idle.get() + since.elapsed());
            }
        }
    }

    fn moved(&self) {
        self.moves.set(self.moves.get() + 1);
    }

    /// Time in which the generator has worked.
    fn busy(&self) -> Duration {
        cpu::time_of_this_thread().saturating_sub(self.idle.get())
    }

    /// The next request, and when it is due, if it has a time; `None` once the run is over.
    fn take(&self) -> Option<(u64, Option<Instant>)> {
        let number = self.next.get();
        let due = self.due(number);
        if number >= self.max_requests || due.unwrap_or_else(Instant::now) >= self.end {
            return None;
        }
        self.next.set(number + 1);
        Some((number, due))
    }

    fn due(&self, number: u64) -> Option<Instant> {
        match self.pace {
            Pace::Closed { .. } => None,
            Pace::Open { per_second, .. } => {
                Some(self.begin + Duration::from_secs_f64(number as f64 / per_second))
            }
        }
    }

    /// At the end: what is under way, and what became due and was never sent.
    fn count_unanswered(&self) {
        let now = Instant::now();
        let mut tally = self.tally.borrow_mut();
        for due in self.under_way.borrow().values() {
            tally.unanswered(*due, now.saturating_duration_since(*due));
        }
        if self.due(0).is_some() {
            while let Some((_, Some(due))) = self.take() {
                tally.unanswered(due, now.saturating_duration_since(due));
            }
        }
    }
}

async fn wait_for(due: Instant) {
    if let Some(early) = due.checked_sub(SPIN)
        && early > Instant::now()
    {
        sleep_until(early.into()).await;
    }
    while Instant::now() < due {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::http::Request;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    /// A server that hands each connection to `serve`, in a thread of its own.
    fn server(serve: fn(TcpStream)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream));
            }
        });
        address
    }

    /// Reads one request without a body; false at the end of the connection.
    fn request(stream: &mut TcpStream) -> bool {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return false,
            }
        }
        true
    }

    fn plan(address: &str, pace: Pace, milliseconds: u64) -> Plan {
        Plan {
            address: address.to_owned(),
            requests: vec![Request::new("GET", "/")],
            pace,
            warm_up: Duration::from_millis(20),
            measure: Duration::from_millis(milliseconds),
            max_requests: u64::MAX,
            patience: Duration::from_millis(300),
            idle_connections: 0,
            processes: vec![std::process::id()],
        }
    }

    #[test]
    fn a_closed_loop_counts_what_it_is_answered() {
        let address = server(|mut stream| {
            while request(&mut stream) {
                stream.write_all(ANSWER).unwrap();
            }
        });
        let pace = Pace::Closed { connections: 3 };
        let outcome = run(&plan(&address, pace, 200)).unwrap();
        assert!(outcome.all_succeeded(), "{outcome:?}");
        assert!(outcome.answered > 0, "{outcome:?}");
        assert!(outcome.server_cpu_us > 0.0 && outcome.own_load > 0.0);
        let per_answer = outcome.bytes_per_second / outcome.per_second;
        assert_eq!(per_answer.round() as usize, ANSWER.len());
    }

    #[test]
    fn an_open_loop_counts_from_the_time_at_which_a_request_was_due() {
        // One connection that is answered after 20 ms, asked every 5 ms: each request waits 15 ms longer than the one
        // before, although none is under way for more than 20 ms. A closed loop would show 20 ms throughout.
        let address = server(|mut stream| {
            let (_never, nothing) = mpsc::channel::<()>();
            while request(&mut stream) {
                let _ = nothing.recv_timeout(Duration::from_millis(20));
                stream.write_all(ANSWER).unwrap();
            }
        });
        let pace = Pace::Open {
            connections: 1,
            per_second: 200.0,
        };
        let mut plan = plan(&address, pace, 200);
        plan.patience = Duration::from_secs(10);
        let outcome = run(&plan).unwrap();
        assert_eq!((outcome.answered, outcome.unanswered), (40, 0));
        assert!(outcome.latency.max > 500_000.0, "{outcome:?}");
        assert!(outcome.latency.p50 > 250_000.0, "{outcome:?}");
    }

    #[test]
    fn an_open_loop_keeps_to_its_rate_where_the_server_can() {
        let address = server(|mut stream| {
            while request(&mut stream) {
                stream.write_all(ANSWER).unwrap();
            }
        });
        let pace = Pace::Open {
            connections: 8,
            per_second: 500.0,
        };
        let outcome = run(&plan(&address, pace, 400)).unwrap();
        // Due in the time that is counted: 200 requests, every one of them.
        assert_eq!((outcome.answered, outcome.unanswered), (200, 0));
    }

    #[test]
    fn what_a_silent_server_never_answers_is_counted() {
        let address = server(|mut stream| while request(&mut stream) {});
        let pace = Pace::Open {
            connections: 2,
            per_second: 100.0,
        };
        let outcome = run(&plan(&address, pace, 100)).unwrap();
        assert_eq!((outcome.answered, outcome.unanswered), (0, 10));
        assert!(outcome.latency.p50 > 250_000.0, "{outcome:?}");
    }

    #[test]
    fn a_server_that_closes_is_connected_to_again() {
        let address = server(|mut stream| {
            request(&mut stream);
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).unwrap();
        });
        let outcome = run(&plan(&address, Pace::Closed { connections: 2 }, 100)).unwrap();
        assert!(outcome.all_succeeded(), "{outcome:?}");
        assert_eq!(outcome.reopened, outcome.answered);
    }

    #[test]
    fn a_run_ends_with_its_last_request() {
        let address = server(|mut stream| {
            while request(&mut stream) {
                stream.write_all(ANSWER).unwrap();
            }
        });
        let mut plan = plan(&address, Pace::Closed { connections: 2 }, 60_000);
        plan.max_requests = 50;
        plan.warm_up = Duration::ZERO;
        let outcome = run(&plan).unwrap();
        assert_eq!(outcome.answered, 50);
    }

    #[test]
    fn no_server_is_an_error() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let error = run(&plan(&address, Pace::Closed { connections: 1 }, 10)).unwrap_err();
        assert!(error.to_string().contains("no connection"), "{error:#}");
    }
}
