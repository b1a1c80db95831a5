use foretell_sdk::prelude::*;

struct Model;

#[predictor]
impl Predictor for Model {
    fn load(_: &[u8], _: &Settings) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

fn main() {}
