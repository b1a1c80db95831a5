//! The steps from upload to machine code.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_types::compile::{Content, Refusal, RefusalCode, Setting, Step};
use foretell_types::run::RunError;
use foretell_types::signature::{Example, NamedTensor, Signature};
use foretell_types::{Digest, TenantId, VersionDigest};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::protocol::{Frame, Ready, Request, Source, WireSetting, Work};
use super::{Walls, snapshot};
use crate::abi::v0_1::Plugin;
use crate::config::{CompileLimits, GuestLimits};
use crate::error::{self, Fault};
use crate::grants::log::Origin;
use crate::state::{self, CallState, Guest, StoreLimits};
use crate::ticker::{Running, Ticker};
use crate::{admission, setup};

/// An artifact that is so many times as large as its plugin keeps `load` busy for longer than quick compiling spares.
const LONG_LOAD: usize = 50;

/// Why the worker ends without having made anything.
#[derive(Debug)]
pub(super) enum Stop {
    /// The upload's own doing.
    Refused(Vec<Refusal>),
    /// Ours.
    Trouble(String),
    /// What was read is not what the request says.
    Changed(Content),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Trouble(error.to_string())
    }
}

/// One refusal.
pub(super) fn refused(
    code: RefusalCode,
    subject: impl Into<String>,
    message: impl Into<String>,
) -> Stop {
    Stop::Refused(vec![Refusal::new(code, subject, message)])
}

/// What the request names, read whole and found to be it.
#[derive(Default)]
pub(super) struct Input {
    /// The plugin, or the snapshot.
    main: Vec<u8>,
    artifact: Vec<u8>,
}

impl Input {
    pub(super) fn read(work: &Work) -> Result<Self, Stop> {
        Ok(match work {
            Work::Greet => Self::default(),
            Work::Recompile { snapshot } => Self {
                main: read(Content::Snapshot, snapshot)?,
                artifact: Vec::new(),
            },
            Work::Prepare {
                plugin, artifact, ..
            } => Self {
                main: read(Content::Plugin, plugin)?,
                artifact: match artifact {
                    Some(artifact) => read(Content::Artifact, artifact)?,
                    None => Vec::new(),
                },
            },
        })
    }
}

/// Does what is asked, and writes what comes of it.
pub(super) fn run(
    request: Request,
    input: Input,
    walls: Walls,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let (guest, compile) = (&request.guest, &request.compile);
    let (stack, image) = (guest.stack_bytes, request.dense_image_bytes);
    let trouble = |error| Stop::Trouble(format!("{error:#}"));
    let engine = setup::worker(stack, image).map_err(trouble)?;
    let ready = Ready {
        engine: setup::shown(&setup::fingerprint(&engine)),
        walls,
    };
    Frame::Ready(ready).write(out)?;
    let ticker = Ticker::start(&engine)?;
    let sandbox = Sandbox::new(engine, &ticker, guest, compile);
    match request.work {
        Work::Greet => {}
        Work::Recompile { .. } => {
            Frame::Step(Step::Compile).write(out)?;
            let code = sandbox.compile(&input.main)?;
            Frame::Code(code).write(out)?;
        }
        Work::Prepare {
            settings,
            memory_bytes,
            ..
        } => {
            Frame::Step(Step::Admission).write(out)?;
            let Input {
                main: uploaded,
                artifact,
            } = input;
            let component = admission::admit(uploaded, &request.structure, memory_bytes)
                .map_err(Stop::Refused)?;

            Frame::Step(Step::Snapshot).write(out)?;
            let settings: Vec<Setting> = settings.into_iter().map(WireSetting::into).collect();
            let snapshot = if artifact.len() > component.len() * LONG_LOAD {
                snapshot::take(&sandbox, &component, &artifact, &settings, memory_bytes)?
            } else {
                let engine = setup::quick_worker(stack, image).map_err(trouble)?;
                let ticker = Ticker::start(&engine)?;
                let once = Sandbox::new(engine, &ticker, guest, compile);
                snapshot::take(&once, &component, &artifact, &settings, memory_bytes)?
            };
            drop((component, artifact));

            Frame::Step(Step::Compile).write(out)?;
            let code = sandbox.compile(&snapshot)?;

            Frame::Step(Step::SelfTest).write(out)?;
            let signature = sandbox.self_test(&code, memory_bytes)?;
            Frame::Signature(Box::new(signature)).write(out)?;
            Frame::Snapshot(snapshot).write(out)?;
            Frame::Code(code).write(out)?;
        }
    }
    Ok(())
}

