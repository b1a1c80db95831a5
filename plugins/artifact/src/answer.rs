//! From the scores of a model to its outputs.

use foretell_sdk::prelude::*;

use crate::reader::{Fault, Reader};

/// What a model answers, and how its scores become that.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A number: the score itself.
    Value {
        /// What the number is.
        doc: String,
    },
    /// One of two classes: the score is the log-odds of the second, `1 / (1 + exp(-score))` its probability.
    Binary {
        /// What the probability is.
        doc: String,
        /// What the label is.
        label_doc: String,
        /// The two names.
        classes: Vec<String>,
        /// A probability above it decides for the second class.
        threshold: f64,
    },
    /// One of several classes: a score each, a softmax over them.
    Classes {
        /// What the probabilities are.
        doc: String,
        /// What the label is.
        label_doc: String,
        /// Their names, two or more.
        classes: Vec<String>,
    },
}

impl Answer {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let start = reader.at();
        let task = reader.u8("task")?;
        let doc = reader.text("documentation of the answer")?;
        if task == 0 {
            return Ok(Self::Value { doc });
        }
        let label_doc = reader.text("documentation of the label")?;
        let classes = reader.texts("class names")?;
        match (task, classes.len()) {
            (1, 2) => {
                let threshold = reader.finite("threshold")?;
                if !(0.0..=1.0).contains(&threshold) {
                    return Err(reader.fault(format_args!(
                        "the threshold before this is {threshold}; it must be 0 to 1"
                    )));
                }
                Ok(Self::Binary {
                    doc,
                    label_doc,
                    classes,
                    threshold,
                })
            }
            (2, 2..) => Ok(Self::Classes {
                doc,
                label_doc,
                classes,
            }),
            (1 | 2, found) => Err(reader.fault_at(
                start,
                format_args!("{found} classes; task 1 has two, task 2 two or more"),
            )),
            _ => Err(reader.fault_at(
                start,
                format_args!(
                    "task {task} is unknown; use 0 for a value, 1 for two classes, 2 for several"
                ),
            )),
        }
    }

    /// How many scores a row has.
    pub const fn scores(&self) -> usize {
        match self {
            Self::Value { .. } | Self::Binary { .. } => 1,
            Self::Classes { classes, .. } => classes.len(),
        }
    }

    /// The scores of all rows, row by row, become the outputs of the signature. The vector is reused.
    pub fn outputs(&self, mut scores: Vec<f64>) -> Outputs {
        match self {
            Self::Value { .. } => Outputs::new().vector(scores),
            Self::Binary { .. } => {
                scores.iter_mut().for_each(sigmoid);
                let labels = self.labels(&scores);
                Outputs::new().vector(scores).vector(labels)
            }
            Self::Classes { classes, .. } => {
                scores.chunks_exact_mut(classes.len()).for_each(softmax);
                let labels = self.labels(&scores);
                Outputs::new().table(classes.len(), scores).vector(labels)
            }
        }
    }

    /// The outputs expected of one row, from its expected probabilities or value.
    pub(crate) fn expected(&self, example: Example, values: Vec<f64>) -> Example {
        let labels = self.labels(&values);
        match self {
            Self::Value { .. } => example.output(Tensor::vector(values)),
            Self::Binary { .. } => example
                .output(Tensor::vector(values))
                .output(Tensor::vector(labels)),
            Self::Classes { classes, .. } => example
                .output(Tensor::table(classes.len(), values))
                .output(Tensor::vector(labels)),
        }
    }

    fn labels(&self, probabilities: &[f64]) -> Vec<u32> {
        match self {
            Self::Value { .. } => Vec::new(),
            Self::Binary { threshold, .. } => {
                let decide = |probability| u32::from(probability > threshold);
                probabilities.iter().map(decide).collect()
            }
            Self::Classes { classes, .. } => probabilities
                .chunks_exact(classes.len())
                .map(first_largest)
                .collect(),
        }
    }

    pub(crate) fn describe(&self, signature: Signature) -> Signature {
        match self {
            Self::Value { doc } => {
                signature.output(Output::prediction("value", Datatype::Fp64, &[ANY]).doc(doc))
            }
            Self::Binary {
                doc,
                label_doc,
                classes,
                ..
            } => signature
                .output(Output::prediction("probability", Datatype::Fp64, &[ANY]).doc(doc))
                .output(label(label_doc, classes)),
            Self::Classes {
                doc,
                label_doc,
                classes,
            } => {
                let width = i32::try_from(classes.len()).unwrap_or(i32::MAX);
                signature
                    .output(
                        Output::prediction("probabilities", Datatype::Fp64, &[ANY, width])
                            .doc(doc)
                            .classes(classes.iter().cloned()),
                    )
                    .output(label(label_doc, classes))
            }
        }
    }
}

fn label(doc: &str, classes: &[String]) -> Output {
    Output::label("label", Datatype::Uint32, &[ANY], classes.iter().cloned()).doc(doc)
}

fn sigmoid(score: &mut f64) {
    *score = 1.0 / (1.0 + (-*score).exp());
}

/// As LightGBM and scikit-learn compute it: less the largest first, so that nothing overflows.
fn softmax(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

/// Index of the largest; the first of several that are equal.
fn first_largest(probabilities: &[f64]) -> u32 {
    let mut best = 0;
    for (index, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = index;
        }
    }
    u32::try_from(best).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(threshold: f64) -> Answer {
        Answer::Binary {
            doc: String::new(),
            label_doc: String::new(),
            classes: vec!["no".into(), "yes".into()],
            threshold,
        }
    }

    #[test]
    fn only_a_probability_above_the_threshold_decides_for_the_second_class() {
        let outputs = binary(0.5).outputs(vec![-1.0, 0.0, 1.0]);
        let expected = Outputs::new()
            .vector(vec![
                1.0 / (1.0 + 1_f64.exp()),
                0.5,
                1.0 / (1.0 + (-1_f64).exp()),
            ])
            .vector(vec![0_u32, 0, 1]);
        assert_eq!(outputs, expected);
        assert_eq!(binary(0.2).labels(&[0.1, 0.2, 0.3]), [0, 0, 1]);
    }

    #[test]
    fn the_first_of_equal_classes_is_the_label_and_large_scores_do_not_overflow() {
        let answer = Answer::Classes {
            doc: String::new(),
            label_doc: String::new(),
            classes: vec!["a".into(), "b".into(), "c".into()],
        };
        let outputs = answer.outputs(vec![0.0, 1e4, 1e4, -1e308, -1e308, -1e308]);
        let third = 1.0 / 3.0;
        let expected = Outputs::new()
            .table(3, vec![0.0, 0.5, 0.5, third, third, third])
            .vector(vec![1_u32, 0]);
        assert_eq!(outputs, expected);
    }

    #[test]
    fn extreme_scores_are_probabilities_of_zero_and_one() {
        let outputs = binary(0.5).outputs(vec![-1e308, 1e308]);
        assert_eq!(
            outputs,
            Outputs::new().vector(vec![0.0, 1.0]).vector(vec![0_u32, 1])
        );
    }
}
