use foretell_sdk::prelude::*;

struct Model;

#[predictor]
impl Model {
    fn describe(&self) -> Signature {
        Signature::new("")
    }
}

fn main() {}
