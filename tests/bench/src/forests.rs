//! Forests of any size, the same at every run, as artifacts of the `forest` family (`plugins/README.md`).

use foretell_bench::http::Request;
use serde_json::json;

/// A forest of full trees over features between 0 and 1, which decides between two classes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) trees: usize,
    pub(crate) depth: u32,
    pub(crate) features: usize,
}

/// What most rows run: 100 trees of depth 6 over 30 features.
pub(crate) const USUAL: Shape = Shape {
    trees: 100,
    depth: 6,
    features: 30,
};

/// A forest and its artifact.
#[derive(Debug)]
pub(crate) struct Forest {
    shape: Shape,
    trees: Vec<Tree>,
    pub(crate) artifact: Vec<u8>,
}

/// Splits level by level: those of split i lead to 2i + 1 and 2i + 2, counted on into the leaves.
#[derive(Debug)]
struct Tree {
    splits: Vec<(u32, f64)>,
    leaves: Vec<f64>,
}

impl Forest {
    /// Grows it.
    pub(crate) fn grow(shape: Shape) -> Self {
        let mut random = Random::new(7);
        let splits = (1_usize << shape.depth) - 1;
        let tree = |random: &mut Random| Tree {
            splits: (0..splits)
                .map(|_| {
                    let feature = random.below(shape.features);
                    (feature as u32, random.number())
                })
                .collect(),
            leaves: (0..=splits)
                .map(|_| (random.number() - 0.5) * 0.1)
                .collect(),
        };
        let trees = (0..shape.trees).map(|_| tree(&mut random)).collect();
        let mut forest = Self {
            shape,
            trees,
            artifact: Vec::new(),
        };
        forest.artifact = forest.encode();
        forest
    }

    /// The probability of a row, without any kernel.
    pub(crate) fn probability(&self, row: &[f64]) -> f64 {
        let scores = self.trees.iter().map(|tree| {
            let mut at = 0;
            while let Some((feature, threshold)) = tree.splits.get(at) {
                at = 2 * at
                    + if row[*feature as usize] <= *threshold {
                        1
                    } else {
                        2
                    };
            }
            tree.leaves[at - tree.splits.len()]
        });
        1.0 / (1.0 + (-scores.sum::<f64>()).exp())
    }

    /// So many rows, the same at every run.
    pub(crate) fn rows(&self, count: usize) -> Vec<Vec<f64>> {
        rows(self.shape.features, count)
    }

    /// The trees as the component for `wasmtime serve` walks them: of each, a threshold for each node from 1 on, its
    /// feature in a byte, and the leaves; what is not used is zero.
    pub(crate) fn as_walked(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        for tree in &self.trees {
            out.f64(0.0);
            tree.splits.iter().for_each(|split| out.f64(split.1));
            out.u8(0);
            tree.splits.iter().for_each(|split| out.u8(split.0 as u8));
            tree.leaves.iter().for_each(|value| out.f64(*value));
        }
        out.0
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer(b"FTLMODEL".to_vec());
        out.u32(1);
        out.text("forest");
        out.text("A forest for benches.");
        out.text("Numbers between 0 and 1.");
        out.u32(self.shape.features as u32);
        for index in 0..self.shape.features {
            out.text(&format!("x{index}"));
            out.text("");
            // Real, from 0 to 1, required.
            out.u8(0);
            out.f64(0.0);
            out.f64(1.0);
            out.u8(0);
        }
        // Two classes.
        out.u8(1);
        out.text("probability of yes");
        out.text("yes above a half");
        out.u32(2);
        out.text("no");
        out.text("yes");
        out.f64(0.5);
        // One example, to a tolerance.
        out.f64(1e-9);
        out.u32(1);
        out.text("the first row");
        let row = self.rows(1).remove(0);
        row.iter().for_each(|value| out.f64(*value));
        out.f64(self.probability(&row));
        // Slope and trees.
        out.f64(1.0);
        out.u32(self.trees.len() as u32);
        for tree in &self.trees {
            out.u32(tree.leaves.len() as u32);
            for (index, (feature, threshold)) in tree.splits.iter().enumerate() {
                out.u32(*feature);
                out.u8(0);
                out.f64(*threshold);
                for child in [2 * index + 1, 2 * index + 2] {
                    let child = match child.checked_sub(tree.splits.len()) {
                        None => child as i32,
                        Some(leaf) => -1 - leaf as i32,
                    };
                    out.0.extend(child.to_le_bytes());
                }
            }
            tree.leaves.iter().for_each(|value| out.f64(*value));
        }
        out.0
    }
}

/// So many rows of numbers between 0 and 1 that FP32 holds exactly, for peers that compute in it.
pub(crate) fn rows(features: usize, count: usize) -> Vec<Vec<f64>> {
    let mut random = Random::new(11);
    let mut row = || {
        (0..features)
            .map(|_| f64::from(random.number() as f32))
            .collect()
    };
    (0..count).map(|_| row()).collect()
}

/// A `/v2` inference request.
pub(crate) fn infer(model: &str, rows: &[Vec<f64>]) -> Request {
    let body = json!({"inputs": [{
        "name": "features",
        "datatype": "FP64",
        "shape": [rows.len(), rows.first().map_or(0, Vec::len)],
        "data": rows.concat(),
    }]});
    Request::post(format!("/v2/models/{model}/infer"), body.to_string())
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn f64(&mut self, value: f64) {
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.as_bytes());
    }
}

/// Marsaglia's xorshift: the same numbers at every run, and no dependency.
struct Random(u64);

impl Random {
    const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// From 0 to 1.
    fn number(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use forest::ForestModel;
    use foretell_sdk::harness;
    use foretell_sdk::prelude::*;

    use super::*;

    #[test]
    fn the_plugin_reads_the_artifact_and_answers_like_the_plain_walk() {
        for depth in [3, 6] {
            let shape = Shape {
                trees: 20,
                depth,
                features: 5,
            };
            let forest = Forest::grow(shape);
            let model =
                harness::load::<ForestModel>(&forest.artifact, Settings::default()).unwrap();
            model.check().unwrap();
            for row in forest.rows(50) {
                let answer = model.predict([Tensor::table(5, row.clone())]).unwrap();
                let found = answer.slice::<f64>("probability").unwrap()[0];
                assert!((found - forest.probability(&row)).abs() < 1e-12);
            }
        }
    }
}
