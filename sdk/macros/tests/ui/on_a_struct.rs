use foretell_sdk::prelude::*;

#[predictor]
struct Model;

fn main() {}
