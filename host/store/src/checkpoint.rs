//! Checkpoints (<https://c2sp.org/tlog-checkpoint>): the size and the root of a log's tree as a signed note.
//!
//! The text has three lines: the log's origin, which is the name of its key as well, the number of rows, and the root of
//! the Merkle tree over their hashes in Base64. Whoever keeps a checkpoint elsewhere can tell later whether the log still
//! has these rows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::merkle::{Hash, Tree};
use crate::note::{NoteError, SIGNATURE, Signer, Verifier};

/// The root of a log's tree when it had so many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Rows.
    pub size: u64,
    /// The root over their hashes.
    pub root: Hash,
}

impl TreeHead {
    /// Of a tree as it is now.
    pub fn of(tree: &Tree) -> Self {
        Self {
            size: tree.size(),
            root: tree.root(),
        }
    }

    /// As a signed note. The log's name is that of the key.
    pub fn sign(&self, signer: &Signer) -> String {
        signer.sign(&self.text(signer.verifier()))
    }

    /// What a note says, if this log's key signed it.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open(note: &str, verifier: &Verifier) -> Result<Self, NoteError> {
        let text = verifier.open(note)?;
        let read = || {
            let mut lines = text.lines().skip(1);
            let size = lines.next()?.parse().ok()?;
            let root = STANDARD.decode(lines.next()?).ok()?;
            let root = root.try_into().ok()?;
            Some(Self { size, root })
        };
        // Written again: what has another origin, more lines, or a number that is written otherwise is none of ours.
        read()
            .filter(|head| head.text(verifier) == text)
            .ok_or(NoteError::NoCheckpoint)
    }

    fn text(&self, verifier: &Verifier) -> String {
        let (origin, root) = (verifier.name(), STANDARD.encode(self.root));
        format!("{origin}\n{}\n{root}\n", self.size)
    }
}

/// The checkpoints that stand one after another in a text, each with the number of its first line. Empty lines between
/// them, and how lines end, make no difference; what is no checkpoint comes as it is, and does not open.
pub fn split(text: &str) -> Vec<(usize, String)> {
    let mut notes: Vec<(usize, String)> = Vec::new();
    let mut part = Part::Between;
    for (line, number) in text.lines().zip(1..) {
        part = match part {
            Part::Between if line.is_empty() => Part::Between,
            Part::Text if line.is_empty() => Part::Signatures,
            Part::Text => Part::Text,
            Part::Signatures if line.starts_with(SIGNATURE) => Part::Signatures,
            Part::Signatures if line.is_empty() => Part::Between,
            Part::Between | Part::Signatures => {
                notes.push((number, String::new()));
                Part::Text
            }
        };
        if let (Some((_, note)), Part::Text | Part::Signatures) = (notes.last_mut(), part) {
            note.push_str(line);
            note.push('\n');
        }
    }
    notes
}

/// Where a line stands.
#[derive(Clone, Copy)]
enum Part {
    Between,
    Text,
    /// From the empty line on.
    Signatures,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(&[7; 32], |_| "log.example/1".to_owned())
    }

    fn head(size: u64) -> TreeHead {
        TreeHead {
            size,
            root: [size as u8; 32],
        }
    }

    #[test]
    fn a_checkpoint_has_three_lines_and_a_signature() {
        let note = head(20_852_163).sign(&signer());
        let lines: Vec<_> = note.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "log.example/1",
                "20852163",
                "w8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8M=",
                ""
            ]
        );
        assert!(lines[4].starts_with("— log.example/1 ") && lines.len() == 5);
        let opened = TreeHead::open(&note, signer().verifier());
        assert_eq!(opened, Ok(head(20_852_163)));
    }

    #[test]
    fn what_is_signed_and_no_checkpoint_of_this_log_is_refused() {
        let root = STANDARD.encode([7_u8; 32]);
        let texts = [
            "log.example/1\n".to_owned(),
            format!("log.example/2\n5\n{root}\n"),
            format!("log.example/1\n05\n{root}\n"),
            format!("log.example/1\n+5\n{root}\n"),
            format!("log.example/1\n-5\n{root}\n"),
            format!("log.example/1\n5\n{}\n", &root[..40]),
            format!("log.example/1\n5\n{root}\nmore\n"),
        ];
        for text in texts {
            let note = signer().sign(&text);
            let opened = TreeHead::open(&note, signer().verifier());
            assert_eq!(opened, Err(NoteError::NoCheckpoint), "{text:?}");
        }
    }

    #[test]
    fn many_are_read_from_one_text_however_they_are_spaced() {
        let notes = [1, 2, 3].map(|size| head(size).sign(&signer()));
        let other = Signer::new(&[8; 32], |_| "witness".to_owned());
        let (text, signatures) = notes[1].split_once("\n\n").unwrap();
        let second = other.sign(&format!("{text}\n"));
        let second = second.split_once("\n\n").unwrap().1;
        let witnessed = format!("{text}\n\n{signatures}{second}");
        let cases = [
            (notes.concat(), [1, 6, 11]),
            (notes.join("\n"), [1, 7, 13]),
            (format!("\n\n{}\n\n", notes.join("\n\n\n")), [3, 11, 19]),
            (notes.concat().replace('\n', "\r\n"), [1, 6, 11]),
            (notes.concat().trim_end().to_owned(), [1, 6, 11]),
            (
                [&notes[0][..], &witnessed[..], &notes[2][..]].concat(),
                [1, 6, 12],
            ),
        ];
        for (text, lines) in cases {
            let found = split(&text);
            assert_eq!(found.iter().map(|one| one.0).collect::<Vec<_>>(), lines);
            for ((_, note), size) in found.iter().zip(1..) {
                assert_eq!(TreeHead::open(note, signer().verifier()), Ok(head(size)));
            }
        }
    }

    #[test]
    fn what_is_none_does_not_hide_those_beside_it() {
        let note = head(5).sign(&signer());
        let torn = &note[..20];
        let found = split(&format!("{torn}\n\n{note}hello\n"));
        let opened: Vec<_> = found
            .iter()
            .map(|(line, note)| (*line, TreeHead::open(note, signer().verifier()).is_ok()))
            .collect();
        assert_eq!(opened, [(1, false), (5, true), (10, false)]);
        assert!(split("").is_empty() && split("\n\n").is_empty());
    }
}