fn read(content: Content, source: &Source) -> Result<Vec<u8>, Stop> {
    let what = content.as_str();
    let bytes = fs::read(&source.file)
        .map_err(|error| Stop::Trouble(format!("the {what} cannot be read: {error}")))?;
    if Digest::parse(&source.sha256) == Some(Digest::from_bytes(Sha256::digest(&bytes).into())) {
        Ok(bytes)
    } else {
        Err(Stop::Changed(content))
    }
}

/// Where guests run in the worker.
pub(super) struct Sandbox<'a> {
    pub(super) engine: wasmtime::Engine,
    pub(super) compile: CompileLimits,
    guest: GuestLimits,
    _running: Running<'a>,
}

impl<'a> Sandbox<'a> {
    fn new(
        engine: wasmtime::Engine,
        ticker: &'a Ticker,
        guest: &GuestLimits,
        compile: &CompileLimits,
    ) -> Self {
        Self {
            _running: ticker.running(),
            engine,
            guest: guest.clone(),
            compile: compile.clone(),
        }
    }

    /// A store of its own, for one stage.
    pub(super) fn store(&self, memory_bytes: u64, deadline: Duration) -> Guest {
        let limits = StoreLimits {
            memory_bytes,
            guest: &self.guest,
            origin: nobody(),
            budget: None,
        };
        state::store(&self.engine, limits, (Instant::now() + deadline).into())
    }

    /// For what the server's wall clock bounds anyway.
    pub(super) fn far_deadline(&self) -> Instant {
        Instant::now() + self.compile.wall
    }

    fn compile(&self, snapshot: &[u8]) -> Result<Vec<u8>, Stop> {
        self.engine
            .precompile_component(snapshot)
            .map_err(|error| self.compile_failed(&error))
    }

    pub(super) fn compile_failed(&self, error: &wasmtime::Error) -> Stop {
        if out_of_memory(error) {
            return self
                .out_of_memory()
                .refusal("compile", RefusalCode::CompileFailed);
        }
        refused(
            RefusalCode::CompileFailed,
            "compile",
            format!("the compiler refuses the plugin: {error:#}"),
        )
    }

    /// `describe` and every example, each in an instance of its own, as predictions will be.
    fn self_test(&self, code: &[u8], memory_bytes: u64) -> Result<Signature, Stop> {
        // SAFETY: the bytes come from `compile` above, in this process.
        let component = unsafe { Component::deserialize(&self.engine, code) }
            .map_err(|error| Stop::Trouble(format!("compiled code cannot be loaded: {error:#}")))?;
        let plugin =
            Plugin::new(&component).map_err(|error| Stop::Trouble(format!("{error:#}")))?;
        let signature = self.describe(&plugin, memory_bytes)?;
        let failures: Vec<_> = signature
            .examples
            .iter()
            .filter_map(|example| {
                self.example(&plugin, &signature, example, memory_bytes)
                    .err()
            })
            .collect();
        if failures.is_empty() {
            Ok(signature)
        } else {
            Err(Stop::Refused(failures))
        }
    }

    fn describe(&self, plugin: &Plugin, memory_bytes: u64) -> Result<Signature, Stop> {
        let deadline = self.compile.example_deadline;
        let mut store = self.store(memory_bytes, deadline);
        let described = plugin
            .instantiate(&mut store)
            .and_then(|instance| plugin.describe(&mut store, &instance));
        match described {
            Err(error) => Err(self
                .explain(&error, store.data(), memory_bytes, deadline)
                .refusal("describe", RefusalCode::LoadFailed)),
            Ok(Err(problem)) => Err(refused(RefusalCode::LoadFailed, "describe", problem)),
            Ok(Ok(signature)) => match signature.validate() {
                Ok(()) => Ok(signature),
                Err(faults) => Err(Stop::Refused(
                    faults
                        .into_iter()
                        .map(|fault| {
                            Refusal::new(RefusalCode::LoadFailed, fault.subject, fault.message)
                        })
                        .collect(),
                )),
            },
        }
    }

