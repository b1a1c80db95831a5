//! What is exported, of any length: to stdout, or to a file that is whole or not there.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tempfile::NamedTempFile;

use super::Context;
use super::exit::{Exit, Failure};
use super::listing::Query;
use super::output;
use super::progress::Progress;
use crate::client::innermost;

/// The form of an export, and where it goes.
#[derive(Debug, Args)]
// Commands that export have a group of this name, too.
#[group(skip)]
pub(super) struct Export {
    /// The form of rows.
    #[arg(long, value_name = "FORM", default_value = "csv")]
    format: Form,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Comma-separated values under a header.
    Csv,
    /// One JSON object on each line.
    Jsonl,
}

impl Form {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

impl Export {
    pub(super) fn execute(
        &self,
        context: &Context,
        route: &str,
        query: Query,
    ) -> Result<(), Failure> {
        let path = query.with("format", Some(self.format.as_str())).of(route);
        let mut sink = self.target.open()?;
        context.block_on(async {
            let mut response = context.client()?.open(&path).await?;
            while let Some(part) = response
                .chunk()
                .await
                .map_err(|error| sink.cut_off(&error))?
            {
                if sink.take(&part)?.is_break() {
                    return Ok(());
                }
            }
            sink.finish()
        })
    }
}

/// Where an export goes.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Target {
    /// The file to write; it is replaced when all is there, and only its owner may read it [default: stdout].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Target {
    /// Begins to write. This comes before the server is asked, which would work for nothing.
    ///
    /// # Errors
    /// `CannotCreate` for a file that cannot be replaced.
    pub(super) fn open(&self) -> Result<Sink, Failure> {
        Ok(Sink {
            file: self.file.as_deref().map(Beside::new).transpose()?,
        })
    }

    /// Whether there is no file.
    pub(super) const fn is_stdout(&self) -> bool {
        self.file.is_none()
    }
}

/// Takes an export, part by part. Writing blocks, and nothing else waits on its thread. A file is as it was until all is
/// there.
#[derive(Debug)]
pub(super) struct Sink {
    /// None = stdout.
    file: Option<Beside>,
}

/// A file beside the one that it replaces.
#[derive(Debug)]
struct Beside {
    place: PathBuf,
    written: NamedTempFile,
    bytes: u64,
    progress: Progress,
}

impl Sink {
    /// Takes a part. `Break` = whoever reads has read enough: `foretell audit export | head`.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn take(&mut self, part: &[u8]) -> Result<ControlFlow<()>, Failure> {
        match &mut self.file {
            Some(file) => file.take(part).map(ControlFlow::Continue),
            None => to_stdout(io::stdout().write_all(part)),
        }
    }

    /// All is there: puts a file in its place.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.file {
            Some(file) => file.put(),
            None => to_stdout(io::stdout().flush()).map(drop),
        }
    }

    /// What is said when parts stop coming.
    fn cut_off(&self, error: &reqwest::Error) -> Failure {
        let so = match &self.file {
            Some(file) => format!("{} is as it was", file.place.display()),
            None => "what was printed is not all".to_owned(),
        };
        Failure::new(
            Exit::Unavailable,
            format_args!(
                "the export was cut off ({}), so {so}; try again, or look at the server's log",
                innermost(error)
            ),
        )
    }
}

fn to_stdout(written: io::Result<()>) -> Result<ControlFlow<()>, Failure> {
    match written {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::new(Exit::Io, format_args!("stdout: {error}"))),
    }
}

impl Beside {
    fn new(file: &Path) -> Result<Self, Failure> {
        let place = place(file)?;
        let folder = match place.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let shown = place.display();
        let written = NamedTempFile::with_prefix_in(".foretell-export-", folder)
            .map_err(|error| Failure::new(Exit::CannotCreate, format_args!("{shown}: {error}")))?;
        let progress = Progress::step(format!("exporting to {shown}"));
        Ok(Self {
            place,
            written,
            bytes: 0,
            progress,
        })
    }

    fn take(&mut self, part: &[u8]) -> Result<(), Failure> {
        self.bytes += part.len() as u64;
        let written = self.written.write_all(part);
        written.map_err(|error| Failure::io(self.place.display(), &error))
    }

