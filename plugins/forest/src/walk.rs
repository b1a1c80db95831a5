//! Trees of any shape, walked: those that are neither [perfect](crate::perfect) nor [masked](crate::masks).
//!
//! A step down a tree waits for memory, twice; so several walks go side by side and wait together: eight trees for one
//! row, eight rows for one tree. All walks of a group take as many steps as its deepest tree, without a branch in between:
//! a walk that has arrived steps on the spot. Loops over a group have a fixed length, so the compiler unrolls them, and
//! the check that the sandbox makes at every turn of a loop comes once per eight steps.
//!
//! Values are added tree by tree in the model's order, in doubles: the sums are LightGBM's to the last bit.

use crate::layout::{Node, Nodes, Root};
use crate::slots::{Slot, Slots};

/// Walks side by side.
pub(crate) const LANES: usize = 8;
/// Rows for which a tree is walked while it is in the nearest cache, at most...
const BLOCK_ROWS: usize = 64;
/// ... and so many that their slots stay in the nearest cache too (16 KiB).
const BLOCK_SLOTS: usize = 1_024;

/// The slots of eight rows: slot first, so that the rows of one slot lie together.
type Lanes = [Slot; LANES];

impl Nodes {
    /// Adds a row's leaf values to its sums, eight trees side by side.
    pub(crate) fn add_row(&self, slots: &[Slot], sums: &mut [f64]) {
        let mut score = 0;
        for roots in self.roots.chunks(LANES) {
            // Lanes without a tree walk the first one again, and are not added.
            let mut at = [roots[0].node; LANES];
            for (at, root) in at.iter_mut().zip(roots) {
                *at = root.node;
            }
            for _ in 0..deepest(roots) {
                for at in &mut at {
                    let node = &self.nodes[*at as usize];
                    *at = node.step(slots[node.slot as usize]);
                }
            }
            for (at, _) in at.iter().zip(roots) {
                sums[score] += self.nodes[*at as usize].value();
                score += 1;
                if score == sums.len() {
                    score = 0;
                }
            }
        }
    }

    /// Adds the leaf values of rows to their sums: blocks of rows, one tree after the other for each, eight rows side by
    /// side. The rows are a multiple of [`LANES`].
    pub(crate) fn add_rows(
        &self,
        prepared: &Slots,
        features: &[f64],
        sums: &mut [f64],
        scores: usize,
    ) {
        if features.is_empty() {
            return;
        }
        let (columns, width) = (prepared.columns(), prepared.len());
        let groups = (BLOCK_SLOTS / (width * LANES)).clamp(1, BLOCK_ROWS / LANES);
        let mut slots = vec![[Slot::default(); LANES]; groups * width];
        let rows = groups * LANES;
        let blocks = features.chunks(rows * columns);
        for (block, sums) in blocks.zip(sums.chunks_mut(rows * scores)) {
            for (index, row) in block.chunks_exact(columns).enumerate() {
                let group = &mut slots[index / LANES * width..];
                prepared.fill(row, |place, slot| group[place][index % LANES] = slot);
            }
            for (tree, root) in self.roots.iter().enumerate() {
                let groups = slots.chunks_exact(width);
                for (slots, sums) in groups.zip(sums.chunks_exact_mut(LANES * scores)) {
                    self.add_tree(
                        *root,
                        slots,
                        sums.iter_mut().skip(tree % scores).step_by(scores),
                    );
                }
            }
        }
    }

    #[inline]
    fn add_tree<'a>(&self, root: Root, slots: &[Lanes], sums: impl Iterator<Item = &'a mut f64>) {
        let mut at = [root.node; LANES];
        for _ in 0..root.depth {
            for (lane, at) in at.iter_mut().enumerate() {
                let node = &self.nodes[*at as usize];
                *at = node.step(slots[node.slot as usize][lane]);
            }
        }
        for (at, sum) in at.iter().zip(sums) {
            *sum += self.nodes[*at as usize].value();
        }
    }
}

impl Node {
    /// The place after one step, for this node's slot.
    #[inline]
    fn step(&self, slot: Slot) -> u32 {
        // A split is no last node: its children stand after it.
        self.next.wrapping_add(u32::from(slot.right(self.test)))
    }

    #[inline]
    const fn value(&self) -> f64 {
        f64::from_bits(self.test as u64)
    }
}

fn deepest(roots: &[Root]) -> u32 {
    roots.iter().map(|root| root.depth).max().unwrap_or(0)
}
