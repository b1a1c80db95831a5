//! The query of a list: its parameters are read one by one, and what is wrong with one is told with its name.

use foretell_predict::PredictError;

use crate::extract::Head;
use crate::text::shown;
use crate::wire::table::Format;

/// A parameter's value, if it is there. `rule` is for whoever sends what `read` does not take: it says what one is.
///
/// # Errors
/// `Invalid` for a value that is none.
pub(super) fn parameter<T>(
    head: &Head,
    name: &str,
    rule: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, PredictError> {
    let Some(text) = head.query(name) else {
        return Ok(None);
    };
    match read(&text) {
        Some(value) => Ok(Some(value)),
        None => Err(PredictError::Invalid(format!(
            "query parameter `{name}`: `{}` is not {rule}",
            shown(&text)
        ))),
    }
}

/// How many rows a page has at most: `limit`, from 1 to `most`.
///
/// # Errors
/// `Invalid` for any other.
pub(super) fn limit(head: &Head, usual: u32, most: u32) -> Result<u32, PredictError> {
    let rule = format!("a whole number from 1 to {most}");
    let limit = parameter(head, "limit", &rule, |text| {
        let number = text.parse::<u32>().ok()?;
        (1..=most).contains(&number).then_some(number)
    })?;
    Ok(limit.unwrap_or(usual))
}

/// The form of the file that a list is asked for as; none = it is asked for in pages.
///
/// # Errors
/// `Invalid` for any other form, and for what only pages have.
pub(super) fn file(head: &Head) -> Result<Option<Format>, PredictError> {
    let rule = "`json` (in pages), `csv` or `jsonl`";
    let form = parameter(head, "format", rule, |text| match text {
        "json" => Some(None),
        "csv" => Some(Some(Format::Csv)),
        "jsonl" => Some(Some(Format::Jsonl)),
        _ => None,
    })?;
    let Some(format) = form.flatten() else {
        return Ok(None);
    };
    let mut of_pages = ["limit", "cursor"].into_iter();
    match of_pages.find(|name| head.query(name).is_some()) {
        None => Ok(Some(format)),
        Some(name) => Err(PredictError::Invalid(format!(
            "query parameter `{name}`: a file has no pages and holds all rows; leave out `{name}`, or `format`"
        ))),
    }
}
