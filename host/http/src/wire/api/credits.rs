//! Credits as JSON: whole millionths inside, a number outside.

use std::fmt;

use foretell_predict::manage::MicroCredits;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Millionths of a credit in one.
const MICRO: MicroCredits = 1_000_000;
/// Credits that are read at most, in either direction. Doubles, which most readers of JSON have for numbers, tell
/// millionths apart up to 2^33, and this is the round number below.
const MOST: i64 = 8_000_000_000;

/// An amount of credits: a number with at most six decimals.
///
/// Up to [`MOST`] the number that is written is the amount to the last digit, and reading it gives the same amount. A
/// larger one is written exactly if it is whole, and else as the nearest double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credits(pub(crate) MicroCredits);

impl Serialize for Credits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % MICRO == 0 {
            serializer.serialize_i64(self.0 / MICRO)
        } else {
            // Divided once: the nearest double, whose shortest digits are those of the amount.
            serializer.serialize_f64(double(self.0))
        }
    }
}

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(Amount)
    }
}

struct Amount;

impl Visitor<'_> for Amount {
    type Value = Credits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of at most six decimals from -{MOST} to {MOST}")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Credits, E> {
        let is_in_range = (-MOST..=MOST).contains(&number);
        is_in_range
            .then(|| Credits(number * MICRO))
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Credits, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Credits, E> {
        micro(number)
            .map(Credits)
            .ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }
}

fn double(micro: MicroCredits) -> f64 {
    micro as f64 / MICRO as f64
}

/// The amount that is written as this number; none = it has more than six decimals, or is out of range.
fn micro(number: f64) -> Option<MicroCredits> {
    // No number is in no range.
    if !(-MOST as f64..=MOST as f64).contains(&number) {
        return None;
    }
    // Apart, because a product of the whole would be rounded to less than millionths.
    let (whole, fraction) = (number.trunc(), number.fract());
    let micro = whole as i64 * MICRO + (fraction * MICRO as f64).round() as i64;
    // A seventh decimal makes it another number than that of any amount.
    (double(micro) == number).then_some(micro)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(micro: MicroCredits) -> String {
        serde_json::to_string(&Credits(micro)).unwrap()
    }

    fn read(text: &str) -> Option<MicroCredits> {
        let read: Result<Credits, _> = serde_json::from_str(text);
        read.ok().map(|credits| credits.0)
    }

    #[test]
    fn an_amount_is_written_as_a_number_and_a_whole_one_without_decimals() {
        for (micro, text) in [
            (0, "0"),
            (5_000_000, "5"),
            (-5_000_000, "-5"),
            (500_000, "0.5"),
            (-1_250_000, "-1.25"),
            (1_234_567, "1.234567"),
            (999_999_999_999_999, "999999999.999999"),
            (7_999_999_999_999_999, "7999999999.999999"),
            (8_000_000_000_000_000, "8000000000"),
            (9_223_372_036_854_000_000, "9223372036854"),
        ] {
            assert_eq!(written(micro), text);
        }
    }

    #[test]
    fn an_amount_is_read_from_any_form_of_its_number() {
        for (text, micro) in [
            ("0", 0),
            ("-0", 0),
            ("0.0", 0),
            ("-0.0", 0),
            ("1.5", 1_500_000),
            ("1.500000", 1_500_000),
            ("1.50000000", 1_500_000),
            ("-2.000001", -2_000_001),
            ("1e2", 100_000_000),
            ("1e-6", 1),
            ("15e-1", 1_500_000),
            ("0.1", 100_000),
            ("0.3", 300_000),
            ("8000000000", 8_000_000_000_000_000),
            ("-7999999999.999999", -7_999_999_999_999_999),
        ] {
            assert_eq!(read(text), Some(micro), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for none in [
            "0.0000001",
            "1.2345678",
            "0.1234567",
            "1e-7",
            "8000000001",
            "-8000000000.5",
            "9223372036854775807",
            "18446744073709551615",
            "1e300",
            "\"1\"",
            "null",
            "true",
            "[1]",
            "NaN",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        for none in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
        ] {
            assert_eq!(micro(none), None, "{none}");
        }
    }

    #[test]
    fn who_sends_none_is_told_what_one_is() {
        let told = |text: &str| {
            serde_json::from_str::<Credits>(text)
                .unwrap_err()
                .to_string()
        };
        for text in ["\"1\"", "0.0000001", "1e10"] {
            assert!(
                told(text).contains("expected a number of at most six decimals"),
                "{}",
                told(text)
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn no_amount_is_lost_on_its_way(
            amount in prop_oneof![
                -8_000_000_000_000_000_i64..=8_000_000_000_000_000,
                -10_000_000_i64..=10_000_000,
            ]
        ) {
            let text = written(amount);
            prop_assert_eq!(read(&text), Some(amount), "{}", text);
            // Also for whoever reads it as a double, and shows six decimals of it.
            let (sign, size) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
            let digits = format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000);
            prop_assert_eq!(format!("{:.6}", text.parse::<f64>().unwrap()), digits);
        }
    }
}
