//! The mlp family: neural nets of dense layers, in doubles as scikit-learn computes them.
//!
//! [`dense`] reads the layers and multiplies; here they are put one behind the other.

use artifact::Model;
use foretell_sdk::prelude::*;

mod dense;

use dense::{Layer, ROWS};

/// A neural net.
#[derive(Debug)]
pub struct MlpModel {
    model: Model,
    layers: Vec<Layer>,
    /// Outputs of the widest layer.
    widest: usize,
}

#[predictor]
impl Predictor for MlpModel {
    fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
        let (model, layers) = artifact::open(artifact, settings, "mlp", |model, reader| {
            dense::read(reader, model.columns().len(), model.answer().scores())
        })?;
        Ok(Self {
            widest: layers.iter().map(Layer::outputs).max().unwrap_or(0),
            model,
            layers,
        })
    }

    fn describe(&self) -> Signature {
        self.model.signature()
    }

    fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
        let features = self.model.features(inputs)?;
        Ok(self.model.answer().outputs(self.scores(features)))
    }
}

impl MlpModel {
    /// The scores of all rows, row by row: what the last layer gives.
    fn scores(&self, features: &[f64]) -> Vec<f64> {
        let columns = self.model.columns().len();
        let rows = features.len() / columns;
        let mut scores = Vec::with_capacity(rows * self.model.answer().scores());
        // Two layers' outputs for a group of rows: one is read while the other is written.
        let size = self.widest * rows.min(ROWS);
        let (mut from, mut to) = (vec![0.0; size], vec![0.0; size]);
        for group in features.chunks(ROWS * columns) {
            let rows = group.len() / columns;
            let mut input = group;
            for layer in &self.layers {
                let output = &mut to[..rows * layer.outputs()];
                layer.apply(input, output);
                std::mem::swap(&mut from, &mut to);
                input = &from[..rows * layer.outputs()];
            }
            scores.extend_from_slice(input);
        }
        scores
    }
}
