//! Tensors: dense arrays in row-major order, the last axis varying fastest.

use std::fmt;

/// The datatypes of the Open Inference Protocol, and BF16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Datatype {
    /// True or false; read as `u8` (0 or 1), written as `bool`.
    Bool,
    /// `u8`
    Uint8,
    /// `u16`
    Uint16,
    /// `u32`
    Uint32,
    /// `u64`
    Uint64,
    /// `i8`
    Int8,
    /// `i16`
    Int16,
    /// `i32`
    Int32,
    /// `i64`
    Int64,
    /// IEEE 754 binary16, as bit patterns: `u16`
    Fp16,
    /// bfloat16 (the upper half of an `f32`), as bit patterns: `u16`
    Bf16,
    /// `f32`
    Fp32,
    /// `f64`
    Fp64,
    /// Byte strings of any length.
    Bytes,
}

impl Datatype {
    /// The protocol's name, such as `FP64`.
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
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The elements by datatype; what crosses the boundary. Vectors are moved into and out of it, never copied.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Elements {
    Bool(Vec<u8>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Fp16(Vec<u16>),
    Bf16(Vec<u16>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Bytes { joined: Vec<u8>, ends: Vec<u32> },
}

impl Elements {
    pub(crate) const fn datatype(&self) -> Datatype {
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
            Self::Bytes { .. } => Datatype::Bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bool(values) | Self::Uint8(values) => values.len(),
            Self::Uint16(values) | Self::Fp16(values) | Self::Bf16(values) => values.len(),
            Self::Uint32(values) => values.len(),
            Self::Uint64(values) => values.len(),
            Self::Int8(values) => values.len(),
            Self::Int16(values) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Fp32(values) => values.len(),
            Self::Fp64(values) => values.len(),
            Self::Bytes { ends, .. } => ends.len(),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    /// Element `index` as a number; `None` for byte strings, half floats and past the end.
    pub(crate) fn number(&self, index: usize) -> Option<f64> {
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
            Self::Fp16(_) | Self::Bf16(_) | Self::Bytes { .. } => None,
        }
    }
}

/// A dense array: its shape, outermost axis first, and its elements in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub(crate) shape: Vec<u32>,
    pub(crate) elements: Elements,
}

impl Tensor {
    /// Joins a shape and its elements; `&[]` is the shape of a scalar. The datatype follows from the element type,
    /// see [`Values`].
    ///
    /// There must be as many elements as the product of the shape. This is looked at when the tensor is used: the
    /// harness, the SDK and the host all refuse another number.
    ///
    /// ```
    /// # use foretell_sdk::prelude::*;
    /// let tensor = Tensor::new(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    /// assert_eq!(tensor.datatype(), Datatype::Fp64);
    /// ```
    pub fn new(shape: &[usize], values: impl Into<Values>) -> Self {
        // An axis beyond 32 bits is saturated, so that it cannot match any number of elements that fits in memory.
        let axis = |length: &usize| u32::try_from(*length).unwrap_or(u32::MAX);
        Self {
            shape: shape.iter().map(axis).collect(),
            elements: values.into().0,
        }
    }

    /// A tensor of one axis, as long as there are values.
    pub fn vector(values: impl Into<Values>) -> Self {
        let values = values.into();
        Self::new(&[values.0.len()], values)
    }

    /// A tensor of two axes: rows of `width` values each.
    pub fn table(width: usize, values: impl Into<Values>) -> Self {
        let values = values.into();
        let rows = values.0.len().checked_div(width).unwrap_or(0);
        Self::new(&[rows, width], values)
    }

    /// Length of each axis, outermost first.
    pub fn shape(&self) -> &[u32] {
        &self.shape
    }

    /// The datatype.
    pub const fn datatype(&self) -> Datatype {
        self.elements.datatype()
    }

    /// All elements; `None` if they are of another type than `T`.
    pub fn slice<T: Element>(&self) -> Option<&[T]> {
        T::view(Sealed(&self.elements))
    }

    /// All byte strings; `None` if it is a tensor of another datatype than `BYTES`.
    pub fn byte_strings(&self) -> Option<ByteStrings<'_>> {
        match &self.elements {
            Elements::Bytes { joined, ends } => Some(ByteStrings { joined, ends }),
            _ => None,
        }
    }

    /// What makes it no tensor, if anything does.
    pub(crate) fn fault(&self) -> Option<String> {
        let product = self
            .shape
            .iter()
            .try_fold(1_usize, |product, axis| product.checked_mul(*axis as usize));
        let found = self.elements.len();
        (product != Some(found)).then(|| {
            format!(
                "shape {:?} does not hold the {found} elements given",
                self.shape
            )
        })
    }
}

/// The Rust types that tensors are read as. `u8` reads `UINT8` and `BOOL`, `u16` reads `UINT16` and the bit patterns
/// of `FP16` and `BF16`; every other type reads its one datatype.
pub trait Element: Copy + 'static {
    /// The type's name in messages.
    #[doc(hidden)]
    const NAME: &'static str;

