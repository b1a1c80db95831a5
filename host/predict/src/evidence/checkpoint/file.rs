//! The file of checkpoints: notes one after another, each followed by an empty line.
//!
//! It holds every checkpoint that the store has, in their order. What it lacks is told by its own end: a start, a crash in
//! the midst of a line, a full disk, another file in its place all lead to the same, that the rest is added. What stands
//! in it is never changed, and nothing is added behind what does not come from here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use foretell_store::{Checkpoint, StoreError, TreeHead};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::{Checkpointer, PAGE};

/// How much of the end is looked at: a checkpoint of ours has some 300 bytes.
const END_BYTES: u64 = 8 << 10;
const EMPTY_LINE: &[u8] = b"\n\n";
/// What the second part of a note begins with.
const SIGNATURE: &[u8] = "— ".as_bytes();

/// Why the file cannot be added to.
#[derive(Debug, Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its end is none that was written here.
    #[error(
        "it ends with what is no checkpoint; move it away, and a new one gets every checkpoint"
    )]
    Foreign,
}

/// How a file ends.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// The last whole checkpoint; none = there is none.
    last: Option<String>,
    /// What stands behind it: the beginning of the next one.
    torn: Vec<u8>,
}

impl Checkpointer {
    /// Adds every checkpoint that the file lacks.
    pub(super) async fn add_to_file(&self, path: &Path) -> Result<(), FileError> {
        let End { last, mut torn } = blocking(path, look_at_end).await?;
        let mut after = match last {
            None => 0,
            Some(last) => self.size_in_store(&last).await?.unwrap_or_else(|| {
                tracing::error!(
                    file = %path.display(),
                    "the last checkpoint in the file is none of this log: it was removed here, or the log was restored from \
                     an older backup; all that there are now are added behind it"
                );
                0
            }),
        };
        loop {
            let page = self.page(after, PAGE).await?;
            let Some(newest) = page.last() else {
                return if torn.is_empty() {
                    Ok(())
                } else {
                    Err(FileError::Foreign)
                };
            };
            after = newest.size;
            // One that is not what was signed is no evidence; a look at the log finds it.
            let signed = page.iter().filter(|one| self.head_of(one).is_some());
            let text = signed.flat_map(with_line).collect::<String>();
            let rest = text
                .as_bytes()
                .strip_prefix(&*torn)
                .ok_or(FileError::Foreign)?
                .to_owned();
            torn.clear();
            blocking(path, move |path| append(path, &rest)).await?;
        }
    }

    /// The size of a checkpoint in the file, if the store has the same.
    async fn size_in_store(&self, note: &str) -> Result<Option<u64>, StoreError> {
        let Ok(head) = TreeHead::open(note, self.verifier()) else {
            return Ok(None);
        };
        let page = self.page(head.size.saturating_sub(1), 1).await?;
        let stored = page.first().and_then(|stored| self.head_of(stored));
        Ok(stored.filter(|stored| *stored == head).map(|_| head.size))
    }
}

fn with_line(checkpoint: &Checkpoint) -> [&str; 2] {
    [&checkpoint.note, "\n"]
}

/// Runs what waits for a disk.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let path: PathBuf = path.to_owned();
    spawn_blocking(move || work(&path))
        .await
        .map_err(io::Error::other)?
}

