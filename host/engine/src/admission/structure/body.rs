//! What one function costs a compiler.

use wasmparser::{
    BlockType, CompositeInnerType, FuncType, FunctionBody, Operator, TypeSectionReader,
};

/// How many values the types and functions of a module carry, by their index: the more of parameters and results.
#[derive(Default)]
pub(super) struct Types {
    types: Vec<u32>,
    functions: Vec<u32>,
}

impl Types {
    pub(super) fn declare(&mut self, section: TypeSectionReader<'_>) -> wasmparser::Result<()> {
        for group in section {
            self.types
                .extend(group?.types().map(|ty| match &ty.composite_type.inner {
                    CompositeInnerType::Func(function) => values(function),
                    _ => 0,
                }));
        }
        Ok(())
    }

    /// The next function has this type.
    pub(super) fn function(&mut self, index: u32) {
        let values = self.of_type(index);
        self.functions
            .push(u32::try_from(values).unwrap_or(u32::MAX));
    }

    fn of_type(&self, index: u32) -> u64 {
        at(&self.types, u64::from(index))
    }

    fn of_function(&self, index: u64) -> u64 {
        at(&self.functions, index)
    }

    fn of_block(&self, block: BlockType) -> u64 {
        match block {
            BlockType::Empty => 0,
            BlockType::Type(_) => 1,
            BlockType::FuncType(index) => self.of_type(index),
        }
    }
}

fn values(function: &FuncType) -> u32 {
    let more = function.params().len().max(function.results().len());
    u32::try_from(more).unwrap_or(u32::MAX)
}

/// An index beyond the end is refused elsewhere: the upload is not valid.
fn at(values: &[u32], index: u64) -> u64 {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    values.get(index).copied().map_or(0, u64::from)
}

/// The counts of one function.
pub(super) struct Body {
    pub(super) loops: u64,
    /// Blocks, loops and ifs within each other.
    pub(super) nesting: u64,
    pub(super) targets_of_tables: u64,
    /// Locals times branches, and all values that branches, blocks and calls carry: each of them becomes an argument of
    /// a block in the compiler, or of a call, and takes a byte or two to ask for.
    pub(super) tangle: u64,
}

impl Body {
    pub(super) fn read(
        body: &FunctionBody<'_>,
        function: u64,
        types: &Types,
    ) -> wasmparser::Result<Self> {
        let mut locals = 0_u64;
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(u64::from(group?.0));
        }
        let (mut loops, mut branches, mut targets_of_tables) = (0_u64, 0_u64, 0_u64);
        let (mut depth, mut nesting) = (0_u64, 0_u64);
        // A branch carries what the block that it leaves has, which may be the function: the most of any stands for all.
        let (mut widest, mut carried) = (types.of_function(function), 0_u64);
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Block { blockty } => {
                    depth += 1;
                    widest = widest.max(types.of_block(blockty));
                    carried = carried.saturating_add(types.of_block(blockty));
                }
                Operator::Loop { blockty } => {
                    depth += 1;
                    loops += 1;
                    widest = widest.max(types.of_block(blockty));
                    carried = carried.saturating_add(types.of_block(blockty));
                }
                Operator::If { blockty } => {
                    depth += 1;
                    branches += 1;
                    widest = widest.max(types.of_block(blockty));
                }
                // Of the function's own block, too, whose depth is none.
                Operator::End => depth = depth.saturating_sub(1),
                Operator::Br { .. } | Operator::BrIf { .. } => branches += 1,
                Operator::Return => carried = carried.saturating_add(types.of_function(function)),
                Operator::BrTable { targets } => {
                    targets_of_tables += u64::from(targets.len()) + 1;
                }
                Operator::Call { function_index } => {
                    let callee = types.of_function(u64::from(function_index));
                    carried = carried.saturating_add(callee);
                }
                Operator::CallIndirect { type_index, .. } => {
                    carried = carried.saturating_add(types.of_type(type_index));
                }
                _ => {}
            }
            nesting = nesting.max(depth);
        }
        branches += targets_of_tables;
        let tangle = locals
            .saturating_add(widest)
            .saturating_mul(branches)
            .saturating_add(carried);
        Ok(Self {
            loops,
            nesting,
            targets_of_tables,
            tangle,
        })
    }
}
