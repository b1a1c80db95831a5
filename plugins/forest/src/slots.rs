//! A row, prepared so that every split is the same one comparison.
//!
//! LightGBM's rules for zero, NaN and categories depend on the split. But splits share few of them: for each feature and
//! rule there is one *slot*, filled once per row. A split goes right if `(test << shift) < key`, as signed integers, where
//! `test` is the node's and `shift` and `key` are its slot's:
//!
//! - a number's key is the number, as an integer that is ordered alike; the shift is 0 and the test the threshold's key.
//!   Missing values that go left have the key of minus infinity, those that go right that of infinity;
//! - a category's shift moves its bit to the sign, the key is 0 and the test holds the categories that go right;
//! - a set of categories that does not fit a test, or any set where no slot may have a shift, has a slot of its own: the
//!   key is 1 for those that go right and 0 for the others, the shift and the test are 0;
//! - slot 0 has the least key of all, so that nothing goes right: leaves use it to stay where they are.

use std::collections::BTreeSet;

use crate::tree::{Missing, Split, Test};

/// LightGBM counts magnitudes up to this as zero: its `kZeroThreshold`, which is written as a float.
const ZERO: f64 = 1e-35_f32 as f64;
/// The last bit of a test. Categories from this on are all alike: they go right in sets of one word, and the others have
/// slots of their own.
const NO_CATEGORY: u32 = 63;

/// One prepared value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    key: i64,
    shift: u64,
}

impl Slot {
    /// Nothing goes right.
    const NEVER: Self = Self {
        key: i64::MIN,
        shift: 0,
    };

    /// Whether a split with this test goes right.
    #[inline]
    pub(crate) fn right(self, test: i64) -> bool {
        test.wrapping_shl(self.shift as u32) < self.key
    }

    /// The key alone: all that there is to a slot without a shift.
    #[inline]
    pub(crate) const fn key(self) -> i64 {
        self.key
    }

    /// How many different shifts there are.
    pub(crate) const SHIFTS: usize = 1 + NO_CATEGORY as usize;

    /// What tells one category from another: 0 for all from [`NO_CATEGORY`] on, 63 for the first.
    #[inline]
    pub(crate) const fn shift(self) -> usize {
        self.shift as usize % Self::SHIFTS
    }

    /// The category of this shift.
    pub(crate) const fn category(shift: usize) -> Self {
        Self {
            key: 0,
            shift: shift as u64,
        }
    }
}

/// How a split looks at its feature. The order puts slots of a kind together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Number {
        missing: Missing,
        left: bool,
    },
    Category,
    /// At one set.
    Set(Vec<u32>),
}

/// The slots of a model, by kind; the first is [`Slot::NEVER`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slots {
    /// Features of a row.
    columns: usize,
    numbers: Vec<Number>,
    /// Features.
    categories: Vec<usize>,
    /// Features and sets.
    sets: Vec<(usize, Vec<u32>)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Number {
    feature: usize,
    /// What zero becomes.
    zero: f64,
    /// What NaN becomes.
    nan: f64,
}

/// How splits look at sets of categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sets {
    /// All sets that fit a word at one slot of their feature.
    Shifted,
    /// Each set at a slot of its own, so that no slot has a shift.
    Apart,
}

/// The ways in which the splits of a model look at its features, sorted.
#[derive(Debug)]
pub(crate) struct Looks {
    sets: Sets,
    looks: Vec<(Look, usize)>,
}

impl Looks {
    /// Those of all splits, each once.
    pub(crate) fn of<'a>(splits: impl Iterator<Item = &'a Split>, sets: Sets) -> Self {
        let looks: BTreeSet<_> = splits
            .map(|split| (look(split, sets).0, split.feature))
            .collect();
        Self {
            sets,
            looks: looks.into_iter().collect(),
        }
    }

    /// How many slots there are.
    pub(crate) const fn len(&self) -> usize {
        1 + self.looks.len()
    }

    /// The slot that a split looks at, and the split's test.
    pub(crate) fn find(&self, split: &Split) -> (usize, i64) {
        let (look, test) = look(split, self.sets);
        // It is there, for a split that `of` was given.
        let (Ok(index) | Err(index)) = self.looks.binary_search(&(look, split.feature));
        (1 + index, test)
    }

    /// Whether a slot holds a category.
    pub(crate) fn is_category(&self, slot: usize) -> bool {
        let look = slot.checked_sub(1).and_then(|index| self.looks.get(index));
        matches!(look, Some((Look::Category, _)))
    }

    /// What fills the slots.
    pub(crate) fn slots(self, columns: usize) -> Slots {
        let mut slots = Slots {
            columns,
            ..Slots::default()
        };
        for (look, feature) in self.looks {
            match look {
                Look::Number { missing, left } => {
                    let default = if left {
                        f64::NEG_INFINITY
                    } else {
                        f64::INFINITY
                    };
                    let (zero, nan) = match missing {
                        Missing::None => (0.0, 0.0),
                        Missing::Zero => (default, default),
                        Missing::Nan => (0.0, default),
                    };
                    slots.numbers.push(Number { feature, zero, nan });
                }
                Look::Category => slots.categories.push(feature),
                Look::Set(set) => slots.sets.push((feature, set)),
            }
        }
        slots
    }
}

