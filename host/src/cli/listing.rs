//! Lists that come in pages: their query, and all their rows.

use std::fmt::{Display, Write};
use std::ops::ControlFlow;

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
pub(super) fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // A text takes whatever is written to it.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// How a list goes on from page to page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paging {
    /// The parameter that says where a page begins.
    parameter: &'static str,
    /// Where the page before says it.
    next: &'static str,
}

/// By a text that only the server reads.
pub(super) const BY_CURSOR: Paging = Paging {
    parameter: "cursor",
    next: "next_cursor",
};

/// By the numbers of what is listed.
pub(super) const BY_NUMBER: Paging = Paging {
    parameter: "after",
    next: "next",
};

/// Asks for page after page, and hands on each with its rows, which are an array under `field`, until there are no more or
/// `take` has enough.
///
/// # Errors
/// Those of the client and of `take`; `Unavailable` for an answer that is no page.
pub(super) async fn pages(
    paging: Paging,
    field: &str,
    mut page: impl AsyncFnMut(Query) -> Result<Answer, Failure>,
    mut take: impl FnMut(&Value, &[Value]) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let Paging { parameter, next } = paging;
    let mut cursor: Option<String> = None;
    loop {
        let query = Query::default().with("limit", Some(PAGE));
        let query = query.with(parameter, cursor.as_ref());
        let json = page(query).await?.json;
        let Some(Value::Array(rows)) = json.get(field) else {
            return Err(strange(format_args!("without `{field}`")));
        };
        // What does not say that it is the last page is not taken for it: an export would look whole.
        let following = match json.get(next) {
            Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => return Err(strange(format_args!("without `{next}`"))),
        };
        if take(&json, rows)?.is_break() || following.is_none() {
            return Ok(());
        }
        if following == cursor {
            return Err(strange("with one page for ever"));
        }
        cursor = following;
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

/// An answer that this program does not understand.
pub(super) fn strange(how: impl Display) -> Failure {
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

    /// The rows that arrive, and what was asked for, of a list whose pages these are.
    async fn paged(
        paging: Paging,
        pages_of: &[Value],
        wanted: usize,
    ) -> (Result<Vec<Value>, Failure>, Vec<String>) {
        let (mut asked, mut rows) = (Vec::new(), Vec::new());
        let mut bodies = pages_of.iter();
        let page = async |query: Query| {
            asked.push(query.of(""));
            answer(bodies.next().unwrap().to_string())
        };
        let outcome = pages(paging, "rows", page, |_, of_page| {
            rows.extend_from_slice(of_page);
            Ok(if rows.len() < wanted {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        });
        let outcome = outcome.await;
        (outcome.map(|()| rows), asked)
    }

    #[tokio::test]
    async fn page_after_page_is_handed_on_until_one_says_that_it_is_the_last() {
        let numbered = [
            json!({"rows": [1, 2], "next": 7}),
            json!({"rows": [3], "next": null}),
        ];
        let (rows, asked) = paged(BY_NUMBER, &numbered, usize::MAX).await;
        assert_eq!(rows.unwrap(), [json!(1), json!(2), json!(3)]);
        assert_eq!(asked, ["?limit=1000", "?limit=1000&after=7"]);
        let (rows, asked) = paged(BY_NUMBER, &numbered, 2).await;
        assert_eq!((rows.unwrap().len(), asked.len()), (2, 1));
        let by_cursor = [
            json!({"rows": [1], "next_cursor": "a/b"}),
            json!({"rows": [], "next_cursor": null}),
        ];
        let (rows, asked) = paged(BY_CURSOR, &by_cursor, usize::MAX).await;
        assert_eq!(rows.unwrap(), [json!(1)]);
        assert_eq!(asked, ["?limit=1000", "?limit=1000&cursor=a%2Fb"]);
    }

    #[tokio::test]
    async fn a_page_that_does_not_say_how_it_goes_on_is_not_the_last() {
        let same = json!({"rows": [1], "next": 7});
        for bodies in [
            &[json!({"rows": [1]})][..],
            &[json!({"rows": [1], "next_cursor": null})],
            &[json!({"rows": [1], "next": true})],
            &[json!({"next": null})],
            &[same.clone(), same],
        ] {
            let (rows, _) = paged(BY_NUMBER, bodies, usize::MAX).await;
            assert_eq!(rows.unwrap_err().exit, Exit::Unavailable, "{bodies:?}");
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
