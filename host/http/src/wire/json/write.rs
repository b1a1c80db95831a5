//! Elements of tensors as JSON, straight from their vectors.
//!
//! Numbers have the fewest digits that read back to the same bits. What JSON lacks, NaN and the infinities, is `null`.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::Elements;
use serde::ser::{Serialize, Serializer};

/// How byte strings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// As texts; only for those that are UTF-8.
    Text,
    /// As Base64 texts.
    Base64,
    /// As texts where they are UTF-8, else as `{"b64": "…"}`.
    TextOrObject,
}

/// A range of elements as one flat list.
pub(crate) struct Flat<'a> {
    pub(crate) elements: &'a Elements,
    pub(crate) range: Range<usize>,
    pub(crate) bytes: Bytes,
}

impl<'a> Flat<'a> {
    /// All elements.
    pub(crate) fn all(elements: &'a Elements, bytes: Bytes) -> Self {
        Self {
            elements,
            range: 0..elements.len(),
            bytes,
        }
    }
}

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let range = self.range.clone();
        match self.elements {
            Elements::Bool(v) => {
                serializer.collect_seq(v.get(range).unwrap_or_default().iter().map(|v| *v != 0))
            }
            Elements::Uint8(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Uint16(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Uint32(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Uint64(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Int8(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Int16(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Int32(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Int64(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Fp16(v) => {
                serializer.collect_seq(v.get(range).unwrap_or_default().iter().map(|v| half(*v)))
            }
            Elements::Bf16(v) => {
                serializer.collect_seq(v.get(range).unwrap_or_default().iter().map(|v| brain(*v)))
            }
            Elements::Fp32(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Fp64(v) => serializer.collect_seq(v.get(range).unwrap_or_default()),
            Elements::Bytes(v) => {
                let strings = v.iter().skip(range.start).take(range.len());
                serializer.collect_seq(strings.map(|bytes| ByteString {
                    bytes,
                    style: self.bytes,
                }))
            }
        }
    }
}

/// A range of elements as nested lists of `shape`; without axes, the one element itself.
pub(crate) struct Shaped<'a> {
    pub(crate) shape: &'a [u32],
    pub(crate) flat: Flat<'a>,
}

impl Serialize for Shaped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Flat {
            elements,
            range,
            bytes,
        } = &self.flat;
        match self.shape {
            [] => One {
                elements,
                at: range.start,
                bytes: *bytes,
            }
            .serialize(serializer),
            [_] => self.flat.serialize(serializer),
            [axis, inner @ ..] => {
                let width = inner.iter().map(|axis| *axis as usize).product::<usize>();
                serializer.collect_seq((0..*axis as usize).map(|index| {
                    let start = range.start + index * width;
                    let flat = Flat {
                        elements,
                        range: start..start + width,
                        bytes: *bytes,
                    };
                    Shaped { shape: inner, flat }
                }))
            }
        }
    }
}

/// One element by itself.
struct One<'a> {
    elements: &'a Elements,
    at: usize,
    bytes: Bytes,
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = self.at;
        match self.elements {
            Elements::Bool(v) => v.get(at).map(|v| *v != 0).serialize(serializer),
            Elements::Uint8(v) => v.get(at).serialize(serializer),
            Elements::Uint16(v) => v.get(at).serialize(serializer),
            Elements::Uint32(v) => v.get(at).serialize(serializer),
            Elements::Uint64(v) => v.get(at).serialize(serializer),
            Elements::Int8(v) => v.get(at).serialize(serializer),
            Elements::Int16(v) => v.get(at).serialize(serializer),
            Elements::Int32(v) => v.get(at).serialize(serializer),
            Elements::Int64(v) => v.get(at).serialize(serializer),
            Elements::Fp16(v) => v.get(at).map(|v| half(*v)).serialize(serializer),
            Elements::Bf16(v) => v.get(at).map(|v| brain(*v)).serialize(serializer),
            Elements::Fp32(v) => v.get(at).serialize(serializer),
            Elements::Fp64(v) => v.get(at).serialize(serializer),
            Elements::Bytes(v) => v
                .iter()
                .nth(at)
                .map(|bytes| ByteString {
                    bytes,
                    style: self.bytes,
                })
                .serialize(serializer),
        }
    }
}

struct ByteString<'a> {
    bytes: &'a [u8],
    style: Bytes,
}

impl Serialize for ByteString<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.style, std::str::from_utf8(self.bytes)) {
            (Bytes::Base64, _) => {
                serializer.collect_str(&base64::display::Base64Display::new(self.bytes, &STANDARD))
            }
            (_, Ok(text)) => serializer.serialize_str(text),
            (Bytes::Text, Err(_)) => serializer.collect_str(&String::from_utf8_lossy(self.bytes)),
            (Bytes::TextOrObject, Err(_)) => {
                serializer.collect_map([("b64", STANDARD.encode(self.bytes))])
            }
        }
    }
}

