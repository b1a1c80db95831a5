//! The rows of an answer, as people read them: outputs by name, one row at a time.

use foretell_predict::Answer;
use foretell_types::signature::{Output, Role};
use foretell_types::{Elements, Tensor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::json::write::{Bytes, Flat, Shaped};

/// How the classes of a label are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    /// By name, for callers who speak in records.
    Names,
    /// By code, for callers who speak in tensors.
    Codes,
}

/// All outputs of one row, by name.
pub(crate) struct Row<'a> {
    pub(crate) answer: &'a Answer,
    pub(crate) index: usize,
    pub(crate) labels: Labels,
}

impl<'a> Row<'a> {
    fn outputs(&self) -> impl Iterator<Item = (&'a Output, Cell<'a>)> {
        let Self {
            answer,
            index,
            labels,
        } = *self;
        answer
            .target
            .signature
            .outputs
            .iter()
            .zip(&*answer.outputs)
            .map(move |(declared, tensor)| {
                let by_rows = declared.shape.first() == Some(&-1) && tensor.rows() == answer.rows;
                (
                    declared,
                    Cell {
                        declared,
                        tensor,
                        row: by_rows.then_some(index),
                        labels,
                    },
                )
            })
    }

    /// The one output of a model that has no other; `None` for several.
    pub(crate) fn only(&self) -> Option<Cell<'a>> {
        let mut outputs = self.outputs();
        let (_, first) = outputs.next()?;
        outputs.next().is_none().then_some(first)
    }
}

impl Row<'_> {
    /// Writes the outputs into a map that may have other entries.
    pub(crate) fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for (declared, cell) in self.outputs() {
            map.serialize_entry(&declared.name, &cell)?;
        }
        Ok(())
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.answer.outputs.len()))?;
        self.entries(&mut map)?;
        map.end()
    }
}

/// One output in one row, or the whole output where it has no rows.
pub(crate) struct Cell<'a> {
    declared: &'a Output,
    tensor: &'a Tensor,
    row: Option<usize>,
    labels: Labels,
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (shape, elements) = (self.tensor.shape(), self.tensor.elements());
        let (shape, start) = match (self.row, shape) {
            (Some(row), [_, inner @ ..]) => (inner, row * width(inner)),
            _ => (shape, 0),
        };
        let range = start..start + width(shape);
        let named = self.labels == Labels::Names && self.declared.role == Role::Label;
        if named && !self.declared.classes.is_empty() && !matches!(elements, Elements::Bytes(_)) {
            return match shape {
                [] => self.class(start).serialize(serializer),
                _ => serializer.collect_seq(range.map(|at| self.class(at))),
            };
        }
        Shaped {
            shape,
            flat: Flat {
                elements,
                range,
                bytes: Bytes::TextOrObject,
            },
        }
        .serialize(serializer)
    }
}

impl Cell<'_> {
    /// The name of the class whose code stands at `at`. The corridor has seen that each code has one.
    fn class(&self, at: usize) -> Option<&str> {
        let code = self.tensor.elements().number(at)?;
        self.declared.classes.get(code as usize).map(String::as_str)
    }
}

fn width(shape: &[u32]) -> usize {
    shape.iter().map(|axis| *axis as usize).product()
}
