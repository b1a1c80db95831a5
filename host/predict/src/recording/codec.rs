//! Inputs and outputs as bytes and back, bit for bit: every NaN stays the one that it is, and -0.0 is not 0.0. Equal values
//! have equal bytes.
//!
//! A stored shape: the number of the form, then the inputs, then the outputs. Either is a count and, for each tensor, its
//! name with its length, its datatype, its rank, its axes, and its elements; of byte strings, where each ends, and then
//! all of them. Numbers are little-endian; counts and lengths have eight bytes, axes and ends four.

use foretell_types::signature::NamedTensor;
use foretell_types::tensor::{self, Blobs, MAX_RANK};
use foretell_types::{Datatype, Elements, Tensor};

/// The only form so far.
const FORM: u8 = 1;

/// What was asked and what was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The inputs as they were checked, in signature order.
    pub inputs: Vec<NamedTensor>,
    /// The outputs, in signature order.
    pub outputs: Vec<NamedTensor>,
}

/// Begins the bytes of a content of about so many bytes of elements.
pub(super) fn begin(about: usize) -> Vec<u8> {
    // Names and shapes, and what sealing adds, beside the elements.
    const BESIDE: usize = 512;
    let mut out = Vec::with_capacity(about + BESIDE);
    out.push(FORM);
    out
}

/// Appends tensors with their names.
pub(super) fn write<'a>(
    out: &mut Vec<u8>,
    tensors: impl ExactSizeIterator<Item = (&'a str, &'a Tensor)>,
) {
    length(out, tensors.len());
    for (name, tensor) in tensors {
        length(out, name.len());
        out.extend_from_slice(name.as_bytes());
        out.push(code(tensor.datatype()));
        // At most eight.
        out.push(tensor.shape().len() as u8);
        numbers(out, tensor.shape(), u32::to_le_bytes);
        elements(out, tensor.elements());
    }
}

/// Reads a content; `None` for what was not written here.
pub(super) fn read(bytes: &[u8]) -> Option<Content> {
    let mut reader = Reader(bytes);
    let is_known = reader.byte()? == FORM;
    let content = Content {
        inputs: is_known.then(|| reader.tensors())??,
        outputs: reader.tensors()?,
    };
    reader.0.is_empty().then_some(content)
}

/// Whether tensors are the recorded ones, bit for bit.
pub(crate) fn same(recorded: &[NamedTensor], tensors: &[Tensor]) -> bool {
    let bytes = |tensor: &Tensor| {
        let mut out = Vec::new();
        write(&mut out, [("", tensor)].into_iter());
        out
    };
    let mut pairs = recorded.iter().zip(tensors);
    recorded.len() == tensors.len()
        && pairs.all(|(recorded, tensor)| bytes(&recorded.tensor) == bytes(tensor))
}

fn elements(out: &mut Vec<u8>, elements: &Elements) {
    match elements {
        Elements::Bool(values) | Elements::Uint8(values) => out.extend_from_slice(values),
        Elements::Uint16(values) | Elements::Fp16(values) | Elements::Bf16(values) => {
            numbers(out, values, u16::to_le_bytes);
        }
        Elements::Uint32(values) => numbers(out, values, u32::to_le_bytes),
        Elements::Uint64(values) => numbers(out, values, u64::to_le_bytes),
        Elements::Int8(values) => numbers(out, values, i8::to_le_bytes),
        Elements::Int16(values) => numbers(out, values, i16::to_le_bytes),
        Elements::Int32(values) => numbers(out, values, i32::to_le_bytes),
        Elements::Int64(values) => numbers(out, values, i64::to_le_bytes),
        Elements::Fp32(values) => numbers(out, values, f32::to_le_bytes),
        Elements::Fp64(values) => numbers(out, values, f64::to_le_bytes),
        // The last end is the length of the block.
        Elements::Bytes(blobs) => {
            numbers(out, &blobs.ends, u32::to_le_bytes);
            out.extend_from_slice(&blobs.joined);
        }
    }
}

