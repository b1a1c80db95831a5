//! How refusals are held against what is expected of them.

use foretell_tests::Response;

pub(crate) const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// Status, code, and what the message holds.
pub(crate) type Expected<'a> = (u16, &'a str, &'a str);

/// Holds a refusal against the expected one.
#[track_caller]
pub(crate) fn check(what: &str, response: &Response, (status, code, fragment): Expected<'_>) {
    assert_eq!(
        (response.status, response.code().as_str()),
        (status, code),
        "{what}: {}",
        response.text()
    );
    assert!(
        response.message().contains(fragment),
        "{what}: `{fragment}` is not in: {}",
        response.message()
    );
}
