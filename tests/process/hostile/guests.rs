//! The guest of the sieges, and what may be added to it.

use std::fmt::Write as _;

use foretell_tests::guests;

/// Works for x[1] thousand rounds.
pub(crate) const WORK: f64 = 1.0;
/// Tells how often its instance was called.
pub(crate) const COUNT: f64 = 2.0;
/// Recurses in large frames.
pub(crate) const RECURSE_WIDE: f64 = 3.0;
/// Writes one log line of a mebibyte.
pub(crate) const LOG_LONG: f64 = 4.0;
/// Writes x[1] thousand log lines.
pub(crate) const LOG_STORM: f64 = 5.0;
/// Leaves a secret wherever it can.
pub(crate) const HIDE: f64 = 6.0;
/// Looks for one wherever it can, and tells how many words it found.
pub(crate) const SEEK: f64 = 7.0;
/// Fills all the memory that it gets, again and again.
pub(crate) const FILL: f64 = 8.0;

/// Values that one of its large frames keeps across its call.
const KEPT: usize = 120;

/// The guest.
pub(crate) fn guest() -> Vec<u8> {
    with("", 2)
}

/// The guest that does this first of all, if it is sent more numbers than its example has, which are two.
pub(crate) fn first(deed: &str) -> Vec<u8> {
    let text = include_str!("guest.wat").replace(";;EXTRA", &wide());
    let deed = format!(
        "(if (i32.gt_u (i32.load offset=16 (local.get $inputs)) (i32.const 2)) (then {deed}))"
    );
    guests::guest(&text.replace(";;FIRST", &deed), 2)
}

/// The guest with more in it, and so many pages of memory to begin with.
pub(crate) fn with(extra: &str, pages: u32) -> Vec<u8> {
    let text = include_str!("guest.wat").replace(";;EXTRA", &format!("{}\n{extra}", wide()));
    guests::guest(&text, pages)
}

/// A function whose frame is large: it keeps many values across its call of itself.
fn wide() -> String {
    let mut text = String::from("(func $wide (param $depth i32) (result i64)");
    for at in 0..KEPT {
        let _ = write!(text, " (local $v{at} i64)");
    }
    for at in 0..KEPT {
        let _ = write!(
            text,
            " (local.set $v{at} (i64.load offset={} (local.get $depth)))",
            8 * at
        );
    }
    text += " (call $wide (i32.and (i32.add (local.get $depth) (i32.const 8)) (i32.const 0xfff)))";
    for at in 0..KEPT {
        let _ = write!(text, " (i64.xor (local.get $v{at}))");
    }
    text + ")"
}
