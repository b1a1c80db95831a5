//! `kill -9` between a prediction and its charge.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use foretell_tests::{Client, ServerProcess, guests};

use super::{asked, micro, standing};

const CALLERS: usize = 4;
const ROUNDS: usize = 300;
const SEED: u64 = 0x0c4a_26ed;

/// What one caller knows.
#[derive(Default)]
struct Caller {
    /// Calls that were answered.
    answered: usize,
    /// Calls that were answered, and had been charged before.
    repeated: usize,
    /// Whether the next one was sent before, without an answer.
    is_open: bool,
}

/// Sends calls, each with a key of its own, until the server is gone. A call without an answer is sent again with its key.
fn call_until_killed(client: &Client, name: usize, caller: &mut Caller, begun: &mpsc::Sender<()>) {
    loop {
        let key = format!("{name}-{}", caller.answered);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
        ];
        let was_open = caller.is_open;
        caller.is_open = true;
        let _ = begun.send(());
        let body = asked().to_string().into();
        let Ok(response) = client.try_send("POST", "/api/predict/m", &headers, body) else {
            return;
        };
        // Right after a start, nobody else has a call of this key under way.
        assert_eq!(response.status, 200, "{key}: {}", response.text());
        let is_repeated = response.header("idempotency-replayed") == Some("true");
        assert!(!is_repeated || was_open, "{key} was never sent before");
        let credits = if is_repeated { "0" } else { "1" };
        assert_eq!(response.header("x-credits-used"), Some(credits), "{key}");
        caller.repeated += usize::from(is_repeated);
        caller.answered += 1;
        caller.is_open = false;
    }
}

#[test]
fn a_call_is_charged_exactly_once_however_often_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("FORETELL_CACHE__ENABLED", "false")];
    let start = || ServerProcess::start_with(folder.path(), &environment);
    let server = start();
    let tenant = server.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    let key = tenant.key().to_owned();
    server.kill();

    let mut callers: [Caller; CALLERS] = Default::default();
    let mut random = SEED;
    for round in 0..ROUNDS {
        let server = start();
        let spent = micro(&standing(&server, "acme")["account"]["spent"]) / 1_000_000;
        let answered: usize = callers.iter().map(|caller| caller.answered).sum();
        let open = callers.iter().filter(|caller| caller.is_open).count();
        let possible = answered..=answered + open;
        assert!(
            possible.contains(&usize::try_from(spent).unwrap()),
            "round {round}: {spent} credits for {answered} answers and {open} open calls"
        );
        let client = Client::new(server.url()).with_key(&key);
        let (begun, begins) = mpsc::channel();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let calls = 1 + (random >> 33) % 60;
        thread::scope(|scope| {
            for (name, caller) in callers.iter_mut().enumerate() {
                let (client, begun) = (&client, begun.clone());
                scope.spawn(move || call_until_killed(client, name, caller, &begun));
            }
            drop(begun);
            for _ in 0..calls {
                begins.recv_timeout(Duration::from_secs(60)).unwrap();
            }
            // In the midst of calls, at no instant that anybody chose.
            server.kill();
        });
    }

    let server = start();
    let client = Client::new(server.url()).with_key(&key);
    for (name, caller) in callers.iter_mut().enumerate() {
        if caller.is_open {
            let key = format!("{name}-{}", caller.answered);
            let headers = [
                ("content-type", "application/json"),
                ("idempotency-key", key.as_str()),
            ];
            let body = asked().to_string().into();
            let last = client.send("POST", "/api/predict/m", &headers, body);
            assert_eq!(last.status, 200, "{}", last.text());
            caller.answered += 1;
        }
    }
    let answered: usize = callers.iter().map(|caller| caller.answered).sum();
    let repeated: usize = callers.iter().map(|caller| caller.repeated).sum();
    let spent = micro(&standing(&server, "acme")["account"]["spent"]);
    assert_eq!(spent, answered as i64 * 1_000_000);
    assert!(answered >= ROUNDS, "{answered} answers");
    assert!(repeated > 0, "no kill came between a charge and its answer");
    let verdict = server.operator().get("/api/audit/verify").is(200).json();
    assert_eq!(verdict["ok"], true, "{verdict}");
}
