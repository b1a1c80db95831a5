//! A look at the whole audit log: row by row along the chain, with the tree's root compared at each known size.
//!
//! What is held in memory does not depend on how long the log is: the end of the chain, the right edge of the tree, and
//! what a backend has handed in and was not passed yet.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::vec;

use crate::chain::{AuditKey, Head};
use crate::checkpoint::TreeHead;
use crate::merkle::Tree;
use crate::note::Verifier;
use crate::port::audit::{AuditRecord, Broken, Fault, Known, Verdict};

/// A stored checkpoint, as far as it is compared.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) size: u64,
    pub(crate) note: String,
}

/// How far a look has come.
pub(crate) struct Walk<'a> {
    key: &'a AuditKey,
    /// Nothing = stored checkpoints are not looked at.
    signer: Option<Verifier>,
    expected_last: Option<u64>,
    head: Head,
    tree: Tree,
    stored: VecDeque<Stored>,
    outside: Peekable<vec::IntoIter<TreeHead>>,
    vouched: Vouched,
    /// How many sizes there are at which one holds.
    checkpoints: u64,
}

/// The sizes of the last checkpoints that hold. Those outside do not rely on those of the store: whoever could write a
/// log anew could sign it anew.
#[derive(Debug, Clone, Copy, Default)]
struct Vouched {
    stored: u64,
    outside: u64,
}

impl<'a> Walk<'a> {
    /// Before the first row.
    pub(crate) fn new(key: &'a AuditKey, known: Known) -> Self {
        let Known {
            last,
            signer,
            mut heads,
        } = known;
        heads.sort_unstable_by_key(|head| head.size);
        Self {
            key,
            signer,
            expected_last: last,
            head: Head::EMPTY,
            tree: Tree::default(),
            stored: VecDeque::new(),
            outside: heads.into_iter().peekable(),
            vouched: Vouched::default(),
            checkpoints: 0,
        }
    }

    /// The last row that was passed.
    pub(crate) const fn seq(&self) -> u64 {
        self.head.seq
    }

    /// Whether stored checkpoints are to be handed in.
    pub(crate) const fn wants_stored(&self) -> bool {
        self.signer.is_some()
    }

    /// Takes stored checkpoints that come after all that were taken, ordered by size: those of the next rows before these
    /// rows, and before the end, if there are any beyond the last row, the largest.
    pub(crate) fn expect(&mut self, stored: impl IntoIterator<Item = Stored>) {
        self.stored.extend(stored);
    }

    /// Passes the next row; nothing stands for one that cannot be read.
    ///
    /// # Errors
    /// What is wrong there: the look ends.
    pub(crate) fn pass(&mut self, record: Option<&AuditRecord>) -> Result<(), Broken> {
        let Some(record) = record else {
            return Err(Broken {
                seq: self.head.seq + 1,
                fault: Fault::Altered,
            });
        };
        self.head.follow(self.key, record)?;
        self.tree.push(&record.hash);
        let size = self.tree.size();
        // Most rows end no checkpoint, and their root is not needed.
        if self.stored.front().is_none_or(|next| next.size > size)
            && self.outside.peek().is_none_or(|next| next.size > size)
        {
            return Ok(());
        }
        let found = TreeHead::of(&self.tree);
        let mut vouched = self.vouched;
        while let Some(stored) = self.stored.front()
            && stored.size <= size
        {
            compare(self.open(stored)?, found, self.vouched.stored)?;
            vouched.stored = size;
            self.stored.pop_front();
        }
        while let Some(head) = self.outside.next_if(|head| head.size <= size) {
            compare(head, found, self.vouched.outside)?;
            vouched.outside = size;
        }
        self.vouched = vouched;
        self.checkpoints += 1;
        Ok(())
    }

