//! What was used of a day and of a month.

use std::fmt;
use std::str::FromStr;

use foretell_store::{Day, MicroCredits, Quotas, Used};

use super::MICRO;
use super::calendar::month_start;

/// Counts of one tenant or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    day: Day,
    today: Part,
    month: Part,
}

/// Of one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Part {
    predictions: u64,
    compute_us: u64,
    credits: MicroCredits,
}

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    /// Of what.
    pub(super) what: &'static str,
    /// How much there is.
    pub(super) limit: u64,
    /// How much is left.
    pub(super) left: u64,
    /// What the call asks for.
    pub(super) asked: u64,
}

impl Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>, span: &str) -> fmt::Result {
        let Self {
            what,
            limit,
            left,
            asked,
        } = self;
        if *left == 0 {
            write!(f, "its {limit} {what} of this {span} (UTC) are used up")
        } else {
            write!(
                f,
                "of its {limit} {what} of this {span} (UTC) {left} are left, and this call asks for {asked}; send fewer at once"
            )
        }
    }
}

/// What there is no more of, or not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// In this day.
    Day(Short),
    /// In this month.
    Month(Short),
    /// Credits of this month.
    Budget {
        /// How many there are in a month.
        limit: MicroCredits,
        /// How many are left.
        left: MicroCredits,
        /// What the call may cost.
        needed: MicroCredits,
    },
    /// Credits that were given.
    Balance {
        /// What is there.
        left: MicroCredits,
        /// What the call may cost.
        needed: MicroCredits,
    },
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Day(short) => short.fmt(f, "day"),
            Self::Month(short) => short.fmt(f, "month"),
            Self::Budget {
                limit,
                left,
                needed,
            } => write!(
                f,
                "of its {} credits of this month (UTC) {} are left, and this call may cost {}",
                Credits(limit),
                Credits(left.max(0)),
                Credits(needed)
            ),
            Self::Balance { left, needed } => write!(
                f,
                "it has {} credits left, and this call may cost {}; an operator gives more",
                Credits(left),
                Credits(needed)
            ),
        }
    }
}

/// Credits as a decimal number, without zeros at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credits(pub MicroCredits);

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / MICRO, (self.0 % MICRO).unsigned_abs());
        if self.0 < 0 && whole == 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        if part != 0 {
            let digits = format!("{part:06}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

/// A text that is no number of credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("credits are a decimal number with at most six decimals, such as 12 or 0.25")]
pub struct NoCredits;

impl FromStr for Credits {
    type Err = NoCredits;

    fn from_str(text: &str) -> Result<Self, NoCredits> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 6 {
            return Err(NoCredits);
        }
        // Six digits behind the point are as many millionths.
        let digits = format!("{whole}{part:0<6}");
        let micro: MicroCredits = digits.parse().map_err(|_| NoCredits)?;
        Ok(Self(if is_negative { -micro } else { micro }))
    }
}

impl Tally {
    /// What the ledger says of a day, and of its month up to now.
    pub(super) fn of(day: Day, today: &Used, month: &Used) -> Self {
        let part = |used: &Used| Part {
            predictions: used.predictions,
            compute_us: used.compute_us,
            credits: used.credits,
        };
        Self {
            day,
            today: part(today),
            month: part(month),
        }
    }

    /// Begins a new day, and a new month, where one has begun, and returns the day that it is. A clock that goes back begins nothing.
    pub(super) fn turn_to(&mut self, day: Day) -> Day {
        if day <= self.day {
            return self.day;
        }
        if month_start(day) != month_start(self.day) {
            self.month = Part::default();
        }
        self.today = Part::default();
        self.day = day;
        day
    }

    /// What was spent in this month.
    pub(super) const fn credits_of_month(&self) -> MicroCredits {
        self.month.credits
    }

    /// Whether there is room for a call.
    ///
    /// # Errors
    /// What there is no more of.
    pub(super) fn room(
        &self,
        quotas: &Quotas,
        predictions: u32,
        credits: MicroCredits,
    ) -> Result<(), Full> {
        let rows = u64::from(predictions);
        let (today, month) = (&self.today, &self.month);
        // Of predictions a call takes as many as it has rows. What it takes of time is known afterwards: it begins while
        // there is any.
        let short = |what, limit: Option<u64>, used: u64, asked| {
            let limit = limit?;
            let left = limit.saturating_sub(used);
            (left < asked).then_some(Short {
                what,
                limit,
                left,
                asked,
            })
        };
        let predictions = |part: &Part, limit| short("predictions", limit, part.predictions, rows);
        let compute =
            |part: &Part, limit| short("ms of compute", limit, part.compute_us / 1_000, 1);
        let of_day = predictions(today, quotas.predictions_per_day)
            .or_else(|| compute(today, quotas.compute_ms_per_day));
        let of_month = predictions(month, quotas.predictions_per_month)
            .or_else(|| compute(month, quotas.compute_ms_per_month));
        if let Some(short) = of_month {
            return Err(Full::Month(short));
        }
        if let Some(short) = of_day {
            return Err(Full::Day(short));
        }
        match quotas.credits_per_month {
            Some(limit) if month.credits.saturating_add(credits) > limit => Err(Full::Budget {
                limit,
                left: limit - month.credits,
                needed: credits,
            }),
            _ => Ok(()),
        }
    }

    /// Takes what a call may need.
    pub(super) fn take(&mut self, predictions: u32, credits: MicroCredits) {
        for part in [&mut self.today, &mut self.month] {
            part.predictions += u64::from(predictions);
            part.credits = part.credits.saturating_add(credits);
        }
    }

    /// Gives back what was taken on a day and not used, and adds what is known only now. What lies in an earlier day or
    /// month is over.
    pub(super) fn correct(
        &mut self,
        day: Day,
        predictions: u32,
        credits: MicroCredits,
        compute_us: u64,
    ) {
        let (is_today, is_month) = (day == self.day, month_start(day) == month_start(self.day));
        for (part, is_open) in [(&mut self.today, is_today), (&mut self.month, is_month)] {
            if is_open {
                part.predictions = part.predictions.saturating_sub(u64::from(predictions));
                part.credits = part.credits.saturating_sub(credits);
                part.compute_us = part.compute_us.saturating_add(compute_us);
            }
        }
    }
}
