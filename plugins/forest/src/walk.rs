//! From rows to scores.
//!
//! A step down a tree waits for memory, twice; so several walks go side by side and wait together: eight trees for one
//! row, eight rows for one tree. All walks of a group take as many steps as its deepest tree, without a branch in between:
//! a walk that has arrived steps on the spot. Loops over a group have a fixed length, so the compiler unrolls them, and
//! the check that the sandbox makes at every turn of a loop comes once per eight steps.
//!
//! Values are added tree by tree in the model's order, in doubles: the sums are LightGBM's to the last bit.

use crate::layout::{Forest, Node, Root};
use crate::slots::Slot;

/// Walks side by side.
const LANES: usize = 8;
/// Slots of one row that fit on the stack; a model with more takes them from the heap.
const STACK_SLOTS: usize = 64;
/// Rows for which a tree is walked while it is in the nearest cache, at most...
const BLOCK_ROWS: usize = 64;
/// ... and so many that their slots stay in the nearest cache too (16 KiB).
const BLOCK_SLOTS: usize = 1_024;

/// The slots of eight rows: slot first, so that the rows of one slot lie together.
type Lanes = [Slot; LANES];

impl Forest {
    /// The scores of all rows, row by row: sums of leaf values times the slope.
    pub(crate) fn scores(&self, features: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; features.len() / self.columns * self.scores];
        let rows = features.len() / self.columns;
        let together = rows / LANES * LANES;
        let (many, few) = features.split_at(together * self.columns);
        let (many_sums, few_sums) = sums.split_at_mut(together * self.scores);
        self.add_many(many, many_sums);
        self.add_few(few, few_sums);
        if self.slope != 1.0 {
            sums.iter_mut().for_each(|sum| *sum *= self.slope);
        }
        sums
    }

    /// One row at a time, eight trees side by side.
    fn add_few(&self, features: &[f64], sums: &mut [f64]) {
        let mut on_stack = [Slot::default(); STACK_SLOTS];
        let mut on_heap;
        let slots = if let Some(slots) = on_stack.get_mut(..self.slots.len()) {
            slots
        } else {
            on_heap = vec![Slot::default(); self.slots.len()];
            &mut on_heap[..]
        };
        let rows = features.chunks_exact(self.columns);
        for (row, sums) in rows.zip(sums.chunks_exact_mut(self.scores)) {
            self.slots.fill(row, |index, slot| slots[index] = slot);
            self.add_row(slots, sums);
        }
    }

    fn add_row(&self, slots: &[Slot], sums: &mut [f64]) {
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
                if score == self.scores {
                    score = 0;
                }
            }
        }
    }

    /// Blocks of rows, one tree after the other for each, eight rows side by side. `features` has a multiple of eight.
    fn add_many(&self, features: &[f64], sums: &mut [f64]) {
        if features.is_empty() {
            return;
        }
        let width = self.slots.len();
        let groups = (BLOCK_SLOTS / (width * LANES)).clamp(1, BLOCK_ROWS / LANES);
        let mut slots = vec![[Slot::default(); LANES]; groups * width];
        let rows = groups * LANES;
        let blocks = features.chunks(rows * self.columns);
        for (block, sums) in blocks.zip(sums.chunks_mut(rows * self.scores)) {
            for (index, row) in block.chunks_exact(self.columns).enumerate() {
                let group = &mut slots[index / LANES * width..];
                self.slots
                    .fill(row, |place, slot| group[place][index % LANES] = slot);
            }
            for (tree, root) in self.roots.iter().enumerate() {
                let groups = slots.chunks_exact(width);
                for (slots, sums) in groups.zip(sums.chunks_exact_mut(LANES * self.scores)) {
                    self.add_tree(*root, slots, &mut sums[tree % self.scores..]);
                }
            }
        }
    }

    #[inline]
    fn add_tree(&self, root: Root, slots: &[Lanes], sums: &mut [f64]) {
        let mut at = [root.node; LANES];
        for _ in 0..root.depth {
            for (lane, at) in at.iter_mut().enumerate() {
                let node = &self.nodes[*at as usize];
                *at = node.step(slots[node.slot as usize][lane]);
            }
        }
        for (at, sum) in at.iter().zip(sums.iter_mut().step_by(self.scores)) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Child, Missing, Split, Test, Tree, Trees};

    /// LightGBM's own procedure, as its header has it: one row, one tree, one branch after the other. The rows that it
    /// gets from its C interface have zeros for magnitudes up to 1e-35.
    fn reference(tree: &Tree, row: &[f64]) -> f64 {
        let zero = f64::from(1e-35_f32);
        let mut child = if tree.splits.is_empty() {
            Child::Leaf(0)
        } else {
            Child::Split(0)
        };
        loop {
            let split = match child {
                Child::Leaf(leaf) => return tree.leaves[leaf],
                Child::Split(split) => &tree.splits[split],
            };
            let value = row[split.feature];
            let left = match &split.test {
                Test::UpTo {
                    threshold,
                    missing,
                    default_left,
                } => {
                    let value = if value.abs() <= zero { 0.0 } else { value };
                    let value = if value.is_nan() && *missing != Missing::Nan {
                        0.0
                    } else {
                        value
                    };
                    let is_missing = match missing {
                        Missing::None => false,
                        Missing::Zero => (-zero..=zero).contains(&value),
                        Missing::Nan => value.is_nan(),
                    };
                    if is_missing {
                        *default_left
                    } else {
                        value <= *threshold
                    }
                }
                Test::OneOf(set) => {
                    let code = value as i64;
                    !value.is_nan()
                        && code >= 0
                        && set
                            .get(code as usize / 32)
                            .is_some_and(|word| word >> (code % 32) & 1 == 1)
                }
            };
            child = if left { split.left } else { split.right };
        }
    }

    const COLUMNS: usize = 3;

    fn test() -> impl Strategy<Value = Test> {
        let missing = prop_oneof![Just(Missing::None), Just(Missing::Zero), Just(Missing::Nan)];
        prop_oneof![
            (-3_i8..3, missing, any::<bool>()).prop_map(|(threshold, missing, default_left)| {
                Test::UpTo {
                    threshold: f64::from(threshold) / 2.0,
                    missing,
                    default_left,
                }
            }),
            prop::collection::vec(any::<u32>(), 0..4).prop_map(Test::OneOf),
        ]
    }

    /// Grown as LightGBM grows: each split takes a leaf's place, keeps its left side and adds a leaf to the right.
    fn tree() -> impl Strategy<Value = Tree> {
        let splits =
            prop::collection::vec((0..COLUMNS, test(), any::<prop::sample::Index>()), 0..12);
        splits.prop_map(|choices| {
            let mut splits: Vec<Split> = Vec::new();
            for (index, (feature, test, at)) in choices.into_iter().enumerate() {
                let leaf = Child::Leaf(at.index(index + 1));
                for split in &mut splits {
                    if split.left == leaf {
                        split.left = Child::Split(index);
                    } else if split.right == leaf {
                        split.right = Child::Split(index);
                    }
                }
                splits.push(Split {
                    feature,
                    test,
                    left: leaf,
                    right: Child::Leaf(index + 1),
                });
            }
            // Values whose sums depend on their order.
            let leaves = (0..=splits.len()).map(|leaf| 0.1 + 1.0 / (leaf as f64 + 3.0));
            let leaves = leaves.collect();
            Tree { splits, leaves }
        })
    }

    fn value() -> impl Strategy<Value = f64> {
        let special = prop::sample::select(vec![
            f64::NAN,
            0.0,
            -0.0,
            1e-36,
            -1e-36,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
            -1.0,
            -0.5,
            31.0,
            32.0,
            63.0,
            64.0,
            127.0,
            128.0,
            1e10,
        ]);
        prop_oneof![
            special,
            (-8_i8..8).prop_map(|value| f64::from(value) / 4.0),
            0.0..130.0
        ]
    }

    proptest! {
        #[test]
        fn every_row_gets_the_sums_of_the_reference_to_the_last_bit(
            trees in prop::collection::vec(tree(), 1..20),
            scores in 1_usize..4,
            rows in prop::collection::vec(prop::collection::vec(value(), COLUMNS), 0..90),
        ) {
            let kept = (trees.len() / scores).max(1) * scores;
            let trees: Vec<_> = trees.iter().cycle().take(kept).cloned().collect();
            let trees = Trees { slope: 1.0, trees };
            let forest = Forest::new(&trees, COLUMNS, scores).unwrap();
            let expected: Vec<u64> = rows
                .iter()
                .flat_map(|row| {
                    let mut sums = vec![0.0; scores];
                    for (index, tree) in trees.trees.iter().enumerate() {
                        sums[index % scores] += reference(tree, row);
                    }
                    sums
                })
                .map(f64::to_bits)
                .collect();
            let found = forest.scores(&rows.concat());
            prop_assert_eq!(found.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_model_of_many_features_takes_its_slots_from_the_heap() {
        let columns = 300;
        let stump = |feature| Tree {
            splits: vec![Split {
                feature,
                test: Test::UpTo {
                    threshold: 0.0,
                    missing: Missing::Nan,
                    default_left: false,
                },
                left: Child::Leaf(0),
                right: Child::Leaf(1),
            }],
            leaves: vec![0.0, 1.0],
        };
        let trees = (0..columns).map(stump).collect();
        let forest = Forest::new(&Trees { slope: 2.0, trees }, columns, 1).unwrap();
        let row: Vec<f64> = (0..columns)
            .map(|column| if column % 3 == 0 { 1.0 } else { -1.0 })
            .collect();
        assert_eq!(forest.scores(&row), [200.0]);
        assert_eq!(forest.scores(&row.repeat(100)), vec![200.0; 100]);
    }
}
