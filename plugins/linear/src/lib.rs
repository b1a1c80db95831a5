//! The linear family: logistic regression for two classes or several, linear regression for a number.
//!
//! A score is an intercept and one term for each column: a number times its weight, or the weight of its category. Scaling,
//! imputation and one-hot coding of the training library are folded into these weights by whoever writes the artifact.

use artifact::{Fault, Model, Reader};
use foretell_sdk::prelude::*;

/// A linear model.
#[derive(Debug)]
pub struct LinearModel {
    model: Model,
    body: Body,
}

/// The weights.
#[derive(Debug, Clone)]
struct Body {
    /// One for each score.
    intercepts: Vec<f64>,
    terms: Vec<Term>,
    /// Rows of one weight for each score; each term has its own, one after the other.
    weights: Vec<f64>,
}

/// How a column enters the scores. Its rows of weights: as many as `kind` says, and one more for what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    kind: Kind,
    /// Where its weights begin.
    first: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One row, times the number.
    Number,
    /// A row for each category.
    Category { count: usize },
}

impl Kind {
    const fn of(column: &Column) -> Self {
        match &column.domain {
            Domain::Category(vocabulary) => Self::Category {
                count: vocabulary.values.len(),
            },
            _ => Self::Number,
        }
    }

    /// The row of weights for a value, and what they are multiplied by.
    fn row(self, value: f64) -> (usize, f64) {
        match self {
            Self::Number if value.is_nan() => (1, 1.0),
            Self::Number => (0, value),
            // The cast is exact for codes; a NaN or what is no code takes the row after the last.
            Self::Category { count } if value >= 0.0 && value < count as f64 => {
                (value as usize, 1.0)
            }
            Self::Category { count } => (count, 1.0),
        }
    }

    const fn rows(self) -> usize {
        match self {
            Self::Number => 2,
            Self::Category { count } => count + 1,
        }
    }
}

#[predictor]
impl Predictor for LinearModel {
    fn load(artifact: &[u8], settings: &Settings) -> Result<Self, LoadError> {
        let (model, body) = artifact::open(artifact, settings, "linear", Body::read)?;
        Ok(Self { model, body })
    }

    fn describe(&self) -> Signature {
        self.model.signature()
    }

    fn predict(&self, inputs: &Inputs) -> Result<Outputs, PredictError> {
        let rows = self.model.features(inputs)?;
        let rows = rows.chunks_exact(self.body.terms.len());
        let mut scores = Vec::with_capacity(rows.len() * self.body.intercepts.len());
        for row in rows {
            self.body.add_scores(row, &mut scores);
        }
        Ok(self.model.answer().outputs(scores))
    }
}

impl Body {
    fn read(model: &Model, reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let width = model.answer().scores();
        let mut body = Self {
            intercepts: reader.finites(width, "intercepts")?,
            terms: Vec::with_capacity(model.columns().len()),
            weights: Vec::new(),
        };
        for (index, column) in model.columns().iter().enumerate() {
            let kind = Kind::of(column);
            let first = body.weights.len();
            body.terms.push(Term { kind, first });
            // Saturated, so that a product beyond the address space is refused like any other that is too large.
            let own = reader.finites(kind.rows().saturating_mul(width), "weights");
            let own = own.map_err(|fault| fault.inside(format_args!("column {index}")))?;
            body.weights.extend(own);
        }
        Ok(body)
    }

    /// Appends the scores of one row: one number for each column.
    fn add_scores(&self, row: &[f64], scores: &mut Vec<f64>) {
        let start = scores.len();
        let width = self.intercepts.len();
        scores.extend(&self.intercepts);
        for (term, value) in self.terms.iter().zip(row) {
            let (row, factor) = term.kind.row(*value);
            let weights = &self.weights[term.first + row * width..][..width];
            for (score, weight) in scores[start..].iter_mut().zip(weights) {
                *score += weight * factor;
            }
        }
    }
}
