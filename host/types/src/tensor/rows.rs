//! Tensors as stacks of rows: put on one another, and taken apart again.

use super::{Blobs, Elements, Tensor};

/// Joins vectors of the same variant.
macro_rules! joined {
    ($parts:expr, $variant:ident) => {{
        let mut all = Vec::with_capacity($parts.iter().map(|part| part.elements.len()).sum());
        for part in $parts {
            let Elements::$variant(values) = &part.elements else {
                return None;
            };
            all.extend_from_slice(values);
        }
        Elements::$variant(all)
    }};
}

impl Tensor {
    /// The rows of several tensors in one, in their order: the first axis is the row. `None` if there are none, if one has no
    /// axis, if they differ in datatype or in any other axis, or if they are too much for one tensor.
    pub fn join_rows(parts: &[&Self]) -> Option<Self> {
        let first = parts.first()?;
        let (_, row_shape) = first.shape.split_first()?;
        let mut rows = 0_u32;
        for part in parts {
            let (own, shape) = part.shape.split_first()?;
            rows = rows.checked_add(*own).filter(|_| shape == row_shape)?;
        }
        let mut shape = first.shape.clone();
        *shape.first_mut()? = rows;
        let elements = match &first.elements {
            Elements::Bool(_) => joined!(parts, Bool),
            Elements::Uint8(_) => joined!(parts, Uint8),
            Elements::Uint16(_) => joined!(parts, Uint16),
            Elements::Uint32(_) => joined!(parts, Uint32),
            Elements::Uint64(_) => joined!(parts, Uint64),
            Elements::Int8(_) => joined!(parts, Int8),
            Elements::Int16(_) => joined!(parts, Int16),
            Elements::Int32(_) => joined!(parts, Int32),
            Elements::Int64(_) => joined!(parts, Int64),
            Elements::Fp16(_) => joined!(parts, Fp16),
            Elements::Bf16(_) => joined!(parts, Bf16),
            Elements::Fp32(_) => joined!(parts, Fp32),
            Elements::Fp64(_) => joined!(parts, Fp64),
            Elements::Bytes(_) => Elements::Bytes(joined_blobs(parts)?),
        };
        Self::new(shape, elements).ok()
    }

    /// Tensors of so many rows each, in their order. `None` if they are not all of this one's rows.
    pub fn split_rows(&self, rows: &[u32]) -> Option<Vec<Self>> {
        let (own, row_shape) = self.shape.split_first()?;
        let all = rows
            .iter()
            .try_fold(0_u32, |sum, rows| sum.checked_add(*rows))?;
        if all != *own {
            return None;
        }
        let width = row_shape
            .iter()
            .map(|axis| *axis as usize)
            .product::<usize>();
        let mut at = 0;
        let part = |rows: &u32| {
            let end = at + *rows as usize * width;
            let elements = self.elements.range(at, end)?;
            at = end;
            let mut shape = self.shape.clone();
            *shape.first_mut()? = *rows;
            Some(Self { shape, elements })
        };
        rows.iter().map(part).collect()
    }
}

impl Elements {
    /// Those from one place up to another; `None` past the end.
    fn range(&self, from: usize, to: usize) -> Option<Self> {
        Some(match self {
            Self::Bool(values) => Self::Bool(values.get(from..to)?.to_vec()),
            Self::Uint8(values) => Self::Uint8(values.get(from..to)?.to_vec()),
            Self::Uint16(values) => Self::Uint16(values.get(from..to)?.to_vec()),
            Self::Uint32(values) => Self::Uint32(values.get(from..to)?.to_vec()),
            Self::Uint64(values) => Self::Uint64(values.get(from..to)?.to_vec()),
            Self::Int8(values) => Self::Int8(values.get(from..to)?.to_vec()),
            Self::Int16(values) => Self::Int16(values.get(from..to)?.to_vec()),
            Self::Int32(values) => Self::Int32(values.get(from..to)?.to_vec()),
            Self::Int64(values) => Self::Int64(values.get(from..to)?.to_vec()),
            Self::Fp16(values) => Self::Fp16(values.get(from..to)?.to_vec()),
            Self::Bf16(values) => Self::Bf16(values.get(from..to)?.to_vec()),
            Self::Fp32(values) => Self::Fp32(values.get(from..to)?.to_vec()),
            Self::Fp64(values) => Self::Fp64(values.get(from..to)?.to_vec()),
            Self::Bytes(blobs) => Self::Bytes(blobs.range(from, to)?),
        })
    }
}

