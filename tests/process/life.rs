//! How a server starts and how it stops.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use foretell_tests::guests::Misdeed;
use foretell_tests::process::foretell;
use foretell_tests::wait::{PATIENCE, until};
use foretell_tests::{Client, ServerProcess, guests};
use serde_json::json;

/// A prediction whose head the server has read, and whose body is still to come.
struct Unfinished {
    stream: BufReader<TcpStream>,
    body: String,
}

impl Unfinished {
    /// Begins a prediction and returns once the server waits for its body.
    fn begin(server: &ServerProcess, key: &str) -> Self {
        let address = server.url().strip_prefix("http://").unwrap();
        let body = json!({"x": 1.0}).to_string();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST /api/predict/m HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 100 "), "{line}");
        stream.read_line(&mut line).unwrap();
        Self { stream, body }
    }

    /// Sends the body and returns the answer, head and body.
    fn finish(mut self) -> String {
        self.stream
            .get_mut()
            .write_all(self.body.as_bytes())
            .unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Whether some lane has worked for longer than an honest guest ever does.
fn lanes_are_busy(server: &ServerProcess) -> bool {
    let tasks = Path::new("/proc")
        .join(server.id().to_string())
        .join("task");
    tasks.read_dir().unwrap().any(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        // `id (name) state ...`, where the user's and the system's time are the 12th and 13th after the name, in 10 ms.
        stat.split_once("(lane-").is_some_and(|(_, lane)| {
            let ticks = lane.split_whitespace().skip(12).take(2);
            ticks
                .map(|ticks| ticks.parse::<u64>().unwrap())
                .sum::<u64>()
                > 20
        })
    })
}

/// Waits until a server takes no new connections.
fn until_closed(url: &str) {
    let address = url.strip_prefix("http://").unwrap();
    until("the end of accepting", || {
        TcpStream::connect(address).is_err().then_some(())
    });
}

#[test]
fn a_prediction_under_way_is_answered_after_sigterm_and_the_server_ends_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let tenant = server.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    let unfinished = Unfinished::begin(&server, tenant.key());

    server.terminate();
    until_closed(server.url());
    let answer = unfinished.finish();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"prediction\""), "{answer}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_upload_under_way_is_answered_after_sigterm_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let tenant = server.tenant("acme");
    let key = tenant.key().to_owned();
    let scratch = folder.path().join("tmp");
    let pushed = std::thread::scope(|scope| {
        let push = scope.spawn(|| tenant.push("m", "1", &guests::honest()));
        // It has arrived at least in part.
        until("the upload to arrive", || {
            scratch.read_dir().ok()?.next()?.ok()
        });
        server.terminate();
        push.join().unwrap()
    });
    pushed.is(201);
    assert_eq!(server.wait().code(), Some(0));

    let server = ServerProcess::start(folder.path());
    let client = Client::new(server.url()).with_key(&key);
    client.post("/api/predict/m", &json!({"x": 1.0})).is(200);
}

