//! Guests for tests, honest and hostile, built from WebAssembly text.
//!
//! Each takes one input `x` (FP64 `[-1]`) and gives one output `y` of the same shape, with one example that holds, so
//! that every one of them passes admission and self-test. What a [`chameleon`] then does depends on the first element of
//! `x`: 0 and what is not listed gives `x` back, see [`Misdeed`]. What it does in `load` and `describe` depends on the
//! first byte of the artifact: see [`LoadMisdeed`].
#![expect(
    clippy::unwrap_used,
    reason = "test support: what is built here is constant"
)]

pub mod bombs;
pub mod gauntlet;
mod image;
mod probe;
mod stored;

use foretell_types::compile::Refusal;
use foretell_types::signature::{Example, Input, Output, Promises, Role, Signature};
use foretell_types::tensor::{Datatype, Elements, Tensor};

use self::image::Image;
pub use self::probe::Probe;
pub use self::stored::Stored;
use crate::admission::world_of_this_server;
use crate::config::StructureLimits;

/// Where the described signatures lie in a guest's memory.
const SIGNATURES: u32 = 1_024;

/// Checks an upload as the worker does before it runs or compiles anything of it, with the default limits.
///
/// # Errors
/// Every reason to refuse it.
pub fn admit(upload: Vec<u8>) -> Result<Vec<u8>, Vec<Refusal>> {
    crate::admission::admit(upload, &StructureLimits::default(), 128 << 20)
}

/// What a [`chameleon`] does in `predict`: the first element of `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Misdeed {
    /// Gives back what it is given.
    None = 0,
    /// Loops for ever.
    Loop = 1,
    /// Traps (`unreachable`).
    Trap = 2,
    /// Grows its memory until it gets no more, then traps.
    Grow = 3,
    /// Recurses for ever.
    Recurse = 4,
    /// Answers with no output.
    TooFewOutputs = 5,
    /// Answers with two outputs.
    TooManyOutputs = 6,
    /// Answers with shape `[n, 1]`.
    WrongRank = 7,
    /// Answers with FP32.
    WrongDatatype = 8,
    /// Answers with fewer elements than the shape says.
    WrongLength = 9,
    /// Answers with a list far outside its memory.
    WildPointer = 10,
    /// Answers with a list of 2^32 - 1 elements.
    HugeLength = 11,
    /// Fails with a text that is no UTF-8.
    BadUtf8 = 12,
    /// Answers with a datatype that does not exist.
    BadDiscriminant = 13,
    /// Answers with a list at an odd address.
    Misaligned = 14,
    /// Answers with a NaN that is not the canonical one.
    OddNan = 15,
    /// Fills 32 MiB of memory again and again.
    Fill = 16,
    /// Writes a thousand log lines with control characters, then gives back what it is given.
    LogFlood = 17,
    /// Tells in `y[0]` how often this instance was called.
    Count = 18,
    /// Refuses the input: row 0, `on purpose`.
    Refuse = 19,
    /// Fails: `on purpose`.
    Fail = 20,
    /// Answers, then loops in its clean-up (`post-return`).
    LoopAfterwards = 21,
    /// Asks for 4 GiB, does without, and gives back what it is given.
    AskForMemory = 22,
    /// Is busy for `x[1]` thousand rounds, then gives back what it is given.
    Spin = 23,
    /// Keeps `x[1]` in its memory.
    Remember = 24,
    /// Tells in `y[0]` what this instance keeps; 0 if nothing.
    Recall = 25,
    /// Fails with a text far outside its memory.
    WildText = 26,
    /// Answers with what is neither a result nor an error.
    BadResult = 27,
    /// Recurses for ever, and writes a log line at each level.
    RecurseLogging = 28,
    /// Reads one byte of each of the first `x[1]` pages of 4 KiB.
    Touch = 29,
    /// Answers with a result far outside its memory.
    WildResult = 35,
}

