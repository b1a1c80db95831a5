//! Runs a model natively, without a sandbox: for unit tests that take milliseconds.
//!
//! The model runs behind the same shim as in the sandbox, and inputs, outputs and signature are held to the host's
//! rules. What differs is the machine: memory has no limit, time has no deadline, a panic fails the test. Before you
//! push a model, run `foretell plugin test`, which takes the real sandbox.
//!
//! ```
//! use foretell_sdk::harness;
//! use foretell_sdk::prelude::*;
//! # struct Sum;
//! # #[predictor]
//! # impl Predictor for Sum {
//! #     fn load(_: &[u8], _: &Settings) -> Result<Self, LoadError> { Ok(Self) }
//! #     fn describe(&self) -> Signature {
//! #         let numbers = Tensor::table(2, [1.0, 2.0]);
//! #         Signature::new("Adds.")
//! #             .input(Input::tensor("pairs", Datatype::Fp64, &[ANY, 2]))
//! #             .output(Output::prediction("sum", Datatype::Fp64, &[ANY]))
//! #             .example(Example::new("one and two").input(numbers).output(Tensor::vector([3.0])))
//! #     }
//! #     fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
//! #         let sums: Vec<f64> = inputs.rows::<f64>("pairs")?.map(|row| row.iter().sum()).collect();
//! #         Ok(Outputs::new().vector(sums))
//! #     }
//! # }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = harness::load::<Sum>(&[], Settings::default())?;
//! model.check()?; // the signature is sound, and every example gives its answer
//!
//! let answer = model.predict([Tensor::table(2, [1.0, 2.0, 3.0, 4.0])])?;
//! assert_eq!(answer.slice::<f64>("sum")?, [3.0, 7.0]);
//! # Ok(()) }
//! ```

use std::error::Error;
use std::fmt;

use crate::shim::Loaded;
use crate::{
    ByteStrings, Element, Key, LoadError, PredictError, Predictor, Settings, Signature, Tensor,
};

mod call;
mod rules;

/// Loads a model as an upload does: artifact and settings in, unknown settings refused.
///
/// # Errors
/// The model's own, or that a setting was given which it does not ask for.
pub fn load<M: Predictor>(artifact: &[u8], settings: Settings) -> Result<Model<M>, LoadError> {
    let loaded = Loaded::load(artifact.to_vec(), &settings)?;
    let signature = loaded.describe();
    Ok(Model { loaded, signature })
}

/// A loaded model under test.
pub struct Model<M> {
    loaded: Loaded<M>,
    signature: Signature,
}

// By hand, so that `unwrap_err` works in tests of models that are not `Debug`.
impl<M> fmt::Debug for Model<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").finish_non_exhaustive()
    }
}

impl<M: Predictor> Model<M> {
    /// The author's own type.
    pub const fn inner(&self) -> &M {
        self.loaded.model()
    }

    /// What the model says of itself.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Holds the signature to the host's rules, then runs its examples.
    ///
    /// # Errors
    /// Every fault found; the examples are run only if there is none.
    pub fn check(&self) -> Result<(), Faults> {
        let mut faults = rules::signature(&self.signature);
        // As texts, in which NaN (the element for a missing value, say) equals itself.
        if format!("{:?}", self.signature) != format!("{:?}", self.loaded.describe()) {
            faults.push("signature: describe gives another one when it is called again".to_owned());
        }
        if faults.is_empty() {
            for example in &self.signature.examples {
                let answer = self.run(example.inputs.clone());
                let compared = answer
                    .map_err(|error| error.to_string())
                    .and_then(|outputs| call::compare(&self.signature, example, &outputs));
                if let Err(message) = compared {
                    faults.push(format!("example `{}`: {message}", example.name));
                }
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Faults(faults))
        }
    }

    /// Computes one answer.
    ///
    /// # Errors
    /// The model's own; [`PredictError::BadInput`] where the host would refuse the inputs before the model sees them;
    /// [`PredictError::Failed`] where it would refuse the outputs.
    pub fn predict(
        &self,
        inputs: impl IntoIterator<Item = Tensor>,
    ) -> Result<Answer, PredictError> {
        let outputs = self.run(inputs.into_iter().collect())?;
        let declared = self.signature.outputs.iter();
        let names = declared.map(|output| output.name.clone()).collect();
        Ok(Answer { outputs, names })
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, PredictError> {
        let rows = call::inputs(&self.signature, &inputs).map_err(|message| {
            PredictError::bad_input(format!("refused before the model sees it: {message}"))
        })?;
        let outputs = self.loaded.predict_in_test(inputs)?.tensors;
        call::outputs(&self.signature, &outputs, rows).map_err(PredictError::Failed)?;
        Ok(outputs)
    }
}

/// What is wrong with a model's signature or its examples: one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl Faults {
    /// One line each.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Error for Faults {}

/// The outputs of a native prediction, by name or place.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    outputs: Vec<Tensor>,
    names: Vec<String>,
}

