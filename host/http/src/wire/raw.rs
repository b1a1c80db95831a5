//! Elements of tensors as raw bytes: the binary tensor extension of the Open Inference Protocol.
//!
//! Row-major, little-endian, nothing between the elements. A BOOL is one byte; a byte string is its length, as 32 bits,
//! and its bytes. [`Elements::byte_len`] is how long all of them are.

use foretell_types::tensor::Blobs;
use foretell_types::{Datatype, Elements};

/// Reads elements of a datatype, as many as the bytes hold.
///
/// # Errors
/// What is wrong with the bytes: they are no whole number of elements, or a byte string passes their end.
pub(crate) fn read(datatype: Datatype, bytes: &[u8]) -> Result<Elements, String> {
    Ok(match datatype {
        Datatype::Bool => Elements::Bool(bytes.to_vec()),
        Datatype::Uint8 => Elements::Uint8(bytes.to_vec()),
        Datatype::Uint16 => Elements::Uint16(numbers(datatype, bytes, u16::from_le_bytes)?),
        Datatype::Uint32 => Elements::Uint32(numbers(datatype, bytes, u32::from_le_bytes)?),
        Datatype::Uint64 => Elements::Uint64(numbers(datatype, bytes, u64::from_le_bytes)?),
        Datatype::Int8 => Elements::Int8(numbers(datatype, bytes, i8::from_le_bytes)?),
        Datatype::Int16 => Elements::Int16(numbers(datatype, bytes, i16::from_le_bytes)?),
        Datatype::Int32 => Elements::Int32(numbers(datatype, bytes, i32::from_le_bytes)?),
        Datatype::Int64 => Elements::Int64(numbers(datatype, bytes, i64::from_le_bytes)?),
        Datatype::Fp16 => Elements::Fp16(numbers(datatype, bytes, u16::from_le_bytes)?),
        Datatype::Bf16 => Elements::Bf16(numbers(datatype, bytes, u16::from_le_bytes)?),
        Datatype::Fp32 => Elements::Fp32(numbers(datatype, bytes, f32::from_le_bytes)?),
        Datatype::Fp64 => Elements::Fp64(numbers(datatype, bytes, f64::from_le_bytes)?),
        Datatype::Bytes => Elements::Bytes(strings(bytes)?),
    })
}

fn numbers<T, const N: usize>(
    datatype: Datatype,
    bytes: &[u8],
    number: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, String> {
    let (elements, rest) = bytes.as_chunks();
    if rest.is_empty() {
        Ok(elements.iter().map(|bytes| number(*bytes)).collect())
    } else {
        Err(format!(
            "{} bytes are no whole number of {datatype} elements, of {N} bytes each",
            bytes.len()
        ))
    }
}

fn strings(mut bytes: &[u8]) -> Result<Blobs, String> {
    let mut blobs = Blobs::default();
    while !bytes.is_empty() {
        let at = blobs.ends.len();
        let (length, rest) = bytes
            .split_first_chunk()
            .ok_or_else(|| format!("element {at} ends within its length, which has 4 bytes"))?;
        let length = u32::from_le_bytes(*length);
        let (string, rest) = rest.split_at_checked(length as usize).ok_or_else(|| {
            format!(
                "element {at} should have {length} bytes, {} are left",
                rest.len()
            )
        })?;
        if !blobs.push(string) {
            return Err("the byte strings are longer than 4 GiB".into());
        }
        bytes = rest;
    }
    Ok(blobs)
}

/// Appends the elements.
pub(crate) fn write(elements: &Elements, out: &mut Vec<u8>) {
    out.reserve(elements.byte_len());
    match elements {
        Elements::Bool(values) | Elements::Uint8(values) => out.extend_from_slice(values),
        Elements::Uint16(values) | Elements::Fp16(values) | Elements::Bf16(values) => {
            put(values, u16::to_le_bytes, out);
        }
        Elements::Uint32(values) => put(values, u32::to_le_bytes, out),
        Elements::Uint64(values) => put(values, u64::to_le_bytes, out),
        Elements::Int8(values) => put(values, i8::to_le_bytes, out),
        Elements::Int16(values) => put(values, i16::to_le_bytes, out),
        Elements::Int32(values) => put(values, i32::to_le_bytes, out),
        Elements::Int64(values) => put(values, i64::to_le_bytes, out),
        Elements::Fp32(values) => put(values, f32::to_le_bytes, out),
        Elements::Fp64(values) => put(values, f64::to_le_bytes, out),
        Elements::Bytes(blobs) => {
            for string in blobs.iter() {
                // A block of strings is shorter than 4 GiB, and so is each of them.
                out.extend_from_slice(&(string.len() as u32).to_le_bytes());
                out.extend_from_slice(string);
            }
        }
    }
}

fn put<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N], out: &mut Vec<u8>) {
    out.extend(values.iter().flat_map(|value| bytes(*value)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(elements: &Elements) -> Vec<u8> {
        let mut out = Vec::new();
        write(elements, &mut out);
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_as_long_as_announced_and_reads_back_to_the_same_bits(
            datatype in prop::sample::select(Datatype::ALL.to_vec()),
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let Ok(elements) = read(datatype, &bytes) else { return Ok(()) };
            prop_assert_eq!(elements.datatype(), datatype);
            prop_assert_eq!(elements.byte_len(), bytes.len());
            prop_assert_eq!(written(&elements), bytes);
        }

        #[test]
        fn byte_strings_read_back(strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let mut blobs = Blobs::default();
            for string in &strings {
                prop_assert!(blobs.push(string));
            }
            let elements = Elements::Bytes(blobs);
            let bytes = written(&elements);
            prop_assert_eq!(elements.byte_len(), bytes.len());
            prop_assert_eq!(read(Datatype::Bytes, &bytes), Ok(elements));
        }
    }

    #[test]
    fn elements_stand_as_the_protocol_has_them() {
        for (elements, bytes) in [
            (Elements::Int16(vec![1, -2]), &[1, 0, 0xfe, 0xff][..]),
            (Elements::Fp32(vec![1.0]), &[0, 0, 0x80, 0x3f]),
            (Elements::Bool(vec![1, 0]), &[1, 0]),
            (
                read(Datatype::Bytes, &[1, 0, 0, 0, b'a', 0, 0, 0, 0]).unwrap(),
                &[1, 0, 0, 0, b'a', 0, 0, 0, 0],
            ),
        ] {
            assert_eq!(written(&elements), bytes, "{elements:?}");
        }
    }

    #[test]
    fn what_ends_within_an_element_is_refused() {
        for (datatype, bytes, expected) in [
            (
                Datatype::Fp64,
                &[0; 9][..],
                "9 bytes are no whole number of FP64 elements, of 8 bytes each",
            ),
            (
                Datatype::Bytes,
                &[1, 0, 0],
                "element 0 ends within its length",
            ),
            (
                Datatype::Bytes,
                &[0, 0, 0, 0, 2, 0, 0, 0, 7],
                "element 1 should have 2 bytes, 1 are left",
            ),
            (
                Datatype::Bytes,
                &[0xff; 4],
                "element 0 should have 4294967295 bytes, 0 are left",
            ),
        ] {
            let message = read(datatype, bytes).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
