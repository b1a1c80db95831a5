//! Where the published keys (JWKS) of a token issuer are read: a file, or a URL.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use foretell_predict::jwt::{KeySet, MAX_SET_BYTES};
use reqwest::{Client, Url, redirect};
use tokio::io::AsyncReadExt;

/// Until a connection stands; whoever fetches bounds the whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A set in a file, which may be replaced while the server runs.
pub(crate) struct FileKeys {
    path: PathBuf,
}

impl FileKeys {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl KeySet for FileKeys {
    async fn fetch(&self) -> Result<Bytes, String> {
        let told = |error| format!("{}: {error}", self.path.display());
        let file = tokio::fs::File::open(&self.path).await.map_err(told)?;
        let mut document = Vec::new();
        let most = MAX_SET_BYTES as u64 + 1;
        file.take(most)
            .read_to_end(&mut document)
            .await
            .map_err(told)?;
        Ok(document.into())
    }
}

/// A set behind a URL.
pub(crate) struct UrlKeys {
    url: Url,
    /// Made with the first fetch: only then roots of trust are needed.
    client: OnceLock<Client>,
}

impl UrlKeys {
    pub(crate) const fn new(url: Url) -> Self {
        Self {
            url,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // Who may send us elsewhere may choose our keys.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("foretell/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

#[async_trait]
impl KeySet for UrlKeys {
    async fn fetch(&self) -> Result<Bytes, String> {
        let told = |error: reqwest::Error| error.to_string();
        let request = self.client().map_err(told)?.get(self.url.clone());
        let mut response = request.send().await.map_err(told)?;
        if !response.status().is_success() {
            return Err(format!("{} answered {}", self.url, response.status()));
        }
        let mut document = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            document.extend_from_slice(&chunk);
            if document.len() > MAX_SET_BYTES {
                return Err(format!("{} has more than {MAX_SET_BYTES} bytes", self.url));
            }
        }
        Ok(document.freeze())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Keys behind a server that gives one answer.
    fn behind(head: &'static str, body: Vec<u8>) -> UrlKeys {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            let head = format!("{head}\r\nconnection: close\r\n\r\n");
            // Whoever has read enough hangs up.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        });
        UrlKeys::new(Url::parse(&url).unwrap())
    }

    #[tokio::test]
    async fn a_document_is_read_where_it_is_published_and_nowhere_else() {
        let found = behind("HTTP/1.1 200 OK", b"{\"keys\":[]}".to_vec());
        assert_eq!(&found.fetch().await.unwrap()[..], b"{\"keys\":[]}");
        for (head, told) in [
            ("HTTP/1.1 500 Internal Server Error", "answered 500"),
            (
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/",
                "answered 302",
            ),
        ] {
            let error = behind(head, Vec::new()).fetch().await.unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let nobody = UrlKeys::new(Url::parse("http://127.0.0.1:1/keys").unwrap());
        assert!(nobody.fetch().await.is_err());
    }

    #[tokio::test]
    async fn a_document_of_any_length_takes_no_more_than_its_bound() {
        let long = behind("HTTP/1.1 200 OK", vec![b' '; 10 << 20]);
        let error = long.fetch().await.unwrap_err();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_and_no_further_than_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let keys = FileKeys::new(path.clone());
        assert!(keys.fetch().await.unwrap_err().contains("keys.json"));
        for content in [b"one".to_vec(), b"two".to_vec()] {
            std::fs::write(&path, &content).unwrap();
            assert_eq!(keys.fetch().await.unwrap(), content);
        }
        std::fs::write(&path, vec![b' '; 2 << 20]).unwrap();
        assert_eq!(keys.fetch().await.unwrap().len(), MAX_SET_BYTES + 1);
    }
}
