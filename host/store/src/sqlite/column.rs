//! Columns to types. What does not parse is damage.

use std::error::Error;
use std::str::FromStr;

use foretell_types::Digest;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Error as SqlError, Result, Row};
use serde::de::DeserializeOwned;

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

/// A count, which is never below zero.
pub(super) fn count(row: &Row<'_>, column: &str) -> Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|error| unreadable(row, column, Type::Integer, error.into()))
}

/// A count as the database holds it; what is beyond it does not exist.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What stands in a column as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unreadable(row, column, Type::Text, error.into()))
}

/// As [`json`], for a column that may be null.
pub(super) fn json_or_null<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => json(row, column).map(Some),
    }
}

/// Names with commas between them, each of a `what`. One that is not known is damage and not ignored: who has fewer rights
/// than were given fails without a word.
pub(super) fn listed<T, C: FromIterator<T>>(
    row: &Row<'_>,
    column: &str,
    what: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<C> {
    let text: String = row.get(column)?;
    let names = text.split(',').filter(|name| !name.is_empty());
    let parsed = names.map(|name| {
        parse(name).ok_or_else(|| {
            let unknown = format!("no {what} is called `{name}`");
            unreadable(row, column, Type::Text, unknown.into())
        })
    });
    parsed.collect()
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
