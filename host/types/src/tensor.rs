//! Tensors: dense arrays in row-major order.

use thiserror::Error;

mod rows;

/// Axes of a tensor, at most.
pub const MAX_RANK: usize = 8;

/// Elements of a tensor, at most: 2^28, which is 2 GiB of FP64.
pub const MAX_ELEMENTS: u64 = 1 << 28;

/// The datatypes of the Open Inference Protocol, and BF16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the protocol's own name")]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    /// Every datatype, in the order of the plugin interface.
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The protocol's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Reads the protocol's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|datatype| datatype.as_str() == text)
    }
}

impl std::fmt::Display for Datatype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Byte strings as one block and the end of each string in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blobs {
    /// All strings, one after the other.
    pub joined: Vec<u8>,
    /// Where each string ends in `joined`, ascending; the last equals its length.
    pub ends: Vec<u32>,
}

impl Blobs {
    /// Appends one string. `false` if the whole would pass 4 GiB; nothing is appended then.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let Ok(end) = u32::try_from(self.joined.len() + bytes.len()) else {
            return false;
        };
        self.joined.extend_from_slice(bytes);
        self.ends.push(end);
        true
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let piece = self.joined.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            piece
        })
    }

    /// Whether the ends ascend and the last one is the length of the block.
    pub fn is_well_formed(&self) -> bool {
        self.ends.is_sorted()
            && self.ends.last().map_or(0, |end| *end as usize) == self.joined.len()
    }
}

/// The elements of a tensor, by datatype.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the protocol's own name")]
pub enum Elements {
    /// 0 or 1 each.
    Bool(Vec<u8>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    /// Bit patterns of IEEE 754 binary16.
    Fp16(Vec<u16>),
    /// Bit patterns of bfloat16.
    Bf16(Vec<u16>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Bytes(Blobs),
}

/// Runs one expression for whichever vector the elements hold; byte strings apart.
macro_rules! each {
    ($elements:expr, $vec:ident => $body:expr, $blobs:ident => $bytes:expr) => {
        match $elements {
            Elements::Bool($vec) | Elements::Uint8($vec) => $body,
            Elements::Uint16($vec) | Elements::Fp16($vec) | Elements::Bf16($vec) => $body,
            Elements::Uint32($vec) => $body,
            Elements::Uint64($vec) => $body,
            Elements::Int8($vec) => $body,
            Elements::Int16($vec) => $body,
            Elements::Int32($vec) => $body,
            Elements::Int64($vec) => $body,
            Elements::Fp32($vec) => $body,
            Elements::Fp64($vec) => $body,
            Elements::Bytes($blobs) => $bytes,
        }
    };
}

impl Elements {
    /// No elements, of the given datatype.
    pub fn empty(datatype: Datatype) -> Self {
        match datatype {
            Datatype::Bool => Self::Bool(Vec::new()),
            Datatype::Uint8 => Self::Uint8(Vec::new()),
            Datatype::Uint16 => Self::Uint16(Vec::new()),
            Datatype::Uint32 => Self::Uint32(Vec::new()),
            Datatype::Uint64 => Self::Uint64(Vec::new()),
            Datatype::Int8 => Self::Int8(Vec::new()),
            Datatype::Int16 => Self::Int16(Vec::new()),
            Datatype::Int32 => Self::Int32(Vec::new()),
            Datatype::Int64 => Self::Int64(Vec::new()),
            Datatype::Fp16 => Self::Fp16(Vec::new()),
            Datatype::Bf16 => Self::Bf16(Vec::new()),
            Datatype::Fp32 => Self::Fp32(Vec::new()),
            Datatype::Fp64 => Self::Fp64(Vec::new()),
            Datatype::Bytes => Self::Bytes(Blobs::default()),
        }
    }

    /// The datatype.
    pub const fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Uint8(_) => Datatype::Uint8,
            Self::Uint16(_) => Datatype::Uint16,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Int8(_) => Datatype::Int8,
            Self::Int16(_) => Datatype::Int16,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Fp16(_) => Datatype::Fp16,
            Self::Bf16(_) => Datatype::Bf16,
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        each!(self, values => values.len(), blobs => blobs.ends.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, without the vector's own header.
    pub fn byte_len(&self) -> usize {
        each!(self, values => size_of_val(values.as_slice()), blobs => blobs.joined.len() + 4 * blobs.ends.len())
    }

    /// Element `index` as a number; `None` for byte strings, half floats and past the end. Integers beyond 2^53 are
    /// rounded, so this is for bounds and codes, never for passing values on.
    pub fn number(&self, index: usize) -> Option<f64> {
        match self {
            Self::Bool(values) | Self::Uint8(values) => values.get(index).map(|v| f64::from(*v)),
            Self::Uint16(values) => values.get(index).map(|v| f64::from(*v)),
            Self::Uint32(values) => values.get(index).map(|v| f64::from(*v)),
            Self::Uint64(values) => values.get(index).map(|v| *v as f64),
            Self::Int8(values) => values.get(index).map(|v| f64::from(*v)),
            Self::Int16(values) => values.get(index).map(|v| f64::from(*v)),
            Self::Int32(values) => values.get(index).map(|v| f64::from(*v)),
            Self::Int64(values) => values.get(index).map(|v| *v as f64),
            Self::Fp32(values) => values.get(index).map(|v| f64::from(*v)),
            Self::Fp64(values) => values.get(index).copied(),
            Self::Fp16(_) | Self::Bf16(_) | Self::Bytes(_) => None,
        }
    }
}

/// Why shape and elements do not make a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TensorError {
    /// More axes than [`MAX_RANK`].
    #[error("the shape has {0} axes; at most {MAX_RANK} are allowed")]
    Rank(usize),
    /// More elements than [`MAX_ELEMENTS`], or a product that overflows.
    #[error("the shape holds more than {MAX_ELEMENTS} elements")]
    TooMany,
    /// The shape promises another number of elements.
    #[error("the shape holds {expected} elements, the data {found}")]
    Count {
        /// Product of the shape.
        expected: u64,
        /// Number of elements given.
        found: u64,
    },
    /// A BOOL element that is neither 0 nor 1.
    #[error("element {0} of a BOOL tensor is neither 0 nor 1")]
    NotBool(usize),
    /// The ends of byte strings do not ascend to the length of their block.
    #[error("the ends of the byte strings do not ascend to the length of their block")]
    Blobs,
}

/// A dense array: as many elements as its shape says.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<u32>,
    elements: Elements,
}

impl Tensor {
    /// Joins shape and elements.
    ///
    /// # Errors
    /// [`TensorError`] if they do not fit each other, or a ceiling is passed.
    pub fn new(shape: Vec<u32>, elements: Elements) -> Result<Self, TensorError> {
        let expected = count(&shape)?;
        let found = elements.len() as u64;
        if expected != found {
            return Err(TensorError::Count { expected, found });
        }
        match &elements {
            Elements::Bool(values) => {
                if let Some(at) = values.iter().position(|v| *v > 1) {
                    return Err(TensorError::NotBool(at));
                }
            }
            Elements::Bytes(blobs) if !blobs.is_well_formed() => return Err(TensorError::Blobs),
            _ => {}
        }
        Ok(Self { shape, elements })
    }

