//! Connections of gRPC: what is none, what says nothing, and how they end.

use std::time::Duration;

use foretell_predict::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::host::{Host, PATIENCE, read_to_close};
use crate::HttpConfig;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty frame of settings.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn host(header_timeout: Duration) -> Host {
    let config = HttpConfig {
        header_timeout,
        ..HttpConfig::default()
    };
    Host::with(config, Limits::default()).await
}

#[tokio::test]
async fn who_speaks_http_1_is_told_that_this_is_the_other_port() {
    let host = host(PATIENCE).await;
    for first in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"PRI * HTTP/1.1\r\n",
        b"\0",
    ] {
        let mut stream = TcpStream::connect(host.grpc_address).await.unwrap();
        stream.write_all(first).await.unwrap();
        let said = String::from_utf8(read_to_close(&mut stream).await).unwrap();
        assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
        assert!(said.contains("this port speaks gRPC"), "{said}");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_begin_is_closed() {
    let host = host(Duration::from_millis(50)).await;
    for first in [&b""[..], b"PRI", &PREFACE[..PREFACE.len() - 1]] {
        let mut stream = TcpStream::connect(host.grpc_address).await.unwrap();
        stream.write_all(first).await.unwrap();
        assert!(read_to_close(&mut stream).await.is_empty(), "{first:?}");
    }
}

#[tokio::test]
async fn a_frame_that_is_none_ends_its_connection_and_no_other() {
    let host = host(PATIENCE).await;
    let mut sound = TcpStream::connect(host.grpc_address).await.unwrap();
    sound
        .write_all(&[PREFACE, SETTINGS].concat())
        .await
        .unwrap();
    for wrong in [
        // Longer than a frame may be; settings of a stream; data of a stream that is not open.
        &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1][..],
        &[0, 0, 0, 4, 0, 0, 0, 0, 1],
        &[0, 0, 1, 0, 0, 0, 0, 0, 1, 7],
    ] {
        let mut stream = TcpStream::connect(host.grpc_address).await.unwrap();
        let first = [PREFACE, SETTINGS, wrong].concat();
        stream.write_all(&first).await.unwrap();
        // It is told why, and then it is over.
        assert!(!read_to_close(&mut stream).await.is_empty());
    }
    // A ping is answered by its own eight bytes.
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], b"are you?"].concat();
    sound.write_all(&ping).await.unwrap();
    let mut heard = Vec::new();
    let answered = async {
        while !heard.windows(8).any(|bytes| bytes == b"are you?") {
            assert_ne!(sound.read_buf(&mut heard).await.unwrap(), 0);
        }
    };
    timeout(PATIENCE, answered).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_ends_idle_connections() {
    let mut host = host(PATIENCE).await;
    let mut stream = TcpStream::connect(host.grpc_address).await.unwrap();
    stream
        .write_all(&[PREFACE, SETTINGS].concat())
        .await
        .unwrap();
    // The server's own settings: the connection stands.
    assert_ne!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    host.stop();
    read_to_close(&mut stream).await;
    assert_eq!(host.ended().await.cut_off, 0);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [
        length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
    ];
    [&head[..], payload].concat()
}

#[tokio::test]
async fn a_caller_that_reads_no_answer_is_let_go() {
    let config = HttpConfig {
        idle_timeout: Duration::from_millis(100),
        ..HttpConfig::default()
    };
    let host = Host::with(config, Limits::default()).await;
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/inference.GRPCInferenceService/ServerLive"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        // A literal without indexing, as it is (RFC 7541, 6.2.2).
        headers.push(0);
        for text in [name, value] {
            headers.push(text.len() as u8);
            headers.extend_from_slice(text.as_bytes());
        }
    }
    // Its window is 0 (settings, identifier 4): it takes no data at all.
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let call = [frame(1, 4, 1, &headers), frame(0, 1, 1, &[0; 5])].concat();
    let mut stream = TcpStream::connect(host.grpc_address).await.unwrap();
    let first = [PREFACE, &settings, &call].concat();
    stream.write_all(&first).await.unwrap();
    let heard = read_to_close(&mut stream).await;
    // The head of an answer, whose stream is 1, and no data of it.
    let is_frame = |kind: u8| {
        let wanted = [0, 0, 0, 1];
        heard
            .windows(6)
            .any(|bytes| bytes[0] == kind && bytes[2..] == wanted)
    };
    assert!(is_frame(1), "{heard:?}");
    assert!(!is_frame(0), "{heard:?}");
}