/// Numbers by their bits.
fn numbers<T: Copy, const N: usize>(out: &mut Vec<u8>, values: &[T], bits: impl Fn(T) -> [u8; N]) {
    let begin = out.len();
    out.resize(begin + values.len() * N, 0);
    // As long as it was just made.
    for (bytes, value) in out[begin..].chunks_exact_mut(N).zip(values) {
        bytes.copy_from_slice(&bits(*value));
    }
}

fn length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

/// The number of a datatype, for ever.
const fn code(datatype: Datatype) -> u8 {
    match datatype {
        Datatype::Bool => 0,
        Datatype::Uint8 => 1,
        Datatype::Uint16 => 2,
        Datatype::Uint32 => 3,
        Datatype::Uint64 => 4,
        Datatype::Int8 => 5,
        Datatype::Int16 => 6,
        Datatype::Int32 => 7,
        Datatype::Int64 => 8,
        Datatype::Fp16 => 9,
        Datatype::Bf16 => 10,
        Datatype::Fp32 => 11,
        Datatype::Fp64 => 12,
        Datatype::Bytes => 13,
    }
}

/// What is still to be read. Nothing is made of a number before the bytes that it promises are there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let [byte] = self.array()?;
        Some(byte)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).ok()
    }

    fn numbers<T, const N: usize>(
        &mut self,
        count: usize,
        of: impl Fn([u8; N]) -> T,
    ) -> Option<Vec<T>> {
        let bytes = self.take(count.checked_mul(N)?)?;
        let (numbers, _) = bytes.as_chunks::<N>();
        Some(numbers.iter().map(|bits| of(*bits)).collect())
    }

    fn tensors(&mut self) -> Option<Vec<NamedTensor>> {
        let count = self.length()?;
        (0..count).map(|_| self.tensor()).collect()
    }

    fn tensor(&mut self) -> Option<NamedTensor> {
        let length = self.length()?;
        let name = str::from_utf8(self.take(length)?).ok()?.to_owned();
        let found = self.byte()?;
        let mut known = Datatype::ALL.into_iter();
        let datatype = known.find(|datatype| code(*datatype) == found)?;
        let rank = usize::from(self.byte()?);
        if rank > MAX_RANK {
            return None;
        }
        let shape = self.numbers(rank, u32::from_le_bytes)?;
        let count = usize::try_from(tensor::count(&shape).ok()?).ok()?;
        let elements = self.elements(datatype, count)?;
        let tensor = Tensor::new(shape, elements).ok()?;
        Some(NamedTensor { name, tensor })
    }

    fn elements(&mut self, datatype: Datatype, count: usize) -> Option<Elements> {
        Some(match datatype {
            Datatype::Bool => Elements::Bool(self.take(count)?.to_vec()),
            Datatype::Uint8 => Elements::Uint8(self.take(count)?.to_vec()),
            Datatype::Uint16 => Elements::Uint16(self.numbers(count, u16::from_le_bytes)?),
            Datatype::Uint32 => Elements::Uint32(self.numbers(count, u32::from_le_bytes)?),
            Datatype::Uint64 => Elements::Uint64(self.numbers(count, u64::from_le_bytes)?),
            Datatype::Int8 => Elements::Int8(self.numbers(count, i8::from_le_bytes)?),
            Datatype::Int16 => Elements::Int16(self.numbers(count, i16::from_le_bytes)?),
            Datatype::Int32 => Elements::Int32(self.numbers(count, i32::from_le_bytes)?),
            Datatype::Int64 => Elements::Int64(self.numbers(count, i64::from_le_bytes)?),
            Datatype::Fp16 => Elements::Fp16(self.numbers(count, u16::from_le_bytes)?),
            Datatype::Bf16 => Elements::Bf16(self.numbers(count, u16::from_le_bytes)?),
            Datatype::Fp32 => Elements::Fp32(self.numbers(count, f32::from_le_bytes)?),
            Datatype::Fp64 => Elements::Fp64(self.numbers(count, f64::from_le_bytes)?),
            Datatype::Bytes => {
                let ends = self.numbers(count, u32::from_le_bytes)?;
                let length = ends.last().map_or(0, |end| *end as usize);
                Elements::Bytes(Blobs {
                    joined: self.take(length)?.to_vec(),
                    ends,
                })
            }
        })
    }
}

#[cfg(test)]
mod tests;
