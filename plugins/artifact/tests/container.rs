//! The part that all families share, through a family without weights.

use artifact::testing::Writer;
use artifact::{Model, open};
use foretell_sdk::harness;
use foretell_sdk::prelude::*;

/// Answers with the sum of each row, as often as there are scores.
struct Sums(Model);

impl Predictor for Sums {
    fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
        Ok(Self(open(artifact, settings, "sums", |_, _| Ok(()))?.0))
    }

    fn describe(&self) -> Signature {
        self.0.signature()
    }

    fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
        let rows = self
            .0
            .features(inputs)?
            .chunks_exact(self.0.columns().len());
        let sums = rows.flat_map(|row| vec![row.iter().sum(); self.0.answer().scores()]);
        Ok(self.0.answer().outputs(sums.collect()))
    }
}

fn refusal(artifact: &[u8]) -> String {
    harness::load::<Sums>(artifact, Settings::default())
        .expect_err("it is refused")
        .to_string()
}

/// Two columns of every domain, two classes.
fn binary(threshold: f64) -> Writer {
    Writer::default()
        .f64(f64::from_le_bytes(*b"FTLMODEL"))
        .u32(1)
        .text("sums")
        .text("Adds.")
        .text("A row.")
        .u32(4)
        .text("age")
        .text("in years")
        .u8(1)
        .f64(0.0)
        .f64(120.0)
        .u8(0)
        .text("rate")
        .text("")
        .u8(0)
        .f64(f64::NEG_INFINITY)
        .f64(5.0)
        .u8(1)
        .f64(f64::NAN)
        .text("on")
        .text("")
        .u8(2)
        .u8(1)
        .f64(0.0)
        .text("job")
        .text("")
        .u8(3)
        .u32(2)
        .text("a")
        .text("b")
        .u8(1)
        .f64(2.0)
        .u8(1)
        .f64(1.0)
        .u8(1)
        .text("p")
        .text("l")
        .u32(2)
        .text("no")
        .text("yes")
        .f64(threshold)
        .f64(1e-12)
        .u32(1)
        .text("one")
        .f64s(&[0.0, 0.0, 1.0, 0.0])
        .f64(1.0 / (1.0 + (-1_f64).exp()))
}

#[test]
fn the_artifact_says_everything_about_the_signature() {
    let model = harness::load::<Sums>(&binary(0.5).finish(), Settings::default()).unwrap();
    model.check().unwrap();
    let expected = Signature::new("Adds.")
        .input(
            Input::table(
                "features",
                Datatype::Fp64,
                [
                    Column::integer("age").between(0, 120).doc("in years"),
                    Column::real("rate")
                        .between(f64::NEG_INFINITY, 5.0)
                        .absent(-1.0),
                    Column::truth("on").absent(0.0),
                    Column::category("job", ["a", "b"]).unseen(2.0).absent(1.0),
                ],
            )
            .doc("A row."),
        )
        .output(Output::prediction("probability", Datatype::Fp64, &[ANY]).doc("p"))
        .output(Output::label("label", Datatype::Uint32, &[ANY], ["no", "yes"]).doc("l"))
        .deterministic()
        .independent_rows();
    let mut found = model.signature().clone();
    found.examples.clear();
    // NaN is not equal to itself.
    assert!(found.inputs[0].columns[1].absent.is_some_and(f64::is_nan));
    found.inputs[0].columns[1].absent = Some(-1.0);
    assert_eq!(found, expected);
}

#[test]
fn the_setting_threshold_moves_the_label_and_the_examples_with_it() {
    let settings = Settings::new([("threshold", 0.8)]);
    let model = harness::load::<Sums>(&binary(0.5).finish(), settings).unwrap();
    model.check().unwrap();
    let answer = model
        .predict([Tensor::table(4, [0.0, 0.0, 1.0, 0.0])])
        .unwrap();
    assert_eq!(answer.slice::<u32>("label").unwrap(), [0]);

    let settings = Settings::new([("threshold", 1.5)]);
    let refused = harness::load::<Sums>(&binary(0.5).finish(), settings).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "setting `threshold`: must be a number from 0 to 1, not the number 1.5"
    );
}

#[test]
fn a_model_that_decides_nothing_has_no_threshold() {
    let settings = Settings::new([("threshold", 0.5)]);
    let artifact = Writer::model("sums", 1, 1, &[0.0]).finish();
    assert!(harness::load::<Sums>(&artifact, settings).is_err());
}

#[test]
fn values_and_classes_have_their_outputs() {
    let value = harness::load::<Sums>(
        &Writer::model("sums", 2, 1, &[0.0]).finish(),
        Settings::default(),
    )
    .unwrap();
    value.check().unwrap();
    assert_eq!(value.signature().outputs.len(), 1);
    let third = 1.0 / 3.0;
    let artifact = Writer::model("sums", 2, 3, &[third; 3]).finish();
    let classes = harness::load::<Sums>(&artifact, Settings::default()).unwrap();
    classes.check().unwrap();
    assert_eq!(classes.signature().outputs[0].shape, [-1, 3]);
    assert_eq!(
        classes.signature().outputs[0].classes,
        ["class 0", "class 1", "class 2"]
    );
}

#[test]
fn refusals_say_what_is_wrong_and_where() {
    let cases: [(&str, Vec<u8>); 6] = [
        (
            "artifact: at byte 0: magic needs 8 bytes, 0 are left",
            vec![],
        ),
        (
            "artifact: at byte 0: this is no Foretell model: it does not begin with FTLMODEL",
            b"tree\nversion=v4\n".to_vec(),
        ),
        (
            "artifact: at byte 8: format version 2 is unknown; this plugin reads version 1",
            [&b"FTLMODEL"[..], &2_u32.to_le_bytes()].concat(),
        ),
        (
            "artifact: at byte 12: this is a model of family \"forest\"; this plugin runs family \"sums\"",
            Writer::model("forest", 1, 1, &[0.0]).finish(),
        ),
        (
            "artifact: at byte 218: answer: the threshold before this is 1.5; it must be 0 to 1",
            binary(1.5).finish(),
        ),
        (
            "artifact: at byte 124: 1 bytes stand after the end of the model",
            Writer::model("sums", 1, 1, &[0.0]).u8(7).finish(),
        ),
    ];
    for (expected, artifact) in cases {
        assert_eq!(refusal(&artifact), expected);
    }
}

#[test]
fn damage_is_refused_or_harmless() {
    artifact::testing::survives_damage::<Sums>(&binary(0.5).finish(), 1);
    artifact::testing::survives_damage::<Sums>(
        &Writer::model("sums", 2, 3, &[1.0 / 3.0; 3]).finish(),
        1,
    );
}