/// All elements in one list.
#[cfg(test)]
pub(crate) fn written(elements: &Elements) -> String {
    serde_json::to_string(&Flat::all(elements, Bytes::TextOrObject)).unwrap_or_default()
}

/// Whether an element is NaN or infinite, and so became `null`.
pub(crate) fn has_non_finite(elements: &Elements) -> bool {
    match elements {
        Elements::Fp16(v) => v.iter().any(|v| !half(*v).is_finite()),
        Elements::Bf16(v) => v.iter().any(|v| !brain(*v).is_finite()),
        Elements::Fp32(v) => v.iter().any(|v| !v.is_finite()),
        Elements::Fp64(v) => v.iter().any(|v| !v.is_finite()),
        _ => false,
    }
}

/// Whether every byte string is UTF-8.
pub(crate) fn is_text(elements: &Elements) -> bool {
    match elements {
        Elements::Bytes(blobs) => blobs.iter().all(|bytes| std::str::from_utf8(bytes).is_ok()),
        _ => true,
    }
}

/// IEEE 754 binary16 to the same number in 32 bits.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2_f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    };
    sign * magnitude
}

/// bfloat16 to the same number in 32 bits, of which it is the upper half.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretell_types::tensor::Blobs;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn half_floats_are_written_as_the_numbers_that_they_are() {
        let halves = Elements::Fp16(vec![
            0x3c00, 0xc000, 0x3555, 0x0001, 0x7bff, 0x8000, 0x7c00, 0x7e00,
        ]);
        assert_eq!(
            json(&Flat::all(&halves, Bytes::Text)),
            "[1.0,-2.0,0.33325195,5.9604645e-8,65504.0,-0.0,null,null]"
        );
        assert!(has_non_finite(&halves));
        let brains = Elements::Bf16(vec![0x3f80, 0xc000, 0x7f80]);
        assert_eq!(json(&Flat::all(&brains, Bytes::Text)), "[1.0,-2.0,null]");
    }

    #[test]
    fn numbers_have_their_shortest_digits() {
        let reals = Elements::Fp64(vec![
            0.1,
            1e300,
            -0.0,
            5e-324,
            f64::NAN,
            f64::INFINITY,
            1.0 / 3.0,
        ]);
        assert_eq!(
            json(&Flat::all(&reals, Bytes::Text)),
            "[0.1,1e+300,-0.0,5e-324,null,null,0.3333333333333333]"
        );
        let singles = Elements::Fp32(vec![0.1, 16_777_216.0]);
        assert_eq!(json(&Flat::all(&singles, Bytes::Text)), "[0.1,16777216.0]");
    }

    #[test]
    fn shapes_become_nested_lists() {
        let elements = Elements::Int8((0..12).collect());
        let shaped = |shape, range| {
            json(&Shaped {
                shape,
                flat: Flat {
                    elements: &elements,
                    range,
                    bytes: Bytes::Text,
                },
            })
        };
        assert_eq!(
            shaped(&[2, 3, 2], 0..12),
            "[[[0,1],[2,3],[4,5]],[[6,7],[8,9],[10,11]]]"
        );
        assert_eq!(shaped(&[3], 3..6), "[3,4,5]");
        assert_eq!(shaped(&[], 7..8), "7");
        assert_eq!(shaped(&[2, 0], 0..0), "[[],[]]");
    }

    #[test]
    fn byte_strings_are_text_where_they_can_be() {
        let mut blobs = Blobs::default();
        assert!(blobs.push("é\n".as_bytes()) && blobs.push(&[0xff, 0]));
        let elements = Elements::Bytes(blobs);
        assert!(!is_text(&elements));
        assert_eq!(
            json(&Flat::all(&elements, Bytes::Base64)),
            r#"["w6kK","/wA="]"#
        );
        assert_eq!(
            json(&Flat::all(&elements, Bytes::TextOrObject)),
            r#"["é\n",{"b64":"/wA="}]"#
        );
    }
}
