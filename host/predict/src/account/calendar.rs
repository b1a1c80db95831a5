//! Days and months of UTC.

use foretell_store::Day;
use foretell_store::port::UnixMs;

const MS_PER_DAY: i64 = 86_400_000;

/// The first day of the month that a day lies in, in the Gregorian calendar.
pub(crate) const fn month_start(day: Day) -> Day {
    day - day_of_month(day) + 1
}

/// The first day of the month after.
pub(crate) const fn next_month_start(day: Day) -> Day {
    // No month is shorter than 28 days, and none longer than 31.
    month_start(month_start(day) + 31)
}

/// When a day begins.
pub(crate) const fn begin_of(day: Day) -> UnixMs {
    day.saturating_mul(MS_PER_DAY)
}

/// 1 to 31. Counted from 0000-03-01, so that the day that some years have more stands at the end of a year, and in
/// eras of 400 years, which are all of one length.
const fn day_of_month(day: Day) -> i64 {
    const DAYS_BEFORE_1970: i64 = 719_468;
    const DAYS_OF_ERA: i64 = 146_097;
    let of_era = (day + DAYS_BEFORE_1970).rem_euclid(DAYS_OF_ERA);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (DAYS_OF_ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // From March on, months come in fives of 153 days: 31, 30, 31, 30, 31.
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_where_the_calendar_says() {
        // Walked day by day from 1970-01-01, by the rules of leap years alone.
        let mut first = 0;
        for year in 1970..2500 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                for day in first..first + length {
                    assert_eq!(month_start(day), first, "day {day} of {year}");
                    assert_eq!(next_month_start(day), first + length);
                }
                first += length;
            }
        }
        assert_eq!(month_start(-1), -31, "December 1969");
    }
}
