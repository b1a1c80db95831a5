use foretell_sdk::prelude::*;

struct Model;

#[predictor]
impl Clone for Model {
    fn clone(&self) -> Self {
        Self
    }
}

fn main() {}
