use foretell_sdk::prelude::*;

struct Model;

#[predictor]
impl Predictor for Model {
    fn load(_: &[u8], _: &Settings) -> Result<Self, LoadError> {
        Ok(Self)
    }

    fn describe(&self) -> Signature {
        Signature::new("")
    }

    fn predict(&self, _: &[f64]) -> Result<Outputs, PredictError> {
        Ok(Outputs::new())
    }
}

fn main() {}
