//! The seam between the management of models and the engine: making an upload runnable.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use thiserror::Error;

use crate::signature::Signature;
use crate::{Digest, TenantId, VersionDigest};

/// A setting's value, as the plugin's `load` gets it.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// True or false.
    Truth(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A text.
    Text(String),
}

/// A setting of a version, for the plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SettingValue,
}

/// A part of an upload: where it lies, and what must lie there.
#[derive(Debug, Clone)]
pub struct Part {
    /// The file.
    pub file: PathBuf,
    /// SHA-256 of its content, taken when it arrived.
    pub digest: Digest,
}

/// An upload whose parts lie in temporary files.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Whose it will be.
    pub tenant: TenantId,
    /// The version's digest, under which snapshot and code will be stored.
    pub version: VersionDigest,
    /// The plugin, inflated.
    pub plugin: Part,
    /// The weights; none = empty.
    pub artifact: Option<Part>,
    /// The settings, sorted by name.
    pub settings: Vec<Setting>,
    /// Memory of the guest, at most, in bytes.
    pub memory_bytes: u64,
}

/// A step of making an upload runnable, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Structure limits, imports, world.
    Admission,
    /// `load` and the snapshot after it.
    Snapshot,
    /// Machine code.
    Compile,
    /// `describe` and the examples.
    SelfTest,
}

impl Step {
    /// The step's name in progress reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Snapshot => "snapshot",
            Self::Compile => "compile",
            Self::SelfTest => "self_test",
        }
    }
}

/// An upload made runnable.
#[derive(Debug)]
pub struct Prepared {
    /// What the plugin says of itself.
    pub signature: Signature,
    /// The component after `load`.
    pub snapshot: Vec<u8>,
    /// Its machine code with a keyed MAC.
    pub code: Vec<u8>,
}

/// Why an upload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// Not WebAssembly, or damaged.
    NotWasm,
    /// Not of the world `foretell:plugin/predictor`.
    WrongWorld,
    /// It imports what no plugin gets.
    ImportRefused,
    /// Its structure is beyond the limits.
    TooComplex,
    /// It ran into a limit of time or memory.
    Limit,
    /// The plugin's `load` or `describe` failed, or what it describes is unusable.
    LoadFailed,
    /// An example's answer is not the expected one.
    SelfTestFailed,
    /// The compiler refused it or died of it.
    CompileFailed,
}

impl RefusalCode {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::NotWasm,
        Self::WrongWorld,
        Self::ImportRefused,
        Self::TooComplex,
        Self::Limit,
        Self::LoadFailed,
        Self::SelfTestFailed,
        Self::CompileFailed,
    ];

    /// The stable code, as it stands in error bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWasm => "not_wasm",
            Self::WrongWorld => "wrong_world",
            Self::ImportRefused => "import_refused",
            Self::TooComplex => "too_complex",
            Self::Limit => "limit",
            Self::LoadFailed => "load_failed",
            Self::SelfTestFailed => "self_test_failed",
            Self::CompileFailed => "compile_failed",
        }
    }

    /// Reads a code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind.
    pub code: RefusalCode,
    /// What it is about: an import, an export, a limit, an example.
    pub subject: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refusal {
    /// Joins the three.
    pub fn new(code: RefusalCode, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            subject: subject.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}",
            self.code.as_str(),
            self.subject,
            self.message
        )
    }
}

/// What a compile worker is given to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// The plugin, as uploaded.
    Plugin,
    /// The weights.
    Artifact,
    /// The component after `load`, as stored.
    Snapshot,
}

impl Content {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Plugin, Self::Artifact, Self::Snapshot];

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Artifact => "artifact",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Why an upload did not become runnable.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The upload's own doing: every reason found.
    #[error("the upload is refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refusal>),
    /// The queue of uploads is full; try again later.
    #[error("too many uploads are waiting to be compiled")]
    Busy,
    /// The tenant has its share of the queue; try again when one of its own has ended.
    #[error("this tenant has {limit} versions being compiled or waiting for it, as many as it may")]
    TenantBusy {
        /// How many it may have.
        limit: usize,
    },
    /// What the worker read is not what the server gave it: something else writes to the folder of uploads, or its disk
    /// fails.
    #[error("the {} changed on its way to the compile worker; check the disk of the data folder, and who else writes to it", .0.as_str())]
    Changed(Content),
    /// Ours: the worker could not be started, or its answer not be read.
    #[error("the compile worker: {0}")]
    Worker(String),
}

/// Makes uploads runnable, in a process of its own.
#[async_trait]
pub trait Compiler: Send + Sync {
    /// Runs every step on one upload. `progress` is called at the begin of each.
    ///
    /// # Errors
    /// [`CompileError`]; nothing is stored in any case, that is the caller's work.
    async fn prepare(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Prepared, CompileError>;
}