    fn put(self) -> Result<(), Failure> {
        let shown = self.place.display();
        let failed = |error: &io::Error| Failure::io(&shown, error);
        // What survives a loss of power under this name is whole, too.
        let synced = self.written.as_file().sync_all();
        synced.map_err(|error| failed(&error))?;
        let put = self.written.persist(&self.place);
        put.map_err(|error| failed(&error.error))?;
        drop(self.progress);
        output::note(format_args!("{} bytes in {shown}", self.bytes));
        Ok(())
    }
}

/// The file to replace. Links are followed, so that it is not the link that is replaced.
fn place(file: &Path) -> Result<PathBuf, Failure> {
    match fs::metadata(file) {
        Ok(data) if data.is_file() => {
            fs::canonicalize(file).map_err(|error| Failure::io(file.display(), &error))
        }
        Ok(_) => Err(Failure::new(
            Exit::CannotCreate,
            format_args!(
                "{} is there and is no file; name another, or leave --file out for stdout",
                file.display()
            ),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(file.to_owned()),
        Err(error) => Err(Failure::io(file.display(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::super::{Cli, Globals};
    use super::*;
    use crate::config::Environment;
    use clap::Parser;

    /// A server that gives one answer, and what it was asked.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        (url, asked)
    }

    fn globals(url: &str) -> Globals {
        let arguments = ["foretell", "--url", url, "--key", "k", "--tenant", "acme"];
        Cli::parse_from(arguments.into_iter().chain(["doctor"])).globals
    }

    fn export(answer: &'static str, file: &Path) -> (Result<(), Failure>, String) {
        let (url, asked) = server(answer);
        let context = Context {
            globals: globals(&url),
            environment: Environment::default(),
        };
        let export = Export {
            format: Form::Jsonl,
            target: Target {
                file: Some(file.to_owned()),
            },
        };
        let query = Query::default().with("act", Some("predict"));
        let outcome = export.execute(&context, "/api/audit", query);
        (outcome, asked.join().unwrap())
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn an_export_replaces_the_file_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        fs::write(&file, "of yesterday").unwrap();
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n{\"a\":1}\n";
        let (outcome, asked) = export(whole, &file);
        outcome.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"a\":1}\n");
        assert_eq!(names(folder.path()), ["audit.jsonl"]);
        let line = "GET /tenants/acme/api/audit?act=predict&format=jsonl HTTP/1.1\r\n";
        assert!(asked.starts_with(line), "{asked}");
        assert!(
            asked.to_lowercase().contains("authorization: bearer k\r\n"),
            "{asked}"
        );
    }

    #[test]
    fn an_export_that_was_cut_off_leaves_everything_as_it_was() {
        for cut in [
            "HTTP/1.1 200 OK\r\ncontent-length: 80\r\n\r\n{\"a\":1}\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{\"a\":1}\n\r\n",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("audit.jsonl");
            let failure = export(cut, &file).0.unwrap_err();
            assert_eq!(failure.exit, Exit::Unavailable, "{failure}");
            assert_eq!(names(folder.path()), Vec::<String>::new(), "{cut}");
            fs::write(&file, "of yesterday").unwrap();
            export(cut, &file).0.unwrap_err();
            assert_eq!(fs::read_to_string(&file).unwrap(), "of yesterday");
            assert_eq!(names(folder.path()), ["audit.jsonl"]);
        }
    }

    #[test]
    fn what_the_server_says_instead_is_told_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        let refused = "HTTP/1.1 403 Forbidden\r\ncontent-length: 53\r\nconnection: close\r\n\r\n\
             {\"detail\":\"the key lacks `audit`\",\"code\":\"forbidden\"}";
        let failure = export(refused, &file).0.unwrap_err();
        assert_eq!(failure.exit, Exit::NoPermission);
        assert_eq!(failure.message, "the key lacks `audit` (forbidden)");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_link_is_followed_and_what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(place(&link), Ok(fs::canonicalize(&file).unwrap()));
        let new = folder.path().join("new");
        assert_eq!(place(&new), Ok(new.clone()));
        for none in [folder.path(), Path::new("/dev/null")] {
            assert_eq!(place(none).unwrap_err().exit, Exit::CannotCreate);
        }
    }
}
