//! Trees of few levels, completed to perfect ones: every leaf at the same depth.
//!
//! Boosted trees that grow level by level are nearly that, with up to 64 leaves at depth 6. Completed, a tree needs no
//! pointers: the children of node i are nodes 2i and 2i + 1, and a step is three loads (test, slot, key), one comparison and
//! one addition. A leaf above the last level becomes a node from which nothing goes right, and its value that of the leftmost
//! leaf below.
//!
//! A step waits for memory, twice, so trees are walked side by side, level by level. How many levels there are is known
//! when this is compiled, once for each depth: so no index needs a check, each tree of a group has its place at a fixed
//! distance from the first, and the loop may be unrolled. Groups lie one after the other, each with all that its trees
//! need: 100 trees of depth 6 are 106 KiB. A group is walked for a block of rows before the next one, from the nearest
//! cache.
//!
//! Values are added tree by tree in the model's order, in doubles: the sums are LightGBM's to the last bit.

use crate::slots::{Looks, Slots};
use crate::tree::{Child, Tree};

/// Trees side by side. This was measured: of five or six, what is under way does not fit the registers that WebAssembly's
/// compiler has left.
const LANES: usize = 4;
/// Rows that are prepared together: 16 KiB of keys.
const ROWS: usize = 8;
/// Slots that a model may have: as many as a byte can number, so that no index into their keys needs a check.
const SLOTS: usize = 256;
/// Levels that a tree may have.
const MAX_DEPTH: u32 = 8;
/// How many leaves there may be for each leaf of the model. At four, these trees take twice the memory of those of
/// [`Nodes`](crate::layout::Nodes).
const MAX_GROWTH: usize = 4;

/// A row: the key of each slot.
type Keys = [i64; SLOTS];

/// Perfect trees of one depth, in the model's order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Perfect {
    Depth1(Vec<Group<2>>),
    Depth2(Vec<Group<4>>),
    Depth3(Vec<Group<8>>),
    Depth4(Vec<Group<16>>),
    Depth5(Vec<Group<32>>),
    Depth6(Vec<Group<64>>),
    Depth7(Vec<Group<128>>),
    Depth8(Vec<Group<256>>),
}

/// Trees that are walked side by side, with so many leaves each. Node 0 is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group<const LEAVES: usize> {
    tests: [[i64; LEAVES]; LANES],
    slots: [[u8; LEAVES]; LANES],
    leaves: [[f64; LEAVES]; LANES],
    /// How many of them are trees of the model; the others are not added.
    trees: usize,
}

impl Perfect {
    /// Lays out trees whose indices are checked; `None` if they are too deep or too far from perfect, or have too many
    /// slots. Their sets of categories stand [apart](crate::slots::Sets::Apart).
    pub(crate) fn new(trees: &[Tree], looks: &Looks) -> Option<Self> {
        let leaves: usize = trees.iter().map(|tree| tree.leaves.len()).sum();
        // Shifted to the right, as completed trees may have more leaves than can be counted.
        if trees.len() > (MAX_GROWTH * leaves) >> deepest(trees)? {
            return None;
        }
        Self::of(trees, looks)
    }

    /// As [`new`](Self::new), however far from perfect they are.
    pub(crate) fn of(trees: &[Tree], looks: &Looks) -> Option<Self> {
        if looks.len() > SLOTS {
            return None;
        }
        Some(match deepest(trees)? {
            // Trees of one leaf are as well walked as those of two.
            0 | 1 => Self::Depth1(groups(trees, looks)),
            2 => Self::Depth2(groups(trees, looks)),
            3 => Self::Depth3(groups(trees, looks)),
            4 => Self::Depth4(groups(trees, looks)),
            5 => Self::Depth5(groups(trees, looks)),
            6 => Self::Depth6(groups(trees, looks)),
            7 => Self::Depth7(groups(trees, looks)),
            _ => Self::Depth8(groups(trees, looks)),
        })
    }

    /// Adds rows' leaf values to their sums: tree i to sum i modulo `scores`.
    pub(crate) fn add_rows(
        &self,
        prepared: &Slots,
        features: &[f64],
        sums: &mut [f64],
        scores: usize,
    ) {
        let columns = prepared.columns();
        let rows = (features.len() / columns).min(ROWS);
        // Cleared as one piece: the sandbox calls its host for each.
        let mut keys = vec![0; rows * SLOTS];
        let (keys, _) = keys.as_chunks_mut::<SLOTS>();
        let blocks = features.chunks(ROWS * columns);
        for (rows, sums) in blocks.zip(sums.chunks_mut(ROWS * scores)) {
            prepare(prepared, rows, keys);
            match self {
                Self::Depth1(groups) => add(groups, keys, sums, scores),
                Self::Depth2(groups) => add(groups, keys, sums, scores),
                Self::Depth3(groups) => add(groups, keys, sums, scores),
                Self::Depth4(groups) => add(groups, keys, sums, scores),
                Self::Depth5(groups) => add(groups, keys, sums, scores),
                Self::Depth6(groups) => add(groups, keys, sums, scores),
                Self::Depth7(groups) => add(groups, keys, sums, scores),
                Self::Depth8(groups) => add(groups, keys, sums, scores),
            }
        }
    }
}

