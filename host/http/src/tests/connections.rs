//! Hostile bytes on real sockets, and the end of the server.

use std::time::{Duration, Instant};

use foretell_predict::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::host::{Host, PATIENCE, Reply, age, read_to_close};
use crate::HttpConfig;

/// How many responses there are in what came back.
fn responses(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).matches("HTTP/1.1 ").count()
}

/// Reads one response with a Content-Length and leaves the connection open.
async fn one_response(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        let read = timeout(PATIENCE, stream.read(&mut chunk))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(
            read,
            0,
            "closed after {:?}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        if body.len() >= length.parse::<usize>().unwrap() {
            return Reply::parse(&bytes, false);
        }
    }
}

#[tokio::test]
async fn requests_that_two_readers_could_cut_differently_get_one_answer_and_an_end() {
    let host = Host::start().await;
    let smuggled = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";
    for head in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        // By RFC 9112 the chunks count, and the connection ends, so nothing that follows is ever a request.
        let wire = format!("POST /livez HTTP/1.1\r\nhost: x\r\n{head}\r\n0\r\n\r\n{smuggled}");
        let answer = host.raw(wire.as_bytes()).await;
        assert_eq!(
            responses(&answer),
            1,
            "{head}: {}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(Reply::parse(&answer, false).status, 405);
    }
    for head in [
        "content-length: 4\r\ncontent-length: 5\r\n",
        "content-length: 4, 5\r\n",
        "content-length: +4\r\n",
        "content-length: -1\r\n",
        "content-length: 0x4\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length : 4\r\n",
        "x: a\r\n folded\r\n",
        "x: a\0b\r\n",
        "x\0: a\r\n",
        ": empty\r\n",
        "no colon\r\n",
    ] {
        let wire = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{head}\r\n{smuggled}");
        let answer = host.raw(wire.as_bytes()).await;
        assert_eq!(
            responses(&answer),
            1,
            "{head}: {}",
            String::from_utf8_lossy(&answer)
        );
        let reply = Reply::parse(&answer, false);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "malformed"),
            "{head:?}"
        );
        assert_eq!(reply.header("connection"), Some("close"), "{head:?}");
    }
}

