//! Records: a row as people write it, `{"age": 49, "job": "services"}`, and the way to tensors.

use crate::ErrorKind;
use crate::signature::{Checked, Column, Domain, Input, Mismatch, Signature};
use crate::tensor::{Datatype, Elements, Tensor};
use crate::text::{list, nearest, shown};

mod leaves;

use leaves::{Leaves, nested_shape};

/// A value of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: the feature is absent.
    Null,
    /// True or false.
    Truth(bool),
    /// A whole number, exactly.
    Whole(i128),
    /// Any other number.
    Real(f64),
    /// A text.
    Text(String),
    /// A list, for inputs that are not columns of a table.
    List(Vec<Value>),
}

impl Value {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Truth(_) => "true or false",
            Self::Whole(_) | Self::Real(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
        }
    }
}

/// One row: names and values, in the order given, names distinct.
pub type Record = Vec<(String, Value)>;

impl Signature {
    /// Builds the inputs from records, one row each, and checks them.
    ///
    /// A name is a column of any input, or an input without columns. A missing or null column takes its declared value
    /// for "absent".
    ///
    /// # Errors
    /// [`Mismatch`] for the first difference: `MissingFeature`, `UnknownFeature` (with the nearest name),
    /// `UnknownCategory`, `OutOfRange`, or `InvalidInput` for a value of another kind.
    pub fn tensors_from_records(&self, records: &[Record]) -> Result<Checked, Mismatch> {
        if records.is_empty() {
            return Err(Mismatch::new(
                ErrorKind::InvalidInput,
                "the list of records is empty; send at least one",
            ));
        }
        for (row, record) in records.iter().enumerate() {
            self.refuse_unknown(record, &place(records.len(), row))?;
        }
        let inputs = self.inputs.iter().map(|input| {
            if input.columns.is_empty() {
                plain_input(input, records)
            } else {
                table_input(input, records)
            }
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        crate::signature::check_ordered(self, inputs)
    }

    fn refuse_unknown(&self, record: &Record, place: &str) -> Result<(), Mismatch> {
        for (name, _) in record {
            let mut known = self.feature_names();
            if !known.any(|feature| feature == name) {
                let hint = match nearest(name, self.feature_names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        let features: Vec<_> = self.feature_names().collect();
                        format!("the model has {}", list(&features))
                    }
                };
                return Err(Mismatch::new(
                    ErrorKind::UnknownFeature,
                    format!("unknown feature `{}`{place}; {hint}", shown(name)),
                ));
            }
        }
        Ok(())
    }

    /// The names that a record may have.
    fn feature_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().flat_map(|input| {
            let own = input.columns.is_empty().then_some(input.name.as_str());
            input
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .chain(own)
        })
    }
}

fn place(records: usize, row: usize) -> String {
    if records > 1 {
        format!(" in record {row}")
    } else {
        String::new()
    }
}

fn find<'a>(record: &'a Record, name: &str, guess: usize) -> Option<&'a Value> {
    // Callers mostly send features in the signature's order: look there first.
    match record.get(guess) {
        Some((found, value)) if found == name => Some(value),
        _ => record
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value),
    }
}

fn table_input(input: &Input, records: &[Record]) -> Result<Tensor, Mismatch> {
    let mut values = Vec::with_capacity(records.len() * input.columns.len());
    for (row, record) in records.iter().enumerate() {
        for (index, column) in input.columns.iter().enumerate() {
            let number =
                column
                    .number(find(record, &column.name, index))
                    .map_err(|(kind, problem)| {
                        Mismatch::new(
                            kind,
                            format!(
                                "feature `{}`{}: {problem}",
                                column.name,
                                place(records.len(), row)
                            ),
                        )
                    })?;
            values.push(number);
        }
    }
    let shape = row_shape(input, records.len(), || vec![input.columns.len() as u32])?;
    let elements = from_numbers(input.datatype, &values);
    Tensor::new(shape, elements).map_err(|fault| {
        Mismatch::new(
            ErrorKind::InvalidInput,
            format!("input `{}`: {fault}", input.name),
        )
    })
}

