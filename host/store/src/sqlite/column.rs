//! Columns to types. What does not parse is damage.

use std::error::Error;
use std::str::FromStr;

use foretell_types::Digest;
use rusqlite::types::Type;
use rusqlite::{Error as SqlError, Result, Row};

/// A text that parses.
pub(super) fn parsed<T>(row: &Row<'_>, column: &str) -> Result<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error| unreadable(row, column, Type::Text, Box::new(error)))
}

/// As [`parsed`], for a column that may be null.
pub(super) fn parsed_or_null<T>(row: &Row<'_>, column: &str) -> Result<Option<T>>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    let text: Option<String> = row.get(column)?;
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|error| unreadable(row, column, Type::Text, Box::new(error)))
}

/// The 32 bytes of a digest.
pub(super) fn digest(row: &Row<'_>, column: &str) -> Result<Digest> {
    row.get(column).map(Digest::from_bytes)
}

/// A column that does not hold what was written.
pub(super) fn unreadable(
    row: &Row<'_>,
    column: &str,
    kind: Type,
    error: Box<dyn Error + Send + Sync>,
) -> SqlError {
    // The name was found when the column was read.
    let index = row.as_ref().column_index(column).unwrap_or_default();
    SqlError::FromSqlConversionFailure(index, kind, format!("column `{column}`: {error}").into())
}
