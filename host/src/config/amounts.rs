//! Settings of governance: limits that may be none, prices, policies.

use foretell_predict::account::{Credits, MICRO};
use foretell_store::MicroCredits;

use super::units::Setting;

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost(pub Option<u64>);

impl AtMost {
    /// No limit.
    pub const NONE: Self = Self(None);
}

impl Setting for AtMost {
    const RULE: &'static str = "a whole number, or none";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Self::NONE),
            number => number
                .parse()
                .map(|limit| Self(Some(limit)))
                .map_err(|_| String::new()),
        }
    }

    fn show(&self) -> String {
        self.0
            .map_or_else(|| "none".to_owned(), |limit| limit.to_string())
    }
}

/// A price in credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditPrice(pub MicroCredits);

impl CreditPrice {
    /// One credit.
    pub const ONE: Self = Self(MICRO);
    /// None at all.
    pub const NOTHING: Self = Self(0);
    const MOST: MicroCredits = 1_000_000 * MICRO;
}

impl Setting for CreditPrice {
    const RULE: &'static str = "0 to 1000000, with at most six decimals";

    fn parse(text: &str) -> Result<Self, String> {
        let Credits(price) = text.trim().parse().map_err(|_| String::new())?;
        (0..=Self::MOST)
            .contains(&price)
            .then_some(Self(price))
            .ok_or_else(String::new)
    }

    fn show(&self) -> String {
        Credits(self.0).to_string()
    }
}

/// Millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usd(pub i64);

impl Usd {
    /// A cent.
    pub const CENT: Self = Self(10_000);
}

impl Setting for Usd {
    const RULE: &'static str = "0 to 1000000, with at most six decimals";

    fn parse(text: &str) -> Result<Self, String> {
        CreditPrice::parse(text).map(|amount| Self(amount.0))
    }

    fn show(&self) -> String {
        Credits(self.0).to_string()
    }
}

/// What an answer costs that was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheHits {
    /// As much as a prediction that is run.
    Full,
    /// Nothing.
    Free,
}

impl Setting for CacheHits {
    const RULE: &'static str = "full or free";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "full" => Ok(Self::Full),
            "free" => Ok(Self::Free),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Full => "full",
            Self::Free => "free",
        }
        .to_owned()
    }
}

/// What happens when as many records wait to be written as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenQueueIsFull {
    /// No prediction is run.
    Strict,
    /// Records become one.
    Fold,
}

impl Setting for WhenQueueIsFull {
    const RULE: &'static str = "strict or fold";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "strict" => Ok(Self::Strict),
            "fold" => Ok(Self::Fold),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Strict => "strict",
            Self::Fold => "fold",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_as_they_are_read() {
        for text in ["none", "0", "18446744073709551615"] {
            assert_eq!(AtMost::parse(text).unwrap().show(), text);
        }
        for text in ["", "-1", "None", "1.5"] {
            assert!(AtMost::parse(text).is_err(), "{text}");
        }
        for text in ["0", "1", "0.000001", "1000000", "0.25"] {
            assert_eq!(CreditPrice::parse(text).unwrap().show(), text);
        }
        for text in ["", "-1", "0.0000001", "1000000.000001", "1e3", ".5", "1."] {
            assert!(CreditPrice::parse(text).is_err(), "{text}");
        }
        assert_eq!(Usd::CENT.show(), "0.01");
    }
}