// Neither is inlined, so that what it uses stays in registers.
#[inline(never)]
fn prepare(prepared: &Slots, rows: &[f64], keys: &mut [Keys]) {
    for (row, keys) in rows.chunks_exact(prepared.columns()).zip(keys) {
        prepared.fill(row, |place, slot| keys[place] = slot.key());
    }
}

#[inline(never)]
fn add<const LEAVES: usize>(
    groups: &[Group<LEAVES>],
    keys: &[Keys],
    sums: &mut [f64],
    scores: usize,
) {
    let mut first = 0;
    for group in groups {
        for (keys, sums) in keys.iter().zip(sums.chunks_exact_mut(scores)) {
            let values = group.walk(keys);
            match sums {
                [sum] if group.trees == LANES => {
                    *sum = values.iter().fold(*sum, |sum, value| sum + value);
                }
                sums => {
                    let mut score = first;
                    for value in values.iter().take(group.trees) {
                        sums[score] += value;
                        score = if score + 1 < scores { score + 1 } else { 0 };
                    }
                }
            }
        }
        first = (first + LANES) % scores;
    }
}

impl<const LEAVES: usize> Group<LEAVES> {
    /// The value of each tree.
    #[inline]
    fn walk(&self, keys: &Keys) -> [f64; LANES] {
        // Places are below `LEAVES` until the last step, which adds `LEAVES` to the leaf's. The compiler knows neither.
        let within = |place: usize| place % LEAVES;
        let mut places = [1; LANES];
        let mut slots: [u8; LANES] = std::array::from_fn(|lane| self.slots[lane][within(1)]);
        for _ in 0..LEAVES.ilog2() {
            for (lane, place) in places.iter_mut().enumerate() {
                let key = keys[usize::from(slots[lane])];
                *place = 2 * *place + usize::from(self.tests[lane][within(*place)] < key);
                let slot = &self.slots[lane][within(*place)];
                // Volatile, so that it is read now. Otherwise it is read in the next round, and the sandbox's compiler, which
                // computes what no load waits for as late as it can, keeps all keys and tests of this one on the stack.
                // SAFETY: a reference may be read.
                slots[lane] = unsafe { std::ptr::from_ref(slot).read_volatile() };
            }
        }
        std::array::from_fn(|lane| self.leaves[lane][within(places[lane])])
    }

    /// Lays out what is below a child of a tree, at a place of the perfect tree. It goes as deep as that.
    fn lay_out(&mut self, lane: usize, tree: &Tree, looks: &Looks, child: Child, place: usize) {
        match child {
            Child::Leaf(leaf) => {
                let leftmost = place << (LEAVES.ilog2() - place.ilog2());
                self.leaves[lane][leftmost - LEAVES] = tree.leaves[leaf];
            }
            Child::Split(split) => {
                let split = &tree.splits[split];
                let (slot, test) = looks.find(split);
                self.tests[lane][place] = test;
                // There are no more than a byte can number.
                self.slots[lane][place] = slot as u8;
                self.lay_out(lane, tree, looks, split.left, 2 * place);
                self.lay_out(lane, tree, looks, split.right, 2 * place + 1);
            }
        }
    }
}

fn groups<const LEAVES: usize>(trees: &[Tree], looks: &Looks) -> Vec<Group<LEAVES>> {
    let groups = trees.chunks(LANES).map(|trees| {
        let mut group = Group {
            // No key is larger: nothing goes right.
            tests: [[i64::MAX; LEAVES]; LANES],
            slots: [[0; LEAVES]; LANES],
            leaves: [[0.0; LEAVES]; LANES],
            trees: trees.len(),
        };
        for (lane, tree) in trees.iter().enumerate() {
            group.lay_out(lane, tree, looks, tree.root(), 1);
        }
        group
    });
    groups.collect()
}

/// Levels of the deepest tree; `None` if it has too many.
fn deepest(trees: &[Tree]) -> Option<u32> {
    let mut depths = trees.iter().map(|tree| depth(tree, tree.root(), MAX_DEPTH));
    depths.try_fold(0, |deepest, depth| Some(deepest.max(depth?)))
}

/// Levels of splits from a child down; `None` if there are more than `most`.
fn depth(tree: &Tree, child: Child, most: u32) -> Option<u32> {
    let Child::Split(split) = child else {
        return Some(0);
    };
    let split = &tree.splits[split];
    let below = most.checked_sub(1)?;
    let left = depth(tree, split.left, below)?;
    Some(1 + left.max(depth(tree, split.right, below)?))
}
