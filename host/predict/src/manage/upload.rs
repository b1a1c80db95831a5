//! An upload on its way in: each part goes to a temporary file as it arrives, hashed and counted, never held whole.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use foretell_types::{Digest, ModelName, ModelVersion, NameError, compile};
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use crate::PredictError;
use crate::stage::admit::Permit;
use crate::stage::identify::Caller;
use crate::text::shown;

/// Bytes of the JSON parts, at most.
const MAX_JSON_BYTES: u64 = 64 << 10;
/// How many times larger than its gzip a plugin may be; beyond it is a bomb. Real plugins reach 3 to 6.
const MAX_INFLATION: u64 = 20;
/// Below this many inflated bytes the ratio is not looked at: small files of zeros are harmless.
const FREE_INFLATION_BYTES: u64 = 1 << 20;

/// An upload for which the caller was identified, and which gathers its parts.
#[derive(Debug)]
pub struct Upload {
    pub(super) caller: Caller,
    /// A place among the uploads under way.
    pub(super) permit: Permit,
    pub(super) model: ModelName,
    pub(super) version: ModelVersion,
    pub(super) plugin: Option<Spooled>,
    pub(super) artifact: Option<Spooled>,
    pub(super) settings: Option<Vec<u8>>,
    pub(super) runtime: Option<Vec<u8>>,
    pub(super) limits: PartLimits,
}

/// A place among the uploads, for one whose names are not known yet.
#[derive(Debug)]
pub struct UnnamedUpload {
    pub(super) caller: Caller,
    pub(super) permit: Permit,
    pub(super) limits: PartLimits,
}