    fn example(
        &self,
        plugin: &Plugin,
        signature: &Signature,
        example: &Example,
        memory_bytes: u64,
    ) -> Result<(), Refusal> {
        let subject = format!("example `{}`", example.name);
        let failed = |message: String| Refusal::new(RefusalCode::SelfTestFailed, &subject, message);
        let named = signature.inputs.iter().zip(&example.inputs);
        let inputs = signature
            .check(
                named
                    .map(|(input, tensor)| NamedTensor {
                        name: input.name.clone(),
                        tensor: tensor.clone(),
                    })
                    .collect(),
            )
            .map_err(|mismatch| failed(mismatch.to_string()))?;
        let deadline = self.compile.example_deadline;
        let mut store = self.store(memory_bytes, deadline);
        let answer = plugin
            .instantiate(&mut store)
            .and_then(|instance| plugin.predict(&mut store, &instance, inputs.inputs()));
        match answer {
            Err(error) => {
                let problem = self.explain(&error, store.data(), memory_bytes, deadline);
                Err(problem.named(&subject, RefusalCode::SelfTestFailed))
            }
            Ok(Err(RunError::Refused { message, .. })) => Err(failed(format!(
                "the plugin refuses its own input: {message}"
            ))),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Ok(Ok(outputs)) => signature
                .check_outputs(&outputs, inputs.rows())
                .and_then(|()| example.compare(&outputs, &signature.outputs))
                .map_err(failed),
        }
    }

    /// An error of a guest, in words for whoever uploaded it.
    pub(super) fn explain(
        &self,
        error: &wasmtime::Error,
        state: &CallState,
        memory_bytes: u64,
        deadline: Duration,
    ) -> Problem {
        if out_of_memory(error) {
            return self.out_of_memory();
        }
        let last_words = state
            .log
            .last_error()
            .map(|line| format!("; it logged: {line}"))
            .unwrap_or_default();
        match error::fault(error, state.limits.growth(), memory_bytes) {
            Fault::Interrupted => Problem {
                limit: true,
                message: format!(
                    "it did not end within {} s{last_words}",
                    deadline.as_secs_f32()
                ),
            },
            Fault::PoolFull(_) => Problem {
                limit: false,
                message: format!("{error:#}"),
            },
            Fault::Run(fault) => Problem {
                limit: matches!(fault, RunError::Memory { .. }),
                message: format!("{fault}{last_words}"),
            },
        }
    }

    fn out_of_memory(&self) -> Problem {
        let mib = self.compile.data_bytes >> 20;
        Problem {
            limit: true,
            message: format!("it needs more than the {mib} MiB that an upload may use"),
        }
    }
}

/// What went wrong in a stage.
pub(super) struct Problem {
    limit: bool,
    message: String,
}

impl Problem {
    /// `otherwise` is the code where no limit was the cause.
    pub(super) fn refusal(self, subject: &str, otherwise: RefusalCode) -> Stop {
        Stop::Refused(vec![self.named(subject, otherwise)])
    }

    fn named(self, subject: &str, otherwise: RefusalCode) -> Refusal {
        Refusal::new(
            if self.limit {
                RefusalCode::Limit
            } else {
                otherwise
            },
            subject,
            self.message,
        )
    }
}

/// Whether the system refused memory: the worker ran into its data limit.
fn out_of_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::error::OutOfMemory>()
        || error.chain().any(|cause| {
            let errno = cause
                .downcast_ref::<rustix::io::Errno>()
                .map(|errno| errno.raw_os_error());
            let io = cause
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::raw_os_error);
            errno.or(io) == Some(libc::ENOMEM)
        })
}

/// Log lines of the worker belong to nobody: it has no log. What matters of them goes into refusals.
fn nobody() -> Arc<Origin> {
    #[expect(clippy::unwrap_used, reason = "a literal that is a tenant's name")]
    let tenant = TenantId::parse("upload").unwrap();
    Arc::new(Origin {
        tenant,
        version: VersionDigest(Digest::from_bytes([0; 32])),
    })
}