    #[doc(hidden)]
    fn view(elements: Sealed<'_>) -> Option<&[Self]>;
}

/// Elements that only this crate can look into, so that nobody else implements [`Element`].
#[doc(hidden)]
pub struct Sealed<'a>(&'a Elements);

macro_rules! element {
    ($($type:ident: $($variant:ident)|+;)*) => {$(
        impl Element for $type {
            const NAME: &'static str = stringify!($type);

            fn view(elements: Sealed<'_>) -> Option<&[Self]> {
                match elements.0 {
                    $(Elements::$variant(values))|+ => Some(values),
                    _ => None,
                }
            }
        }
    )*};
}

element! {
    u8: Uint8 | Bool;
    u16: Uint16 | Fp16 | Bf16;
    u32: Uint32;
    u64: Uint64;
    i8: Int8;
    i16: Int16;
    i32: Int32;
    i64: Int64;
    f32: Fp32;
    f64: Fp64;
}

/// Elements on their way into a tensor, made from a vector by `into()`: the element type says the datatype.
///
/// | from a `Vec` of | datatype |
/// |---|---|
/// | `f32`, `f64` | `FP32`, `FP64` |
/// | `u8` to `u64`, `i8` to `i64` | `UINT8` to `UINT64`, `INT8` to `INT64` |
/// | `bool` | `BOOL` |
/// | `String`, `&str`, `Vec<u8>`, `&[u8]` | `BYTES` |
/// | `u16` through [`Values::fp16`], [`Values::bf16`] | `FP16`, `BF16` |
///
/// A vector of numbers is moved, not copied; arrays and slices are copied once.
#[derive(Debug, Clone, PartialEq)]
pub struct Values(pub(crate) Elements);

impl Values {
    /// `FP16` from bit patterns of IEEE 754 binary16.
    pub const fn fp16(bits: Vec<u16>) -> Self {
        Self(Elements::Fp16(bits))
    }

    /// `BF16` from bit patterns of bfloat16.
    pub const fn bf16(bits: Vec<u16>) -> Self {
        Self(Elements::Bf16(bits))
    }

    fn strings<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut joined, mut ends) = (Vec::new(), Vec::new());
        for string in strings {
            joined.extend_from_slice(string);
            // A guest's memory ends at 4 GiB; a native test that passes it gets an end that no check accepts.
            ends.push(u32::try_from(joined.len()).unwrap_or(u32::MAX));
        }
        Self(Elements::Bytes { joined, ends })
    }
}

macro_rules! values {
    ($($type:ident => $variant:ident;)*) => {$(
        impl From<Vec<$type>> for Values {
            fn from(values: Vec<$type>) -> Self {
                Self(Elements::$variant(values))
            }
        }
        impl From<&[$type]> for Values {
            fn from(values: &[$type]) -> Self {
                values.to_vec().into()
            }
        }
        impl<const N: usize> From<[$type; N]> for Values {
            fn from(values: [$type; N]) -> Self {
                values.to_vec().into()
            }
        }
    )*};
}

values! {
    u8 => Uint8;
    u16 => Uint16;
    u32 => Uint32;
    u64 => Uint64;
    i8 => Int8;
    i16 => Int16;
    i32 => Int32;
    i64 => Int64;
    f32 => Fp32;
    f64 => Fp64;
}

