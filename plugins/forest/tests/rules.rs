//! Each rule of LightGBM on a tree of one split, and what is no tree.

use artifact::testing::{Writer, survives_damage};
use forest::ForestModel;
use foretell_sdk::harness;
use foretell_sdk::prelude::*;

const LEFT: f64 = 1.0;
const RIGHT: f64 = 2.0;

/// Bits of LightGBM's decision byte.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING_ZERO: u8 = 1 << 2;
const MISSING_NAN: u8 = 2 << 2;

/// One tree of one split over one column.
fn number(decision: u8, threshold: f64) -> Vec<u8> {
    let tree = |writer: Writer| {
        writer
            .f64(1.0)
            .u32(1)
            .u32(2)
            .u32(0)
            .u8(decision)
            .f64(threshold)
    };
    let zero = if decision >> 2 == 1 {
        if decision & DEFAULT_LEFT != 0 {
            LEFT
        } else {
            RIGHT
        }
    } else if 0.0 <= threshold {
        LEFT
    } else {
        RIGHT
    };
    tree(Writer::model("forest", 1, 1, &[zero]))
        .i32(!0)
        .i32(!1)
        .f64s(&[LEFT, RIGHT])
        .finish()
}

fn category(set: &[u32]) -> Vec<u8> {
    let zero = if set.first().is_some_and(|word| word & 1 == 1) {
        LEFT
    } else {
        RIGHT
    };
    let writer = Writer::model("forest", 1, 1, &[zero])
        .f64(1.0)
        .u32(1)
        .u32(2)
        .u32(0);
    let writer = writer
        .u8(CATEGORICAL)
        .u32(set.len().try_into().expect("a short set"));
    let writer = set.iter().fold(writer, |writer, word| writer.u32(*word));
    writer.i32(!0).i32(!1).f64s(&[LEFT, RIGHT]).finish()
}

fn check(artifact: &[u8], cases: &[(f64, f64)]) {
    let model = harness::load::<ForestModel>(artifact, Settings::default()).expect("it answers");
    model.check().expect("it answers");
    for (value, expected) in cases {
        // Alone and among others.
        for rows in [1, 8] {
            let answer = model
                .predict([Tensor::table(1, vec![*value; rows])])
                .expect("it answers");
            assert_eq!(
                answer.slice::<f64>("value").expect("it answers"),
                vec![*expected; rows],
                "{value}"
            );
        }
    }
}

#[test]
fn a_value_up_to_the_threshold_goes_left() {
    let above = 3.5_f64.next_up();
    let cases = [
        (3.5, LEFT),
        (above, RIGHT),
        (f64::NEG_INFINITY, LEFT),
        (f64::INFINITY, RIGHT),
    ];
    check(&number(0, 3.5), &cases);
    check(&number(DEFAULT_LEFT | MISSING_NAN, 3.5), &cases);
    check(&number(MISSING_ZERO, 3.5), &cases);
}

#[test]
fn without_missing_values_nan_counts_as_zero_whatever_the_default() {
    check(&number(0, 1.0), &[(f64::NAN, LEFT)]);
    check(&number(0, -1.0), &[(f64::NAN, RIGHT)]);
    check(
        &number(DEFAULT_LEFT, -1.0),
        &[(f64::NAN, RIGHT), (0.0, RIGHT)],
    );
}

#[test]
fn nan_as_missing_value_goes_the_default_way_and_zero_does_not() {
    check(&number(MISSING_NAN, 1.0), &[(f64::NAN, RIGHT), (0.0, LEFT)]);
    check(
        &number(MISSING_NAN | DEFAULT_LEFT, -1.0),
        &[(f64::NAN, LEFT), (0.0, RIGHT), (-0.0, RIGHT)],
    );
}

#[test]
fn zero_as_missing_value_goes_the_default_way_and_so_do_nan_and_what_is_nearly_zero() {
    let nearly = f64::from(1e-35_f32);
    let missing = [0.0, -0.0, nearly, -nearly, 1e-300, f64::NAN];
    check(
        &number(MISSING_ZERO, 1.0),
        &missing.map(|value| (value, RIGHT)),
    );
    check(
        &number(MISSING_ZERO | DEFAULT_LEFT, -1.0),
        &missing.map(|value| (value, LEFT)),
    );
    check(
        &number(MISSING_ZERO, 1.0),
        &[(nearly.next_up(), LEFT), (-nearly.next_up(), LEFT)],
    );
}

