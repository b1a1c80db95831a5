//! Amounts, exact to their last decimal: read from people and from answers, added, shown.

use std::fmt;
use std::ops::AddAssign;

use foretell_predict::account::{Credits, MICRO};
use serde_json::{Number, Value};

use super::output::cell;

/// Credits that are sent at most, in either direction. Numbers of JSON are doubles for most of their readers, and these
/// tell millionths apart up to 2^33: the server takes what lies below the round number before it.
const MOST: i64 = 8_000_000_000;

/// A decimal number with this many decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Decimal<const PLACES: usize>(i128);

/// Credits, to the millionth.
pub(super) type Amount = Decimal<6>;
/// Milliseconds, to the microsecond.
pub(super) type Milliseconds = Decimal<3>;
/// Dollars, to the millionth of a cent: what a millionth of a credit costs.
pub(super) type Dollars = Decimal<8>;

impl<const PLACES: usize> Decimal<PLACES> {
    const ONE: i128 = 10_i128.pow(PLACES as u32);

    /// A number of an answer; none = it is no number, or too large to be an amount of anything.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let whole = value
            .as_i64()
            .map(i128::from)
            .or(value.as_u64().map(i128::from));
        if let Some(whole) = whole {
            return Some(Self(whole * Self::ONE));
        }
        // A product of doubles would show digits that nobody meant; the digits of the number itself are right.
        let digits = format!("{:.places$}", value.as_f64()?, places = PLACES);
        digits.replace('.', "").parse().ok().map(Self)
    }

    /// A field of an answer as a cell; what is no number is shown as everywhere.
    pub(super) fn cell(object: &Value, field: &str) -> String {
        let number = object.get(field).and_then(Self::of);
        number.map_or_else(|| cell(object, field), |number| number.to_string())
    }
}

impl<const PLACES: usize> AddAssign<Option<Self>> for Decimal<PLACES> {
    fn add_assign(&mut self, other: Option<Self>) {
        self.0 = self.0.saturating_add(other.unwrap_or_default().0);
    }
}

impl<const PLACES: usize> fmt::Display for Decimal<PLACES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (size, one) = (self.0.unsigned_abs(), Self::ONE.unsigned_abs());
        write!(f, "{sign}{}", size / one)?;
        match size % one {
            0 => Ok(()),
            part => {
                let digits = format!("{part:0width$}", width = PLACES);
                write!(f, ".{}", digits.trim_end_matches('0'))
            }
        }
    }
}

/// Reads credits as somebody types them, as the number that is sent.
///
/// # Errors
/// What an amount is, for what is none.
pub(super) fn credits(text: &str) -> Result<Number, String> {
    let read = text.parse::<Credits>().map_err(|error| error.to_string())?;
    let most = MOST * MICRO;
    if !(-most..=most).contains(&read.0) {
        return Err(format!("at most {MOST} credits are set or given at once"));
    }
    // By its digits, and not by way of a double of our own.
    serde_json::from_str(&read.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_amount_is_sent_as_it_was_typed() {
        for (typed, sent) in [
            ("0", "0"),
            ("12", "12"),
            ("12.50", "12.5"),
            ("-0.5", "-0.5"),
            ("0.1", "0.1"),
            ("0.123456", "0.123456"),
            ("7999999999.999999", "7999999999.999999"),
            ("-8000000000", "-8000000000"),
        ] {
            assert_eq!(credits(typed).unwrap().to_string(), sent, "{typed}");
        }
        for none in [
            "",
            "-",
            "1.",
            ".5",
            "1e3",
            "0.1234567",
            "1,5",
            "+1",
            "NaN",
            "ten",
            "8000000000.000001",
            "99999999999999999999",
        ] {
            assert!(credits(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_number_of_an_answer_is_shown_with_its_own_digits() {
        for (text, shown) in [
            ("0", "0"),
            ("5", "5"),
            ("0.000001", "0.000001"),
            ("1e-6", "0.000001"),
            ("-0.25", "-0.25"),
            ("-1.5", "-1.5"),
            ("57.000001", "57.000001"),
            ("7999999999.999999", "7999999999.999999"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(Amount::of(&value).unwrap().to_string(), shown, "{text}");
        }
        for none in [json!(null), json!("1"), json!(true), json!(1e300)] {
            assert_eq!(Amount::of(&none), None, "{none}");
        }
    }

    #[test]
    fn a_cell_holds_an_amount_or_what_there_is_instead() {
        let object = json!({"a": 1e-6, "b": null, "c": "text"});
        let cells = ["a", "b", "c", "d"].map(|field| Amount::cell(&object, field));
        assert_eq!(cells, ["0.000001", "-", "text", "-"]);
    }

    #[test]
    fn a_sum_has_no_digits_that_nobody_meant() {
        let mut sum = Amount::default();
        for value in [json!(0.1), json!(0.2), json!(1), json!(null)] {
            sum += Amount::of(&value);
        }
        assert_eq!(sum.to_string(), "1.3");
        let mut cost = Dollars::default();
        for _ in 0..3 {
            cost += Dollars::of(&json!(0.000_000_01));
        }
        assert_eq!(cost.to_string(), "0.00000003");
        assert_eq!(
            Milliseconds::of(&json!(1.234)).unwrap().to_string(),
            "1.234"
        );
    }
}
