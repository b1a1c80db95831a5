use foretell_sdk::prelude::*;

struct Model<T>(T);

#[predictor]
impl<T: Default + 'static> Predictor for Model<T> {
    fn load(_: &[u8], _: &Settings) -> Result<Self, LoadError> {
        Ok(Self(T::default()))
    }

    fn describe(&self) -> Signature {
        Signature::new("")
    }

    fn predict(&self, _: &Inputs) -> Result<Outputs, PredictError> {
        Ok(Outputs::new())
    }
}

fn main() {}