#[test]
fn a_server_that_is_about_to_stop_says_that_it_is_not_ready_while_it_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        ServerProcess::start_with(folder.path(), &[("FORETELL_SERVER__DRAIN_DELAY", "3s")]);
    let client = Client::new(server.url());
    client.get("/readyz").is(200);
    server.terminate();
    let refused = until("the server to be unready", || {
        let response = client.try_send("GET", "/readyz", &[], Vec::new()).ok()?;
        (response.status != 200).then_some(response)
    });
    assert_eq!((refused.status, refused.code().as_str()), (503, "draining"));
    assert!(refused.header("retry-after").is_some());
    client.get("/livez").is(200);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_guest_that_loops_does_not_keep_a_stopping_server_beyond_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    let grace = [("FORETELL_SERVER__DRAIN_GRACE", "1s")];
    let server = ServerProcess::start_with(folder.path(), &grace);
    let tenant = server.tenant("acme");
    let parts = guests::chameleon().runtime(json!({"deadline_ms": 60_000}));
    tenant.push("m", "1", &parts).is(201);
    let body = serde_json::to_vec(&guests::infer_request(&[Misdeed::Loop.input()])).unwrap();
    let since = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let headers = [("content-type", "application/json")];
            tenant.try_send("POST", "/v2/models/m/infer", &headers, body)
        });
        until("the guest to loop", || {
            lanes_are_busy(&server).then_some(())
        });
        let since = Instant::now();
        server.terminate();
        assert!(call.join().unwrap().is_err(), "it is cut off");
        since
    });
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        since.elapsed() < Duration::from_secs(30),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_told_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let data = folder.path().to_str().unwrap();
    let second = foretell(
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", data],
        &[],
    )
    .ends(69);
    assert!(
        second.stderr.contains("is in use by process"),
        "{}",
        second.stderr
    );
    assert!(
        second
            .stderr
            .contains(&folder.path().canonicalize().unwrap().display().to_string()),
        "{}",
        second.stderr
    );
    assert_eq!(second.stdout, "");
    // The first is none the worse, and once it is gone there is room.
    server.operator().get("/api/tenants").is(200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    ServerProcess::start(folder.path())
        .operator()
        .get("/api/tenants")
        .is(200);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(first.path());
    let address = server.url().strip_prefix("http://").unwrap();
    let refused = foretell(
        &[
            "serve",
            "--listen",
            address,
            "--data-dir",
            second.path().to_str().unwrap(),
        ],
        &[],
    )
    .ends(69);
    assert!(
        refused.stderr.contains(address) && refused.stderr.contains("--listen"),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_first_start_makes_an_operators_key_shows_it_once_and_keeps_it_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let key_shown = |said: &str| {
        let words = said.split(|c: char| c.is_whitespace() || c == ';');
        words
            .into_iter()
            .find(|word| word.starts_with("ftl_live_"))
            .map(str::to_owned)
    };
    let none = [("FORETELL_ADMIN_KEY", "")];
    let server = ServerProcess::start_with(&data, &none);
    let key = key_shown(&server.said()).unwrap_or_else(|| panic!("no key in: {}", server.said()));
    Client::new(server.url())
        .with_key(&key)
        .get("/api/tenants")
        .is(200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));

    let server = ServerProcess::start_with(&data, &none);
    assert_eq!(
        key_shown(&server.said()),
        None,
        "a second start shows a key"
    );
    Client::new(server.url())
        .with_key(&key)
        .get("/api/tenants")
        .is(200);
    drop(server);
    for (file, _) in foretell_tests::host::files(&data) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            !bytes
                .windows(key.len())
                .any(|window| window == key.as_bytes()),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_configuration_that_does_not_hold_ends_with_78_and_names_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("foretell.yaml");
    std::fs::write(
        &file,
        "server:\n  listen: 127.0.0.1:0\n  lisen: 1\nsandbox:\n  deadline_ms: 0\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let data = folder.path().join("data");
    for command in [
        &[
            "serve",
            "--data-dir",
            data.to_str().unwrap(),
            "--config",
            file,
        ][..],
        &["config", "check", "--config", file],
    ] {
        let ended = foretell(command, &[]).ends(78);
        for part in [
            "foretell.yaml:3",
            "lisen",
            "`server.listen`",
            "foretell.yaml:5",
            "sandbox.deadline_ms",
            "1 to 60000",
        ] {
            assert!(
                ended.stderr.contains(part),
                "{command:?}: `{part}` is not in: {}",
                ended.stderr
            );
        }
        assert_eq!(ended.stdout, "", "{command:?}");
    }
    assert!(
        !data.exists(),
        "nothing is made before everything is checked"
    );

    for (environment, part) in [
        (("FORETELL_LISTEN", "nowhere"), "FORETELL_LISTEN"),
        (("FORETELL_ADMIN_KEY", "short"), "FORETELL_ADMIN_KEY"),
        (
            ("FORETELL_SANDBOX__DEADLINE", "5"),
            "FORETELL_SANDBOX__DEADLINE",
        ),
        (
            ("FORETELL_CONFIG", "/no/such/file.yaml"),
            "/no/such/file.yaml",
        ),
    ] {
        let ended = foretell(
            &["serve", "--data-dir", data.to_str().unwrap()],
            &[environment],
        )
        .ends(78);
        assert!(
            ended.stderr.contains(part),
            "{environment:?}: {}",
            ended.stderr
        );
        assert!(
            !ended.stderr.contains("short"),
            "a secret is shown: {}",
            ended.stderr
        );
    }
}

#[test]
fn a_data_folder_that_cannot_be_one_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let ended = foretell(
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", path],
        &[],
    )
    .ends(73);
    assert!(
        ended.stderr.contains(path) && ended.stderr.contains("--data-dir"),
        "{}",
        ended.stderr
    );

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("foretell.db"),
        "this is no database, and it was one once".repeat(400),
    )
    .unwrap();
    let data = folder.path().to_str().unwrap();
    let ended = foretell(
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", data],
        &[],
    )
    .ends(65);
    assert!(ended.stderr.contains("foretell.db"), "{}", ended.stderr);
    assert!(
        Path::new(data).join("foretell.db").exists(),
        "what is damaged is left as it is"
    );
}
