//! Lists that come in pages: their query, and all their rows.

use std::fmt::{Display, Write};

use reqwest::Method;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output;
use crate::client::{Answer, Client};

/// Rows that are asked for at once: the most that every list has on a page.
const PAGE: usize = 1_000;

/// The parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(String);

impl Query {
    /// These, and one more if it has a value.
    pub(super) fn with(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            encode(&value.to_string(), &mut self.0);
        }
        self
    }

    /// A route with these.
    pub(super) fn of(&self, route: &str) -> String {
        format!("{route}{}", self.0)
    }
}

/// Whatever is not plain stands as the hexadecimal form of its bytes, also what some parts of a query may hold as it is.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // A text takes whatever is written to it.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// Rows of a list.
#[derive(Debug)]
pub(super) struct Listing {
    /// The answer as it came, where there was one page.
    only: Option<String>,
    /// The answer with the rows of all pages.
    body: Value,
    /// Where in it the rows are.
    field: &'static str,
}

impl Listing {
    /// Asks for as many pages as hold the first `wanted` rows. Those of each page are an array under `field`.
    ///
    /// # Errors
    /// Those of the client; `Unavailable` for an answer that is no page.
    pub(super) async fn fetch(
        client: &Client,
        route: &str,
        query: &Query,
        field: &'static str,
        wanted: usize,
    ) -> Result<Self, Failure> {
        let page = async |limit: usize, cursor: Option<String>| {
            let query = query.clone().with("limit", Some(limit));
            let path = query.with("cursor", cursor).of(route);
            client.tenant(Method::GET, &path, None).await
        };
        Self::follow(page, field, wanted).await
    }

    async fn follow(
        mut page: impl AsyncFnMut(usize, Option<String>) -> Result<Answer, Failure>,
        field: &'static str,
        wanted: usize,
    ) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let limit = wanted.saturating_sub(rows.len()).min(PAGE);
            let Answer { text, mut json, .. } = page(limit, cursor.clone()).await?;
            let Some(Value::Array(of_page)) = json.get_mut(field).map(Value::take) else {
                return Err(strange(format_args!("without `{field}`")));
            };
            rows.extend(of_page);
            let next = json.get("next_cursor").and_then(Value::as_str);
            let next = next.map(str::to_owned);
            if next.is_none() || rows.len() >= wanted {
                json[field] = Value::Array(rows);
                return Ok(Self {
                    only: cursor.is_none().then_some(text),
                    body: json,
                    field,
                });
            }
            if next == cursor {
                return Err(strange("with one page for ever"));
            }
            cursor = next;
        }
    }

    /// All rows.
    pub(super) fn rows(&self) -> &[Value] {
        output::items(&self.body, self.field)
    }

    /// One document: the server's own, or all its pages as one.
    pub(super) fn document(self) -> String {
        self.only.unwrap_or_else(|| self.body.to_string())
    }
}

fn strange(how: impl Display) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format_args!(
            "the server answers {how}; check --url, and that the server is as new as this program"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A list of this many rows, and what it was asked for.
    async fn of(all: usize, wanted: usize) -> (Listing, Vec<(usize, Option<String>)>) {
        let mut asked = Vec::new();
        let page = async |limit: usize, cursor: Option<String>| {
            asked.push((limit, cursor.clone()));
            let from = cursor.map_or(0, |cursor| cursor.parse::<usize>().unwrap());
            let to = (from + limit).min(all);
            let next = (to < all).then(|| to.to_string());
            let text = json!({"rows": (from..to).collect::<Vec<_>>(), "next_cursor": next});
            answer(text.to_string())
        };
        let listing = Listing::follow(page, "rows", wanted).await.unwrap();
        (listing, asked)
    }

    fn answer(text: String) -> Result<Answer, Failure> {
        Ok(Answer {
            status: 200,
            json: serde_json::from_str(&text).unwrap(),
            text,
        })
    }

    #[tokio::test]
    async fn pages_are_followed_until_there_are_enough_rows() {
        let cursor = |at: &str| Some(at.to_owned());
        for (all, wanted, rows, asked) in [
            (0, 100, 0, vec![(100, None)]),
            (150, 100, 100, vec![(100, None)]),
            (1_000, usize::MAX, 1_000, vec![(1_000, None)]),
            (
                2_500,
                2_200,
                2_200,
                vec![
                    (1_000, None),
                    (1_000, cursor("1000")),
                    (200, cursor("2000")),
                ],
            ),
            (
                1_500,
                usize::MAX,
                1_500,
                vec![(1_000, None), (1_000, cursor("1000"))],
            ),
        ] {
            let (listing, were) = of(all, wanted).await;
            assert_eq!(were, asked, "{wanted} of {all}");
            let numbers: Vec<_> = listing.rows().iter().map(Value::as_u64).collect();
            let expected: Vec<_> = (0..rows).map(Some).collect();
            assert_eq!(numbers, expected, "{wanted} of {all}");
        }
    }

    #[tokio::test]
    async fn several_pages_are_one_document_and_a_single_one_is_the_servers_own() {
        let single = async |_: usize, _: Option<String>| {
            answer("{ \"rows\" : [1.0], \"next_cursor\": null}".to_owned())
        };
        let single = Listing::follow(single, "rows", 5).await.unwrap();
        assert_eq!(
            single.document(),
            "{ \"rows\" : [1.0], \"next_cursor\": null}"
        );
        let (several, _) = of(2_500, 2_000).await;
        let document: Value = serde_json::from_str(&several.document()).unwrap();
        assert_eq!(document["rows"].as_array().unwrap().len(), 2_000);
        // Where whoever wants more goes on.
        assert_eq!(document["next_cursor"], "2000");
    }

    #[tokio::test]
    async fn what_is_no_page_and_what_never_ends_is_refused() {
        for body in [
            "[]",
            "{}",
            "{\"rows\":null}",
            "{\"rows\":[1],\"next_cursor\":\"7\"}",
        ] {
            let page = async |_: usize, _: Option<String>| answer(body.to_owned());
            let failure = Listing::follow(page, "rows", 5).await.unwrap_err();
            assert_eq!(failure.exit, Exit::Unavailable, "{body}");
        }
    }

    #[test]
    fn a_query_holds_what_has_a_value_and_hides_what_is_not_plain() {
        let none = Query::default().with("act", None::<&str>);
        assert_eq!(none.of("/api/audit"), "/api/audit");
        let query = none
            .with("actor", Some("jwt:https://a b/ä&x=1+2"))
            .with("limit", Some(7));
        assert_eq!(
            query.of("/api/audit"),
            "/api/audit?actor=jwt%3Ahttps%3A%2F%2Fa%20b%2F%C3%A4%26x%3D1%2B2&limit=7"
        );
    }
}