#[tokio::test]
async fn heads_beyond_their_limits_are_refused() {
    let host = Host::start().await;
    let many: String = (0..10_000).map(|i| format!("x{i}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(64 << 10));
    for headers in [&many, &long] {
        let answer = host
            .raw(format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes())
            .await;
        let reply = Reply::parse(&answer, false);
        assert_eq!((reply.status, reply.code().as_str()), (431, "too_large"));
    }
    let few: String = (0..60).map(|i| format!("x{i}: 1\r\n")).collect();
    let answer = host
        .raw(format!("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{few}\r\n").as_bytes())
        .await;
    assert_eq!(Reply::parse(&answer, false).status, 200);
    let url = format!("/v2/models/{}", "x".repeat(9_000));
    let reply = host.get(&url, "").await;
    assert_eq!((reply.status, reply.code().as_str()), (414, "too_large"));
}

#[tokio::test]
async fn a_slow_head_is_cut_off_in_time_on_new_and_old_connections() {
    let config = HttpConfig {
        header_timeout: Duration::from_millis(200),
        ..HttpConfig::default()
    };
    let host = Host::with(config, Limits::default()).await;
    let since = Instant::now();
    let mut silent = host.connect().await;
    let mut halting = host.connect().await;
    halting
        .write_all(b"GET /livez HTTP/1.1\r\nx")
        .await
        .unwrap();
    let mut second = host.connect().await;
    second
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(one_response(&mut second).await.status, 200);
    second.write_all(b"GET /livez HTTP/1.1\r\nx").await.unwrap();
    for stream in [&mut silent, &mut halting, &mut second] {
        assert_eq!(read_to_close(stream).await, b"");
    }
    assert!(
        since.elapsed() < HttpConfig::default().header_timeout,
        "the configured time counts"
    );
}

#[tokio::test]
async fn an_idle_connection_lives_longer_than_a_slow_head_and_ends_too() {
    let config = HttpConfig {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(400),
        ..HttpConfig::default()
    };
    let host = Host::with(config, Limits::default()).await;
    let mut stream = host.connect().await;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(one_response(&mut stream).await.status, 200);
    let since = Instant::now();
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert!(
        since.elapsed() >= Duration::from_millis(200),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn a_slow_body_is_cut_off_with_an_answer() {
    let config = HttpConfig {
        body_patience: Duration::from_millis(100),
        ..HttpConfig::default()
    };
    let host = Host::with(config, Limits::default()).await;
    let key = host.furnish().await;
    let mut stream = host.connect().await;
    let head = format!(
        "POST /api/predict/people HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 5000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = Reply::parse(&read_to_close(&mut stream).await, false);
    assert_eq!((reply.status, reply.code().as_str()), (400, "malformed"));
    assert!(reply.text.contains("too slowly"), "{}", reply.text);
}

#[tokio::test]
async fn bodies_are_counted_whatever_their_length_is_said_to_be() {
    let limits = Limits {
        max_body_bytes: 100_000,
        ..Limits::default()
    };
    let host = Host::with(HttpConfig::default(), limits).await;
    let key = host.furnish().await;
    let head = format!(
        "POST /api/predict/people HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\n"
    );
    let chunked = |bytes: usize| {
        let mut wire = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
        let mut left = bytes - br#"{"age":1}"#.len();
        while left > 0 {
            let size = left.min(7_000);
            wire.extend_from_slice(format!("{size:x}\r\n{}\r\n", " ".repeat(size)).as_bytes());
            left -= size;
        }
        wire.extend_from_slice(b"9\r\n{\"age\":1}\r\n0\r\n\r\n");
        wire
    };
    assert_eq!(
        Reply::parse(&host.raw(&chunked(100_000)).await, false).status,
        200,
        "up to the limit"
    );
    assert_eq!(
        Reply::parse(&host.raw(&chunked(100_001)).await, false).status,
        413,
        "one byte over it"
    );
    assert_eq!(
        Reply::parse(&host.raw(&chunked(20_000_000)).await, false).status,
        413,
        "far over it"
    );

    let said = format!("{head}content-length: 100001\r\n\r\n");
    assert_eq!(
        Reply::parse(&host.raw(said.as_bytes()).await, false).status,
        413,
        "before a byte is sent"
    );
    let expecting = format!("{head}expect: 100-continue\r\ncontent-length: 100001\r\n\r\n");
    let answer = host.raw(expecting.as_bytes()).await;
    assert_eq!(
        (responses(&answer), Reply::parse(&answer, false).status),
        (1, 413),
        "no 100 before a refusal"
    );
}

#[tokio::test]
async fn a_caller_that_asks_first_is_told_to_go_on() {
    let host = Host::start().await;
    let key = host.furnish().await;
    let mut stream = host.connect().await;
    let head = format!(
        "POST /api/predict/people HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut go_on))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(br#"{"age":1}"#).await.unwrap();
    assert_eq!(
        Reply::parse(&read_to_close(&mut stream).await, false).status,
        200
    );
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_request() {
    let host = Host::start().await;
    let key = host.furnish().await;
    let mut stream = host.connect().await;
    let head = format!(
        "POST /api/predict/people HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 50\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    // The caller is gone; whatever it is told, the server lives.
    let _maybe = read_to_close(&mut stream).await;
    assert_eq!(host.get("/livez", "").await.status, 200);
}

#[tokio::test]
async fn a_refused_body_does_not_hide_the_refusal() {
    let host = Host::start().await;
    // Ten megabytes for a route that reads none of them: the answer must arrive all the same.
    let reply = host
        .call(
            "POST",
            "/api/predict/people",
            "",
            &[],
            &vec![b'x'; 10 << 20],
        )
        .await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn an_answer_says_that_the_connection_ends_if_a_body_is_left_unread() {
    let host = Host::start().await;
    let mut stream = host.connect().await;
    let refused = |bytes: usize| {
        let body = "x".repeat(bytes);
        format!(
            "POST /api/predict/people HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n{body}"
        )
    };
    for (bytes, connection) in [(2, None), (2, None), (100_000, Some("close"))] {
        stream.write_all(refused(bytes).as_bytes()).await.unwrap();
        let reply = one_response(&mut stream).await;
        assert_eq!(
            (reply.status, reply.header("connection")),
            (401, connection)
        );
    }
    assert_eq!(read_to_close(&mut stream).await, b"");
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let host = Host::start().await;
    let mut stream = host.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(one_response(&mut stream).await.status, 200);
    }
    let piped = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(piped).await.unwrap();
    assert_eq!(responses(&read_to_close(&mut stream).await), 2);
    drop(stream);
    let summary = host.ended().await;
    assert_eq!(
        (summary.connections, summary.requests, summary.cut_off),
        (1, 5, 0)
    );
}

#[tokio::test]
async fn a_caller_that_does_not_read_its_answer_is_let_go() {
    let config = HttpConfig {
        idle_timeout: Duration::from_millis(200),
        drain_grace: PATIENCE * 2,
        ..HttpConfig::default()
    };
    let mut host = Host::with(config, Limits::default()).await;
    let key = host.tenant("acme").await;
    let path = "/api/models/m/versions/1";
    let put = host.call("PUT", path, &key, &[], b"wordy").await;
    assert_eq!(put.status, 201);
    let mut deaf = host.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n");
    deaf.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 12];
    timeout(PATIENCE, deaf.read_exact(&mut begin))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    // The drain waits for every connection; this one would keep it for as long as its caller likes.
    host.stop();
    assert_eq!(host.ended().await.cut_off, 0);
    let mut rest = Vec::new();
    let _end_or_reset = timeout(PATIENCE, deaf.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.len() < put.text.len(), "the whole answer was taken");
}

#[tokio::test]
async fn a_full_server_says_so() {
    let config = HttpConfig {
        max_connections: 1,
        ..HttpConfig::default()
    };
    let host = Host::with(config, Limits::default()).await;
    let mut first = host.connect().await;
    first
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(one_response(&mut first).await.status, 200);
    let mut second = host.connect().await;
    let reply = Reply::parse(&read_to_close(&mut second).await, false);
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    drop((first, second));
    assert_eq!(host.ended().await.turned_away, 1);
}

#[tokio::test]
async fn a_stopping_server_is_not_ready_and_ends_what_it_began() {
    let config = HttpConfig {
        drain_delay: Duration::from_secs(600),
        ..HttpConfig::default()
    };
    let mut delaying = Host::with(config, Limits::default()).await;
    delaying.stop();
    // It still answers, and says that nobody should come any more.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = delaying.get("/readyz", "").await;
        if reply.status == 503 {
            assert_eq!(reply.code(), "draining");
            assert!(reply.header("retry-after").is_some());
            break;
        }
        assert!(Instant::now() < deadline, "still ready");
    }
    let v2 = delaying.get("/v2/health/ready", "").await;
    assert_eq!((v2.status, v2.code().as_str()), (503, "draining"));
    assert_eq!(delaying.get("/livez", "").await.status, 200);

    let (mut host, key) = Host::with_models().await;
    let mut idle = host.connect().await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    one_response(&mut idle).await;
    let mut busy = host.connect().await;
    let body = format!(r#"{{"age":{}}}"#, age::WAITS);
    let request = format!(
        "POST /api/predict/people HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    busy.write_all(request.as_bytes()).await.unwrap();
    timeout(PATIENCE, host.gate.entered.notified())
        .await
        .unwrap();
    host.stop();
    assert_eq!(
        read_to_close(&mut idle).await,
        b"",
        "an idle connection ends at once"
    );
    assert!(
        TcpStream::connect(host.address).await.is_err(),
        "nobody is accepted any more"
    );
    host.gate.open.notify_one();
    let reply = Reply::parse(&read_to_close(&mut busy).await, false);
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    let summary = host.ended().await;
    assert_eq!(summary.cut_off, 0);
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_period_is_cut_off() {
    let config = HttpConfig {
        drain_grace: Duration::from_millis(50),
        ..HttpConfig::default()
    };
    let mut host = Host::with(config, Limits::default()).await;
    let key = host.furnish().await;
    let mut busy = host.connect().await;
    let body = format!(r#"{{"age":{}}}"#, age::WAITS);
    let request = format!(
        "POST /api/predict/people HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    busy.write_all(request.as_bytes()).await.unwrap();
    timeout(PATIENCE, host.gate.entered.notified())
        .await
        .unwrap();
    host.stop();
    let summary = host.ended().await;
    assert_eq!(summary.cut_off, 1);
    assert_eq!(read_to_close(&mut busy).await, b"");
}

#[tokio::test]
async fn a_head_that_is_no_request_is_answered_after_those_before_it() {
    let host = Host::start().await;
    let wire =
        b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /readyz HTTP/1.1\r\nhost x\r\n\r\nGET /livez";
    let answer = String::from_utf8(host.raw(wire).await).unwrap();
    let second = answer.rfind("HTTP/1.1 ").unwrap();
    assert_eq!(
        Reply::parse(&answer.as_bytes()[..second], false).status,
        200
    );
    let reply = Reply::parse(&answer.as_bytes()[second..], false);
    assert_eq!((reply.status, reply.code().as_str()), (400, "malformed"));
}

#[tokio::test]
async fn a_request_for_no_host_or_for_two_or_through_a_proxy_is_refused() {
    let host = Host::start().await;
    for (head, status) in [
        ("GET /livez HTTP/1.1\r\nhost: x\r\n", 200),
        ("GET http://x/livez HTTP/1.1\r\nhost: x\r\n", 200),
        ("GET /livez HTTP/1.0\r\n", 200),
        ("GET /livez HTTP/1.1\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: x\r\nhost: x\r\n", 400),
        ("GET livez HTTP/1.1\r\nhost: x\r\n", 400),
        ("CONNECT x:443 HTTP/1.1\r\nhost: x\r\n", 400),
    ] {
        let wire = format!("{head}connection: close\r\n\r\n");
        let reply = Reply::parse(&host.raw(wire.as_bytes()).await, false);
        assert_eq!(reply.status, status, "{head}");
        if status == 400 {
            assert_eq!(reply.code(), "malformed", "{head}");
        }
    }
}
