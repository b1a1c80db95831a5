//! The forest family: gradient-boosted trees, exactly as LightGBM predicts them.
//!
//! Reading aloud: [`tree`] reads an artifact's trees and refuses what is no tree, [`slots`] prepares a row so that every
//! split becomes one comparison, and [`forest`] scores rows by one of three kernels: [`perfect`] for trees of few levels,
//! which are completed so that all leaves lie equally deep, [`masks`] for other trees of few leaves, and for all the rest
//! [`walk`], through the compact array of [`layout`].

use artifact::Model;
use foretell_sdk::prelude::*;

mod forest;
mod layout;
mod masks;
mod perfect;
mod slots;
mod tree;
mod walk;

use forest::Forest;

/// A model of gradient-boosted trees.
#[derive(Debug)]
pub struct ForestModel {
    model: Model,
    forest: Forest,
}

impl ForestModel {
    /// The raw scores of rows, before sigmoid or softmax, row by row. What is left of an
    /// incomplete last row is not looked at.
    pub fn scores(&self, features: &[f64]) -> Vec<f64> {
        self.forest.scores(features)
    }
}

#[predictor]
impl Predictor for ForestModel {
    fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
        let (model, forest) = artifact::open(artifact, settings, "forest", |model, reader| {
            let trees = tree::read(reader, model.columns().len(), model.answer().scores())?;
            Forest::new(&trees, model.columns().len(), model.answer().scores())
                .map_err(|problem| reader.fault(problem))
        })?;
        Ok(Self { model, forest })
    }

    fn describe(&self) -> Signature {
        self.model.signature()
    }

    fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
        let scores = self.scores(self.model.features(inputs)?);
        Ok(self.model.answer().outputs(scores))
    }
}