    /// Length of each axis, outermost first.
    pub fn shape(&self) -> &[u32] {
        &self.shape
    }

    /// The elements in row-major order.
    pub const fn elements(&self) -> &Elements {
        &self.elements
    }

    /// The datatype.
    pub const fn datatype(&self) -> Datatype {
        self.elements.datatype()
    }

    /// Shape and elements, given away.
    pub fn into_parts(self) -> (Vec<u32>, Elements) {
        (self.shape, self.elements)
    }

    /// Length of the first axis; 1 for a scalar.
    pub fn rows(&self) -> u32 {
        self.shape.first().copied().unwrap_or(1)
    }
}

/// The number of elements that a shape holds.
///
/// # Errors
/// [`TensorError::Rank`] and [`TensorError::TooMany`].
pub fn count(shape: &[u32]) -> Result<u64, TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError::Rank(shape.len()));
    }
    let count = shape
        .iter()
        .try_fold(1_u64, |product, axis| product.checked_mul(u64::from(*axis)));
    count
        .filter(|count| *count <= MAX_ELEMENTS)
        .ok_or(TensorError::TooMany)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_holds_as_many_elements_as_its_shape_says() {
        assert!(Tensor::new(vec![2, 2], Elements::Fp64(vec![0.0; 4])).is_ok());
        assert!(Tensor::new(vec![], Elements::Fp64(vec![1.0])).is_ok());
        assert_eq!(
            Tensor::new(vec![2, 2], Elements::Fp64(vec![0.0; 3])),
            Err(TensorError::Count {
                expected: 4,
                found: 3
            })
        );
    }

    #[test]
    fn a_shape_whose_product_overflows_is_refused() {
        assert_eq!(
            count(&[u32::MAX, u32::MAX, u32::MAX]),
            Err(TensorError::TooMany)
        );
        assert_eq!(count(&[1; 9]), Err(TensorError::Rank(9)));
        assert_eq!(count(&[0, u32::MAX]), Ok(0));
    }

    #[test]
    fn booleans_and_byte_strings_are_checked() {
        assert_eq!(
            Tensor::new(vec![2], Elements::Bool(vec![1, 2])),
            Err(TensorError::NotBool(1))
        );
        let descending = Blobs {
            joined: b"ab".to_vec(),
            ends: vec![2, 1],
        };
        assert_eq!(
            Tensor::new(vec![2], Elements::Bytes(descending)),
            Err(TensorError::Blobs)
        );
        let mut good = Blobs::default();
        assert!(good.push(b"a") && good.push(b"") && good.push(b"bc"));
        assert_eq!(good.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc"]);
        assert!(Tensor::new(vec![3], Elements::Bytes(good)).is_ok());
    }
}
