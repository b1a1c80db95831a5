//! Small uploads that cost a compiler minutes and gigabytes, each a whole plugin that would answer like any other.
//!
//! A shape comes in three sizes: one that any plugin may have, one just within the limits of structure (what an admitted
//! upload can cost at worst), one far beyond.

use super::gauntlet::{beside_component, beside_module};
use super::{component, echo, module};

/// A shape, and what it is made of.
#[derive(Debug, Clone, Copy)]
pub struct Bomb {
    /// What grows, in a few words.
    pub name: &'static str,
    /// Harmless, at the limit, beyond it.
    pub sizes: [usize; 3],
    build: fn(usize) -> Vec<u8>,
}

impl Bomb {
    /// The upload of this size.
    pub fn of(&self, size: usize) -> Vec<u8> {
        (self.build)(size)
    }
}

/// Every shape.
pub const BOMBS: [Bomb; 17] = [
    Bomb {
        name: "empty loops in one function",
        sizes: [200, 2_048, 1_000_000],
        build: loops,
    },
    Bomb {
        name: "functions of many loops",
        sizes: [2, 15, 300],
        build: functions_of_loops,
    },
    Bomb {
        name: "as many locals as branches in one function",
        sizes: [200, 1_400, 16_000],
        build: tangle,
    },
    Bomb {
        name: "branches with many values",
        sizes: [20, 1_990, 200_000],
        build: branches_with_values,
    },
    Bomb {
        name: "blocks with many values",
        sizes: [20, 1_990, 200_000],
        build: blocks_with_values,
    },
    Bomb {
        name: "calls with many values",
        sizes: [5, 1_990, 200_000],
        build: calls_with_values,
    },
    Bomb {
        name: "tangled functions",
        sizes: [1, 250, 300],
        build: tangled_functions,
    },
    Bomb {
        name: "tiny functions",
        sizes: [2_000, 49_900, 100_000],
        build: tiny_functions,
    },
    Bomb {
        name: "nested blocks",
        sizes: [1_000, 9_990, 1_000_000],
        build: blocks,
    },
    Bomb {
        name: "targets of one branch table",
        sizes: [1_000, 65_000, 1_000_000],
        build: branch_table,
    },
    Bomb {
        name: "straight code in one function",
        sizes: [1_000, 140_000, 400_000],
        build: straight,
    },
    Bomb {
        name: "globals",
        sizes: [100, 990, 190_000],
        build: globals,
    },
    Bomb {
        name: "types of functions",
        sizes: [1_000, 190_000, 400_000],
        build: types,
    },
    Bomb {
        name: "functions of the component",
        sizes: [100, 900, 50_000],
        build: adapters,
    },
    Bomb {
        name: "tuples of tuples",
        sizes: [5, 15, 25],
        build: tuples,
    },
    Bomb {
        name: "lists of lists",
        sizes: [10, 90, 5_000],
        build: lists,
    },
    Bomb {
        name: "inner modules",
        sizes: [5, 60, 1_100],
        build: modules,
    },
];

/// The echo with more in its module.
fn with(text: &str) -> Vec<u8> {
    const FIRST: &str = "(func (export \"cabi_realloc\")";
    let whole = include_str!("echo.wat").replacen(FIRST, &format!("{text}\n{FIRST}"), 1);
    component(&module(&whole, 1, &[]))
}

/// A thing `size` times, with its number.
fn each(size: usize, thing: impl Fn(usize) -> String) -> String {
    (0..size).map(thing).collect()
}

fn function(body: &str) -> String {
    format!("(func (param i32) {body})")
}

fn loops(size: usize) -> Vec<u8> {
    with(&function(&"loop end ".repeat(size)))
}

fn functions_of_loops(size: usize) -> Vec<u8> {
    with(&function(&"loop end ".repeat(2_000)).repeat(size))
}

/// Every local lives across every branch, and around the loop.
fn tangled(size: usize) -> String {
    let locals = "i32 ".repeat(size);
    let ifs = each(size, |local| {
        let local = local + 1;
        format!("local.get {local} if local.get 0 local.get {local} i32.add local.set {local} end ")
    });
    function(&format!(
        "(local {locals}) loop {ifs} local.get 0 br_if 0 end"
    ))
}

/// As many values as WebAssembly lets a block have, on the stack before and after.
fn valued(text: &str) -> Vec<u8> {
    const VALUES: usize = 1_000;
    let (values, drops) = ("i32.const 0 ".repeat(VALUES), "drop ".repeat(VALUES));
    let values_type = "i32 ".repeat(VALUES);
    with(&format!(
        "(type $wide (func (param {values_type}) (result {values_type})))
         (func $wide (type $wide) unreachable)
         {}",
        function(&format!("{values} {text} {drops}"))
    ))
}

fn branches_with_values(size: usize) -> Vec<u8> {
    let branches = "i32.const 0 br_if 0 ".repeat(size);
    valued(&format!("block (type $wide) {branches} end"))
}

fn blocks_with_values(size: usize) -> Vec<u8> {
    valued(&"block (type $wide) end ".repeat(size))
}

fn calls_with_values(size: usize) -> Vec<u8> {
    valued(&"call $wide ".repeat(size))
}

fn tangle(size: usize) -> Vec<u8> {
    with(&tangled(size))
}

fn tangled_functions(size: usize) -> Vec<u8> {
    with(&tangled(500).repeat(size))
}

fn tiny_functions(size: usize) -> Vec<u8> {
    with(&"(func)".repeat(size))
}

fn blocks(size: usize) -> Vec<u8> {
    let (begins, ends) = ("block ".repeat(size), "end ".repeat(size));
    with(&function(&format!("{begins} {ends}")))
}

fn branch_table(size: usize) -> Vec<u8> {
    let targets = "0 ".repeat(size);
    with(&function(&format!(
        "block local.get 0 br_table {targets} end"
    )))
}

fn straight(size: usize) -> Vec<u8> {
    with(&function(
        &"local.get 0 local.get 0 i32.mul local.set 0 ".repeat(size),
    ))
}

fn globals(size: usize) -> Vec<u8> {
    with(&"(global (mut i64) (i64.const 1))".repeat(size))
}

fn types(size: usize) -> Vec<u8> {
    with(&each(size, |number| {
        let bits = (0..20).map(|bit| ["i32 ", "i64 "][number >> bit & 1]);
        format!("(type (func (param {})))", bits.collect::<String>())
    }))
}

fn adapters(size: usize) -> Vec<u8> {
    let drops = "(core func (canon resource.drop $r))".repeat(size);
    let inner = format!("(component (type $r (resource (rep i32))) {drops})");
    beside_component(&echo(), &wat::parse_str(inner).unwrap())
}

fn tuples(size: usize) -> Vec<u8> {
    let larger = each(size, |number| {
        let smaller = number.to_string();
        format!("(type $t{} (tuple $t{smaller} $t{smaller}))", number + 1)
    });
    let inner = format!("(component (type $t0 (tuple u8 u8)) {larger})");
    beside_component(&echo(), &wat::parse_str(inner).unwrap())
}

fn lists(size: usize) -> Vec<u8> {
    let larger = each(size, |number| {
        format!("(type $t{} (list $t{number}))", number + 1)
    });
    let inner = format!("(component (type $t0 (list u8)) {larger})");
    beside_component(&echo(), &wat::parse_str(inner).unwrap())
}

fn modules(size: usize) -> Vec<u8> {
    let empty = wat::parse_str("(module)").unwrap();
    (0..size).fold(echo(), |plugin, _| beside_module(&plugin, &empty))
}
