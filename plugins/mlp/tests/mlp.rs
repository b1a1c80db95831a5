//! The mlp family against scikit-learn, on the committed model, and by hand on tiny ones.

use artifact::testing::{Writer, parity, survives_damage};
use foretell_sdk::harness;
use foretell_sdk::prelude::*;
use mlp::MlpModel;

#[test]
fn digits_answers_as_scikit_learn_does() {
    let difference = parity::<MlpModel>("digits", "1");
    assert!(difference <= 1e-12, "off by {difference:e}");
}

const IDENTITY: u8 = 0;
const RELU: u8 = 1;
const TANH: u8 = 2;
const LOGISTIC: u8 = 3;

/// Two inputs; nine hidden units, more than a tile: unit i is activation(x0 + i x1 - 1); their sum.
fn by_hand(activation: u8, zeros: f64) -> Vec<u8> {
    let writer = Writer::model("mlp", 2, 1, &[zeros]).u32(2);
    let writer = writer.u32(9).u8(activation).f64s(&[1.0; 9]);
    let writer = (0..9)
        .fold(writer, |writer, unit| writer.f64(f64::from(unit)))
        .f64s(&[-1.0; 9]);
    writer.u32(1).u8(IDENTITY).f64s(&[1.0; 9]).f64(0.0).finish()
}

type Function = fn(f64) -> f64;

#[test]
fn layers_follow_each_other_with_their_activations() {
    let functions: [(u8, Function); 4] = [
        (IDENTITY, |x| x),
        (RELU, |x| x.max(0.0)),
        (TANH, f64::tanh),
        (LOGISTIC, |x| 1.0 / (1.0 + (-x).exp())),
    ];
    for (code, function) in functions {
        let artifact = by_hand(code, 9.0 * function(-1.0));
        let model = harness::load::<MlpModel>(&artifact, Settings::default()).unwrap();
        model.check().unwrap();
        // One row, a full group, and a group and a bit.
        for rows in [1, 4, 7] {
            let rows: Vec<f64> = (0..rows)
                .flat_map(|row| [f64::from(row) - 2.0, 0.25])
                .collect();
            let answer = model.predict([Tensor::table(2, rows.clone())]).unwrap();
            let expected = rows.chunks_exact(2).map(|row| {
                let units = (0..9).map(|unit| function(row[0] + f64::from(unit) * row[1] - 1.0));
                units.sum::<f64>()
            });
            for (found, expected) in answer.slice::<f64>("value").unwrap().iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-12,
                    "activation {code}: {found}, {expected}"
                );
            }
        }
    }
}

#[test]
fn layers_that_do_not_end_in_the_scores_are_refused() {
    let artifact = Writer::model("mlp", 1, 3, &[1.0, 0.0, 0.0])
        .u32(1)
        .u32(2)
        .u8(IDENTITY);
    let artifact = artifact.f64s(&[0.0; 4]).finish();
    let refused = harness::load::<MlpModel>(&artifact, Settings::default()).unwrap_err();
    let message = "the last of 1 layers gives 2 outputs; the model has 3 scores";
    assert!(refused.to_string().ends_with(message), "{refused}");
}

#[test]
fn damaged_layers_are_refused_or_harmless() {
    survives_damage::<MlpModel>(&by_hand(RELU, 0.0), 1);
}
