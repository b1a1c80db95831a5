//! Nested or flat lists of JSON straight into the typed vector of a tensor.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::tensor::Blobs;
use foretell_types::tensor::TensorError;
use foretell_types::{Datatype, Elements, Tensor};

use super::decimal;
use super::reader::{Fault, Reader};

/// Bytes of the shortest item of a list, `1,`: what a body's length says about how many there can be.
const SHORTEST_ITEM_BYTES: usize = 2;
/// Bytes of a common item, for lists of unknown length.
const COMMON_ITEM_BYTES: usize = 8;

/// What may stand for an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// Byte strings are texts.
    Plain,
    /// Byte strings are texts or `{"b64": "…"}`, as TensorFlow Serving has it.
    OrBase64,
}

/// What was read from nested lists.
#[derive(Debug, PartialEq)]
pub(crate) struct Nested {
    /// The elements in the order in which they stand.
    pub(crate) elements: Elements,
    /// The length of each level of lists, outermost first; none for a single element without a list.
    pub(crate) lengths: Vec<usize>,
}

impl Nested {
    /// Elements in one list.
    pub(crate) fn flat(elements: Elements) -> Self {
        Self {
            lengths: vec![elements.len()],
            elements,
        }
    }

    /// As a tensor of the shape that the lists have.
    ///
    /// # Errors
    /// Those of [`Tensor::new`].
    pub(crate) fn tensor(self) -> Result<Tensor, TensorError> {
        let lengths = self.lengths.iter();
        let shape = lengths.map(|length| u32::try_from(*length).unwrap_or(u32::MAX));
        Tensor::new(shape.collect(), self.elements)
    }

    /// As a tensor of at least so many axes: those that are missing stand in front and have the length 1.
    ///
    /// # Errors
    /// Those of [`Tensor::new`].
    pub(crate) fn of_rank(mut self, axes: usize) -> Result<Tensor, TensorError> {
        let missing = axes.saturating_sub(self.lengths.len());
        self.lengths.splice(0..0, std::iter::repeat_n(1, missing));
        self.tensor()
    }
}

