//! Content codings of predictions, in both directions: gzip, and `deflate`, which is zlib's format (RFC 9110, 8.4.1).

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use foretell_predict::PredictError;
use http::header::{self, HeaderMap, HeaderValue};

use crate::text::shown;

/// Bytes of an answer from which on it is compressed: a shorter one fits into one packet as it is.
const MIN_COMPRESSED_BYTES: usize = 1_024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    const ALL: [Self; 2] = [Self::Gzip, Self::Deflate];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        // An old name that RFC 9110 asks servers to understand.
        let is_gzip = |name: &str| name.eq_ignore_ascii_case("x-gzip");
        Self::ALL
            .into_iter()
            .find(|coding| name.eq_ignore_ascii_case(coding.as_str()))
            .or_else(|| is_gzip(name).then_some(Self::Gzip))
    }

    /// The coding of a request's body; none for one that comes as it is.
    ///
    /// # Errors
    /// `UnsupportedEncoding` for any other, and for several.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, PredictError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if values.next().is_none() {
            if text.eq_ignore_ascii_case("identity") {
                return Ok(None);
            }
            if let Some(coding) = Self::parse(text) {
                return Ok(Some(coding));
            }
        }
        Err(PredictError::UnsupportedEncoding(format!(
            "content encoding `{}` is not supported: send the body uncompressed, or as gzip or deflate",
            shown(&String::from_utf8_lossy(value.as_bytes()))
        )))
    }

    /// An answer's body in the coding that its caller prefers; none if it is to go out as it is.
    pub(crate) fn compressed(headers: &HeaderMap, body: &[u8]) -> Option<(Self, Vec<u8>)> {
        // Most answers are short, and what their callers prefer need not be read.
        if body.len() < MIN_COMPRESSED_BYTES {
            return None;
        }
        let coding = Self::for_answer(headers)?;
        Some((coding, coding.compress(body)?))
    }

    /// The coding that the caller prefers for its answer (RFC 9110, 12.5.3); none if it prefers none.
    fn for_answer(headers: &HeaderMap) -> Option<Self> {
        let mut named: [Option<f32>; 2] = [None; 2];
        let (mut others, mut identity) = (0.0, 0.0);
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        for item in texts.flat_map(|text| text.split(',')) {
            let (name, weight) = item.split_once(';').unwrap_or((item, ""));
            let (name, weight) = (name.trim(), quality(weight));
            match Self::parse(name) {
                Some(coding) => named[coding as usize] = Some(weight),
                None if name == "*" => others = weight,
                None if name.eq_ignore_ascii_case("identity") => identity = weight,
                None => {}
            }
        }
        // What stands for all others is not said of one that is named.
        let weight = |coding: Self| named[coding as usize].unwrap_or(others);
        let [gzip, deflate] = Self::ALL.map(weight);
        let (best, most) = if deflate > gzip {
            (Self::Deflate, deflate)
        } else {
            (Self::Gzip, gzip)
        };
        (most > 0.0 && most >= identity).then_some(best)
    }

    /// The name in headers.
    pub(crate) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }

    /// A body as it was before it was compressed.
    ///
    /// # Errors
    /// `TooLarge` past `limit_bytes`, `Malformed` for bytes that are not of this coding.
    pub(crate) fn inflate(self, body: &[u8], limit_bytes: u64) -> Result<Bytes, PredictError> {
        let mut whole = Vec::new();
        // One byte more than may come tells a body that is too long.
        let most = limit_bytes.saturating_add(1);
        let read = match self {
            Self::Gzip => MultiGzDecoder::new(body).take(most).read_to_end(&mut whole),
            Self::Deflate => {
                let mut inflater = ZlibDecoder::new(body).take(most);
                inflater.read_to_end(&mut whole).and_then(|bytes| {
                    let used = inflater.into_inner().total_in();
                    let is_whole = used == body.len() as u64 || bytes as u64 == most;
                    is_whole
                        .then_some(bytes)
                        .ok_or_else(|| io::Error::other("bytes follow its end"))
                })
            }
        };
        read.map_err(|error| {
            let name = self.as_str();
            PredictError::Malformed(format!("the body is no valid {name}: {error}"))
        })?;
        if whole.len() as u64 > limit_bytes {
            return Err(PredictError::TooLarge {
                what: "the body, once inflated,",
                limit_bytes,
            });
        }
        Ok(whole.into())
    }

    /// A body compressed; none if it gains nothing by it.
    fn compress(self, body: &[u8]) -> Option<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 2);
        // The fastest level: digits of numbers hardly shrink further.
        let level = Compression::fast();
        let compressed = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
        };
        // Writing into memory does not fail; and if it did, the body is as good uncompressed.
        compressed.ok().filter(|short| short.len() < body.len())
    }
}