/// The tensor's shape for a number of rows; a model without a row axis takes one record.
fn row_shape(
    input: &Input,
    rows: usize,
    row: impl FnOnce() -> Vec<u32>,
) -> Result<Vec<u32>, Mismatch> {
    let has_rows =
        input.shape.first() == Some(&-1) && (input.columns.is_empty() || input.shape.len() > 1);
    let mut shape = Vec::with_capacity(input.shape.len());
    if has_rows {
        shape.push(u32::try_from(rows).unwrap_or(u32::MAX));
    } else if rows > 1 {
        return Err(Mismatch::new(
            ErrorKind::InvalidInput,
            "this model takes one record at a time",
        ));
    }
    shape.extend(row());
    // Axes of length 1 between rows and columns, as in [-1, 1, 4].
    while shape.len() < input.shape.len() {
        shape.insert(usize::from(has_rows), 1);
    }
    Ok(shape)
}

impl Column {
    /// The element for a record's value.
    fn number(&self, value: Option<&Value>) -> Result<f64, (ErrorKind, String)> {
        let number = match (value, &self.domain) {
            (None | Some(Value::Null), _) => {
                return self.absent.ok_or_else(|| {
                    (
                        ErrorKind::MissingFeature,
                        "is required and has no value".to_owned(),
                    )
                });
            }
            (Some(Value::Text(text)), Domain::Category(vocabulary)) => {
                return match vocabulary.values.iter().position(|known| known == text) {
                    Some(code) => Ok(code as f64),
                    None => vocabulary.unseen.ok_or_else(|| {
                        (
                            ErrorKind::UnknownCategory,
                            unknown_category(text, &vocabulary.values),
                        )
                    }),
                };
            }
            (Some(Value::Truth(truth)), Domain::Truth) => return Ok(f64::from(u8::from(*truth))),
            (Some(Value::Whole(whole)), Domain::Real(_) | Domain::Integer(_)) => *whole as f64,
            (Some(Value::Real(real)), Domain::Real(_) | Domain::Integer(_)) => *real,
            (Some(value), domain) => {
                let wanted = match domain {
                    Domain::Real(_) => "a number",
                    Domain::Integer(_) => "a whole number",
                    Domain::Truth => "true or false",
                    Domain::Category(_) => "a text",
                };
                return Err((
                    ErrorKind::InvalidInput,
                    format!("is {}, use {wanted}", value.kind()),
                ));
            }
        };
        self.check_number(number)?;
        Ok(number)
    }
}

fn unknown_category(text: &str, values: &[String]) -> String {
    let hint = nearest(text, values.iter().map(String::as_str))
        .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let names: Vec<_> = values.iter().map(String::as_str).collect();
    let known = if hint.is_empty() {
        format!("; use one of {}", list(&names))
    } else {
        hint
    };
    format!("`{}` is not in the vocabulary{known}", shown(text))
}

fn from_numbers(datatype: Datatype, values: &[f64]) -> Elements {
    // Integers were checked as whole and within bounds; a bound beyond the datatype saturates, as the cast does.
    match datatype {
        Datatype::Fp64 | Datatype::Fp16 | Datatype::Bf16 | Datatype::Bytes => {
            Elements::Fp64(values.to_vec())
        }
        Datatype::Fp32 => Elements::Fp32(values.iter().map(|v| *v as f32).collect()),
        Datatype::Bool => Elements::Bool(values.iter().map(|v| *v as u8).collect()),
        Datatype::Uint8 => Elements::Uint8(values.iter().map(|v| *v as u8).collect()),
        Datatype::Uint16 => Elements::Uint16(values.iter().map(|v| *v as u16).collect()),
        Datatype::Uint32 => Elements::Uint32(values.iter().map(|v| *v as u32).collect()),
        Datatype::Uint64 => Elements::Uint64(values.iter().map(|v| *v as u64).collect()),
        Datatype::Int8 => Elements::Int8(values.iter().map(|v| *v as i8).collect()),
        Datatype::Int16 => Elements::Int16(values.iter().map(|v| *v as i16).collect()),
        Datatype::Int32 => Elements::Int32(values.iter().map(|v| *v as i32).collect()),
        Datatype::Int64 => Elements::Int64(values.iter().map(|v| *v as i64).collect()),
    }
}