fn look_at_end(path: &Path) -> Result<End, FileError> {
    let nothing = End {
        last: None,
        torn: Vec::new(),
    };
    let length = match fs::metadata(path) {
        Ok(file) if file.is_file() => file.len(),
        // To open a pipe would wait for its reader.
        Ok(_) => return Err(io::Error::other("it is no file").into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
        Err(error) => return Err(error.into()),
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(END_BYTES).read_to_end(&mut bytes)?;
    let end = end_of(&bytes).ok_or(FileError::Foreign)?;
    if end.last.is_none() && length > END_BYTES {
        return Err(FileError::Foreign);
    }
    Ok(end)
}

/// The last whole checkpoint, and what stands behind it.
fn end_of(bytes: &[u8]) -> Option<End> {
    // From the end: where a part of a note ends, and where that part begins.
    let mut end = bytes.len();
    let (last, rest) = loop {
        let Some(at) = last_empty_line(&bytes[..end]) else {
            break (None, bytes);
        };
        let begin = last_empty_line(&bytes[..at]).map_or(0, |line| line + EMPTY_LINE.len());
        if begin > 0 && bytes[begin..].starts_with(SIGNATURE) {
            let text = begin - EMPTY_LINE.len();
            let text = last_empty_line(&bytes[..text]).map_or(0, |line| line + EMPTY_LINE.len());
            break (Some(&bytes[text..at]), &bytes[at + EMPTY_LINE.len()..]);
        }
        end = at + 1;
    };
    let last = match last {
        Some(note) => Some(std::str::from_utf8(note).ok()?.trim().to_owned() + "\n"),
        None => None,
    };
    let torn = if rest.iter().all(|byte| *byte == b'\n') {
        Vec::new()
    } else {
        rest.to_owned()
    };
    Some(End { last, torn })
}

fn last_empty_line(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(EMPTY_LINE.len())
        .rposition(|pair| pair == EMPTY_LINE)
}

/// Adds to the file, on the medium if this returns `Ok`.
fn append(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let is_new = !path.try_exists()?;
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if is_new {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "log\n1\nroot\n\n— log one\n\n";
    const TWO: &str = "log\n2\nroot\n\n— log two\n— witness two\n\n";

    fn note(text: &str) -> Option<String> {
        Some(text.trim_end().to_owned() + "\n")
    }

    #[test]
    fn the_last_whole_checkpoint_and_what_is_torn_are_told_apart() {
        assert_eq!(
            end_of(b""),
            Some(End {
                last: None,
                torn: vec![]
            })
        );
        // Cut anywhere in the second one.
        for cut in 0..=TWO.len() {
            let whole = [ONE.as_bytes(), &TWO.as_bytes()[..cut]].concat();
            let expected = if cut == TWO.len() {
                (note(TWO), vec![])
            } else {
                (note(ONE), TWO.as_bytes()[..cut].to_owned())
            };
            let end = end_of(&whole).unwrap();
            assert_eq!((end.last, end.torn), expected, "{cut}");
            // And in the first.
            if cut < TWO.len() {
                let end = end_of(&TWO.as_bytes()[..cut]).unwrap();
                assert_eq!(
                    (end.last, end.torn),
                    (None, TWO.as_bytes()[..cut].to_owned())
                );
            }
        }
    }

    #[test]
    fn the_end_may_begin_in_the_midst_of_anything() {
        let three = [ONE, ONE, TWO].concat();
        for begin in 0..2 * ONE.len() {
            let end = end_of(&three.as_bytes()[begin..]).unwrap();
            assert_eq!((end.last, end.torn), (note(TWO), vec![]), "{begin}");
        }
    }

    #[test]
    fn empty_lines_at_the_end_are_no_torn_checkpoint() {
        let spaced = format!("{ONE}\n\n");
        let end = end_of(spaced.as_bytes()).unwrap();
        assert_eq!((end.last, end.torn), (note(ONE), vec![]));
    }

    #[test]
    fn what_is_added_stands_behind_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(look_at_end(&path).unwrap().last, None);
        append(&path, ONE.as_bytes()).unwrap();
        append(&path, TWO.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), [ONE, TWO].concat());
        assert_eq!(look_at_end(&path).unwrap().last, note(TWO));
        assert!(look_at_end(folder.path()).is_err(), "a folder is no file");
        fs::write(&path, [b'x'; 10_000]).unwrap();
        assert!(matches!(look_at_end(&path), Err(FileError::Foreign)));
    }
}
