//! One connection: a request out, its answer in.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::Head;

/// Bytes that are read at once, at most, while the length of the answer is not known.
const CHUNK: usize = 64 << 10;

/// A connection that is kept alive.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer that was read to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) bytes: usize,
    /// Whether the server closes the connection after it.
    pub(super) closes: bool,
}

impl Connection {
    pub(super) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4 << 10),
        })
    }

    /// Sends a request and reads its answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answered> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let mut head: Option<Head> = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            if head.is_none() {
                head = Head::read(&self.buffer).map_err(io::Error::other)?;
            }
            if let Some(head) = head {
                let whole = head.whole(&self.buffer).map_err(io::Error::other)?;
                if let Some(bytes) =
                    whole.or((read == 0 && head.closes).then_some(self.buffer.len()))
                {
                    return Ok(Answered {
                        status: head.status,
                        bytes,
                        closes: head.closes,
                    });
                }
            }
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.reserve(self.buffer.len().clamp(1 << 10, CHUNK));
        }
    }
}
