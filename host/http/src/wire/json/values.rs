//! Records: objects of plain values.

use foretell_types::record::{Record, Value};

use super::reader::{Fault, Reader};

/// Reads an object as a record of at most `max_keys` keys.
///
/// # Errors
/// `Malformed` for what is no object, `InvalidInput` for a value that no record holds, and for too many keys.
pub(crate) fn read_record(reader: &mut Reader<'_>, max_keys: usize) -> Result<Record, Fault> {
    read_record_without(reader, max_keys, &[])
}

/// The same, where these keys belong to the protocol and are passed over.
///
/// # Errors
/// As for [`read_record`].
pub(crate) fn read_record_without(
    reader: &mut Reader<'_>,
    max_keys: usize,
    keys: &[&str],
) -> Result<Record, Fault> {
    let mut record = Record::new();
    reader.object(|reader, key| {
        if keys.contains(&&**key) {
            return reader.skip();
        }
        if record.len() >= max_keys {
            return Err(reader.invalid("the record has far more keys than the model has features"));
        }
        let value = read_value(reader)?;
        record.push((key.clone().into_owned(), value));
        Ok(())
    })?;
    Ok(record)
}

/// Reads a value of a record: anything but an object.
///
/// # Errors
/// As for [`read_record`].
fn read_value(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    match reader.peek() {
        Some(b'"') => Ok(Value::Text(reader.string()?.into_owned())),
        Some(b't' | b'f') => reader.truth().map(Value::Truth),
        Some(b'n') => reader.null().map(|()| Value::Null),
        Some(b'[') => {
            let mut items = Vec::new();
            reader.array(|reader, _| {
                items.push(read_value(reader)?);
                Ok(())
            })?;
            Ok(Value::List(items))
        }
        Some(b'{') => Err(reader.invalid("an object stands where a record wants a value")),
        _ => number(reader),
    }
}

/// A whole number exactly where 128 bits hold it, any other rounded once.
fn number(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    let number = reader.number()?;
    if number.whole
        && let Ok(whole) = number.text.parse()
    {
        return Ok(Value::Whole(whole));
    }
    match number.text.parse::<f64>() {
        Ok(real) if real.is_finite() => Ok(Value::Real(real)),
        _ => {
            let shown: String = number.text.chars().take(40).collect();
            Err(reader.invalid(&format!("{shown} is outside the range of numbers")))
        }
    }
}
