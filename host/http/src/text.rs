//! Texts: a caller's, made safe to show; times, as they stand in JSON and in queries.

/// Characters of a caller's text that a message shows.
const SHOWN_CHARS: usize = 80;
const MS_PER_DAY: i64 = 86_400_000;

/// A caller's text, safe to show in messages and logs: escaped and cut.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Undoes percent-encoding, once. A `%` that begins no escape stays, and bytes that are not UTF-8 become U+FFFD: no
/// name may contain either, so they are refused where the text is read as a name.
pub(crate) fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = escape.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Milliseconds since 1970 as RFC 3339 in UTC, with milliseconds: `2026-11-24T22:30:00.000Z`.
pub(crate) fn rfc3339(unix_ms: i64) -> String {
    let (days, ms) = (
        unix_ms.div_euclid(MS_PER_DAY),
        unix_ms.rem_euclid(MS_PER_DAY),
    );
    let (year, month, day) = civil(days);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z",
        ms % 1_000
    )
}

/// A day counted from 1970-01-01: `2026-11-24`.
pub(crate) fn date(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day of `2026-11-24`, counted from 1970-01-01; nothing for what is no day of the calendar.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let date = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let days = day_of_civil(date);
    // The 30th of February is some day, but has another date.
    (parts.next().is_none() && civil(days) == date).then_some(days)
}

/// The milliseconds since 1970 of a moment in UTC, as RFC 3339 has it (`2026-11-24T22:30:00Z`, where milliseconds may
/// follow the seconds), of the begin of a day (`2026-11-24`), or as they are (`1795559400000`).
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let Some((date, time)) = text.split_once('T') else {
        return match parse_date(text) {
            Some(day) => Some(day * MS_PER_DAY),
            None => digits(text, text.len()),
        };
    };
    let time = time.strip_suffix('Z')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (hours, minutes, seconds) = (digits(hours, 2)?, digits(minutes, 2)?, digits(seconds, 2)?);
    let is_time = parts.next().is_none() && hours < 24 && minutes < 60 && seconds < 60;
    let scale = match fraction.len() {
        1 => 100,
        2 => 10,
        3 => 1,
        _ => return None,
    };
    let ms = digits(fraction, fraction.len())? * scale;
    let day = parse_date(date)?;
    is_time.then_some(day * MS_PER_DAY + ((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms)
}

/// A number of this many digits, and of nothing else.
fn digits(text: &str, count: usize) -> Option<i64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(text)?.parse().ok()
}

/// The day of a date, counted from 1970-01-01: what [`civil`] undoes.
fn day_of_civil((year, month, day): (i64, i64, i64)) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year, in eras of 400 years, which are all alike.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0 = days + 719_468;
    let era = from_march_0.div_euclid(146_097);
    let day_of_era = from_march_0.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_text_holds_no_control_characters_and_has_an_end() {
        assert_eq!(shown("a\r\nX-Evil: 1\u{1b}"), "a\\r\\nX-Evil: 1\\u{1b}");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), 81);
    }

    #[test]
    fn percent_encoding_is_undone_once() {
        for (text, expected) in [
            ("iris", "iris"),
            ("%69ris", "iris"),
            ("%2e%2e%2f", "../"),
            ("%252e", "%2e"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("%ff", "\u{fffd}"),
            ("%00", "\0"),
        ] {
            assert_eq!(percent_decoded(text), expected);
        }
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_559_696_123, "2026-11-24T22:34:56.123Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), expected);
            assert_eq!(parse_time(expected), Some(ms));
        }
    }

    #[test]
    fn every_day_has_one_date() {
        // From before 1970 to after 2400: one whole era and more.
        for day in -1_000..160_000 {
            assert_eq!(parse_date(&date(day)), Some(day), "{day}");
        }
        assert_eq!(
            (date(0), date(20_781)),
            ("1970-01-01".into(), "2026-11-24".into())
        );
    }

    #[test]
    fn a_moment_is_read_in_three_forms_and_in_no_other() {
        for (text, ms) in [
            ("0", 0),
            ("1795559696123", 1_795_559_696_123),
            ("1970-01-02", 86_400_000),
            ("2026-11-24T22:34:56Z", 1_795_559_696_000),
            ("2026-11-24T22:34:56.1Z", 1_795_559_696_100),
            ("2026-11-24T22:34:56.12Z", 1_795_559_696_120),
            ("2000-02-29", 951_782_400_000),
        ] {
            assert_eq!(parse_time(text), Some(ms), "{text}");
        }
        for none in [
            "",
            "-1",
            "+1",
            "1.5",
            "99999999999999999999",
            "2026-1-01",
            "2026-00-10",
            "2026-13-01",
            "2026-02-30",
            "2100-02-29",
            "2026-11-31",
            "2026-11-00",
            "2026-11-24-01",
            "26-11-24",
            "2026-11-24T",
            "2026-11-24T22:34Z",
            "2026-11-24T22:34:56",
            "2026-11-24T22:34:56+00:00",
            "2026-11-24T24:00:00Z",
            "2026-11-24T22:60:00Z",
            "2026-11-24T22:34:60Z",
            "2026-11-24T22:34:56.Z",
            "2026-11-24T22:34:56.1234Z",
            "2026-11-24T22:34:56:01Z",
            "2026-11-24t22:34:56z",
            "2026-11-24 22:34:56Z",
            "\u{662}\u{660}\u{662}\u{666}-11-24",
        ] {
            assert_eq!(parse_time(none), None, "{none}");
        }
    }
}
