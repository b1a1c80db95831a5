//! One dense layer: `outputs = activation(inputs x weights + bias)`.
//!
//! Weights are packed in columns of [`TILE`] outputs, and an inner loop of fixed length runs over the outputs of a tile:
//! the compiler turns it into vector instructions (simd128 in the sandbox, SSE2 natively). Vectors lie across outputs, so
//! each output is summed in the order of the inputs whatever the width of a vector: the results are the same to the last
//! bit in the sandbox and outside, for one row and for many.

use artifact::{Fault, Reader};

/// Rows that are computed together, so that each weight is loaded once for all of them.
pub(crate) const ROWS: usize = 4;
/// Outputs that are computed together: with four rows, sixteen sums of two doubles, as many as there are registers.
const TILE: usize = 8;

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    inputs: usize,
    outputs: usize,
    activation: Activation,
    /// For each tile of outputs: its bias, then for each input its weights. What is beyond the last output is zero.
    packed: Vec<[f64; TILE]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    Identity,
    Relu,
    Tanh,
    Logistic,
}

/// Reads the body of an artifact of this family.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    columns: usize,
    scores: usize,
) -> Result<Vec<Layer>, Fault> {
    let start = reader.at();
    let count = reader.count(size_of::<u32>() + 1, "layers")?;
    let mut layers: Vec<Layer> = Vec::with_capacity(count);
    let mut inputs = columns;
    for index in 0..count {
        let layer =
            layer(reader, inputs).map_err(|fault| fault.inside(format_args!("layer {index}")))?;
        inputs = layer.outputs;
        layers.push(layer);
    }
    if layers.is_empty() || inputs != scores {
        return Err(reader.fault_at(
            start,
            format_args!(
                "the last of {count} layers gives {inputs} outputs; the model has {scores} scores"
            ),
        ));
    }
    Ok(layers)
}

fn layer(reader: &mut Reader<'_>, inputs: usize) -> Result<Layer, Fault> {
    let outputs = reader.count((inputs + 1) * size_of::<f64>(), "outputs")?;
    if outputs == 0 {
        return Err(reader.fault("it has no outputs"));
    }
    let start = reader.at();
    let activation = match reader.u8("activation")? {
        0 => Activation::Identity,
        1 => Activation::Relu,
        2 => Activation::Tanh,
        3 => Activation::Logistic,
        other => {
            return Err(reader.fault_at(
                start,
                format_args!(
                    "activation {other} is unknown; use 0 identity, 1 relu, 2 tanh, 3 logistic"
                ),
            ));
        }
    };
    let weights = reader.finites(inputs * outputs, "weights")?;
    let bias = reader.finites(outputs, "bias")?;
    Ok(Layer {
        inputs,
        outputs,
        activation,
        packed: pack(&weights, &bias),
    })
}

/// From one row of weights for each input to tiles.
fn pack(weights: &[f64], bias: &[f64]) -> Vec<[f64; TILE]> {
    let rows = || std::iter::once(bias).chain(weights.chunks_exact(bias.len()));
    let tiles = (0..bias.len()).step_by(TILE);
    tiles
        .flat_map(|first| {
            rows().map(move |row| {
                let mut tile = [0.0; TILE];
                for (packed, value) in tile.iter_mut().zip(&row[first..]) {
                    *packed = *value;
                }
                tile
            })
        })
        .collect()
}

impl Layer {
    pub(crate) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Computes up to [`ROWS`] rows; both slices hold whole rows, as many of them.
    pub(crate) fn apply(&self, input: &[f64], output: &mut [f64]) {
        for (tile, packed) in self.packed.chunks_exact(self.inputs + 1).enumerate() {
            let first = tile * TILE;
            // A full group has a loop of its own, in which the number of rows is known to the compiler.
            if input.len() == ROWS * self.inputs {
                let rows: [&[f64]; ROWS] =
                    std::array::from_fn(|row| &input[row * self.inputs..][..self.inputs]);
                let sums = sums(packed, rows);
                for (sums, output) in sums.iter().zip(output.chunks_exact_mut(self.outputs)) {
                    self.write(sums, &mut output[first..]);
                }
            } else {
                let rows = input.chunks_exact(self.inputs);
                for (row, output) in rows.zip(output.chunks_exact_mut(self.outputs)) {
                    let [sums] = sums(packed, [row]);
                    self.write(&sums, &mut output[first..]);
                }
            }
        }
    }

    fn write(&self, sums: &[f64; TILE], output: &mut [f64]) {
        for (output, sum) in output.iter_mut().zip(sums) {
            *output = match self.activation {
                Activation::Identity => *sum,
                Activation::Relu if *sum > 0.0 => *sum,
                Activation::Relu => 0.0,
                Activation::Tanh => sum.tanh(),
                Activation::Logistic => 1.0 / (1.0 + (-sum).exp()),
            };
        }
    }
}

/// The sums of one tile for `N` rows. `packed` has the bias and then a row of weights for each input.
#[inline]
fn sums<const N: usize>(packed: &[[f64; TILE]], rows: [&[f64]; N]) -> [[f64; TILE]; N] {
    let Some((bias, weights)) = packed.split_first() else {
        return [[0.0; TILE]; N];
    };
    let mut sums = [[0.0; TILE]; N];
    for (input, weights) in weights.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let value = row[input];
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
    for sums in &mut sums {
        for (sum, bias) in sums.iter_mut().zip(bias) {
            *sum += bias;
        }
    }
    sums
}
