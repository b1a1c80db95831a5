//! Decimal digits to numbers: the common ones at once, all others left to the standard library.
//!
//! Most numbers in a request have few digits and no exponent. Such digits, as a whole number of at most 2^53, are a double
//! without error, and so is a power of ten up to 10^22; one division of the two rounds once, as IEEE 754 has it, and gives
//! the nearest double (Clinger, How to read floating point numbers accurately, 1990). What is beyond that is `None` here,
//! never wrong.

/// Digits that always fit 64 bits.
const MAX_DIGITS: usize = 19;

/// The powers of ten that are doubles without error.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A number of JSON's syntax at the begin of a text, without exponent and with at most 19 digits.
struct Decimal {
    negative: bool,
    /// All its digits as one whole number.
    digits: u64,
    /// How many of them stand after the point.
    after_point: usize,
    /// Bytes of the number.
    len: usize,
}

/// The double at the begin of `text`, and its length in bytes.
#[inline]
pub(super) fn double(text: &[u8]) -> Option<(f64, usize)> {
    let decimal = decimal(text)?;
    let power = POWERS.get(decimal.after_point)?;
    if decimal.digits > 1 << f64::MANTISSA_DIGITS {
        return None;
    }
    let value = decimal.digits as f64 / power;
    let value = if decimal.negative { -value } else { value };
    Some((value, decimal.len))
}

/// The single at the begin of `text`, and its length in bytes.
///
/// The nearest double is rounded once more, which is right unless it lies exactly between two singles: then the digits
/// that it lost would decide.
#[inline]
pub(super) fn single(text: &[u8]) -> Option<(f32, usize)> {
    /// The bits of a double that a single lacks, and what they are halfway.
    const LOST: u64 = (1 << 29) - 1;
    const HALFWAY: u64 = 1 << 28;
    let (value, len) = double(text)?;
    let size = value.abs();
    let is_normal = size >= f64::from(f32::MIN_POSITIVE) && size <= f64::from(f32::MAX);
    let is_certain = size == 0.0 || is_normal && value.to_bits() & LOST != HALFWAY;
    is_certain.then_some((value as f32, len))
}

/// The whole number at the begin of `text`, and its length in bytes.
#[inline]
pub(super) fn whole<T: TryFrom<i64>>(text: &[u8]) -> Option<(T, usize)> {
    let decimal = decimal(text)?;
    // `1.` and what follows is for those who can say what is wrong with it.
    if decimal.after_point > 0 {
        return None;
    }
    let value = i64::try_from(decimal.digits).ok()?;
    let value = if decimal.negative { -value } else { value };
    Some((T::try_from(value).ok()?, decimal.len))
}

#[inline]
fn decimal(text: &[u8]) -> Option<Decimal> {
    let negative = text.first() == Some(&b'-');
    let begin = usize::from(negative);
    let (digits, point) = digits(text, begin, 0);
    let before = point - begin;
    if before == 0 || before > 1 && text.get(begin) == Some(&b'0') {
        return None;
    }
    let (digits, after_point, len) = if text.get(point) == Some(&b'.') {
        let (all, end) = self::digits(text, point + 1, digits);
        let after = end - point - 1;
        if after == 0 {
            return None;
        }
        (all, after, end)
    } else {
        (digits, 0, point)
    };
    let has_exponent = matches!(text.get(len), Some(b'e' | b'E'));
    (before + after_point <= MAX_DIGITS && !has_exponent).then_some(Decimal {
        negative,
        digits,
        after_point,
        len,
    })
}

/// Appends the digits from `at` on to `value`, and says where they end. Past 19 digits the value is worth nothing.
#[inline]
fn digits(text: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(eight) = text.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()) {
        let eight = u64::from_le_bytes(eight);
        if !are_digits(eight) {
            break;
        }
        value = value
            .wrapping_mul(100_000_000)
            .wrapping_add(eight_digits(eight));
        at += 8;
    }
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')) {
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// Whether all eight bytes are `0` to `9`: their upper halves are 3, and stay so when 6 is added to the lower ones.
#[inline]
const fn are_digits(eight: u64) -> bool {
    const UPPER: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    eight & UPPER == ZEROS && eight.wrapping_add(0x0606_0606_0606_0606) & UPPER == ZEROS
}

/// The value of eight digits, of which the first is the lowest byte: neighbours are joined to pairs, pairs to fours, fours
/// to one number, each step by one multiplication.
#[inline]
const fn eight_digits(eight: u64) -> u64 {
    let values = eight & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (values.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_common_numbers_are_read_at_once() {
        for (text, value, len) in [
            ("0", 0.0, 1),
            ("7,", 7.0, 1),
            ("-12.5]", -12.5, 5),
            ("0.1", 0.1, 3),
            ("123456789.25 ", 123_456_789.25, 12),
            ("9007199254740992", 9_007_199_254_740_992.0, 16),
            ("0.000000000000000001", 1e-18, 20),
        ] {
            assert_eq!(double(text.as_bytes()), Some((value, len)), "{text}");
        }
        assert_eq!(single(b"0.1"), Some((0.1, 3)));
        assert_eq!(whole::<i8>(b"-128]"), Some((-128, 4)));
        assert!(double(b"-0").is_some_and(|(zero, _)| zero.is_sign_negative()));
    }

    #[test]
    fn what_is_uncertain_or_no_number_is_left_to_others() {
        for text in [
            "",
            "-",
            "+1",
            ".5",
            "1.",
            "1.x",
            "01",
            "-01",
            "00.1",
            "1e5",
            "1.5E-3",
            "9007199254740993",
            "12345678901234567890",
            "0.00000000000000000001",
            "null",
            "\u{660}",
        ] {
            assert_eq!(double(text.as_bytes()), None, "{text}");
        }
        // Halfway between two singles, beyond them, and below the normal ones.
        for text in [
            "1.000000059604644775390625",
            "16777217",
            "1000000000000000000000000000000000000000",
            "0.0000001e1",
        ] {
            assert_eq!(single(text.as_bytes()), None, "{text}");
        }
        for text in ["128", "-129", "1.5", "1.0", "1e0"] {
            assert_eq!(whole::<i8>(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn whatever_is_read_is_what_the_standard_library_reads(
            text in "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,20})?[,\\] ]?"
        ) {
            let number = text.trim_end_matches([',', ']', ' ']);
            if let Some((value, len)) = double(text.as_bytes()) {
                prop_assert_eq!(len, number.len());
                prop_assert_eq!(value.to_bits(), number.parse::<f64>().unwrap().to_bits());
            }
            if let Some((value, len)) = single(text.as_bytes()) {
                prop_assert_eq!(len, number.len());
                prop_assert_eq!(value.to_bits(), number.parse::<f32>().unwrap().to_bits());
            }
            if let Some((value, len)) = whole::<i64>(text.as_bytes()) {
                prop_assert_eq!(len, number.len());
                prop_assert_eq!(value, number.parse::<i64>().unwrap());
            }
        }

        #[test]
        fn eight_digits_are_read_together(number in 0_u64..100_000_000, bytes: [u8; 8]) {
            let text = format!("{number:08}");
            let eight = u64::from_le_bytes(text.as_bytes().try_into().unwrap());
            prop_assert!(are_digits(eight));
            prop_assert_eq!(eight_digits(eight), number);
            let all = bytes.iter().all(u8::is_ascii_digit);
            prop_assert_eq!(are_digits(u64::from_le_bytes(bytes)), all);
        }
    }
}
