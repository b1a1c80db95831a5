//! The whole forest: rows in, scores out, by whichever kernel suits its trees.

use crate::layout::Nodes;
use crate::masks::Masks;
use crate::perfect::Perfect;
use crate::slots::{Looks, Sets, Slot, Slots};
use crate::tree::Trees;
use crate::walk::LANES;

/// Rows that are prepared together for [`Masks`].
const ROWS: usize = 64;

/// Trees, ready for rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forest {
    kernel: Kernel,
    slots: Slots,
    /// Scores of a row; tree i adds to score i modulo this.
    scores: usize,
    slope: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Kernel {
    /// For trees of few levels.
    Perfect(Perfect),
    /// For other trees of few leaves.
    Masks(Masks),
    /// For all others.
    Walk(Nodes),
}

impl Forest {
    /// Lays out trees whose indices are checked.
    ///
    /// # Errors
    /// A text if there are more nodes than their field can number.
    pub(crate) fn new(trees: &Trees, columns: usize, scores: usize) -> Result<Self, &'static str> {
        let looks = |sets| Looks::of(trees.trees.iter().flat_map(|tree| &tree.splits), sets);
        let (apart, shifted) = (looks(Sets::Apart), looks(Sets::Shifted));
        let (kernel, looks) = if let Some(perfect) = Perfect::new(&trees.trees, &apart) {
            (Kernel::Perfect(perfect), apart)
        } else if let Some(masks) = Masks::new(&trees.trees, &shifted) {
            (Kernel::Masks(masks), shifted)
        } else {
            let nodes = Nodes::new(&trees.trees, &shifted)?;
            (Kernel::Walk(nodes), shifted)
        };
        Ok(Self {
            kernel,
            slots: looks.slots(columns),
            scores,
            slope: trees.slope,
        })
    }

    /// The scores of all rows, row by row: sums of leaf values times the slope.
    pub(crate) fn scores(&self, features: &[f64]) -> Vec<f64> {
        let columns = self.slots.columns();
        let rows = features.len() / columns;
        let mut sums = vec![0.0; rows * self.scores];
        let width = self.slots.len();
        match &self.kernel {
            Kernel::Perfect(perfect) => {
                perfect.add_rows(&self.slots, features, &mut sums, self.scores);
            }
            Kernel::Masks(masks) => {
                let mut slots = vec![Slot::default(); rows.min(ROWS) * width];
                let groups = features.chunks(ROWS * columns);
                for (rows, sums) in groups.zip(sums.chunks_mut(ROWS * self.scores)) {
                    self.slots.fill_rows(rows, &mut slots);
                    masks.add_rows(&slots, width, sums, self.scores);
                }
            }
            Kernel::Walk(nodes) => {
                let together = rows / LANES * LANES;
                let (many, few) = features.split_at(together * columns);
                let (many_sums, few_sums) = sums.split_at_mut(together * self.scores);
                nodes.add_rows(&self.slots, many, many_sums, self.scores);
                let mut slots = vec![Slot::default(); (rows - together) * width];
                self.slots.fill_rows(few, &mut slots);
                let few = slots.chunks_exact(width);
                for (slots, sums) in few.zip(few_sums.chunks_exact_mut(self.scores)) {
                    nodes.add_row(slots, sums);
                }
            }
        }
        if self.slope != 1.0 {
            sums.iter_mut().for_each(|sum| *sum *= self.slope);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Child, Missing, Split, Test, Tree};

    /// LightGBM's own procedure, as its header has it: one row, one tree, one branch after the other. The rows that it
    /// gets from its C interface have zeros for magnitudes up to 1e-35.
    fn reference(tree: &Tree, row: &[f64]) -> f64 {
        let zero = f64::from(1e-35_f32);
        let mut child = tree.root();
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

    /// The same forest with each kernel that takes it.
    fn each(trees: &Trees, columns: usize, scores: usize) -> impl Iterator<Item = Forest> {
        let looks = |sets| looks(&trees.trees, sets);
        let (apart, shifted) = (looks(Sets::Apart), looks(Sets::Shifted));
        let perfect = Perfect::of(&trees.trees, &apart).map(Kernel::Perfect);
        let masks = Masks::of(&trees.trees, &shifted).map(Kernel::Masks);
        let nodes = Nodes::new(&trees.trees, &shifted).map(Kernel::Walk).ok();
        let kernels = [perfect, masks, nodes];
        kernels.into_iter().flatten().map(move |kernel| Forest {
            slots: match kernel {
                Kernel::Perfect(_) => looks(Sets::Apart).slots(columns),
                _ => looks(Sets::Shifted).slots(columns),
            },
            kernel,
            scores,
            slope: trees.slope,
        })
    }

    /// Splits of one feature, each to the right of the one before.
    fn chain(feature: usize, tests: impl IntoIterator<Item = Test>) -> Tree {
        let tests: Vec<_> = tests.into_iter().collect();
        let count = tests.len();
        let splits = tests.into_iter().enumerate().map(|(index, test)| Split {
            feature,
            test,
            left: Child::Leaf(index),
            right: if index + 1 == count {
                Child::Leaf(count)
            } else {
                Child::Split(index + 1)
            },
        });
        Tree {
            splits: splits.collect(),
            leaves: (0..=count).map(|leaf| leaf as f64).collect(),
        }
    }

    fn up_to(threshold: f64) -> Test {
        Test::UpTo {
            threshold,
            missing: Missing::Nan,
            default_left: false,
        }
    }

    /// As many levels of splits, and all leaves below the last.
    fn full(levels: u32) -> Tree {
        let count = (1 << levels) - 1;
        let child = |index: usize| match index.checked_sub(count) {
            None => Child::Split(index),
            Some(leaf) => Child::Leaf(leaf),
        };
        let splits = (0..count).map(|index| Split {
            feature: 0,
            test: up_to(0.0),
            left: child(2 * index + 1),
            right: child(2 * index + 2),
        });
        Tree {
            splits: splits.collect(),
            leaves: vec![0.0; count + 1],
        }
    }

    fn looks(trees: &[Tree], sets: Sets) -> Looks {
        Looks::of(trees.iter().flat_map(|tree| &tree.splits), sets)
    }

    fn is_perfect(trees: Vec<Tree>) -> bool {
        Perfect::new(&trees, &looks(&trees, Sets::Apart)).is_some()
    }

    fn is_masked(trees: Vec<Tree>) -> bool {
        Masks::new(&trees, &looks(&trees, Sets::Shifted)).is_some()
    }

    #[test]
    fn trees_of_few_levels_are_perfect_others_of_few_leaves_masked_and_all_others_walked() {
        let row_of = |splits: u32| chain(0, (0..splits).map(|split| up_to(f64::from(split))));
        let kernel = |tree| {
            let trees = vec![tree];
            Forest::new(&Trees { slope: 1.0, trees }, 1, 1)
                .unwrap()
                .kernel
        };
        assert!(matches!(kernel(full(4)), Kernel::Perfect(_)));
        assert!(matches!(kernel(row_of(31)), Kernel::Masks(_)));
        assert!(matches!(kernel(row_of(32)), Kernel::Walk(_)));
    }

    #[test]
    fn trees_of_any_kernel_answer_alike() {
        for splits in [0, 1, 8, 9, 31, 32] {
            let tree = chain(0, (0..splits).map(|split| up_to(f64::from(split))));
            let trees = vec![tree];
            for forest in each(&Trees { slope: 1.0, trees }, 1, 1) {
                let row = [f64::from(splits)];
                assert_eq!(forest.scores(&row), row, "{:?}", forest.kernel);
            }
        }
    }

    #[test]
    fn trees_are_perfect_up_to_8_levels_and_where_a_quarter_of_the_leaves_exists() {
        assert!(is_perfect(vec![full(8)]));
        assert!(!is_perfect(vec![full(9)]));
        let few = |splits| vec![chain(0, (0..splits).map(f64::from).map(up_to))];
        assert!(is_perfect(few(3)));
        assert!(!is_perfect(few(5)));
    }

    #[test]
    fn trees_are_perfect_where_a_byte_can_number_their_slots() {
        let trees = |features: usize| (0..features).map(|feature| chain(feature, [up_to(0.0)]));
        assert!(is_perfect(trees(255).collect()));
        assert!(!is_perfect(trees(256).collect()));
        let sets = |count| (0..count).map(|set| chain(0, [Test::OneOf(vec![set])]));
        assert!(is_perfect(sets(255).collect()));
        assert!(!is_perfect(sets(256).collect()));
    }

    #[test]
    fn a_forest_is_not_masked_where_its_features_have_few_splits_each() {
        let trees =
            |features| (0..64_usize).map(move |tree| chain(tree % features, [up_to(tree as f64)]));
        assert!(is_masked(trees(8).collect()));
        assert!(!is_masked(trees(16).collect()));
    }

    #[test]
    fn a_forest_is_not_masked_where_the_sets_of_a_category_tell_all_its_values_apart() {
        let sets = |bits: u32| {
            (0..64_u32).map(move |tree| {
                let word = tree.wrapping_mul(0x9e37_79b9).rotate_left(tree) & bits;
                chain(0, [Test::OneOf(vec![word])])
            })
        };
        assert!(is_masked(sets(0xff).collect()));
        assert!(!is_masked(sets(u32::MAX).collect()));
    }

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
    fn tree(splits: Range<usize>) -> impl Strategy<Value = Tree> {
        let splits =
            prop::collection::vec((0..COLUMNS, test(), any::<prop::sample::Index>()), splits);
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

    /// Trees for some kernels, or of few enough levels for all.
    fn trees() -> impl Strategy<Value = Vec<Tree>> {
        prop_oneof![
            prop::collection::vec(tree(0..32), 1..20),
            prop::collection::vec(tree(0..9), 1..20),
        ]
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
            trees in trees(),
            scores in 1_usize..4,
            rows in prop::collection::vec(prop::collection::vec(value(), COLUMNS), 0..90),
        ) {
            let kept = (trees.len() / scores).max(1) * scores;
            let trees: Vec<_> = trees.iter().cycle().take(kept).cloned().collect();
            let trees = Trees { slope: 1.0, trees };
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
            for forest in each(&trees, COLUMNS, scores) {
                let found = forest.scores(&rows.concat());
                let found: Vec<_> = found.iter().map(|sum| sum.to_bits()).collect();
                prop_assert_eq!(&found, &expected, "{:?}", forest.kernel);
            }
        }
    }

    #[test]
    fn a_model_of_many_features_trees_and_scores_adds_each_tree_to_its_own_score() {
        let columns = 300;
        let trees = (0..columns).map(|column| chain(column, [up_to(0.0)]));
        let trees = Trees {
            slope: 2.0,
            trees: trees.collect(),
        };
        let row: Vec<f64> = (0..columns)
            .map(|column| if column % 3 == 0 { 1.0 } else { -1.0 })
            .collect();
        for forest in each(&trees, columns, 3) {
            assert_eq!(forest.scores(&row), [200.0, 0.0, 0.0]);
            assert_eq!(
                forest.scores(&row.repeat(100)),
                [200.0, 0.0, 0.0].repeat(100)
            );
        }
    }
}
