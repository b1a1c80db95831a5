use foretell_sdk::prelude::*;

struct Model;

#[predictor(threads = 4)]
impl Predictor for Model {
    fn load(_: &[u8], _: &Settings) -> Result<Self, LoadError> {
        Ok(Self)
    }

    fn describe(&self) -> Signature {
        Signature::new("")
    }

    fn predict(&self, _: &Inputs) -> Result<Outputs, PredictError> {
        Ok(Outputs::new())
    }
}

fn main() {}