impl Blobs {
    fn range(&self, from: usize, to: usize) -> Option<Self> {
        let ends = self.ends.get(from..to)?;
        let begin = match from.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        let end = ends.last().copied().unwrap_or(begin);
        let joined = self.joined.get(begin as usize..end as usize)?.to_vec();
        // They ascend, and the first is at the beginning of the range or behind it.
        let ends = ends.iter().map(|end| end - begin).collect();
        Some(Self { joined, ends })
    }
}

/// `None` if they pass 4 GiB together.
fn joined_blobs(parts: &[&Tensor]) -> Option<Blobs> {
    let mut all = Blobs::default();
    for part in parts {
        let Elements::Bytes(blobs) = &part.elements else {
            return None;
        };
        let begin = u32::try_from(all.joined.len()).ok()?;
        begin.checked_add(u32::try_from(blobs.joined.len()).ok()?)?;
        all.joined.extend_from_slice(&blobs.joined);
        all.ends.extend(blobs.ends.iter().map(|end| begin + end));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Datatype;
    use super::*;

    /// A tensor of these rows and of rows of this length, whose elements count up from a seed.
    fn stack(datatype: Datatype, rows: u32, width: u32, seed: u8) -> Tensor {
        let count = (rows * width) as usize;
        let numbers = || (0..count).map(|at| seed.wrapping_add(at as u8));
        let elements = match datatype {
            Datatype::Bool => Elements::Bool(numbers().map(|n| n % 2).collect()),
            Datatype::Uint8 => Elements::Uint8(numbers().collect()),
            Datatype::Uint16 => Elements::Uint16(numbers().map(u16::from).collect()),
            Datatype::Uint32 => Elements::Uint32(numbers().map(u32::from).collect()),
            Datatype::Uint64 => Elements::Uint64(numbers().map(u64::from).collect()),
            Datatype::Int8 => Elements::Int8(numbers().map(|n| n as i8).collect()),
            Datatype::Int16 => Elements::Int16(numbers().map(i16::from).collect()),
            Datatype::Int32 => Elements::Int32(numbers().map(i32::from).collect()),
            Datatype::Int64 => Elements::Int64(numbers().map(i64::from).collect()),
            Datatype::Fp16 => Elements::Fp16(numbers().map(u16::from).collect()),
            Datatype::Bf16 => Elements::Bf16(numbers().map(u16::from).collect()),
            Datatype::Fp32 => Elements::Fp32(numbers().map(f32::from).collect()),
            Datatype::Fp64 => Elements::Fp64(numbers().map(f64::from).collect()),
            Datatype::Bytes => {
                let mut blobs = Blobs::default();
                for n in numbers() {
                    assert!(blobs.push(&vec![n; usize::from(n % 5)]));
                }
                Elements::Bytes(blobs)
            }
        };
        Tensor::new(vec![rows, width], elements).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_joined_is_taken_apart_into_the_same(
            datatype in prop::sample::select(&Datatype::ALL[..]),
            rows in prop::collection::vec(0..4_u32, 1..6),
            width in 0..3_u32,
            seed in 0..200_u8,
        ) {
            let parts: Vec<_> = (seed..).zip(&rows).map(|(seed, rows)| stack(datatype, *rows, width, seed)).collect();
            let joined = Tensor::join_rows(&parts.iter().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(joined.rows(), rows.iter().sum::<u32>());
            prop_assert!(Tensor::new(joined.shape().to_vec(), joined.elements().clone()).is_ok());
            prop_assert_eq!(joined.split_rows(&rows).unwrap(), parts);
        }
    }

    #[test]
    fn what_is_not_of_one_kind_is_not_joined() {
        let one = stack(Datatype::Fp64, 2, 3, 0);
        for other in [
            stack(Datatype::Fp32, 2, 3, 0),
            stack(Datatype::Fp64, 2, 2, 0),
            Tensor::new(vec![6], Elements::Fp64(vec![0.0; 6])).unwrap(),
            Tensor::new(vec![], Elements::Fp64(vec![0.0])).unwrap(),
        ] {
            assert_eq!(Tensor::join_rows(&[&one, &other]), None);
            assert_eq!(Tensor::join_rows(&[&other, &one]), None);
        }
        assert_eq!(Tensor::join_rows(&[]), None);
    }

    #[test]
    fn rows_that_are_not_there_are_not_taken() {
        let one = stack(Datatype::Fp64, 3, 2, 0);
        for rows in [&[1, 1][..], &[2, 2], &[u32::MAX, 4], &[]] {
            assert_eq!(one.split_rows(rows), None, "{rows:?}");
        }
    }
}
