//! What a browser shows by itself: the cookie of a session, and which site's page asks.
//!
//! The hazard that this module contains is that a browser shows the cookie with every request to this host, whatever page
//! makes it ask. So a session counts for what changes something only where the browser does not say that a page of another
//! site asks, and where the session's second secret is shown as well, which no browser shows by itself.

use foretell_predict::{PredictError, Sessions};
use foretell_types::ErrorKind;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::reply::Failure;
use crate::routes::{LOGIN, SETUP};

/// By its `__Host-`, browsers take it only as `Secure`, for all paths, and from this host itself and none beside it.
pub(crate) const SESSION: &str = "__Host-foretell-session";
const ATTRIBUTES: &str = "Secure; HttpOnly; SameSite=Lax; Path=/";

const X_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const OTHER_SITE: &str = "a page of another site asks for this (by `Sec-Fetch-Site` or `Origin`); ask from a page of this \
     server, or with an API key";
const NO_TOKEN: &str = "what changes something takes more than the cookie of a session: send the `csrf` that its login \
     answered as `X-CSRF-Token`";
const WRONG_TOKEN: &str = "`X-CSRF-Token` is not this session's: send the `csrf` that its login answered, or log in again";

/// Whether this is where whoever is not in yet comes in: a session that is shown there is an old one, and does not count.
pub(crate) fn is_door(path: &str) -> bool {
    matches!(path.trim_end_matches('/'), LOGIN | SETUP)
}

/// The secret of the session that is shown. Cookies of other names are passed over: programs on one host share them.
///
/// # Errors
/// `Malformed` for two of ours: browsers keep one, and which is meant is not for us to guess.
pub(crate) fn session(headers: &HeaderMap) -> Result<Option<String>, PredictError> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let pairs = cookies.flat_map(|cookies| cookies.as_bytes().split(|byte| *byte == b';'));
    let mut shown = pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(SESSION.as_bytes())?;
        value.strip_prefix(b"=")
    });
    let Some(secret) = shown.next() else {
        return Ok(None);
    };
    if shown.next().is_some() {
        return Err(PredictError::Malformed(format!(
            "the cookie `{SESSION}` stands twice; send one"
        )));
    }
    // Taken as it is, without quotes or escapes undone. What is no text is no secret either.
    let secret = String::from_utf8_lossy(secret).into_owned();
    Ok(Some(secret).filter(|secret| !secret.is_empty()))
}

/// Gives a browser the cookie of a session. It ends with the browser, where the session does not end before.
pub(crate) fn give(headers: &mut HeaderMap, secret: &str) {
    set(headers, secret, "");
}

/// Takes the cookie back.
pub(crate) fn take_back(headers: &mut HeaderMap) {
    set(headers, "", "; Max-Age=0");
}

fn set(headers: &mut HeaderMap, secret: &str, until: &str) {
    // Letters, digits and signs: all of them can stand in a header.
    if let Ok(mut cookie) =
        HeaderValue::try_from(format!("{SESSION}={secret}; {ATTRIBUTES}{until}"))
    {
        cookie.set_sensitive(true);
        headers.insert(header::SET_COOKIE, cookie);
    }
}

/// Keeps an answer out of the caches between, and out of the browser's. Of what is asked for with a key they know that
/// themselves, by its header; a cookie tells them nothing.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
}

/// Whether the session that is shown counts for what changes something.
///
/// # Errors
/// `Forbidden`, with what to do; `Unauthenticated` if it is over; those of the store.
pub(crate) async fn trust(sessions: &Sessions, headers: &HeaderMap) -> Result<(), Failure> {
    not_of_another_site(headers)?;
    let secret = session(headers)?.unwrap_or_default();
    let token = only(headers, X_CSRF_TOKEN);
    // Asked without a token, too: whose session is over has to log in, whatever else is wrong.
    let holds = sessions.csrf_holds(&secret, token.unwrap_or_default());
    if holds.await? {
        return Ok(());
    }
    Err(forbidden(match token {
        None => NO_TOKEN,
        Some(_) => WRONG_TOKEN,
    }))
}

/// Refuses what a page of another site makes a browser ask for. Whoever is no browser says nothing of sites.
///
/// # Errors
/// `Forbidden`.
pub(crate) fn not_of_another_site(headers: &HeaderMap) -> Result<(), Failure> {
    let is_ours = match (only(headers, SEC_FETCH_SITE), only(headers, header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => only(headers, header::HOST).is_some_and(|host| is_of(origin, host)),
        (None, None) => true,
    };
    match is_ours {
        true => Ok(()),
        false => Err(forbidden(OTHER_SITE)),
    }
}

/// Whether a page of this origin is a page of this host. Which scheme it came by, a proxy with TLS before us does not say.
fn is_of(origin: &str, host: &str) -> bool {
    let schemes = ["https://", "http://"].into_iter();
    let mut authorities = schemes.filter_map(|scheme| origin.strip_prefix(scheme));
    authorities.any(|authority| authority.eq_ignore_ascii_case(host))
}

/// The text of a header that stands there once; one that fits nothing, where it stands there twice or is no text.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(match values.next() {
        None => first.to_str().unwrap_or_default(),
        Some(_) => "",
    })
}

