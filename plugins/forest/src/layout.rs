//! All trees in one compact array.
//!
//! A node is 16 bytes and holds all that a step needs: the test, the slot it looks at, and the place of its left child,
//! with the right child beside it. A leaf leads to itself, so that a walk of fixed length needs no branch to stop. Trees
//! lie one after the other and each begins with its top, so that a call touches few pages: 100 trees of 15 leaves are
//! 46 KiB.

use crate::slots::Looks;
use crate::tree::{Child, Tree};

/// A split, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Node {
    /// What a split compares its slot with; a leaf's value, as the bits of a double.
    pub test: i64,
    /// Place of the left child; the right one stands after it. A leaf: its own place.
    pub next: u32,
    /// The slot that a split looks at; 0 for a leaf.
    pub slot: u32,
}

/// Where a tree begins, and how many steps reach every leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub node: u32,
    pub depth: u32,
}

/// Trees, ready to walk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Nodes {
    pub nodes: Vec<Node>,
    pub roots: Vec<Root>,
}

impl Nodes {
    /// Lays out trees whose indices are checked.
    ///
    /// # Errors
    /// A text if there are more nodes than their field can number.
    pub(crate) fn new(trees: &[Tree], looks: &Looks) -> Result<Self, &'static str> {
        let count = trees.iter().map(|tree| 2 * tree.leaves.len() - 1).sum();
        if u32::try_from(count).is_err() {
            return Err("there are more than 4,294,967,295 nodes");
        }
        let mut nodes = Vec::with_capacity(count);
        let roots = trees.iter().map(|tree| lay_out(tree, looks, &mut nodes));
        Ok(Self {
            roots: roots.collect(),
            nodes,
        })
    }
}

/// Appends a tree level by level, siblings side by side. All places fit 32 bits.
fn lay_out(tree: &Tree, looks: &Looks, nodes: &mut Vec<Node>) -> Root {
    let node = nodes.len() as u32;
    let mut depth = 0;
    let mut level = vec![tree.root()];
    loop {
        // The next level begins where this one ends.
        let mut next = (nodes.len() + level.len()) as u32;
        let mut below = Vec::new();
        for child in level {
            nodes.push(match child {
                Child::Leaf(leaf) => Node {
                    test: tree.leaves[leaf].to_bits() as i64,
                    next: nodes.len() as u32,
                    slot: 0,
                },
                Child::Split(split) => {
                    let split = &tree.splits[split];
                    let (slot, test) = looks.find(split);
                    below.extend([split.left, split.right]);
                    next += 2;
                    Node {
                        test,
                        next: next - 2,
                        // There are no more slots than splits.
                        slot: slot as u32,
                    }
                }
            });
        }
        if below.is_empty() {
            return Root { node, depth };
        }
        level = below;
        depth += 1;
    }
}