/// An input without columns: its value is a number, a text or nested lists of the input's shape, without the row axis.
fn plain_input(input: &Input, records: &[Record]) -> Result<Tensor, Mismatch> {
    let mut leaves = Leaves::new(input.datatype);
    let mut row_shape_of = None;
    for (row, record) in records.iter().enumerate() {
        let fault = |problem: String| {
            Mismatch::new(
                ErrorKind::InvalidInput,
                format!(
                    "input `{}`{}: {problem}",
                    input.name,
                    place(records.len(), row)
                ),
            )
        };
        let value = match find(record, &input.name, usize::MAX) {
            None | Some(Value::Null) => {
                return Err(Mismatch::new(
                    ErrorKind::MissingFeature,
                    format!(
                        "input `{}`{} is missing",
                        input.name,
                        place(records.len(), row)
                    ),
                ));
            }
            Some(value) => value,
        };
        // The first record fixes the shape; every later one must have it.
        let shape = row_shape_of.get_or_insert_with(|| nested_shape(value));
        leaves.fill(value, shape).map_err(fault)?;
    }
    let shape = row_shape(input, records.len(), || row_shape_of.unwrap_or_default())?;
    Tensor::new(shape, leaves.elements).map_err(|fault| {
        Mismatch::new(
            ErrorKind::InvalidInput,
            format!("input `{}`: {fault}", input.name),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Bounds, Promises, Vocabulary};

    fn signature(inputs: Vec<Input>) -> Signature {
        Signature {
            doc: String::new(),
            inputs,
            outputs: vec![],
            examples: vec![],
            promises: Promises::default(),
        }
    }

    fn people() -> Signature {
        let column = |name: &str, domain, absent| Column {
            name: name.into(),
            doc: String::new(),
            domain,
            absent,
        };
        signature(vec![Input {
            name: "features".into(),
            doc: String::new(),
            datatype: Datatype::Fp64,
            shape: vec![-1, 3],
            columns: vec![
                column(
                    "age",
                    Domain::Integer(Bounds {
                        min: 0.0,
                        max: 120.0,
                    }),
                    Some(f64::NAN),
                ),
                column(
                    "job",
                    Domain::Category(Vocabulary {
                        values: vec!["admin.".into(), "services".into()],
                        unseen: None,
                    }),
                    None,
                ),
                column("senior", Domain::Truth, Some(0.0)),
            ],
        }])
    }

    fn plain(datatype: Datatype, shape: &[i32]) -> Signature {
        signature(vec![Input {
            name: "image".into(),
            doc: String::new(),
            datatype,
            shape: shape.into(),
            columns: vec![],
        }])
    }

    fn record(pairs: &[(&str, Value)]) -> Record {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_record_becomes_a_row_in_the_signatures_order() {
        let records = [
            record(&[("job", text("services")), ("age", Value::Whole(49))]),
            record(&[
                ("senior", Value::Truth(true)),
                ("job", text("admin.")),
                ("age", Value::Null),
            ]),
        ];
        let checked = people().tensors_from_records(&records).unwrap();
        assert_eq!(checked.rows(), 2);
        let Elements::Fp64(values) = checked.inputs()[0].elements() else {
            panic!("not FP64")
        };
        assert_eq!(values[..3], [49.0, 1.0, 0.0]);
        assert!(values[3].is_nan());
        assert_eq!(values[4..], [0.0, 1.0]);
    }

    #[test]
    fn each_mistake_has_its_code_and_names_the_feature() {
        let job = ("job", text("services"));
        let cases = [
            (
                record(&[]),
                ErrorKind::MissingFeature,
                "feature `job`: is required and has no value",
            ),
            (
                record(&[job.clone(), ("agee", Value::Whole(1))]),
                ErrorKind::UnknownFeature,
                "unknown feature `agee`; did you mean `age`?",
            ),
            (
                record(&[job.clone(), ("zzzzzz", Value::Whole(1))]),
                ErrorKind::UnknownFeature,
                "unknown feature `zzzzzz`; the model has `age`, `job`, `senior`",
            ),
            (
                record(&[("job", text("service"))]),
                ErrorKind::UnknownCategory,
                "feature `job`: `service` is not in the vocabulary; did you mean `services`?",
            ),
            (
                record(&[("job", text("xyz"))]),
                ErrorKind::UnknownCategory,
                "feature `job`: `xyz` is not in the vocabulary; use one of `admin.`, `services`",
            ),
            (
                record(&[job.clone(), ("age", Value::Whole(130))]),
                ErrorKind::OutOfRange,
                "feature `age`: 130 is outside 0 to 120",
            ),
            (
                record(&[job.clone(), ("age", Value::Real(1.5))]),
                ErrorKind::OutOfRange,
                "feature `age`: 1.5 is not a whole number",
            ),
            (
                record(&[job.clone(), ("age", text("49"))]),
                ErrorKind::InvalidInput,
                "feature `age`: is a text, use a whole number",
            ),
            (
                record(&[job.clone(), ("senior", Value::Whole(1))]),
                ErrorKind::InvalidInput,
                "feature `senior`: is a number, use true or false",
            ),
            (
                record(&[("job", Value::Whole(1))]),
                ErrorKind::InvalidInput,
                "feature `job`: is a number, use a text",
            ),
        ];
        for (record, kind, message) in cases {
            let mismatch = people()
                .tensors_from_records(std::slice::from_ref(&record))
                .unwrap_err();
            assert_eq!(
                (mismatch.kind(), mismatch.to_string().as_str()),
                (kind, message),
                "{record:?}"
            );
        }
    }

    #[test]
    fn the_record_is_named_where_there_are_several() {
        let good = record(&[("job", text("services"))]);
        let mismatch = people()
            .tensors_from_records(&[good, record(&[])])
            .unwrap_err();
        assert_eq!(
            mismatch.to_string(),
            "feature `job` in record 1: is required and has no value"
        );
        assert!(people().tensors_from_records(&[]).is_err());
    }

    #[test]
    fn an_input_without_columns_takes_nested_lists() {
        let pixels = Value::List(vec![
            Value::List(vec![Value::Whole(1), Value::Real(2.5)]),
            Value::List(vec![Value::Null, Value::Whole(4)]),
        ]);
        let checked = plain(Datatype::Fp32, &[-1, 2, 2])
            .tensors_from_records(&[record(&[("image", pixels)])])
            .unwrap();
        assert_eq!(checked.inputs()[0].shape(), [1, 2, 2]);

        let scalar = plain(Datatype::Bytes, &[-1])
            .tensors_from_records(&[record(&[("image", text("x"))])])
            .unwrap();
        assert_eq!(scalar.inputs()[0].shape(), [1]);
    }

    #[test]
    fn uneven_lists_and_other_kinds_are_refused() {
        let whole = |n| Value::Whole(n);
        let cases = [
            Value::List(vec![Value::List(vec![whole(1)]), whole(2)]),
            Value::List(vec![whole(1), Value::List(vec![whole(2)])]),
            Value::List(vec![
                Value::List(vec![whole(1)]),
                Value::List(vec![whole(1), whole(2)]),
            ]),
            Value::List(vec![whole(300)]),
            Value::List(vec![whole(-1)]),
            Value::List(vec![Value::Real(0.5)]),
            text("1"),
        ];
        for value in cases {
            let record = record(&[("image", value)]);
            let mismatch = plain(Datatype::Uint8, &[-1, 1])
                .tensors_from_records(std::slice::from_ref(&record))
                .unwrap_err();
            assert_eq!(mismatch.kind(), ErrorKind::InvalidInput, "{record:?}");
        }
    }
}
