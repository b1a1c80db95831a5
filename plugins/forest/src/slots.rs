//! A row, prepared so that every split is one comparison without exceptions.
//!
//! LightGBM's rules for zero, NaN and categories depend on the split. But splits share few of them: for each feature and
//! rule there is one *slot*, filled once per row. Missing values that go left become minus infinity, those that go right
//! infinity, so that `value <= threshold` is the whole test; categories become bit numbers.

use crate::tree::{Missing, Split, Test};

/// LightGBM counts smaller magnitudes as zero: its `kZeroThreshold`, which is written as a float.
const ZERO: f64 = 1e-35_f32 as f64;
/// Categories from this on are all alike in a set of one word, and in none.
pub(crate) const NO_CATEGORY: u64 = 63;

/// What fills a slot.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// The value; NaN is zero.
    NanIsZero,
    /// The value; NaN goes left, or right.
    Nan { left: bool },
    /// The value; zero and NaN go left, or right.
    Zero { left: bool },
    /// The category's number as bits, [`NO_CATEGORY`] for all that are none.
    Category,
    /// Zero for a category of this set, one for any other: sets that do not fit a word.
    Outside(Vec<u32>),
}

/// The slots of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slots {
    slots: Vec<(usize, Source)>,
}

/// How the split reads its slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    /// Left if the slot, a double, is at most this.
    UpTo(f64),
    /// Left if the bit that the slot names is set.
    Bit(u64),
}

impl Slots {
    /// The slot that a split reads, made if there is none like it, and the way to read it.
    pub(crate) fn of(&mut self, split: &Split) -> (usize, Reading) {
        let (source, reading) = match &split.test {
            Test::UpTo {
                threshold,
                missing,
                default_left: left,
            } => {
                let left = *left;
                let source = match missing {
                    Missing::None => Source::NanIsZero,
                    Missing::Nan => Source::Nan { left },
                    Missing::Zero => Source::Zero { left },
                };
                (source, Reading::UpTo(*threshold))
            }
            Test::OneOf(set) => match one_word(set) {
                Some(word) => (Source::Category, Reading::Bit(word)),
                None => (Source::Outside(set.clone()), Reading::UpTo(0.5)),
            },
        };
        let wanted = (split.feature, source);
        let index = self.slots.iter().position(|slot| *slot == wanted);
        let index = index.unwrap_or_else(|| {
            self.slots.push(wanted);
            self.slots.len() - 1
        });
        (index, reading)
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Fills the slots from a row. `row` has all columns, `put` takes each slot's number and bits.
    #[inline]
    pub(crate) fn fill(&self, row: &[f64], mut put: impl FnMut(usize, u64)) {
        for (index, (feature, source)) in self.slots.iter().enumerate() {
            let value = row[*feature];
            put(index, source.bits(value));
        }
    }
}

impl Source {
    #[inline]
    fn bits(&self, value: f64) -> u64 {
        let side = |left| {
            if left {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }
        };
        // False for NaN too.
        let other_than_zero = value.abs() > ZERO;
        let value = match self {
            Self::NanIsZero if other_than_zero => value,
            Self::NanIsZero => 0.0,
            Self::Nan { left } if value.is_nan() => side(*left),
            Self::Nan { .. } if other_than_zero => value,
            Self::Nan { .. } => 0.0,
            Self::Zero { .. } if other_than_zero => value,
            Self::Zero { left } => side(*left),
            Self::Category => {
                return category(value)
                    .map_or(NO_CATEGORY, u64::from)
                    .min(NO_CATEGORY);
            }
            Self::Outside(set) => {
                let inside = category(value).is_some_and(|code| {
                    let word = set.get(code as usize / 32);
                    word.is_some_and(|word| word >> (code % 32) & 1 == 1)
                });
                f64::from(u8::from(!inside))
            }
        };
        value.to_bits()
    }
}

/// The category that a value stands for: its whole part, as C++ casts it. NaN and negative numbers are none.
#[inline]
fn category(value: f64) -> Option<u32> {
    // A whole part of zero has any value above minus one; the cast saturates, and no set reaches that far.
    (value > -1.0).then_some(value as u32)
}

/// The set as one word, if no category of it is [`NO_CATEGORY`] or above.
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
            (0.0, Some(0)),
            (-0.9, Some(0)),
            (-1.0, None),
            (2.9, Some(2)),
            (62.0, Some(62)),
            (f64::NAN, None),
            (f64::NEG_INFINITY, None),
            (1e300, Some(u32::MAX)),
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
}