/// Reads nested lists of elements of one datatype. They must be even: all lists of one level equally long. `expected` is
/// how many elements there should be, where that is known: it saves growing, and decides nothing.
///
/// # Errors
/// `Malformed` for what is no JSON, `InvalidInput` for an element that the datatype cannot hold.
pub(crate) fn read_nested(
    reader: &mut Reader<'_>,
    datatype: Datatype,
    leaf: Leaf,
    expected: Option<u64>,
) -> Result<Nested, Fault> {
    let possible = reader.remaining() / SHORTEST_ITEM_BYTES + 1;
    let room = match expected {
        Some(expected) => {
            usize::try_from(expected).map_or(possible, |expected| expected.min(possible))
        }
        None => reader.remaining() / COMMON_ITEM_BYTES + 1,
    };
    match datatype {
        Datatype::Bool => typed(reader, room, Elements::Bool, never, truth),
        Datatype::Uint8 => typed(reader, room, Elements::Uint8, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Uint16 => typed(reader, room, Elements::Uint16, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Uint32 => typed(reader, room, Elements::Uint32, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Uint64 => typed(reader, room, Elements::Uint64, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int8 => typed(reader, room, Elements::Int8, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int16 => typed(reader, room, Elements::Int16, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int32 => typed(reader, room, Elements::Int32, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int64 => typed(reader, room, Elements::Int64, decimal::whole, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Fp32 => typed(reader, room, Elements::Fp32, decimal::single, |reader| {
            real(reader, datatype, f32::NAN, f32::is_finite)
        }),
        Datatype::Fp64 => typed(reader, room, Elements::Fp64, decimal::double, |reader| {
            real(reader, datatype, f64::NAN, f64::is_finite)
        }),
        Datatype::Fp16 | Datatype::Bf16 => {
            Err(reader.invalid(&format!("{datatype} via JSON is not supported")))
        }
        Datatype::Bytes => {
            let mut blobs = Blobs::default();
            let lengths = nested(reader, |reader, _| {
                byte_string(reader, leaf, &mut blobs).map(|()| 1)
            })?;
            Ok(Nested {
                elements: Elements::Bytes(blobs),
                lengths,
            })
        }
    }
}

/// `quick` reads a common element at the begin of a text, and its length; whatever it leaves is for `leaf`.
fn typed<T>(
    reader: &mut Reader<'_>,
    room: usize,
    elements: impl FnOnce(Vec<T>) -> Elements,
    quick: impl Fn(&[u8]) -> Option<(T, usize)>,
    mut leaf: impl FnMut(&mut Reader<'_>) -> Result<T, Fault>,
) -> Result<Nested, Fault> {
    let mut values = Vec::with_capacity(room);
    let lengths = nested(reader, |reader, most| {
        let read = reader.run(most, |text| {
            let (value, len) = quick(text)?;
            values.push(value);
            Some(len)
        });
        if read == 0 {
            values.push(leaf(reader)?);
        }
        Ok(read.max(1))
    })?;
    Ok(Nested {
        elements: elements(values),
        lengths,
    })
}

/// For elements that no number stands for.
fn never<T>(_: &[u8]) -> Option<(T, usize)> {
    None
}

/// What is known of the lists so far.
#[derive(Default)]
struct Levels {
    lengths: Vec<Option<usize>>,
    /// The level whose items are elements.
    of_leaves: Option<usize>,
}

/// `leaf` reads one element, or up to so many of a list, and says how many.
fn nested(
    reader: &mut Reader<'_>,
    mut leaf: impl FnMut(&mut Reader<'_>, usize) -> Result<usize, Fault>,
) -> Result<Vec<usize>, Fault> {
    if reader.peek() != Some(b'[') {
        leaf(reader, 1)?;
        return Ok(Vec::new());
    }
    let mut levels = Levels::default();
    list(reader, 0, &mut levels, &mut leaf)?;
    Ok(levels
        .lengths
        .into_iter()
        .map_while(|length| length)
        .collect())
}

fn list(
    reader: &mut Reader<'_>,
    level: usize,
    levels: &mut Levels,
    leaf: &mut impl FnMut(&mut Reader<'_>, usize) -> Result<usize, Fault>,
) -> Result<(), Fault> {
    const UNEVEN: &str = "the lists are nested unevenly";
    if levels.lengths.len() == level {
        levels.lengths.push(None);
    }
    let length = reader.runs(|reader, _| {
        if reader.peek() == Some(b'[') {
            if levels.of_leaves.is_some_and(|of_leaves| of_leaves <= level) {
                return Err(reader.invalid(UNEVEN));
            }
            return list(reader, level + 1, levels, leaf).map(|()| 1);
        }
        if *levels.of_leaves.get_or_insert(level) != level || levels.lengths.len() > level + 1 {
            return Err(reader.invalid(UNEVEN));
        }
        leaf(reader, usize::MAX)
    })?;
    let known = levels.lengths[level].get_or_insert(length);
    if *known != length {
        let known = *known;
        return Err(reader.invalid(&format!(
            "{UNEVEN}: a list of {length} stands beside one of {known}"
        )));
    }
    Ok(())
}

fn truth(reader: &mut Reader<'_>) -> Result<u8, Fault> {
    match reader.peek() {
        Some(b't' | b'f') => reader.truth().map(u8::from),
        Some(b'0'..=b'9' | b'-') => {
            let number = reader.number()?;
            match number.text {
                "0" => Ok(0),
                "1" => Ok(1),
                other => {
                    Err(reader.invalid(&format!("{other} stands where BOOL wants true or false")))
                }
            }
        }
        _ => Err(reader.another_kind("BOOL wants true or false")),
    }
}

fn whole<T: FromStr>(reader: &mut Reader<'_>, datatype: Datatype) -> Result<T, Fault> {
    if !matches!(reader.peek(), Some(b'0'..=b'9' | b'-')) {
        return Err(reader.another_kind(&format!("{datatype} wants a whole number")));
    }
    let number = reader.number()?;
    // Unsigned types know no sign, and -0 is 0.
    let digits = if number.text == "-0" {
        "0"
    } else {
        number.text
    };
    digits.parse().map_err(|_| {
        let shown: String = number.text.chars().take(40).collect();
        if number.whole {
            reader.invalid(&format!("{shown} does not fit {datatype}"))
        } else {
            reader.invalid(&format!(
                "{shown} stands where {datatype} wants a whole number"
            ))
        }
    })
}

/// A number rounded once, from its decimal digits to the datatype. `null` is what our own answers write for NaN and
/// infinity, which JSON lacks.
fn real<T: FromStr + Copy>(
    reader: &mut Reader<'_>,
    datatype: Datatype,
    nan: T,
    is_finite: fn(T) -> bool,
) -> Result<T, Fault> {
    match reader.peek() {
        Some(b'0'..=b'9' | b'-') => {
            let number = reader.number()?;
            number
                .text
                .parse()
                .ok()
                .filter(|value| is_finite(*value))
                .ok_or_else(|| {
                    let shown: String = number.text.chars().take(40).collect();
                    reader.invalid(&format!("{shown} is outside the range of {datatype}"))
                })
        }
        Some(b'n') => reader.null().map(|()| nan),
        _ => Err(reader.another_kind(&format!("{datatype} wants a number"))),
    }
}

fn byte_string(reader: &mut Reader<'_>, leaf: Leaf, blobs: &mut Blobs) -> Result<(), Fault> {
    let fits = match reader.peek() {
        Some(b'"') => blobs.push(reader.string()?.as_bytes()),
        Some(b'{') if leaf == Leaf::OrBase64 => blobs.push(&base64_object(reader)?),
        _ => return Err(reader.another_kind("BYTES wants a text")),
    };
    if fits {
        Ok(())
    } else {
        Err(reader.invalid("more than 4 GiB of byte strings"))
    }
}

/// `{"b64": "…"}`.
fn base64_object(reader: &mut Reader<'_>) -> Result<Vec<u8>, Fault> {
    let mut bytes = None;
    reader.object(|reader, key| {
        if key != "b64" {
            return Err(reader.invalid("an object that stands for bytes has the one key `b64`"));
        }
        let text = reader.string()?;
        bytes = Some(
            STANDARD
                .decode(text.as_bytes())
                .map_err(|error| reader.invalid(&format!("`b64`: {error}")))?,
        );
        Ok(())
    })?;
    bytes.ok_or_else(|| reader.invalid("an object that stands for bytes has the one key `b64`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(datatype: Datatype, body: &str) -> Result<Nested, String> {
        let mut reader = Reader::new(body.as_bytes()).unwrap();
        let nested = read_nested(&mut reader, datatype, Leaf::OrBase64, None)
            .map_err(|fault| fault.message)?;
        reader.finish().map_err(|fault| fault.message)?;
        Ok(nested)
    }

    fn elements(datatype: Datatype, body: &str) -> Elements {
        read(datatype, body).unwrap().elements
    }

    #[test]
    fn lists_may_be_flat_or_nested_but_even() {
        let lengths = |body| read(Datatype::Int8, body).map(|nested| nested.lengths);
        assert_eq!(lengths("[1,2,3]"), Ok(vec![3]));
        assert_eq!(lengths("[[1,2,3],[4,5,6]]"), Ok(vec![2, 3]));
        assert_eq!(lengths("[[[1],[2]]]"), Ok(vec![1, 2, 1]));
        assert_eq!(lengths("[[],[]]"), Ok(vec![2, 0]));
        assert_eq!(lengths("[]"), Ok(vec![0]));
        assert_eq!(lengths("7"), Ok(vec![]));
        for uneven in [
            "[[1],[2,3]]",
            "[1,[2]]",
            "[[1],2]",
            "[[[1]],[2]]",
            "[[],1]",
            "[[],[[]]]",
        ] {
            let message = lengths(uneven).unwrap_err();
            assert!(message.contains("nested unevenly"), "{uneven}: {message}");
        }
    }

    #[test]
    fn whole_numbers_are_exact_to_their_last_bit() {
        let both = "[18446744073709551615,0,-0,9007199254740993]";
        assert_eq!(
            elements(Datatype::Uint64, both),
            Elements::Uint64(vec![u64::MAX, 0, 0, 9_007_199_254_740_993])
        );
        let ends = "[-9223372036854775808,9223372036854775807,-0]";
        assert_eq!(
            elements(Datatype::Int64, ends),
            Elements::Int64(vec![i64::MIN, i64::MAX, 0])
        );
        for (datatype, body, expected) in [
            (
                Datatype::Uint64,
                "[18446744073709551616]",
                "at /0 (byte 21): 18446744073709551616 does not fit UINT64",
            ),
            (
                Datatype::Int8,
                "[0,128]",
                "at /1 (byte 6): 128 does not fit INT8",
            ),
            (
                Datatype::Uint8,
                "[-1]",
                "at /0 (byte 3): -1 does not fit UINT8",
            ),
            (
                Datatype::Int32,
                "[1.0]",
                "at /0 (byte 4): 1.0 stands where INT32 wants a whole number",
            ),
            (
                Datatype::Int32,
                "[1e2]",
                "at /0 (byte 4): 1e2 stands where INT32 wants a whole number",
            ),
            (
                Datatype::Int32,
                "[\"1\"]",
                "at /0 (byte 1): a text stands where INT32 wants a whole number",
            ),
            (
                Datatype::Int32,
                "[null]",
                "at /0 (byte 1): `null` stands where INT32 wants a whole number",
            ),
        ] {
            assert_eq!(read(datatype, body), Err(expected.to_owned()));
        }
    }

    #[test]
    fn real_numbers_are_rounded_once() {
        // Halfway between two doubles but for its last digit, and the decimal that is nearest to a single only if it is
        // not rounded to a double before.
        let double = elements(Datatype::Fp64, "[9007199254740993.00000000000000000001]");
        assert_eq!(double, Elements::Fp64(vec![9_007_199_254_740_994.0]));
        let text = "1.00000005960464477540";
        let twice = text.parse::<f64>().unwrap() as f32;
        let Elements::Fp32(singles) = elements(Datatype::Fp32, &format!("[{text}]")) else {
            panic!("not FP32")
        };
        assert_eq!(singles[0], 1.000_000_1);
        assert_ne!(singles[0], twice, "rounding twice would show here");

        assert_eq!(
            elements(Datatype::Fp64, "[1e-400,5e-324]"),
            Elements::Fp64(vec![0.0, 5e-324])
        );
        let Elements::Fp64(zeros) = elements(Datatype::Fp64, "[-0,-0.0]") else {
            panic!("not FP64")
        };
        assert!(zeros.iter().all(|zero| zero.is_sign_negative()));
    }

    #[test]
    fn what_json_lacks_is_null_and_what_no_float_holds_is_refused() {
        let Elements::Fp32(values) = elements(Datatype::Fp32, "[null]") else {
            panic!("not FP32")
        };
        assert!(values[0].is_nan());
        let long = "1".repeat(400);
        for (datatype, body) in [
            (Datatype::Fp64, "[1e400]"),
            (Datatype::Fp64, "[-1e400]"),
            (Datatype::Fp32, "[1e39]"),
            (Datatype::Fp64, &format!("[{long}]")),
        ] {
            let message = read(datatype, body).unwrap_err();
            assert!(
                message.contains(&format!("is outside the range of {datatype}")),
                "{message}"
            );
        }
        for (body, expected) in [
            (
                "[NaN]",
                "at /0 (byte 1): `NaN` stands where FP64 wants a number",
            ),
            (
                "[-Infinity]",
                "at /0 (byte 1): `-Infinity` stands where a number should",
            ),
            (
                "[true]",
                "at /0 (byte 1): `true` stands where FP64 wants a number",
            ),
        ] {
            assert_eq!(read(Datatype::Fp64, body), Err(expected.to_owned()));
        }
    }

    #[test]
    fn truth_and_bytes_have_their_own_forms() {
        assert_eq!(
            elements(Datatype::Bool, "[true,false,1,0]"),
            Elements::Bool(vec![1, 0, 1, 0])
        );
        assert!(
            read(Datatype::Bool, "[2]").is_err() && read(Datatype::Bool, "[\"true\"]").is_err()
        );
        let Elements::Bytes(blobs) = elements(Datatype::Bytes, r#"["a\u0000é",{"b64":"/wA="},""]"#)
        else {
            panic!("not BYTES")
        };
        assert_eq!(
            blobs.iter().collect::<Vec<_>>(),
            ["a\0é".as_bytes(), &[0xff, 0], b""]
        );
        for bad in [r#"[{"b64":"?"}]"#, r#"[{"b65":""}]"#, "[{}]", "[1]"] {
            assert!(read(Datatype::Bytes, bad).is_err(), "{bad}");
        }
    }
}
