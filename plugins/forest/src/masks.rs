//! Small but deep trees, without walking them: QuickScorer (Lucchese and others, SIGIR 2015).
//!
//! A tree of up to 32 leaves is a word with a bit for each leaf, from left to right. A split that goes right takes the
//! leaves of its left side away: that is a *cut*. When all cuts are made, in whatever order, the lowest bit left is the leaf
//! at which a walk would have ended. As the order is free, the cuts of all trees that depend on the same slot stand
//! together: those of a number ascending by their tests, so that one search finds the last of those to make, and those of a
//! category once for each of its values. What remains is to read a list from begin to end, without waiting for memory and without
//! guessing at branches.
//!
//! This makes about half as many cuts as a tree has splits, a walk one step for each level: large trees are better walked,
//! and so are forests with so many features that the lists are short. Trees of few levels never come here: completed to
//! [perfect](crate::perfect) ones they are walked faster. What remains are the small trees with long branches that LightGBM
//! grows leaf by leaf.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::slots::{Looks, Slot};
use crate::tree::{Child, Tree};

/// Leaves that a tree may have.
const MAX_LEAVES: usize = u32::BITS as usize;
/// Splits for each list of a block, on average over a model, at least: finding a list takes as long as some steps of a walk.
const MIN_SPLITS: usize = 8;
/// Cuts listed for each split, on average over a model, at most. Those of a category are listed for each value that a set
/// tells from the others.
const MAX_CUTS: usize = 16;
/// Trees of a block: as many as a byte can number, so that no index into their words needs a check.
const BLOCK_TREES: usize = 256;
/// Cuts in one turn of the loop: the sandbox looks at its clock at every turn.
const UNROLLED: usize = 8;

/// Trees of up to 32 leaves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Masks {
    blocks: Vec<Block>,
}

/// Up to 256 trees, in the model's order.
#[derive(Debug, Clone, Default, PartialEq)]
struct Block {
    /// The slots that its splits look at.
    finders: Vec<Finder>,
    /// The tests of searched slots, ascending for each and without repetition.
    tests: Vec<i64>,
    /// Where the cuts of each test end.
    ends: Vec<u32>,
    /// Begin and end of the cuts for each shift of a category.
    shifts: Vec<(u32, u32)>,
    cuts: Cuts,
    /// Where the values of each tree begin.
    firsts: Vec<u32>,
    /// Leaf values of all trees, each from left to right.
    values: Vec<f64>,
}

/// How the cuts of a slot are found.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Finder {
    slot: u32,
    by: By,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    /// Those of the tests `from..to` that go right: the first ones. Their cuts begin at `cuts`.
    Search { from: u32, to: u32, cuts: u32 },
    /// Those of the slot's shift, counted from here.
    Shift(u32),
}

/// Trees of a block, and the leaves that each keeps.
#[derive(Debug, Clone, Default, PartialEq)]
struct Cuts {
    trees: Vec<u8>,
    keeps: Vec<u32>,
}

/// The leaves that each tree of a block still has.
type Remaining = [u32; BLOCK_TREES];

impl Masks {
    /// Lays out trees whose indices are checked; `None` if they are better walked.
    pub(crate) fn new(trees: &[Tree], looks: &Looks) -> Option<Self> {
        let masks = Self::of(trees, looks)?;
        let lists: usize = masks.blocks.iter().map(|block| block.finders.len()).sum();
        (lists * MIN_SPLITS <= splits(trees)).then_some(masks)
    }

    /// As [`new`](Self::new), however short the lists are.
    pub(crate) fn of(trees: &[Tree], looks: &Looks) -> Option<Self> {
        let mut cuts = MAX_CUTS * splits(trees);
        let blocks = trees.chunks(BLOCK_TREES).map(|trees| {
            let block = Block::new(trees, looks)?;
            // Block by block, so that what is too much is never held.
            cuts = cuts.checked_sub(block.cuts.trees.len())?;
            Some(block)
        });
        let blocks = blocks.collect::<Option<_>>()?;
        Some(Self { blocks })
    }

    /// Adds rows' leaf values to their sums: tree i to sum i modulo `scores`. `slots` holds `width` for each row, or for more. Block by
    /// block, so that a block stays in the nearest cache for all rows.
    pub(crate) fn add_rows(&self, slots: &[Slot], width: usize, sums: &mut [f64], scores: usize) {
        let mut score = 0;
        for block in &self.blocks {
            let rows = slots.chunks_exact(width);
            for (slots, sums) in rows.zip(sums.chunks_exact_mut(scores)) {
                let mut remaining = [u32::MAX; BLOCK_TREES];
                block.cut(slots, &mut remaining);
                block.add(&remaining, score, sums);
            }
            score = (score + BLOCK_TREES) % scores;
        }
    }
}

impl Block {
    fn cut(&self, slots: &[Slot], remaining: &mut Remaining) {
        for finder in &self.finders {
            let slot = slots[finder.slot as usize];
            let (begin, end) = match finder.by {
                By::Search { from, to, cuts } => {
                    let (from, to) = (from as usize, to as usize);
                    let right = self.tests[from..to].partition_point(|test| slot.right(*test));
                    let last = self.ends[from..to][..right].last();
                    (cuts, *last.unwrap_or(&cuts))
                }
                By::Shift(first) => self.shifts[first as usize + slot.shift()],
            };
            self.cuts.make(begin as usize..end as usize, remaining);
        }
    }