impl Misdeed {
    /// The first element of `x` that makes a chameleon do it.
    pub const fn input(self) -> f64 {
        self as u8 as f64
    }
}

/// Elements of `x` that make a chameleon loop while its input is still being handed over (in `cabi_realloc`).
pub const ELEMENTS_THAT_LOOP: usize = 21;
/// Elements of `x` for which a chameleon hands out memory that it does not have.
pub const ELEMENTS_OUT_OF_MEMORY: usize = 22;

/// What a [`chameleon`] does before it is ready: the first byte of its artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LoadMisdeed {
    /// Loads.
    None = 0,
    /// `load` loops for ever.
    Loop = 1,
    /// `load` traps.
    Trap = 2,
    /// `load` grows its memory until it gets no more, then traps.
    Grow = 3,
    /// `load` recurses for ever.
    Recurse = 4,
    /// `load` says that the artifact is bad: `on purpose`.
    BadArtifact = 19,
    /// `load` fails: `on purpose`.
    Fail = 20,
    /// `describe` traps.
    DescribeTraps = 30,
    /// `describe` gives a signature with two faults: no outputs, and an example without them.
    InvalidSignature = 31,
    /// `describe` gives an example, `untrue`, whose answer is another.
    UntrueExample = 32,
    /// `load` logs `on purpose` as an error, then traps.
    LogAndTrap = 33,
}

impl LoadMisdeed {
    /// The artifact that makes a chameleon do it.
    pub fn artifact(self) -> Vec<u8> {
        vec![self as u8]
    }
}

/// Gives back what it is given; imports nothing. As a component.
pub fn echo() -> Vec<u8> {
    component(&module(include_str!("testkit/echo.wat"), 1, &[]))
}

/// Gives back each row, after about a millisecond of work however many there are; traps at a row below zero.
pub fn rows() -> Vec<u8> {
    component(&module(include_str!("testkit/rows.wat"), 1, &[]))
}

/// Does every misdeed by number; imports `log`. A setting whose name begins with `ba` is refused. As a component.
pub fn chameleon() -> Vec<u8> {
    component(&chameleon_module())
}

/// [`chameleon`] as the core module that a `wasm32-unknown-unknown` build leaves.
pub fn chameleon_module() -> Vec<u8> {
    module(include_str!("testkit/guest.wat"), 2, &["LOG"])
}

/// [`chameleon`] with so many pages of memory (64 KiB each) to begin with: for snapshots and instances of any size.
pub fn chameleon_of(pages: u32) -> Vec<u8> {
    component(&module(include_str!("testkit/guest.wat"), pages, &["LOG"]))
}

/// Loops for ever as soon as it is instantiated.
pub fn loops_at_start() -> Vec<u8> {
    component(&module(include_str!("testkit/guest.wat"), 2, &["START"]))
}

/// Begins with 4 GiB of memory.
pub fn four_gib() -> Vec<u8> {
    chameleon_of(65_536)
}

/// A guest of any text, with so many pages of memory to begin with. In it, `PAGES`, `HEAP`, `SIGNATURES` and `IMAGE` are
/// filled in, and `HONEST` is where [`signature`] lies. As a component.
///
/// # Panics
/// If the text is none of a module of the plugins' world.
pub fn guest(text: &str, pages: u32) -> Vec<u8> {
    component(&module(text, pages, &[]))
}

/// A function with so many empty loops: the compiler is quadratic in them.
pub fn many_loops(loops: usize) -> Vec<u8> {
    let bomb = format!("(func {})\n  (func $alloc", "(loop)".repeat(loops));
    let text = include_str!("testkit/guest.wat").replacen("(func $alloc", &bomb, 1);
    component(&module(&text, 2, &[]))
}

