//! `load`, and the component as it is afterwards: its memory and globals written back as data, so that an instance of it
//! begins where `load` ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use foretell_types::compile::{Refusal, RefusalCode, Setting};
use wasmtime::Store;
use wasmtime::component::{Component, Instance, Lift, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::steps::{Sandbox, Stop, refused};
use crate::abi::v0_1::Plugin;
use crate::state::{CallState, Guest};

/// What the snapshotter itself adds to a memory while it reads it: a page each time, twice.
const READING_BYTES: u64 = 2 * 65_536;

/// Runs `load` in the component and takes the snapshot.
pub(super) fn take(
    sandbox: &Sandbox,
    component: &[u8],
    artifact: &[u8],
    settings: &[Setting],
    memory_bytes: u64,
) -> Result<Vec<u8>, Stop> {
    let mut wizer = Wizer::new();
    // Without this it removes functions by name and renumbers, which its own tests call broken.
    wizer.keep_init_func(true);
    let (context, instrumented) = wizer
        .instrument_component(component)
        .map_err(|error| cannot(&format!("{error:#}")))?;
    let compiled = Component::new(&sandbox.engine, &instrumented)
        .map_err(|error| sandbox.compile_failed(&error))?;
    drop(instrumented);
    let plugin = Plugin::new(&compiled).map_err(|error| {
        refused(
            RefusalCode::WrongWorld,
            "foretell:plugin/predictor",
            format!("the plugin does not fit: {error:#}"),
        )
    })?;

    let (store, instance) = load(sandbox, &plugin, artifact, settings, memory_bytes)?;
    let mut state = State { store, instance };
    // Reading a memory hands it over as one list.
    state.store.set_hostcall_fuel(usize::MAX);
    crate::state::begin(&mut state.store, sandbox.far_deadline().into());
    // The snapshotter has no errors of its own for what it cannot read; it panics.
    let taken = catch_unwind(AssertUnwindSafe(|| {
        now(wizer.snapshot_component(&context, &mut state))
    }));
    match taken {
        Ok(Ok(snapshot)) => Ok(snapshot),
        Ok(Err(error)) => Err(cannot(&format!("{error:#}"))),
        Err(_) => Err(cannot(
            "its state cannot be read; a memory needs room for two pages more than `load` left it with, and every core module \
             with a memory or a mutable global needs an export",
        )),
    }
}

fn load(
    sandbox: &Sandbox,
    plugin: &Plugin,
    artifact: &[u8],
    settings: &[Setting],
    memory_bytes: u64,
) -> Result<(Guest, Instance), Stop> {
    let deadline = sandbox.compile.load_deadline;
    let mut store = sandbox.store(memory_bytes.saturating_add(READING_BYTES), deadline);
    let ended = plugin.instantiate(&mut store).and_then(|instance| {
        let loaded = plugin.load(&mut store, &instance, artifact, settings)?;
        Ok((instance, loaded))
    });
    match ended {
        Ok((instance, Ok(()))) => Ok((store, instance)),
        Ok((_, Err(refusal))) => Err(Stop::Refused(vec![refusal])),
        Err(error) => {
            let problem = sandbox.explain(&error, store.data(), memory_bytes, deadline);
            Err(problem.refusal("load", RefusalCode::LoadFailed))
        }
    }
}

fn cannot(problem: &str) -> Stop {
    Stop::Refused(vec![Refusal::new(
        RefusalCode::CompileFailed,
        "snapshot",
        format!("the plugin cannot be snapshotted after `load`: {problem}"),
    )])
}

/// The state of the loaded instance, as the snapshotter asks for it: through functions that it has added.
struct State {
    store: Guest,
    instance: Instance,
}

impl State {
    fn call<R, T>(
        &mut self,
        instance: &str,
        function: &str,
        then: impl FnOnce(&Store<CallState>, R) -> T,
    ) -> T
    where
        R: Lift + 'static,
    {
        match self.read(instance, function) {
            Ok(value) => then(&self.store, value),
            // Caught in `take`: the trait has no other way out.
            Err(error) => std::panic::panic_any(format!("{error:#}")),
        }
    }

    fn read<R: Lift + 'static>(&mut self, instance: &str, function: &str) -> wasmtime::Result<R> {
        let (store, plugin) = (&mut *self.store, &self.instance);
        let missing = || wasmtime::Error::msg(format!("no {instance}#{function}"));
        let (_, index) = plugin
            .get_export(&mut *store, None, instance)
            .ok_or_else(missing)?;
        let (_, index) = plugin
            .get_export(&mut *store, Some(&index), function)
            .ok_or_else(missing)?;
        let typed = plugin.get_typed_func::<(), (R,)>(&mut *store, &index)?;
        Ok(typed.call(store, ())?.0)
    }
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        self.call(instance, func, |store, list: WasmList<u8>| {
            contents(list.as_le_slice(store))
        });
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.call(instance, func, |_, value| value)
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.call(instance, func, |_, value| value)
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call(instance, func, |_, value: f32| value.to_bits())
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call(instance, func, |_, value: f64| value.to_bits())
    }
}

/// Runs a future that never waits: all its calls above are synchronous.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
