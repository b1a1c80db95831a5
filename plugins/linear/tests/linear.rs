//! The linear family against scikit-learn, on the committed models, and by hand on tiny ones.

use artifact::testing::{Writer, model_folder, parity, read, survives_damage};
use foretell_sdk::harness;
use foretell_sdk::prelude::*;
use linear::LinearModel;

#[test]
fn churn_answers_as_scikit_learn_does() {
    let difference = parity::<LinearModel>("churn", "1");
    assert!(difference <= 1e-12, "off by {difference:e}");
}

#[test]
fn iris_answers_as_scikit_learn_does() {
    let difference = parity::<LinearModel>("iris", "1");
    assert!(difference <= 1e-12, "off by {difference:e}");
}

/// One number and one category of two, for a value: 10 + 3 x, or 100 where x is missing, + 0.1, 0.2 or 0.3.
fn by_hand() -> Vec<u8> {
    let writer = Writer::default()
        .f64(f64::from_le_bytes(*b"FTLMODEL"))
        .u32(1)
        .text("linear")
        .text("")
        .text("");
    let writer = writer.u32(2);
    let writer = writer
        .text("x")
        .text("")
        .u8(0)
        .f64(-1e9)
        .f64(1e9)
        .u8(1)
        .f64(f64::NAN);
    let writer = writer
        .text("c")
        .text("")
        .u8(3)
        .u32(2)
        .text("a")
        .text("b")
        .u8(1)
        .f64(-1.0)
        .u8(1)
        .f64(f64::NAN);
    let writer = writer.u8(0).text("");
    let writer = writer
        .f64(1e-12)
        .u32(1)
        .text("zeros")
        .f64s(&[0.0, 0.0, 10.1]);
    writer.f64s(&[10.0, 3.0, 100.0, 0.1, 0.2, 0.3]).finish()
}

#[test]
fn missing_numbers_and_unseen_categories_have_weights_of_their_own() {
    let model = harness::load::<LinearModel>(&by_hand(), Settings::default()).unwrap();
    model.check().unwrap();
    let cases = [
        ([2.0, 0.0], 16.1),
        ([-2.0, 1.0], 4.2),
        ([f64::NAN, 1.0], 110.2),
        ([0.0, -1.0], 10.3),
        ([0.0, f64::NAN], 10.3),
    ];
    for (row, expected) in cases {
        let answer = model.predict([Tensor::table(2, row)]).unwrap();
        let [found] = answer.slice::<f64>("value").unwrap() else {
            panic!("one row")
        };
        assert!((found - expected).abs() < 1e-12, "{row:?}: {found}");
    }
}

#[test]
fn damaged_weights_are_refused_or_harmless() {
    survives_damage::<LinearModel>(&by_hand(), 1);
    survives_damage::<LinearModel>(&read(model_folder("iris", "1").join("model.ftl")), 3);
}