/// What every guest here describes.
pub fn signature() -> Signature {
    Signature {
        doc: "gives back what it is given".into(),
        inputs: vec![Input {
            name: "x".into(),
            doc: "what to do, and with what".into(),
            datatype: Datatype::Fp64,
            shape: vec![-1],
            columns: Vec::new(),
        }],
        outputs: vec![Output {
            name: "y".into(),
            doc: "what was given".into(),
            datatype: Datatype::Fp64,
            shape: vec![-1],
            role: Role::Prediction,
            classes: Vec::new(),
        }],
        examples: vec![Example {
            name: "nothing".into(),
            inputs: vec![numbers(&[0.0, 0.5])],
            outputs: vec![numbers(&[0.0, 0.5])],
            tolerance: 0.0,
        }],
        promises: Promises {
            deterministic: true,
            independent_rows: false,
        },
    }
}

/// Numbers as the one input of these guests.
pub fn numbers(values: &[f64]) -> Tensor {
    Tensor::new(vec![values.len() as u32], Elements::Fp64(values.to_vec())).unwrap()
}

/// [`chameleon`] with so many bytes of code, about: functions that nobody calls, and that are compiled all the same. They are
/// made of what compiled code is made of: loops, branches, loads, stores and sums, of no two alike.
pub fn of_size(bytes: usize) -> Vec<u8> {
    const STEPS: usize = 20;
    /// Of a step, and of a function around its steps.
    const BYTES: (usize, usize) = (52, 30);
    let step = |number: usize| {
        let (a, b, c) = (200 + number % 9_000, 8 * (number % 50), 70_000 + number);
        format!(
            "(local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const {a})) (i32.load offset={b} (local.get $at))))
             (if (i32.gt_s (local.get $sum) (i32.const {c}))
               (then (i32.store offset={b} (local.get $at) (i32.xor (local.get $sum) (i32.const {a}))))
               (else (local.set $x (f64.add (local.get $x) (f64.load offset={b} (local.get $at))))))\n"
        )
    };
    let function = |number: usize| {
        let steps: String = (0..STEPS)
            .map(|index| step(STEPS * number + index))
            .collect();
        format!(
            "(func (param $at i32) (param $left i32) (result i32) (local $sum i32) (local $x f64)
               (loop $next
                 {steps}
                 (local.set $at (i32.add (local.get $at) (i32.const 8)))
                 (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
               (i32.add (local.get $sum) (i32.trunc_sat_f64_s (local.get $x))))\n"
        )
    };
    let of_one = STEPS * BYTES.0 + BYTES.1;
    let code: String = (0..bytes.div_ceil(of_one)).map(function).collect();
    let guest = include_str!("testkit/guest.wat");
    let text = guest.replacen("(func $alloc", &format!("{code}  (func $alloc"), 1);
    component(&module(&text, 2, &["LOG"]))
}

fn module(text: &str, pages: u32, parts: &[&str]) -> Vec<u8> {
    let honest = signature();
    let mut untrue = honest.clone();
    untrue.examples[0].name = "untrue".into();
    untrue.examples[0].outputs = vec![numbers(&[0.0, 0.75])];
    let mut invalid = honest.clone();
    invalid.outputs.clear();

    let mut image = Image::new(SIGNATURES);
    let [honest, untrue, invalid] =
        [honest, untrue, invalid].map(|signature| image.signature(&signature));
    let mut text = text.to_owned();
    for part in parts {
        text = text.replace(&format!(";;{part} "), "");
    }
    for (name, value) in [
        ("SIGNATURES", SIGNATURES),
        ("HEAP", image.end()),
        ("PAGES", pages),
        ("HONEST", honest),
        ("UNTRUE", untrue),
        ("INVALID", invalid),
    ] {
        text = text.replace(name, &value.to_string());
    }
    let mut module = wat::parse_str(text.replace("IMAGE", &image.escaped())).unwrap();
    let (resolve, world) = world_of_this_server();
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .unwrap();
    module
}

fn component(module: &[u8]) -> Vec<u8> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .unwrap()
        .encode()
        .unwrap()
}
