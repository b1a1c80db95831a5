//! What of accounts needs no corridor: bills, and the words of what is used up.

use super::*;
use proptest::prelude::*;

#[test]
fn credits_are_shown_without_zeros_at_the_end() {
    for (micro, text) in [
        (0, "0"),
        (1, "0.000001"),
        (1_000_000, "1"),
        (1_250_000, "1.25"),
        (-1, "-0.000001"),
        (-500_000, "-0.5"),
        (-1_500_000, "-1.5"),
        (i64::MAX, "9223372036854.775807"),
        (i64::MIN, "-9223372036854.775808"),
    ] {
        assert_eq!(Credits(micro).to_string(), text);
        // The least of all numbers has no opposite.
        if micro != i64::MIN {
            assert_eq!(text.parse(), Ok(Credits(micro)));
        }
    }
    for text in [
        "",
        "-",
        "+1",
        "1.",
        ".5",
        "1.0000001",
        "1e3",
        "9223372036854.775808",
        " 1",
    ] {
        assert_eq!(text.parse::<Credits>(), Err(NoCredits), "{text}");
    }
}

#[test]
fn time_is_billed_to_the_microsecond_and_never_beyond_what_a_number_holds() {
    let bill = Bill {
        predictions: 1,
        fixed: 10,
        per_ms: 1_000,
    };
    assert_eq!(bill.with(Duration::ZERO), 10);
    assert_eq!(bill.with(Duration::from_micros(1_500)), 10 + 1_500);
    let dear = Bill {
        per_ms: i64::MAX,
        ..bill
    };
    assert_eq!(dear.with(Duration::from_secs(3_600)), i64::MAX);
}

proptest! {
    /// Whatever is taken and given back, a tally says what was used; a new day or month begins at nothing, and what is given
    /// back to one that is over changes nothing.
    #[test]
    fn a_tally_is_the_sum_of_what_was_kept(
        calls in prop::collection::vec((0_i64..80, 1_u32..9, 0_i64..100, any::<bool>(), 0_i64..3), 1..60),
    ) {
        let mut tally = Tally::default();
        let (mut day, mut kept): (Day, Vec<(Day, u64, i64)>) = (20_000, Vec::new());
        tally.turn_to(day);
        for (later, rows, credits, is_kept, days_under_way) in calls {
            day += later / 40;
            tally.turn_to(day);
            tally.take(rows, credits);
            let began = day;
            day += days_under_way;
            tally.turn_to(day);
            if is_kept {
                kept.push((began, u64::from(rows), credits));
            } else {
                tally.correct(began, rows, credits, 0);
            }
            let sum = |from: Day| {
                let of = kept.iter().filter(|(at, _, _)| *at >= from);
                of.fold((0, 0), |(rows, credits), (_, r, c)| (rows + r, credits + c))
            };
            let room = |day: u64, month: u64, budget: i64| {
                let quotas = Quotas {
                    predictions_per_day: Some(day),
                    predictions_per_month: Some(month),
                    credits_per_month: Some(budget),
                    ..Quotas::default()
                };
                tally.room(&quotas, 1, 1).is_ok()
            };
            let ((today, _), (month, spent)) = (sum(day), sum(month_start(day)));
            prop_assert!(room(today + 1, month + 1, spent + 1));
            prop_assert!(!room(today, month + 1, spent + 1));
            prop_assert!(!room(today + 1, month, spent + 1));
            prop_assert!(!room(today + 1, month + 1, spent));
        }
    }
}
