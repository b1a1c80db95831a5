//! Small trees, without walking them: QuickScorer (Lucchese and others, SIGIR 2015).
//!
//! A tree of up to 32 leaves is a word with a bit for each leaf, from left to right. A split that goes right takes the
//! leaves of its left side away: that is a *cut*. When all cuts are made, in whatever order, the lowest bit left is the leaf
//! at which a walk would have ended. As the order is free, the cuts of all trees that depend on the same slot stand
//! together: those of a number ascending by their tests, so that one search finds the last of those to make, and those of a
//! category once for each code. What remains is to read a list from begin to end, without waiting for memory and without
//! guessing at branches.
//!
//! This makes about half as many cuts as a tree has splits, a walk one step for each level: large trees are better walked.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::slots::{Looks, Slot};
use crate::tree::{Child, Tree};

/// Leaves that a tree may have.
const MAX_LEAVES: usize = u32::BITS as usize;
/// Cuts listed for each split, at most. Those of a category are listed for each code that a set tells from the others.
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
    /// How each slot finds its cuts.
    finders: Vec<Finder>,
    /// The tests of searched slots, ascending for each and without repetition.
    tests: Vec<i64>,
    /// Where the cuts of each test end.
    ends: Vec<u32>,
    /// Begin and end of the cuts for each code.
    codes: Vec<(u32, u32)>,
    cuts: Cuts,
    /// Where the values of each tree begin.
    firsts: Vec<u32>,
    /// Leaf values of all trees, each from left to right.
    values: Vec<f64>,
}

/// How a slot finds its cuts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Finder {
    /// Those of the tests `from..to` that go right: the first ones. Their cuts begin at `cuts`.
    Search { from: u32, to: u32, cuts: u32 },
    /// Those of its code, counted from here.
    Code(u32),
}

/// Trees of a block, and the leaves that stay of each.
#[derive(Debug, Clone, Default, PartialEq)]
struct Cuts {
    trees: Vec<u8>,
    keeps: Vec<u32>,
}

/// The leaves left of each tree of a block.
type Left = [u32; BLOCK_TREES];

impl Masks {
    /// Lays out trees whose indices are checked; `None` if they are better walked.
    pub(crate) fn new(trees: &[Tree], looks: &Looks) -> Option<Self> {
        let blocks = trees.chunks(BLOCK_TREES);
        Some(Self {
            blocks: blocks
                .map(|trees| Block::new(trees, looks))
                .collect::<Option<_>>()?,
        })
    }

    /// Adds a row's leaf values to its sums: tree i to sum i modulo their number.
    pub(crate) fn add_row(&self, slots: &[Slot], sums: &mut [f64]) {
        let mut score = 0;
        for block in &self.blocks {
            let mut left = [u32::MAX; BLOCK_TREES];
            block.cut(slots, &mut left);
            score = block.add(&left, score, sums);
        }
    }
}

impl Block {
    fn cut(&self, slots: &[Slot], left: &mut Left) {
        for (finder, slot) in self.finders.iter().zip(slots) {
            let (begin, end) = match *finder {
                Finder::Search { from, to, cuts } => {
                    let (from, to) = (from as usize, to as usize);
                    let right = self.tests[from..to].partition_point(|test| slot.right(*test));
                    let ends = self.ends[from..to][..right].last();
                    (cuts, *ends.unwrap_or(&cuts))
                }
                Finder::Code(first) => self.codes[first as usize + slot.code()],
            };
            self.cuts.make(begin as usize..end as usize, left);
        }
    }

    /// Adds the value of the leaf left of each tree; the first tree is of this score. Returns the score of the tree behind
    /// the last.
    // Neither this nor the next is inlined, so that what they use stays in registers.
    #[inline(never)]
    fn add(&self, left: &Left, mut score: usize, sums: &mut [f64]) -> usize {
        let values = self.firsts.iter().zip(left).map(|(first, left)| {
            // A leaf is left: the one at which the walk ends is never taken away.
            self.values[(first + left.trailing_zeros()) as usize]
        });
        if let [sum] = sums {
            *sum = values.fold(*sum, |sum, value| sum + value);
            return 0;
        }
        for value in values {
            sums[score] += value;
            score = if score + 1 < sums.len() { score + 1 } else { 0 };
        }
        score
    }
}

