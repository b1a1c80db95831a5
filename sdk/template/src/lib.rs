//! The body mass of a penguin, from its species and the length of its flippers.
//!
//! The model is linear, and its weights are the artifact: a text file with a name and a number on each line. Training
//! it anew means another `weights.txt` and no other code.

use foretell_sdk::prelude::*;

/// In the order of their codes.
const SPECIES: [&str; 3] = ["Adelie", "Chinstrap", "Gentoo"];

/// A straight line for each species, all of the same slope.
pub struct BodyMass {
    /// Grams at a flipper length of 0, by the species' code.
    offsets: [f64; 3],
    /// Grams for each millimetre of flipper.
    slope: f64,
    /// What a gram is in the unit of the answer.
    scale: f64,
}

#[predictor]
impl Predictor for BodyMass {
    // Runs once, at upload: check everything here, so that no prediction has to.
    fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
        // Settings are chosen by whoever uploads the model: [settings] in model.toml.
        let unit = settings.text("unit").one_of(&["g", "kg"]).or("g")?;
        let weights = str::from_utf8(artifact)
            .map_err(|error| LoadError::bad_artifact(format!("is no text: {error}")))?;
        let intercept = weight(weights, "intercept")?;
        Ok(Self {
            offsets: [
                intercept,
                intercept + weight(weights, "chinstrap")?,
                intercept + weight(weights, "gentoo")?,
            ],
            slope: weight(weights, "flipper_length_mm")?,
            scale: if unit == "kg" { 0.001 } else { 1.0 },
        })
    }

    // What callers read, what the host checks before it calls `predict`, and the example that every upload must pass.
    fn describe(&self) -> Signature {
        Signature::new("Body mass of a penguin, by linear regression on 342 birds.")
            .input(Input::table(
                "features",
                Datatype::Fp64,
                [
                    Column::category("species", SPECIES),
                    Column::real("flipper_length_mm")
                        .between(100, 300)
                        .doc("length of the flipper in millimetres"),
                ],
            ))
            .output(
                Output::prediction("body_mass", Datatype::Fp64, &[ANY])
                    .doc("in grams, or in kilograms where the setting `unit` says so"),
            )
            .example(
                // The answer is that of the regression itself; the tolerance is what rounding its weights costs.
                Example::new("a gentoo with flippers of 215 mm")
                    .input(Tensor::table(2, [2.0, 215.0]))
                    .output(Tensor::vector([4986.99 * self.scale]))
                    .tolerance(0.01 * self.scale),
            )
            .deterministic()
            .independent_rows()
    }

    // Runs for every call, with one row or many. A category arrives as its index in the vocabulary.
    fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
        let mut masses = Vec::with_capacity(inputs.row_count());
        for [species, flipper] in inputs.arrays::<f64, 2>("features")? {
            let offset = self
                .offsets
                .get(*species as usize)
                .ok_or_else(|| PredictError::failed("a species without weights"))?;
            masses.push((offset + self.slope * flipper) * self.scale);
        }
        Ok(Outputs::new().vector(masses))
    }
}

/// The number on the line that begins with `name`.
fn weight(weights: &str, name: &str) -> Result<f64, LoadError> {
    let mut lines = weights.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = lines
        .find(|(found, _)| *found == name)
        .ok_or_else(|| LoadError::bad_artifact(format!("has no line `{name} NUMBER`")))?;
    number
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| LoadError::bad_artifact(format!("`{name}`: {number:?} is no number")))
}

// Native tests: no sandbox, no server, milliseconds. `foretell plugin test` runs the same model in the real sandbox.
#[cfg(test)]
mod tests {
    use foretell_sdk::harness;

    use super::*;

    const WEIGHTS: &[u8] = include_bytes!("../weights.txt");

    #[test]
    fn the_signature_is_sound_and_its_example_comes_true() {
        let model = harness::load::<BodyMass>(WEIGHTS, Settings::default()).unwrap();
        model.check().unwrap();
    }

    #[test]
    fn a_batch_has_an_answer_for_each_row() {
        let model = harness::load::<BodyMass>(WEIGHTS, Settings::new([("unit", "kg")])).unwrap();
        let birds = Tensor::table(2, [0.0, 193.0, 1.0, 200.0]);
        let answer = model.predict([birds]).unwrap();
        let masses = answer.slice::<f64>("body_mass").unwrap();
        assert!((masses[0] - 3.825).abs() < 0.001, "{masses:?}");
        assert!((masses[1] - 3.903).abs() < 0.001, "{masses:?}");
    }

    #[test]
    fn an_artifact_that_lacks_a_weight_is_refused_by_name() {
        let error = harness::load::<BodyMass>(b"intercept 1\n", Settings::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "artifact: has no line `chinstrap NUMBER`"
        );
    }

    #[test]
    fn an_unknown_unit_is_refused() {
        let settings = Settings::new([("unit", "lb")]);
        assert!(harness::load::<BodyMass>(WEIGHTS, settings).is_err());
    }
}