    /// After the last row.
    pub(crate) fn end(mut self) -> Verdict {
        let beyond = match self.stored.back().map(|stored| self.open(stored)) {
            None => None,
            Some(Ok(head)) => Some(head.size),
            Some(Err(broken)) => return self.verdict(Some(broken)),
        };
        let outside = self.outside.by_ref().last().map(|head| head.size);
        let fault = match beyond.max(outside) {
            Some(size) => Some(Fault::CheckpointCutOff { size }),
            None => self
                .expected_last
                .filter(|last| *last > self.head.seq)
                .map(|_| Fault::CutOff),
        };
        let seq = self.head.seq + 1;
        self.verdict(fault.map(|fault| Broken { seq, fault }))
    }

    /// What the look came to.
    pub(crate) fn verdict(&self, broken: Option<Broken>) -> Verdict {
        Verdict {
            // What lies before a checkpoint that does not hold is vouched for by the chain alone.
            good: broken
                .as_ref()
                .map_or(self.head.seq, |broken| broken.seq - 1),
            broken,
            checkpoints: self.checkpoints,
        }
    }

    fn open(&self, stored: &Stored) -> Result<TreeHead, Broken> {
        let size = stored.size;
        self.signer
            .as_ref()
            .and_then(|signer| TreeHead::open(&stored.note, signer).ok())
            .filter(|head| head.size == size)
            .ok_or(Broken {
                seq: self.vouched.stored + 1,
                fault: Fault::CheckpointAltered { size },
            })
    }
}

