//! All trees in one compact array.
//!
//! A node is 16 bytes and holds all that a step needs: the test, the slot it looks at, and the place of its left child,
//! with the right child beside it. A leaf leads to itself, so that a walk of fixed length needs no branch to stop. Trees
//! lie one after the other and each begins with its top, so that a call touches few pages: 100 trees of 15 leaves are
//! 46 KiB.

use crate::slots::{Reading, Slots};
use crate::tree::{Child, Tree, Trees};

/// A split, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Node {
    /// A split's threshold (bits of a double) or set of categories; a leaf's value (bits of a double).
    pub test: u64,
    /// Place of the left child; the right one stands after it. A leaf: its own place.
    pub next: u32,
    /// The slot that a split looks at.
    pub slot: u16,
    /// 1 if the test is a set of categories.
    pub set: u8,
    /// 1 for a split: the step to the right child. 0 for a leaf: no step.
    pub stride: u8,
}

/// Where a tree begins, and how many steps reach every leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub node: u32,
    pub depth: u32,
}

/// Trees, ready to walk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forest {
    pub nodes: Vec<Node>,
    pub roots: Vec<Root>,
    pub slots: Slots,
    pub columns: usize,
    /// Scores of a row; tree i adds to score i modulo this.
    pub scores: usize,
    pub slope: f64,
}

impl Forest {
    /// Lays out trees whose indices are checked.
    ///
    /// # Errors
    /// A text if there are more nodes or slots than their fields can number.
    pub(crate) fn new(trees: &Trees, columns: usize, scores: usize) -> Result<Self, &'static str> {
        let mut forest = Self {
            nodes: Vec::with_capacity(
                trees
                    .trees
                    .iter()
                    .map(|tree| 2 * tree.leaves.len() - 1)
                    .sum(),
            ),
            roots: Vec::with_capacity(trees.trees.len()),
            slots: Slots::default(),
            columns,
            scores,
            slope: trees.slope,
        };
        for tree in &trees.trees {
            forest.add(tree)?;
        }
        Ok(forest)
    }

    /// Appends a tree level by level, siblings side by side.
    fn add(&mut self, tree: &Tree) -> Result<(), &'static str> {
        let root = if tree.splits.is_empty() {
            Child::Leaf(0)
        } else {
            Child::Split(0)
        };
        let start = self.nodes.len();
        let mut level = vec![root];
        let mut depth = 0;
        // `placed` counts the nodes that have a place, whether they are written yet or not.
        let mut placed = start + 1;
        loop {
            let mut below = Vec::new();
            for child in &level {
                let node = match *child {
                    Child::Leaf(leaf) => Node {
                        test: tree.leaves[leaf].to_bits(),
                        next: number(self.nodes.len())?,
                        slot: 0,
                        set: 0,
                        stride: 0,
                    },
                    Child::Split(split) => {
                        let split = &tree.splits[split];
                        let (slot, reading) = self.slots.of(split);
                        let (test, set) = match reading {
                            Reading::UpTo(threshold) => (threshold.to_bits(), 0),
                            Reading::Bit(word) => (word, 1),
                        };
                        below.extend([split.left, split.right]);
                        placed += 2;
                        Node {
                            test,
                            next: number(placed - 2)?,
                            slot: u16::try_from(slot).map_err(|_| {
                                "the splits look at features in more than 65,536 different ways"
                            })?,
                            set,
                            stride: 1,
                        }
                    }
                };
                self.nodes.push(node);
            }
            if below.is_empty() {
                break;
            }
            level = below;
            depth += 1;
        }
        self.roots.push(Root {
            node: number(start)?,
            depth,
        });
        Ok(())
    }
}

fn number(place: usize) -> Result<u32, &'static str> {
    u32::try_from(place).map_err(|_| "there are more than 4,294,967,295 nodes")
}