fn look(split: &Split, sets: Sets) -> (Look, i64) {
    match &split.test {
        Test::UpTo {
            threshold,
            missing,
            default_left,
        } => {
            let look = Look::Number {
                missing: *missing,
                left: *default_left && *missing != Missing::None,
            };
            (look, key(*threshold))
        }
        Test::OneOf(set) => match one_word(set) {
            Some(word) if sets == Sets::Shifted => (Look::Category, !word as i64),
            _ => (Look::Set(set.clone()), 0),
        },
    }
}

impl Slots {
    /// Features of a row.
    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        1 + self.numbers.len() + self.categories.len() + self.sets.len()
    }

    /// Fills the slots of rows, row by row.
    #[inline]
    pub(crate) fn fill_rows(&self, rows: &[f64], slots: &mut [Slot]) {
        let rows = rows.chunks_exact(self.columns);
        for (row, slots) in rows.zip(slots.chunks_exact_mut(self.len())) {
            self.fill(row, |index, slot| slots[index] = slot);
        }
    }

    /// Fills the slots from a row of all columns; `put` takes each slot's number and content.
    #[inline]
    pub(crate) fn fill(&self, row: &[f64], mut put: impl FnMut(usize, Slot)) {
        put(0, Slot::NEVER);
        let mut index = 1;
        for number in &self.numbers {
            let key = key(number.of(row[number.feature]));
            put(index, Slot { key, shift: 0 });
            index += 1;
        }
        for feature in &self.categories {
            let code = category(row[*feature]).min(NO_CATEGORY);
            let shift = u64::from(NO_CATEGORY - code);
            put(index, Slot { key: 0, shift });
            index += 1;
        }
        for (feature, set) in &self.sets {
            let code = category(row[*feature]);
            let word = set.get(code as usize / 32);
            let inside = word.is_some_and(|word| word >> (code % 32) & 1 == 1);
            let key = i64::from(!inside);
            put(index, Slot { key, shift: 0 });
            index += 1;
        }
    }
}

impl Number {
    #[inline]
    const fn of(&self, value: f64) -> f64 {
        if value.abs() > ZERO {
            value
        } else if value.is_nan() {
            self.nan
        } else {
            self.zero
        }
    }
}

/// An integer for each double, ordered alike. Both zeros are one.
#[inline]
const fn key(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    // Negative numbers ascend as their magnitudes descend.
    bits ^ (bits >> 63 & i64::MAX)
}

/// The category that a value stands for: its whole part, as C++ casts it. NaN and negative numbers are none: a category
/// that no set holds.
#[inline]
const fn category(value: f64) -> u32 {
    // Above minus one the whole part is zero or more. The cast saturates, and no set reaches that far.
    if value > -1.0 { value as u32 } else { u32::MAX }
}

/// The set as one word, if it holds no category of [`NO_CATEGORY`] or above.
fn one_word(set: &[u32]) -> Option<u64> {
    let (low, high) = set.split_at(set.len().min(2));
    let word = low
        .iter()
        .rev()
        .fold(0, |word, half| word << 32 | u64::from(*half));
    (high.iter().all(|half| *half == 0) && word >> NO_CATEGORY == 0).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_the_whole_part_and_nan_or_negative_is_none() {
        let cases = [
            (0.0, 0),
            (-0.9, 0),
            (-1.0, u32::MAX),
            (2.9, 2),
            (62.0, 62),
            (f64::NAN, u32::MAX),
            (f64::NEG_INFINITY, u32::MAX),
            (1e300, u32::MAX),
        ];
        for (value, expected) in cases {
            assert_eq!(category(value), expected, "{value}");
        }
    }

    #[test]
    fn sets_up_to_category_62_fit_a_word() {
        assert_eq!(one_word(&[]), Some(0));
        assert_eq!(one_word(&[0b101]), Some(0b101));
        assert_eq!(one_word(&[1, 1 << 30]), Some(1 << 62 | 1));
        assert_eq!(one_word(&[1, 1 << 31]), None);
        assert_eq!(one_word(&[1, 0, 1]), None);
        assert_eq!(one_word(&[1, 0, 0]), Some(1));
    }

    #[test]
    fn keys_are_ordered_as_the_numbers_are() {
        let ascending = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.0,
            -1e-300,
            0.0,
            5e-324,
            1.0,
            1.0_f64.next_up(),
            f64::MAX,
            f64::INFINITY,
        ];
        assert!(ascending.is_sorted_by(|a, b| key(*a) < key(*b)));
        assert_eq!(key(-0.0), key(0.0));
        assert!(i64::MIN < key(f64::NEG_INFINITY));
    }
}
