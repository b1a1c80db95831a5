//! The load generator as a program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

/// Answers every request with its own body.
fn echo(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).ok()? > 2 {
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        if line.is_empty() {
            return None;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        // In one piece: the second of two would wait for the other side's acknowledgement of the first.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        writer.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foretell-bench"))
        .arg("load")
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn a_load_says_what_became_of_its_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a?b=c", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    let body = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let short = [
        "--seconds",
        "0.2",
        "--warm-up",
        "0.05",
        "--connections",
        "2",
    ];
    let to = ["--url", &url, "--body", body, "--json"];
    for rate in [&[][..], &["--rate", "200"]] {
        let output = load(&[&to, &short[..], rate].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let answered = outcome["answered"].as_u64().unwrap();
        assert_eq!(outcome["statuses"]["200"], answered, "{outcome}");
        assert_eq!(outcome["unanswered"], 0, "{outcome}");
        match rate {
            [] => assert!(answered > 10, "{outcome}"),
            _ => assert_eq!(answered, 40, "{outcome}"),
        }
    }
}

#[test]
fn a_load_that_makes_no_sense_is_refused_with_what_to_do() {
    for (arguments, word) in [
        (&["--connections", "2"][..], "which server?"),
        (&["--url", "ftp://x"], "http://"),
        (&["--url", "http://127.0.0.1:1/", "--rate", "fast"], "fast"),
        (
            &["--url", "http://127.0.0.1:1/", "--header", "x"],
            "name: value",
        ),
        (&["--speed", "9"], "--speed"),
    ] {
        let output = load(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{said}");
    }
}
