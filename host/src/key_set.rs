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
