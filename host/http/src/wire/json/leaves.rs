//! Nested or flat lists of JSON straight into the typed vector of a tensor.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::tensor::Blobs;
use foretell_types::{Datatype, Elements};

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
        Datatype::Bool => typed(reader, room, Elements::Bool, truth),
        Datatype::Uint8 => typed(reader, room, Elements::Uint8, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Uint16 => typed(reader, room, Elements::Uint16, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Uint32 => typed(reader, room, Elements::Uint32, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Uint64 => typed(reader, room, Elements::Uint64, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int8 => typed(reader, room, Elements::Int8, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int16 => typed(reader, room, Elements::Int16, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int32 => typed(reader, room, Elements::Int32, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Int64 => typed(reader, room, Elements::Int64, |reader| {
            whole(reader, datatype)
        }),
        Datatype::Fp32 => typed(reader, room, Elements::Fp32, |reader| {
            real(reader, datatype, f32::NAN, f32::is_finite)
        }),
        Datatype::Fp64 => typed(reader, room, Elements::Fp64, |reader| {
            real(reader, datatype, f64::NAN, f64::is_finite)
        }),
        Datatype::Fp16 | Datatype::Bf16 => {
            Err(reader.invalid(&format!("{datatype} via JSON is not supported")))
        }
        Datatype::Bytes => {
            let mut blobs = Blobs::default();
            let lengths = nested(reader, |reader| byte_string(reader, leaf, &mut blobs))?;
            Ok(Nested {
                elements: Elements::Bytes(blobs),
                lengths,
            })
        }
    }
}

fn typed<T>(
    reader: &mut Reader<'_>,
    room: usize,
    elements: impl FnOnce(Vec<T>) -> Elements,
    mut leaf: impl FnMut(&mut Reader<'_>) -> Result<T, Fault>,
) -> Result<Nested, Fault> {
    let mut values = Vec::with_capacity(room);
    let lengths = nested(reader, |reader| {
        values.push(leaf(reader)?);
        Ok(())
    })?;
    Ok(Nested {
        elements: elements(values),
        lengths,
    })
}

/// What is known of the lists so far.
#[derive(Default)]
struct Levels {
    lengths: Vec<Option<usize>>,
    /// The level whose items are elements.
    of_leaves: Option<usize>,
}

fn nested(
    reader: &mut Reader<'_>,
    mut leaf: impl FnMut(&mut Reader<'_>) -> Result<(), Fault>,
) -> Result<Vec<usize>, Fault> {
    if reader.peek() != Some(b'[') {
        leaf(reader)?;
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
    leaf: &mut impl FnMut(&mut Reader<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    const UNEVEN: &str = "the lists are nested unevenly";
    if levels.lengths.len() == level {
        levels.lengths.push(None);
    }
    let length = reader.array(|reader, _| {
        if reader.peek() == Some(b'[') {
            if levels.of_leaves.is_some_and(|of_leaves| of_leaves <= level) {
                return Err(reader.invalid(UNEVEN));
            }
            return list(reader, level + 1, levels, leaf);
        }
        if *levels.of_leaves.get_or_insert(level) != level || levels.lengths.len() > level + 1 {
            return Err(reader.invalid(UNEVEN));
        }
        leaf(reader)
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