impl Answer {
    /// One output as a tensor.
    ///
    /// # Errors
    /// [`PredictError::Failed`] if there is no such output.
    pub fn tensor(&self, key: impl Key) -> Result<&Tensor, PredictError> {
        let index = key.find(&self.names)?;
        self.outputs.get(index).ok_or_else(|| {
            PredictError::failed(format!(
                "there are {} outputs, no {index}",
                self.names.len()
            ))
        })
    }

    /// All elements of an output in row-major order.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and if its elements are of another type than `T`.
    pub fn slice<T: Element>(&self, key: impl Key) -> Result<&[T], PredictError> {
        let tensor = self.tensor(key)?;
        tensor.slice().ok_or_else(|| {
            PredictError::failed(format!(
                "the output is {}, not {}",
                tensor.datatype(),
                T::NAME
            ))
        })
    }

    /// The byte strings of a `BYTES` output.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and if it is of another datatype.
    pub fn byte_strings(&self, key: impl Key) -> Result<ByteStrings<'_>, PredictError> {
        let tensor = self.tensor(key)?;
        tensor.byte_strings().ok_or_else(|| {
            PredictError::failed(format!("the output is {}, not BYTES", tensor.datatype()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    /// Divides by its setting; answers with as many rows as `rows` says, or as the input has.
    struct Divider {
        by: f64,
        rows: Option<i64>,
    }

    impl Predictor for Divider {
        fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
            if artifact == b"bad" {
                return Err(LoadError::bad_artifact("is bad"));
            }
            Ok(Self {
                by: settings.real("by").or(2.0)?,
                rows: settings.integer("rows").optional()?,
            })
        }

        fn describe(&self) -> Signature {
            Signature::new("Divides.")
                .input(Input::table(
                    "features",
                    Datatype::Fp64,
                    [Column::real("x").between(0, 10)],
                ))
                .output(Output::prediction("y", Datatype::Fp64, &[ANY]))
                .example(
                    Example::new("three")
                        .input(Tensor::table(1, [3.0]))
                        .output(Tensor::vector([1.5]))
                        .tolerance(0.1),
                )
        }

        fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
            let mut y: Vec<f64> = inputs
                .slice::<f64>(0)?
                .iter()
                .map(|x| x / self.by)
                .collect();
            if let Some(rows) = self.rows {
                y.resize(rows as usize, 0.0);
            }
            Ok(Outputs::new().vector(y))
        }
    }

    #[test]
    fn a_sound_model_passes_and_answers() {
        let model = load::<Divider>(&[], Settings::default()).unwrap();
        assert_eq!(model.check(), Ok(()));
        let answer = model.predict([Tensor::table(1, [1.0, 2.0])]).unwrap();
        assert_eq!(answer.slice::<f64>("y"), Ok(&[0.5, 1.0][..]));
        assert!(answer.slice::<f32>("y").is_err());
        assert!(answer.slice::<f64>("z").is_err());
        assert_eq!(model.inner().by, 2.0);
    }

    #[test]
    fn an_example_with_another_answer_fails_the_check() {
        let model = load::<Divider>(&[], Settings::new([("by", 3)])).unwrap();
        assert_eq!(
            model.check().unwrap_err().to_string(),
            "example `three`: output `y`, element 0: expected 1.5, found 1 (tolerance 0.1)"
        );
    }

    #[test]
    fn inputs_that_the_host_refuses_never_reach_the_model() {
        let model = load::<Divider>(&[], Settings::default()).unwrap();
        let refused = |inputs: Vec<Tensor>| match model.predict(inputs) {
            Err(PredictError::BadInput(fault)) => fault.message,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refused(vec![Tensor::table(1, [11.0])]),
            "refused before the model sees it: feature `x` in row 0: 11 is not accepted"
        );
        refused(vec![Tensor::table(1, [f64::NAN])]);
        refused(vec![Tensor::table(1, [1.0_f32])]);
        refused(vec![Tensor::vector([1.0])]);
        refused(vec![Tensor::new(&[3, 1], [1.0])]);
        refused(vec![]);
    }

    #[test]
    fn outputs_that_the_host_refuses_fail_the_prediction() {
        let model = load::<Divider>(&[], Settings::new([("rows", 3)])).unwrap();
        assert_eq!(
            model.predict([Tensor::table(1, [1.0])]),
            Err(PredictError::failed(
                "output `y` has 3 rows, the inputs have 1"
            ))
        );
    }

    #[test]
    fn load_errors_come_through() {
        let error = load::<Divider>(b"bad", Settings::default()).unwrap_err();
        assert_eq!(error, LoadError::bad_artifact("is bad"));
        let error = load::<Divider>(&[], Settings::new([("bye", 1)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "setting `bye`: this plugin has no such setting; it has `by`, `rows`"
        );
    }
}