/// Which row it is, a checkpoint does not say: it is one after the last of its kind that holds.
fn compare(signed: TreeHead, found: TreeHead, vouched: u64) -> Result<(), Broken> {
    if signed == found {
        return Ok(());
    }
    Err(Broken {
        seq: vouched + 1,
        fault: Fault::CheckpointDiffers { size: signed.size },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::note::Signer;
    use crate::port::audit::{Act, Entry};

    fn key() -> AuditKey {
        AuditKey::new(&[7; 32])
    }

    fn signer() -> Signer {
        Signer::new(&[9; 32], |_| "log.example/1".to_owned())
    }

    fn entry(n: u64) -> Entry {
        Entry {
            at: n as i64,
            tenant: None,
            actor: "server".into(),
            act: Act::Predict,
            object: n.to_string(),
            outcome: "ok".into(),
            request_id: None,
            origin: None,
            detail: "{}".into(),
            once: None,
        }
    }

    /// A log, and what its tree was at each size from 0 on.
    fn log(objects: impl IntoIterator<Item = u64>) -> (Vec<AuditRecord>, Vec<TreeHead>) {
        let (mut head, mut tree) = (Head::EMPTY, Tree::default());
        let mut heads = vec![TreeHead::of(&tree)];
        let rows = objects.into_iter().map(|n| {
            let row = head.link(&key(), entry(n));
            tree.push(&row.hash);
            heads.push(TreeHead::of(&tree));
            row
        });
        (rows.collect(), heads)
    }

    fn stored(heads: &[TreeHead]) -> Vec<Stored> {
        heads
            .iter()
            .map(|head| Stored {
                size: head.size,
                note: head.sign(&signer()),
            })
            .collect()
    }

    fn look(rows: &[AuditRecord], known: Known, stored: Vec<Stored>) -> Verdict {
        let key = key();
        let mut walk = Walk::new(&key, known);
        walk.expect(stored);
        for row in rows {
            if let Err(broken) = walk.pass(Some(row)) {
                return walk.verdict(Some(broken));
            }
        }
        walk.end()
    }

    fn known(heads: &[TreeHead]) -> Known {
        Known {
            last: None,
            signer: Some(signer().verifier().clone()),
            heads: heads.to_vec(),
        }
    }

    fn broken(seq: u64, fault: Fault) -> Option<Broken> {
        Some(Broken { seq, fault })
    }

    #[test]
    fn what_was_cut_off_is_found_by_who_knows_the_length() {
        let (rows, _) = log(1..=5);
        let knowing = |last| Known {
            last: Some(last),
            ..known(&[])
        };
        assert_eq!(look(&rows, knowing(5), vec![]).broken, None);
        let cut = look(&rows, knowing(6), vec![]);
        assert_eq!(cut.broken, broken(6, Fault::CutOff));
        assert_eq!(cut.good, 5);
    }

    #[test]
    fn checkpoints_hold_at_every_size_in_any_order_and_twice() {
        let (rows, heads) = log(1..=9);
        let mut outside = heads[1..].to_vec();
        outside.reverse();
        outside.extend_from_slice(&heads[1..]);
        let verdict = look(&rows, known(&outside), stored(&heads[1..]));
        assert_eq!((verdict.good, verdict.broken), (9, None));
        assert_eq!(verdict.checkpoints, 9);
    }

    #[test]
    fn a_log_that_was_written_anew_differs_from_its_checkpoints() {
        let ((_, heads), (rows, _)) = (log(1..=9), log([1, 2, 3, 4, 50, 6, 7, 8, 9]));
        // The chain alone is whole: it was made with the key.
        assert_eq!(look(&rows, known(&[]), vec![]).broken, None);
        let differs = broken(4, Fault::CheckpointDiffers { size: 7 });
        let (inside, outside) = (&[heads[3], heads[7]], &[heads[2], heads[9]]);
        let found = look(&rows, known(outside), stored(inside));
        assert_eq!((found.good, found.broken), (3, differs));
        assert_eq!(found.checkpoints, 2);
        let outside = look(&rows, known(&[heads[9]]), vec![]);
        assert_eq!(
            outside.broken,
            broken(1, Fault::CheckpointDiffers { size: 9 })
        );
    }

    #[test]
    fn rows_that_a_checkpoint_had_and_the_log_has_not_are_found() {
        let (rows, heads) = log(1..=9);
        let cut = &rows[..6];
        for (outside, inside, size) in [
            (&heads[8..9], &heads[7..8], 8),
            (&heads[7..8], &heads[9..10], 9),
            (&heads[5..8], &heads[1..4], 7),
            (&heads[7..9], &[], 8),
        ] {
            let verdict = look(cut, known(outside), stored(inside));
            assert_eq!(verdict.broken, broken(7, Fault::CheckpointCutOff { size }));
            assert_eq!(verdict.good, 6);
        }
    }

    #[test]
    fn a_stored_checkpoint_of_another_hand_is_found() {
        let (rows, heads) = log(1..=9);
        let other = Signer::new(&[8; 32], |_| "log.example/1".to_owned());
        let cases = [
            ("of another key", 5, heads[5].sign(&other)),
            ("of another size", 5, heads[6].sign(&signer())),
            ("no note", 5, String::new()),
            ("beyond the end", 99, heads[6].sign(&other)),
        ];
        for (what, size, note) in cases {
            let mut checkpoints = stored(&heads[2..4]);
            checkpoints.push(Stored { size, note });
            let verdict = look(&rows, known(&[]), checkpoints);
            let altered = broken(4, Fault::CheckpointAltered { size });
            assert_eq!(verdict.broken, altered, "{what}");
        }
    }

    proptest! {
        /// Whatever one row is made into by somebody who has the key, the first checkpoint after it differs.
        #[test]
        fn the_first_checkpoint_after_a_forgery_differs(
            (count, at) in (1_u64..60).prop_flat_map(|count| (Just(count), 1..=count)),
            sizes in proptest::collection::btree_set(1_u64..60, 0..10),
        ) {
            let (_, heads) = log(1..=count);
            let (forged, _) = log((1..=count).map(|n| if n == at { 1_000 } else { n }));
            let heads: Vec<_> = heads
                .into_iter()
                .filter(|head| sizes.contains(&head.size))
                .collect();
            let first = heads.iter().find(|head| head.size >= at).map(|head| head.size);
            let before = heads.iter().map(|head| head.size).take_while(|size| *size < at).last();
            let expected = first.and_then(|size| {
                broken(before.unwrap_or(0) + 1, Fault::CheckpointDiffers { size })
            });
            let inside = look(&forged, known(&[]), stored(&heads));
            prop_assert_eq!(&inside.broken, &expected);
            let outside = look(&forged, known(&heads), vec![]);
            prop_assert_eq!(&outside.broken, &expected);
        }
    }
}
