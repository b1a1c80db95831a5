//! The little HTTP that the demo needs: one JSON request, its answer with headers.
//!
//! The command line shows a prediction's body; the demo also shows what stands in the headers (time, credits), and that a
//! caller needs no client of ours.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A prediction takes milliseconds; a server that is silent for this long is broken.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// Milliseconds of one entry of `Server-Timing`, such as `compute`.
    pub(crate) fn timing(&self, entry: &str) -> Option<f64> {
        self.header("server-timing")?.split(',').find_map(|part| {
            let mut fields = part.split(';').map(str::trim);
            if fields.next()? != entry {
                return None;
            }
            fields
                .find_map(|field| field.strip_prefix("dur="))?
                .parse()
                .ok()
        })
    }

    fn parse(raw: &[u8]) -> Result<Self> {
        let end = raw
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .context("the answer has no end of headers")?;
        let head = std::str::from_utf8(&raw[..end]).context("the answer's headers are not text")?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .context("the answer has no status")?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let answer = Self {
            status,
            headers,
            body: raw[end + 4..].to_vec(),
        };
        if answer.header("transfer-encoding").is_some() {
            bail!("the answer comes in chunks, which an HTTP/1.0 caller did not ask for");
        }
        if let Some(length) = answer.header("content-length")
            && length.parse() != Ok(answer.body.len())
        {
            bail!(
                "the answer says {length} bytes and has {}",
                answer.body.len()
            );
        }
        Ok(answer)
    }
}

/// Posts JSON to `path` of the server at `base` (`http://address`), with an API key. A prediction is to be run, not to be
/// recalled.
pub(crate) fn post(base: &str, path: &str, key: &str, json: &[u8]) -> Result<Answer> {
    let address = base
        .strip_prefix("http://")
        .with_context(|| format!("`{base}` is no http address"))?;
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // 1.0, so that the answer ends with the connection and needs no decoding.
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nX-API-Key: {key}\r\nCache-Control: no-cache\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        json.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(json)?;
    let mut raw = Vec::new();
    stream
        .read_to_end(&mut raw)
        .with_context(|| format!("no answer to POST {path}"))?;
    Answer::parse(&raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_timing() {
        let answer = Answer::parse(
            b"HTTP/1.0 200 OK\r\nServer-Timing: queue;dur=0.02, compute;desc=\"sandbox\";dur=0.75\r\nX-Credits-Used: 1\r\n\
              content-length: 2\r\n\r\n{}",
        )
        .unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, b"{}");
        assert_eq!(answer.timing("compute"), Some(0.75));
        assert_eq!(answer.timing("cache"), None);
        assert_eq!(answer.header("x-credits-used"), Some("1"));
    }

    #[test]
    fn a_cut_answer_is_refused() {
        let cut = Answer::parse(b"HTTP/1.0 200 OK\r\ncontent-length: 20\r\n\r\n{}");
        assert!(cut.unwrap_err().to_string().contains("20 bytes"));
        assert!(Answer::parse(b"HTTP/1.0 200 OK\r\n").is_err());
    }
}