#[test]
fn a_value_that_is_nearly_zero_counts_as_zero() {
    check(&number(0, -1e-36), &[(-1e-36, RIGHT), (-1e-34, LEFT)]);
    check(&number(0, 0.0), &[(1e-36, LEFT), (1e-34, RIGHT)]);
}

#[test]
fn a_category_of_the_set_goes_left_and_everything_else_right() {
    let right = [
        f64::NAN,
        -1.0,
        -7.0,
        3.0,
        63.0,
        64.0,
        1e10,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    check(&category(&[0b101]), &right.map(|value| (value, RIGHT)));
    check(
        &category(&[0b101]),
        &[
            (0.0, LEFT),
            (2.0, LEFT),
            (1.0, RIGHT),
            (2.9, LEFT),
            (-0.5, LEFT),
        ],
    );
    check(&category(&[]), &[(0.0, RIGHT)]);
}

#[test]
fn a_set_may_be_wider_than_a_machine_word() {
    // Categories 63, 64 and 95.
    let set = category(&[0, 1 << 31, 1 << 31 | 1]);
    check(&set, &[(63.0, LEFT), (64.0, LEFT), (95.0, LEFT)]);
    let right = [
        0.0,
        62.0,
        65.0,
        96.0,
        127.0,
        1e300,
        -1.0,
        f64::NAN,
        f64::INFINITY,
    ];
    check(&set, &right.map(|value| (value, RIGHT)));
}

#[test]
fn a_tree_of_one_leaf_is_a_constant() {
    let artifact = Writer::model("forest", 1, 1, &[7.5])
        .f64(3.0)
        .u32(2)
        .u32(1)
        .f64(2.0)
        .u32(1)
        .f64(0.5);
    check(&artifact.finish(), &[(f64::NAN, 7.5), (1.0, 7.5)]);
}

/// Two trees of two splits each, over two columns, for two classes.
fn small() -> Vec<u8> {
    let mut writer = Writer::model("forest", 2, 2, &[0.5, 0.5]).f64(1.0).u32(2);
    for _ in 0..2 {
        writer = writer.u32(3);
        writer = writer.u32(0).u8(MISSING_NAN).f64(0.5).i32(1).i32(!2);
        writer = writer
            .u32(1)
            .u8(CATEGORICAL)
            .u32(1)
            .u32(0b11)
            .i32(!0)
            .i32(!1);
        writer = writer.f64s(&[0.1, 0.2, 0.3]);
    }
    writer.finish()
}

#[test]
fn damaged_trees_are_refused_or_harmless() {
    survives_damage::<ForestModel>(&small(), 1);
}

#[test]
fn what_is_no_tree_is_refused_with_its_place() {
    let body = Writer::model("forest", 1, 1, &[0.0]).finish().len();
    let one = |feature: u32, decision: u8, left: i32, right: i32| {
        let writer = Writer::model("forest", 1, 1, &[0.0]).f64(1.0).u32(1).u32(2);
        let writer = writer
            .u32(feature)
            .u8(decision)
            .f64(0.0)
            .i32(left)
            .i32(right);
        writer.f64s(&[0.0, 0.0]).finish()
    };
    let cases = [
        (
            one(1, 0, !0, !1),
            16,
            "tree 0: split 0: feature 1 does not exist; the model has 1 columns",
        ),
        (
            one(0, 12, !0, !1),
            20,
            "tree 0: split 0: decision 12 is unknown; bits 2 and 3 hold 0, 1 or 2, those above are 0",
        ),
        (
            one(0, 0, 0, !1),
            29,
            "tree 0: split 0: child 0 does not stand after its parent 0",
        ),
        (
            one(0, 0, 1, !1),
            29,
            "tree 0: split 0: child 1 does not exist",
        ),
        (
            one(0, 0, !0, !2),
            33,
            "tree 0: split 0: child -3 does not exist",
        ),
        (
            one(0, 0, !0, !0),
            33,
            "tree 0: split 0: child -1 has two parents",
        ),
    ];
    for (artifact, at, message) in cases {
        let refused = harness::load::<ForestModel>(&artifact, Settings::default()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("artifact: at byte {}: {message}", body + at)
        );
    }
    let none = Writer::model("forest", 1, 1, &[0.0])
        .f64(1.0)
        .u32(0)
        .finish();
    assert!(harness::load::<ForestModel>(&none, Settings::default()).is_err());
}