/// Refuses a compressed body, where nothing inflates it.
///
/// # Errors
/// `UnsupportedEncoding`.
pub(crate) fn refuse_any(headers: &HeaderMap) -> Result<(), PredictError> {
    match Coding::of_body(headers)? {
        None => Ok(()),
        Some(coding) => Err(PredictError::UnsupportedEncoding(format!(
            "content encoding `{}` is not supported here: send the body uncompressed",
            coding.as_str()
        ))),
    }
}

/// The weight in `;q=0.5`; 1 where none is stated, 0 where it cannot be read.
fn quality(parameters: &str) -> f32 {
    let stated = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    stated.map_or(1.0, |value| value.parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use foretell_types::ErrorKind;
    use proptest::prelude::*;

    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let values = values.iter();
        values
            .map(|value| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    /// Long enough to be compressed, and worth it.
    fn body(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().copied().cycle().take(2_000).collect()
    }

    proptest! {
        #[test]
        fn what_is_compressed_inflates_to_what_it_was(bytes in prop::collection::vec(any::<u8>(), 1..50)) {
            let body = body(&bytes);
            for coding in Coding::ALL {
                let short = coding.compress(&body).unwrap();
                prop_assert_eq!(&coding.inflate(&short, 2_000).unwrap(), &body);
                prop_assert_eq!(coding.inflate(&short, 1_999).unwrap_err().kind(), ErrorKind::TooLarge);
            }
        }

        #[test]
        fn no_bytes_break_the_inflater(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for coding in Coding::ALL {
                if let Err(error) = coding.inflate(&bytes, 1 << 20) {
                    prop_assert_eq!(error.kind(), ErrorKind::Malformed);
                }
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_or_followed_by_more_is_refused() {
        for coding in Coding::ALL {
            let short = coding.compress(&body(b"foretell")).unwrap();
            for end in [1, short.len() / 2, short.len() - 1] {
                let error = coding.inflate(&short[..end], 1 << 20).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Malformed, "{coding:?} {end}");
            }
            let longer = [&short[..], b"more"].concat();
            let error = coding.inflate(&longer, 1 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{coding:?}");
        }
    }

    #[test]
    fn a_bomb_is_given_up_at_the_limit() {
        let mut zeros = GzEncoder::new(Vec::new(), Compression::best());
        zeros.write_all(&vec![0; 16 << 20]).unwrap();
        let bomb = zeros.finish().unwrap();
        assert!(bomb.len() < 20_000);
        let error = Coding::Gzip.inflate(&bomb, 1 << 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the body, once inflated, is larger than its limit of 1048576 bytes"
        );
    }

    #[test]
    fn the_coding_of_a_body_is_one_that_is_known_or_none() {
        let of = |values: &[&str]| Coding::of_body(&headers(header::CONTENT_ENCODING, values));
        for (value, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("X-GZIP", Some(Coding::Gzip)),
            (" Deflate", Some(Coding::Deflate)),
            ("identity", None),
        ] {
            assert_eq!(of(&[value]).unwrap(), expected, "{value}");
        }
        assert_eq!(of(&[]).unwrap(), None);
        for values in [
            &["br"][..],
            &["gzip, gzip"],
            &["gzip", "gzip"],
            &[""],
            &["gzip;q=1"],
        ] {
            let error = of(values).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedEncoding, "{values:?}");
        }
    }

    #[test]
    fn an_answer_has_the_coding_that_its_caller_prefers() {
        let of = |values: &[&str]| Coding::for_answer(&headers(header::ACCEPT_ENCODING, values));
        for (values, expected) in [
            (&[][..], None),
            (&["gzip"], Some(Coding::Gzip)),
            (&["gzip, deflate, br, zstd"], Some(Coding::Gzip)),
            (&["br, deflate"], Some(Coding::Deflate)),
            (&["gzip;q=0.5, deflate; Q = 0.8"], Some(Coding::Deflate)),
            (&["gzip;q=0.5", "deflate"], Some(Coding::Deflate)),
            (&["*"], Some(Coding::Gzip)),
            (&["gzip;q=0"], None),
            (&["gzip;q=0, *"], Some(Coding::Deflate)),
            (&["*;q=0, deflate"], Some(Coding::Deflate)),
            (&["gzip;q=much"], None),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip"], Some(Coding::Gzip)),
            (&["br", ""], None),
        ] {
            assert_eq!(of(values), expected, "{values:?}");
        }
    }

    #[test]
    fn what_gains_nothing_is_left_as_it_is() {
        let gzip = headers(header::ACCEPT_ENCODING, &["gzip"]);
        let short = [0; MIN_COMPRESSED_BYTES - 1];
        assert_eq!(Coding::compressed(&gzip, &short), None);
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(4_096)
            .collect();
        assert_eq!(Coding::Gzip.compress(&noise), None);
    }
}
