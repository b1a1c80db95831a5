//! Trees as an artifact holds them: LightGBM's own form, checked.

use artifact::{Fault, Reader};

/// All trees, in the order in which their values are added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trees {
    /// What a sum is multiplied by: the slope of LightGBM's sigmoid, 1 for everything else.
    pub slope: f64,
    pub trees: Vec<Tree>,
}

/// One tree. Split 0 is the root; without splits it is its one leaf.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    pub splits: Vec<Split>,
    pub leaves: Vec<f64>,
}

/// An inner node: a feature, a test, and where it leads. Indices are checked: in range, a tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split {
    pub feature: usize,
    pub test: Test,
    pub left: Child,
    pub right: Child,
}

/// What sends a row to the left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// A value up to the threshold, inclusive.
    UpTo {
        threshold: f64,
        missing: Missing,
        default_left: bool,
    },
    /// A category of the set: bit c of the words, 32 to a word.
    OneOf(Vec<u32>),
}

/// Which values are missing, and go the default way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Missing {
    /// None; NaN counts as zero.
    None,
    /// Zero and NaN.
    Zero,
    /// NaN.
    Nan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child {
    Split(usize),
    Leaf(usize),
}

impl Tree {
    /// Where every walk begins.
    pub(crate) fn root(&self) -> Child {
        if self.splits.is_empty() {
            Child::Leaf(0)
        } else {
            Child::Split(0)
        }
    }
}

/// A split without a set: feature, decision, an empty set, two children.
const LEAST_SPLIT: usize = 4 + 1 + 4 + 4 + 4;

/// Reads the body of an artifact of this family.
pub(crate) fn read(reader: &mut Reader<'_>, columns: usize, scores: usize) -> Result<Trees, Fault> {
    let slope = reader.finite("slope")?;
    let start = reader.at();
    let count = reader.count(size_of::<u32>() + size_of::<f64>(), "trees")?;
    if count == 0 || count % scores != 0 {
        return Err(reader.fault_at(
            start,
            format_args!("{count} trees; a model of {scores} scores has a multiple of that, and at least one each"),
        ));
    }
    let mut trees = Vec::with_capacity(count);
    for index in 0..count {
        let tree = tree(reader, columns);
        trees.push(tree.map_err(|fault| fault.inside(format_args!("tree {index}")))?);
    }
    Ok(Trees { slope, trees })
}

fn tree(reader: &mut Reader<'_>, columns: usize) -> Result<Tree, Fault> {
    let start = reader.at();
    let leaves = reader.count(size_of::<f64>(), "leaves")?;
    let Some(count) = leaves.checked_sub(1) else {
        return Err(reader.fault_at(start, "it has no leaf"));
    };
    reader.afford(count, LEAST_SPLIT, "splits")?;
    let mut reached = Reached {
        splits: vec![false; count],
        leaves: vec![false; leaves],
    };
    let mut splits = Vec::with_capacity(count);
    for index in 0..count {
        let split = split(reader, columns, index, &mut reached);
        splits.push(split.map_err(|fault| fault.inside(format_args!("split {index}")))?);
    }
    // With as many children as there are nodes but the root, no two alike and each after its parent, this is a tree.
    Ok(Tree {
        splits,
        leaves: reader.finites(leaves, "leaves")?,
    })
}

fn split(
    reader: &mut Reader<'_>,
    columns: usize,
    index: usize,
    reached: &mut Reached,
) -> Result<Split, Fault> {
    let start = reader.at();
    let feature = reader.u32("feature")? as usize;
    if feature >= columns {
        return Err(reader.fault_at(
            start,
            format_args!("feature {feature} does not exist; the model has {columns} columns"),
        ));
    }
    let test = test(reader)?;
    Ok(Split {
        feature,
        test,
        left: child(reader, index, reached)?,
        right: child(reader, index, reached)?,
    })
}

/// LightGBM's decision byte: bit 0 categorical, bit 1 default left, bits 2 and 3 the kind of missing value.
fn test(reader: &mut Reader<'_>) -> Result<Test, Fault> {
    let start = reader.at();
    let decision = reader.u8("decision")?;
    if decision & 1 == 1 {
        let words = reader.count(size_of::<u32>(), "words of a set")?;
        let set = (0..words).map(|_| reader.u32("words of a set"));
        return Ok(Test::OneOf(set.collect::<Result<_, _>>()?));
    }
    let missing = match decision >> 2 {
        0 => Missing::None,
        1 => Missing::Zero,
        2 => Missing::Nan,
        _ => {
            return Err(reader.fault_at(
                start,
                format_args!(
                    "decision {decision} is unknown; bits 2 and 3 hold 0, 1 or 2, those above are 0"
                ),
            ));
        }
    };
    Ok(Test::UpTo {
        threshold: reader.finite("threshold")?,
        missing,
        default_left: decision & 2 == 2,
    })
}

/// Which nodes have a parent already.
struct Reached {
    splits: Vec<bool>,
    leaves: Vec<bool>,
}

/// A child as LightGBM writes it: a split's index, or the complement of a leaf's.
fn child(reader: &mut Reader<'_>, parent: usize, reached: &mut Reached) -> Result<Child, Fault> {
    let start = reader.at();
    let code = reader.i32("child")?;
    let (child, slot) = match usize::try_from(code) {
        Ok(split) if split <= parent => {
            return Err(reader.fault_at(
                start,
                format_args!("child {code} does not stand after its parent {parent}"),
            ));
        }
        Ok(split) => (Child::Split(split), reached.splits.get_mut(split)),
        Err(_) => {
            let leaf = !code as usize;
            (Child::Leaf(leaf), reached.leaves.get_mut(leaf))
        }
    };
    match slot {
        None => Err(reader.fault_at(start, format_args!("child {code} does not exist"))),
        Some(true) => Err(reader.fault_at(start, format_args!("child {code} has two parents"))),
        Some(slot) => {
            *slot = true;
            Ok(child)
        }
    }
}