impl UnnamedUpload {
    /// Names model and version.
    ///
    /// # Errors
    /// `Invalid` for a text that is no name.
    pub fn named(self, model: &str, version: &str) -> Result<Upload, PredictError> {
        let Self {
            caller,
            permit,
            limits,
        } = self;
        let model = ModelName::parse(model).map_err(invalid_name)?;
        caller.must_be_for(&model)?;
        Ok(Upload {
            caller,
            permit,
            model,
            version: ModelVersion::parse(version).map_err(invalid_name)?,
            plugin: None,
            artifact: None,
            settings: None,
            runtime: None,
            limits,
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid_name(error: NameError) -> PredictError {
    PredictError::Invalid(error.to_string())
}

/// Where parts go and how long they may be.
#[derive(Debug, Clone)]
pub(super) struct PartLimits {
    pub(super) dir: PathBuf,
    pub(super) plugin_bytes: u64,
    pub(super) artifact_bytes: u64,
}

/// A part that arrived whole.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) path: TempPath,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

impl Spooled {
    /// As the compiler wants it.
    pub(super) fn part(&self) -> compile::Part {
        compile::Part {
            file: self.path.to_path_buf(),
            digest: self.digest,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Plugin,
    Artifact,
    Settings,
    Runtime,
}

/// A part that is arriving.
pub struct Part {
    name: Name,
    body: Body,
}

enum Body {
    File(Box<Spool>),
    Memory(Vec<u8>),
    /// A write failed or was abandoned.
    Broken,
}

impl Upload {
    /// Begins the part of this name: `plugin`, `artifact`, `settings` or `runtime`.
    ///
    /// # Errors
    /// `Malformed` for another name, and for a part that stands twice; `Unavailable` if no file can be made.
    pub async fn part(&self, name: &str) -> Result<Part, PredictError> {
        let (name, taken) = match name {
            "plugin" => (Name::Plugin, self.plugin.is_some()),
            "artifact" => (Name::Artifact, self.artifact.is_some()),
            "settings" => (Name::Settings, self.settings.is_some()),
            "runtime" => (Name::Runtime, self.runtime.is_some()),
            other => {
                return Err(PredictError::Malformed(format!(
                    "unknown part `{}`; use plugin, artifact, settings and runtime",
                    shown(other)
                )));
            }
        };
        if taken {
            return Err(PredictError::Malformed("a part stands twice".into()));
        }
        let limits = self.limits.clone();
        let body = match name {
            Name::Settings | Name::Runtime => Body::Memory(Vec::new()),
            Name::Plugin => {
                let limit = Limit {
                    what: "the plugin",
                    bytes: limits.plugin_bytes,
                };
                Body::File(
                    blocking(move || Spool::create(&limits.dir, limit, Inflate::IfGzip)).await?,
                )
            }
            Name::Artifact => {
                let limit = Limit {
                    what: "the artifact",
                    bytes: limits.artifact_bytes,
                };
                Body::File(
                    blocking(move || Spool::create(&limits.dir, limit, Inflate::Never)).await?,
                )
            }
        };
        Ok(Part { name, body })
    }

    /// Takes a part that arrived whole.
    ///
    /// # Errors
    /// `Malformed` for a gzip stream that ends early; `Unavailable` if the disk fails.
    pub async fn finish_part(&mut self, part: Part) -> Result<(), PredictError> {
        match (part.name, part.body) {
            (Name::Plugin, Body::File(spool)) => {
                self.plugin = Some(blocking(move || spool.finish()).await?)
            }
            (Name::Artifact, Body::File(spool)) => {
                self.artifact = Some(blocking(move || spool.finish()).await?)
            }
            (Name::Settings, Body::Memory(bytes)) => self.settings = Some(bytes),
            (Name::Runtime, Body::Memory(bytes)) => self.runtime = Some(bytes),
            _ => return Err(PredictError::BodyLost),
        }
        Ok(())
    }
}

impl Part {
    /// Takes the next bytes of the part.
    ///
    /// # Errors
    /// `TooLarge` past the part's limit, also after inflation; `Malformed` for a damaged gzip stream; `Unavailable` if
    /// the disk fails. The part is of no use after an error.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), PredictError> {
        match std::mem::replace(&mut self.body, Body::Broken) {
            Body::Memory(mut bytes) => {
                if (bytes.len() + chunk.len()) as u64 > MAX_JSON_BYTES {
                    let what = if self.name == Name::Settings {
                        "the part `settings`"
                    } else {
                        "the part `runtime`"
                    };
                    return Err(PredictError::TooLarge {
                        what,
                        limit_bytes: MAX_JSON_BYTES,
                    });
                }
                bytes.extend_from_slice(&chunk);
                self.body = Body::Memory(bytes);
                Ok(())
            }
            Body::File(mut spool) => {
                // Hashing, inflating and writing are no work for an async thread.
                let spool = blocking(move || spool.write(&chunk).map(|()| spool)).await?;
                self.body = Body::File(spool);
                Ok(())
            }
            Body::Broken => Err(PredictError::BodyLost),
        }
    }
}

#[derive(Clone, Copy)]
struct Limit {
    what: &'static str,
    bytes: u64,
}

impl Limit {
    const fn passed(self) -> PredictError {
        PredictError::TooLarge {
            what: self.what,
            limit_bytes: self.bytes,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inflate {
    IfGzip,
    Never,
}

/// Counts what comes in, inflates it if it is gzip, and hashes what goes to the file.
struct Spool {
    limit: Limit,
    inflate: Inflate,
    received: u64,
    /// Absent only while a file moves from one kind of sink to another.
    sink: Option<Sink>,
}

enum Sink {
    /// Nothing came yet, or one byte only: too little to tell gzip from anything else.
    Undecided(HashedFile, Vec<u8>),
    Plain(HashedFile),
    Gzip(MultiGzDecoder<HashedFile>),
}

/// The file that content goes to, with its digest so far.
struct HashedFile {
    file: File,
    path: TempPath,
    hash: Sha256,
    written: u64,
    /// Bytes that may be written; the spool raises it as more gzip arrives.
    allowance: u64,
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.written + bytes.len() as u64 > self.allowance {
            return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
        }
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Spool {
    fn create(dir: &Path, limit: Limit, inflate: Inflate) -> Result<Box<Self>, PredictError> {
        let (file, path) = tempfile::Builder::new()
            .prefix("upload-")
            .tempfile_in(dir)
            .map_err(|error| unavailable(&error))?
            .into_parts();
        let file = HashedFile {
            file,
            path,
            hash: Sha256::new(),
            written: 0,
            allowance: limit.bytes,
        };
        Ok(Box::new(Self {
            limit,
            inflate,
            received: 0,
            sink: Some(Sink::Undecided(file, Vec::new())),
        }))
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), PredictError> {
        self.received += chunk.len() as u64;
        if self.received > self.limit.bytes {
            return Err(self.limit.passed());
        }
        if let Some(Sink::Undecided(_, first)) = &mut self.sink {
            first.extend_from_slice(chunk);
            if first.len() < 2 {
                return Ok(());
            }
            return self.decide();
        }
        self.pass_on(chunk)
    }

    /// Tells gzip from anything else by its first two bytes.
    fn decide(&mut self) -> Result<(), PredictError> {
        let (file, first) = match self.sink.take() {
            Some(Sink::Undecided(file, first)) => (file, first),
            other => {
                self.sink = other;
                return Ok(());
            }
        };
        let gzip = self.inflate == Inflate::IfGzip && first.starts_with(&[0x1f, 0x8b]);
        self.sink = Some(if gzip {
            Sink::Gzip(MultiGzDecoder::new(file))
        } else {
            Sink::Plain(file)
        });
        self.pass_on(&first)
    }

    fn pass_on(&mut self, bytes: &[u8]) -> Result<(), PredictError> {
        let (limit, received) = (self.limit, self.received);
        let result = match &mut self.sink {
            Some(Sink::Plain(file)) => file.write_all(bytes),
            Some(Sink::Gzip(decoder)) => {
                let by_ratio = (received * MAX_INFLATION).max(FREE_INFLATION_BYTES);
                decoder.get_mut().allowance = by_ratio.min(limit.bytes);
                decoder.write_all(bytes)
            }
            Some(Sink::Undecided(..)) | None => Ok(()),
        };
        result.map_err(|error| fault(&error, limit))
    }

    fn finish(mut self) -> Result<Spooled, PredictError> {
        if matches!(self.sink, Some(Sink::Undecided(..))) {
            self.decide()?;
        }
        let limit = self.limit;
        let mut file = match self.sink {
            Some(Sink::Plain(file) | Sink::Undecided(file, _)) => file,
            Some(Sink::Gzip(decoder)) => decoder.finish().map_err(|error| fault(&error, limit))?,
            None => return Err(PredictError::BodyLost),
        };
        file.flush()
            .and_then(|()| file.file.sync_all())
            .map_err(|error| unavailable(&error))?;
        Ok(Spooled {
            path: file.path,
            digest: Digest::from_bytes(file.hash.finalize().into()),
            bytes: file.written,
        })
    }
}

fn fault(error: &std::io::Error, limit: Limit) -> PredictError {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::FileTooLarge => limit.passed(),
        Io::InvalidData | Io::InvalidInput | Io::UnexpectedEof => PredictError::Malformed(format!(
            "{} begins like gzip, but is damaged: {error}",
            limit.what
        )),
        _ => unavailable(error),
    }
}

fn unavailable(error: &std::io::Error) -> PredictError {
    PredictError::Unavailable(format!("upload file: {error}"))
}

/// Runs file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PredictError> + Send + 'static,
) -> Result<T, PredictError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PredictError::Internal(format!("upload task: {error}")))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn spool(dir: &Path, limit: u64, pieces: &[&[u8]]) -> Result<Spooled, PredictError> {
        let mut spool = Spool::create(
            dir,
            Limit {
                what: "the plugin",
                bytes: limit,
            },
            Inflate::IfGzip,
        )?;
        pieces.iter().try_for_each(|piece| spool.write(piece))?;
        spool.finish()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_part_is_stored_inflated_under_the_digest_of_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let packed = gzip(&content);
        let plain = spool(dir.path(), 1 << 20, &[&content]).unwrap();
        let (first, rest) = packed.split_at(1);
        let inflated = spool(dir.path(), 1 << 20, &[first, rest]).unwrap();
        assert_eq!(plain.digest, inflated.digest);
        assert_eq!(inflated.bytes, content.len() as u64);
        assert_eq!(std::fs::read(&inflated.path).unwrap(), content);
    }

    #[test]
    fn parts_beyond_their_limit_and_gzip_bombs_are_refused_without_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        for (limit, body) in [(64 << 20, bomb.as_slice()), (10, b"eleven byte".as_slice())] {
            let error = spool(dir.path(), limit, &[body]).unwrap_err();
            assert!(matches!(error, PredictError::TooLarge { .. }), "{error}");
        }
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing stays behind"
        );
    }

    #[test]
    fn damaged_gzip_is_the_callers_fault() {
        let dir = tempfile::tempdir().unwrap();
        let packed = gzip(b"some content that is longer than a few bytes");
        let mut flipped = packed.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        for body in [&packed[..packed.len() - 9], &flipped[..], &[0x1f, 0x8b][..]] {
            let error = spool(dir.path(), 1 << 20, &[body]).unwrap_err();
            assert!(matches!(error, PredictError::Malformed(_)), "{error:?}");
        }
    }

    #[test]
    fn an_empty_part_is_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(spool(dir.path(), 10, &[]).unwrap().bytes, 0);
        assert_eq!(spool(dir.path(), 10, &[b"\x1f"]).unwrap().bytes, 1);
    }
}
