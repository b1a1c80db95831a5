//! Nested lists of a record's value, and the elements that they hold.

use super::Value;
use crate::tensor::{Datatype, Elements};

/// The shape of nested lists, read along their first items.
pub(super) fn nested_shape(value: &Value) -> Vec<u32> {
    let mut shape = Vec::new();
    let mut value = Some(value);
    while let Some(Value::List(items)) = value {
        shape.push(u32::try_from(items.len()).unwrap_or(u32::MAX));
        value = items.first();
    }
    shape
}

/// Collects the leaves of nested lists into elements of one datatype.
pub(super) struct Leaves {
    pub(super) elements: Elements,
}

impl Leaves {
    /// An empty collection.
    pub(super) fn new(datatype: Datatype) -> Self {
        Self {
            elements: Elements::empty(datatype),
        }
    }

    /// Appends every leaf of nested lists of exactly this shape.
    pub(super) fn fill(&mut self, value: &Value, shape: &[u32]) -> Result<(), String> {
        match (value, shape.split_first()) {
            (Value::List(items), Some((length, inner))) if items.len() == *length as usize => {
                items.iter().try_for_each(|item| self.fill(item, inner))
            }
            (Value::List(items), Some((length, _))) => Err(format!(
                "a list of {} stands where {length} are expected",
                items.len()
            )),
            (Value::List(_), None) => Err("its lists are nested unevenly".to_owned()),
            (_, Some(_)) => Err(format!("{} stands where a list is expected", value.kind())),
            (leaf, None) => self.push(leaf),
        }
    }

    /// Appends one leaf.
    ///
    /// # Errors
    /// A text that says what the datatype takes.
    fn push(&mut self, value: &Value) -> Result<(), String> {
        fn whole<T: TryFrom<i128>>(
            values: &mut Vec<T>,
            value: &Value,
            name: Datatype,
        ) -> Result<(), String> {
            let Value::Whole(number) = value else {
                return Err(format!(
                    "{} stands where {name} wants a whole number",
                    value.kind()
                ));
            };
            values.push(T::try_from(*number).map_err(|_| format!("{number} does not fit {name}"))?);
            Ok(())
        }
        let datatype = self.elements.datatype();
        let real = |value: &Value| match value {
            Value::Whole(number) => Ok(*number as f64),
            Value::Real(number) => Ok(*number),
            // What our own answers write for NaN and infinity, which JSON lacks.
            Value::Null => Ok(f64::NAN),
            other => Err(format!(
                "{} stands where {datatype} wants a number",
                other.kind()
            )),
        };
        match &mut self.elements {
            Elements::Bool(values) => match value {
                Value::Truth(truth) => values.push(u8::from(*truth)),
                Value::Whole(number @ 0..=1) => values.push(*number as u8),
                other => {
                    return Err(format!(
                        "{} stands where BOOL wants true or false",
                        other.kind()
                    ));
                }
            },
            Elements::Uint8(values) => whole(values, value, datatype)?,
            Elements::Uint16(values) => whole(values, value, datatype)?,
            Elements::Uint32(values) => whole(values, value, datatype)?,
            Elements::Uint64(values) => whole(values, value, datatype)?,
            Elements::Int8(values) => whole(values, value, datatype)?,
            Elements::Int16(values) => whole(values, value, datatype)?,
            Elements::Int32(values) => whole(values, value, datatype)?,
            Elements::Int64(values) => whole(values, value, datatype)?,
            Elements::Fp32(values) => values.push(real(value)? as f32),
            Elements::Fp64(values) => values.push(real(value)?),
            Elements::Fp16(_) | Elements::Bf16(_) => {
                return Err(format!(
                    "{datatype} via JSON is not supported. Please use the binary data format for this input"
                ));
            }
            Elements::Bytes(blobs) => match value {
                Value::Text(text) if blobs.push(text.as_bytes()) => {}
                Value::Text(_) => return Err("more than 4 GiB of byte strings".to_owned()),
                other => return Err(format!("{} stands where BYTES wants a text", other.kind())),
            },
        }
        Ok(())
    }
}
