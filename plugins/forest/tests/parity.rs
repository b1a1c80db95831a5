//! The forest family against LightGBM: the committed models, and fixtures for the rules that they do not reach.
//! `models/train` writes both.

use std::path::Path;

use artifact::testing::{Table, largest_difference, parity, read};
use forest::ForestModel;
use foretell_sdk::harness;
use foretell_sdk::prelude::*;

#[test]
fn lead_score_answers_as_lightgbm_does() {
    let difference = parity::<ForestModel>("lead-score", "1");
    assert!(difference <= 1e-15, "off by {difference:e}");
}

/// Largest difference relative to the largest answer.
fn fixture(name: &str) -> f64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let artifact = read(folder.join(name).with_extension("ftl"));
    let model = harness::load::<ForestModel>(&artifact, Settings::default()).expect("it answers");
    model.check().expect("it answers");
    let table = Table::read(folder.join(name).with_extension("csv"));
    let width = model.signature().inputs[0].columns.len();
    let features = table.columns(0, width);
    let expected = table.columns(width, table.names.len());
    let answer = model
        .predict([Tensor::table(width, features)])
        .expect("it answers");
    let largest = expected.iter().copied().fold(1.0, f64::max);
    largest_difference(answer.slice(0).expect("it answers"), &expected) / largest
}

#[test]
fn nan_as_missing_value_goes_the_default_way_in_three_classes() {
    let difference = fixture("missing-nan");
    assert!(difference <= 1e-15, "off by {difference:e}");
}

#[test]
fn zero_as_missing_value_goes_the_default_way_and_the_sigmoid_has_its_slope() {
    let difference = fixture("missing-zero");
    assert!(difference <= 1e-15, "off by {difference:e}");
}

#[test]
fn categories_beyond_a_machine_word_negative_fractional_and_missing_go_lightgbms_way() {
    let difference = fixture("wide-categories");
    assert!(difference <= 1e-15, "off by {difference:e}");
}