    /// Adds the value of the one leaf of each tree; the first tree is of this score.
    // Neither this nor the next is inlined, so that what they use stays in registers.
    #[inline(never)]
    fn add(&self, remaining: &Remaining, mut score: usize, sums: &mut [f64]) {
        let values = self.firsts.iter().zip(remaining).map(|(first, remaining)| {
            // There is one: no cut takes away the leaf at which the walk ends.
            self.values[(first + remaining.trailing_zeros()) as usize]
        });
        if let [sum] = sums {
            *sum = values.fold(*sum, |sum, value| sum + value);
            return;
        }
        for value in values {
            sums[score] += value;
            score = if score + 1 < sums.len() { score + 1 } else { 0 };
        }
    }
}

impl Cuts {
    #[inline(never)]
    fn make(&self, range: Range<usize>, remaining: &mut Remaining) {
        let cut = |trees: &[u8], keeps: &[u32], remaining: &mut Remaining| {
            for (tree, keep) in trees.iter().zip(keeps) {
                remaining[usize::from(*tree)] &= keep;
            }
        };
        let (trees, keeps) = (&self.trees[range.clone()], &self.keeps[range]);
        let (Some(last_trees), Some(last_keeps)) = (
            trees.last_chunk::<UNROLLED>(),
            keeps.last_chunk::<UNROLLED>(),
        ) else {
            return cut(trees, keeps, remaining);
        };
        let (trees, _) = trees.as_chunks::<UNROLLED>();
        let (keeps, _) = keeps.as_chunks::<UNROLLED>();
        for (trees, keeps) in trees.iter().zip(keeps) {
            cut(trees, keeps, remaining);
        }
        // To cut twice is to cut once: the last ones may overlap with those before.
        cut(last_trees, last_keeps, remaining);
    }

    fn len(&self) -> u32 {
        self.trees.len() as u32
    }

    fn push(&mut self, tree: u8, keep: u32) {
        self.trees.push(tree);
        self.keeps.push(keep);
    }
}

// What follows runs once, when the model is loaded.

/// What a split does, before it is listed.
struct Cut {
    slot: usize,
    test: i64,
    tree: u8,
    keep: u32,
}

fn splits(trees: &[Tree]) -> usize {
    trees.iter().map(|tree| tree.splits.len()).sum()
}

impl Block {
    /// `None` if a tree has too many leaves.
    fn new(trees: &[Tree], looks: &Looks) -> Option<Self> {
        let mut block = Self::default();
        let mut cuts = Vec::new();
        for (index, tree) in trees.iter().enumerate() {
            if tree.leaves.len() > MAX_LEAVES {
                return None;
            }
            // Both fit: there are up to 256 trees of up to 32 leaves.
            block.firsts.push(block.values.len() as u32);
            block.lay_out(tree, index as u8, tree.root(), looks, &mut cuts);
        }
        cuts.sort_by_key(|cut| (cut.slot, cut.test));
        for cuts in cuts.chunk_by(|a, b| a.slot == b.slot) {
            let slot = cuts[0].slot;
            let by = if looks.is_category(slot) {
                block.list_by_shift(cuts)
            } else {
                block.list_by_test(cuts)
            };
            // There are no more slots than splits.
            let slot = slot as u32;
            block.finders.push(Finder { slot, by });
        }
        Some(block)
    }

    /// Lays out what is below a child of a tree and returns the bits of its leaves. It goes as deep as the tree: up to 31
    /// calls.
    fn lay_out(
        &mut self,
        tree: &Tree,
        index: u8,
        child: Child,
        looks: &Looks,
        cuts: &mut Vec<Cut>,
    ) -> u32 {
        match child {
            Child::Leaf(leaf) => {
                let bit = self.values.len() - self.firsts[usize::from(index)] as usize;
                self.values.push(tree.leaves[leaf]);
                1 << bit
            }
            Child::Split(split) => {
                let split = &tree.splits[split];
                let left = self.lay_out(tree, index, split.left, looks, cuts);
                let right = self.lay_out(tree, index, split.right, looks, cuts);
                let (slot, test) = looks.find(split);
                cuts.push(Cut {
                    slot,
                    test,
                    tree: index,
                    keep: !left,
                });
                left | right
            }
        }
    }

    /// Lists the cuts of a slot that is searched. All places fit 32 bits: a block has up to 7,936 splits.
    fn list_by_test(&mut self, cuts: &[Cut]) -> By {
        let (from, begin) = (self.tests.len() as u32, self.cuts.len());
        for alike in cuts.chunk_by(|a, b| a.test == b.test) {
            for cut in alike {
                self.cuts.push(cut.tree, cut.keep);
            }
            self.tests.push(alike[0].test);
            self.ends.push(self.cuts.len());
        }
        By::Search {
            from,
            to: self.tests.len() as u32,
            cuts: begin,
        }
    }

    /// Lists the cuts of a slot that has a category, for each shift. Shifts that no test tells apart share a list.
    fn list_by_shift(&mut self, cuts: &[Cut]) -> By {
        let by = By::Shift(self.shifts.len() as u32);
        let mut lists = BTreeMap::new();
        for shift in 0..Slot::SHIFTS {
            let slot = Slot::category(shift);
            let mut list = BTreeMap::new();
            for cut in cuts.iter().filter(|cut| slot.right(cut.test)) {
                *list.entry(cut.tree).or_insert(u32::MAX) &= cut.keep;
            }
            let place = lists.entry(list).or_insert_with_key(|list| {
                let begin = self.cuts.len();
                for (tree, keep) in list {
                    self.cuts.push(*tree, *keep);
                }
                (begin, self.cuts.len())
            });
            self.shifts.push(*place);
        }
        by
    }
}