impl Cuts {
    #[inline(never)]
    fn make(&self, range: Range<usize>, left: &mut Left) {
        let cut = |trees: &[u8], keeps: &[u32], left: &mut Left| {
            for (tree, keep) in trees.iter().zip(keeps) {
                left[usize::from(*tree)] &= keep;
            }
        };
        let (trees, keeps) = (&self.trees[range.clone()], &self.keeps[range]);
        let (Some(last_trees), Some(last_keeps)) = (trees.last_chunk(), keeps.last_chunk()) else {
            return cut(trees, keeps, left);
        };
        let (trees, _) = trees.as_chunks::<UNROLLED>();
        let (keeps, _) = keeps.as_chunks::<UNROLLED>();
        for (trees, keeps) in trees.iter().zip(keeps) {
            cut(trees, keeps, left);
        }
        // To cut twice is to cut once: the last ones may overlap with those before.
        cut(
            last_trees as &[u8; UNROLLED],
            last_keeps as &[u32; UNROLLED],
            left,
        );
    }
}

// What follows runs once, when the model is loaded.

/// A split before its cut is listed.
struct Split {
    slot: usize,
    test: i64,
    tree: u8,
    keep: u32,
}

impl Block {
    fn new(trees: &[Tree], looks: &Looks) -> Option<Self> {
        let mut block = Self::default();
        let mut splits = Vec::new();
        for (index, tree) in trees.iter().enumerate() {
            if tree.leaves.len() > MAX_LEAVES {
                return None;
            }
            // Both fit: there are up to 256 trees of up to 32 leaves.
            block.firsts.push(block.values.len() as u32);
            block.lay_out(tree, index as u8, tree.root(), looks, &mut splits);
        }
        splits.sort_by_key(|split| (split.slot, split.test));
        let mut rest = &splits[..];
        for slot in 0..looks.slot_count() {
            let count = rest.partition_point(|split| split.slot == slot);
            let (splits, others) = rest.split_at(count);
            rest = others;
            if looks.is_category(slot) {
                block.list_by_code(splits);
            } else {
                block.list_by_test(splits);
            }
        }
        (block.cuts.trees.len() <= MAX_CUTS * splits.len()).then_some(block)
    }

    /// Lays out what is below a child of a tree and returns the bits of its leaves. It goes as deep as the tree: up to 31
    /// calls.
    fn lay_out(
        &mut self,
        tree: &Tree,
        index: u8,
        child: Child,
        looks: &Looks,
        splits: &mut Vec<Split>,
    ) -> u32 {
        match child {
            Child::Leaf(leaf) => {
                let bit = self.values.len() - self.firsts[usize::from(index)] as usize;
                self.values.push(tree.leaves[leaf]);
                1 << bit
            }
            Child::Split(split) => {
                let split = &tree.splits[split];
                let left = self.lay_out(tree, index, split.left, looks, splits);
                let right = self.lay_out(tree, index, split.right, looks, splits);
                let (slot, test) = looks.find(split);
                splits.push(Split {
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
    fn list_by_test(&mut self, splits: &[Split]) {
        let (from, cuts) = (self.tests.len() as u32, self.cuts.len());
        for splits in splits.chunk_by(|a, b| a.test == b.test) {
            for split in splits {
                self.cuts.push(split.tree, split.keep);
            }
            self.tests.push(splits[0].test);
            self.ends.push(self.cuts.len());
        }
        let to = self.tests.len() as u32;
        self.finders.push(Finder::Search { from, to, cuts });
    }

    /// Lists the cuts of a slot that has a category, once for each code. Codes that no test tells apart share a list.
    fn list_by_code(&mut self, splits: &[Split]) {
        self.finders.push(Finder::Code(self.codes.len() as u32));
        let mut lists = BTreeMap::new();
        for code in 0..Slot::CODES {
            let slot = Slot::of_code(code);
            let mut list = BTreeMap::new();
            for split in splits.iter().filter(|split| slot.right(split.test)) {
                *list.entry(split.tree).or_insert(u32::MAX) &= split.keep;
            }
            let place = lists.entry(list).or_insert_with_key(|list| {
                let begin = self.cuts.len();
                for (tree, keep) in list {
                    self.cuts.push(*tree, *keep);
                }
                (begin, self.cuts.len())
            });
            self.codes.push(*place);
        }
    }
}

impl Cuts {
    fn len(&self) -> u32 {
        self.trees.len() as u32
    }

    fn push(&mut self, tree: u8, keep: u32) {
        self.trees.push(tree);
        self.keeps.push(keep);
    }
}