impl From<Vec<bool>> for Values {
    fn from(values: Vec<bool>) -> Self {
        Self(Elements::Bool(values.into_iter().map(u8::from).collect()))
    }
}

impl<const N: usize> From<[bool; N]> for Values {
    fn from(values: [bool; N]) -> Self {
        values.to_vec().into()
    }
}

macro_rules! strings {
    ($($type:ty => |$value:ident| $bytes:expr;)*) => {$(
        impl From<Vec<$type>> for Values {
            fn from(values: Vec<$type>) -> Self {
                Self::strings(values.iter().map(|$value| $bytes))
            }
        }
        impl<const N: usize> From<[$type; N]> for Values {
            fn from(values: [$type; N]) -> Self {
                Self::strings(values.iter().map(|$value| $bytes))
            }
        }
    )*};
}

strings! {
    String => |value| value.as_bytes();
    &str => |value| value.as_bytes();
    Vec<u8> => |value| value.as_slice();
    &[u8] => |value| *value;
}

/// Byte strings in order, borrowed from their tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteStrings<'a> {
    pub(crate) joined: &'a [u8],
    pub(crate) ends: &'a [u32],
}

impl<'a> ByteStrings<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `index`; `None` past the end.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.joined.get(start..end)
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |index| self.get(index).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_element_type_says_the_datatype() {
        let of = |values: Values| values.0.datatype();
        assert_eq!(of(vec![1.0].into()), Datatype::Fp64);
        assert_eq!(of(vec![1.0_f32].into()), Datatype::Fp32);
        assert_eq!(of([1_u8].into()), Datatype::Uint8);
        assert_eq!(of([true].into()), Datatype::Bool);
        assert_eq!(of(["a"].into()), Datatype::Bytes);
        assert_eq!(of(vec![vec![0_u8]].into()), Datatype::Bytes);
        assert_eq!(of(Values::fp16(vec![0x3c00])), Datatype::Fp16);
        assert_eq!(of(Values::bf16(vec![0x3f80])), Datatype::Bf16);
    }

    #[test]
    fn elements_are_read_as_their_own_type_only() {
        let tensor = Tensor::vector(vec![1.0_f32, 2.0]);
        assert_eq!(tensor.slice::<f32>(), Some(&[1.0, 2.0][..]));
        assert_eq!(tensor.slice::<f64>(), None);
        assert_eq!(tensor.byte_strings(), None);
        assert_eq!(Tensor::vector([true]).slice::<u8>(), Some(&[1][..]));
        assert_eq!(
            Tensor::vector(Values::bf16(vec![7])).slice::<u16>(),
            Some(&[7][..])
        );
    }

    #[test]
    fn a_vector_of_numbers_is_moved_not_copied() {
        let values = vec![1.0, 2.0];
        let address = values.as_ptr();
        let tensor = Tensor::vector(values);
        assert_eq!(tensor.slice::<f64>().unwrap().as_ptr(), address);
    }

    #[test]
    fn a_shape_that_does_not_fit_its_elements_is_a_fault() {
        assert_eq!(Tensor::new(&[2, 2], vec![0.0; 4]).fault(), None);
        assert_eq!(Tensor::new(&[], vec![0.0]).fault(), None);
        assert_eq!(
            Tensor::new(&[3], vec![0.0; 4]).fault().as_deref(),
            Some("shape [3] does not hold the 4 elements given")
        );
        assert!(
            Tensor::new(&[usize::MAX, usize::MAX], [0.0])
                .fault()
                .is_some()
        );
        assert!(Tensor::table(3, vec![0.0; 4]).fault().is_some());
        assert!(Tensor::table(0, vec![0.0; 4]).fault().is_some());
    }

    #[test]
    fn byte_strings_come_back_as_they_were() {
        let tensor = Tensor::vector(["a", "", "bc"]);
        let strings = tensor.byte_strings().unwrap();
        assert_eq!(strings.len(), 3);
        assert_eq!(strings.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc"]);
        assert_eq!(strings.get(3), None);
    }
}