fn forbidden(problem: &'static str) -> Failure {
    Failure::new(ErrorKind::Forbidden, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_session_is_found_among_cookies_of_others_and_taken_as_it_is() {
        let cases: [(&[&[u8]], Option<&str>); 14] = [
            (&[], None),
            (&[b""], None),
            (&[b";;=; ="], None),
            (&[b"__Host-foretell-session=abc"], Some("abc")),
            (&[b"a=b; __Host-foretell-session=abc; c=d"], Some("abc")),
            (&[b"a=b;__Host-foretell-session=abc;c"], Some("abc")),
            (&[b"a=\xff\"; __Host-foretell-session=abc"], Some("abc")),
            (&[b"a=b", b"__Host-foretell-session=abc"], Some("abc")),
            (&[b"__Host-foretell-session=\"abc\""], Some("\"abc\"")),
            (&[b"__Host-foretell-session=a=%41"], Some("a=%41")),
            (&[b"__Host-foretell-session="], None),
            // Other names, however alike.
            (&[b"__host-foretell-session=abc"], None),
            (&[b"__Host-foretell-session =abc"], None),
            (
                &[b"foretell-session=abc; x__Host-foretell-session=abc"],
                None,
            ),
        ];
        for (lines, expected) in cases {
            let lines: Vec<_> = lines.iter().map(|line| (header::COOKIE, *line)).collect();
            let found = session(&headers(&lines)).unwrap();
            assert_eq!(found.as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn two_sessions_are_none() {
        let one: &[u8] = b"__Host-foretell-session=abc";
        let cases: [&[&[u8]]; 3] = [
            &[one, one],
            &[b"__Host-foretell-session=abc; __Host-foretell-session=abc"],
            &[b"__Host-foretell-session=; a=b; __Host-foretell-session=x"],
        ];
        for lines in cases {
            let lines: Vec<_> = lines.iter().map(|line| (header::COOKIE, *line)).collect();
            let refused = session(&headers(&lines)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Malformed, "{lines:?}");
        }
    }

    #[test]
    fn the_browser_says_whose_page_asks_and_its_older_word_counts_where_it_has_no_other() {
        let (site, origin) = (SEC_FETCH_SITE, header::ORIGIN);
        let cases: [(&[(HeaderName, &str)], bool); 19] = [
            (&[], true),
            (&[(site.clone(), "same-origin")], true),
            (&[(site.clone(), "none")], true),
            (&[(site.clone(), "same-site")], false),
            (&[(site.clone(), "cross-site")], false),
            (&[(site.clone(), "")], false),
            (&[(site.clone(), "none"), (site.clone(), "none")], false),
            (&[(origin.clone(), "http://one.example:5000")], true),
            (&[(origin.clone(), "https://ONE.example:5000")], true),
            (&[(origin.clone(), "http://one.example")], false),
            (&[(origin.clone(), "http://one.example:5001")], false),
            (
                &[(origin.clone(), "http://one.example:5000.evil.example")],
                false,
            ),
            (&[(origin.clone(), "http://evil.example")], false),
            (&[(origin.clone(), "one.example:5000")], false),
            (&[(origin.clone(), "ftp://one.example:5000")], false),
            (&[(origin.clone(), "null")], false),
            (&[(origin.clone(), "")], false),
            (
                &[
                    (site.clone(), "cross-site"),
                    (origin.clone(), "http://one.example:5000"),
                ],
                false,
            ),
            (
                &[
                    (site.clone(), "same-origin"),
                    (origin.clone(), "http://two.example"),
                ],
                true,
            ),
        ];
        for (lines, expected) in cases {
            let lines = lines
                .iter()
                .map(|(name, text)| (name.clone(), text.as_bytes()));
            let mut all: Vec<_> = lines.collect();
            all.push((header::HOST, b"one.example:5000"));
            let found = not_of_another_site(&headers(&all));
            assert_eq!(found.is_ok(), expected, "{all:?}");
        }
        // HTTP/1.0 names no host, and so no page is of it.
        let hostless = headers(&[(header::ORIGIN, b"http://one.example")]);
        assert!(not_of_another_site(&hostless).is_err());
    }

    #[test]
    fn the_doors_are_two_paths() {
        for path in ["/api/login", "/api/login/", "/api/setup"] {
            assert!(is_door(path), "{path}");
        }
        for path in ["/api/logout", "/api/login/x", "/api/%6cogin", "/"] {
            assert!(!is_door(path), "{path}");
        }
    }
}
