//! Many versions on one server: the least plugin there is, with as many different artifacts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use foretell_bench::http::Request;
use foretell_engine::testkit;
use serde_json::json;

use crate::bench::Bench;
use crate::site::{Site, Version};

/// Uploads at once: as many as one tenant may have under way.
const UPLOADS: usize = 4;

/// A server with the versions `model-0`, `model-1`, ...
pub(crate) struct Crowd {
    pub(crate) site: Site,
    plugin: Vec<u8>,
    size: usize,
}

impl Crowd {
    /// A server without any, which keeps all loaded that its system has room for.
    pub(crate) fn open(bench: &Bench) -> Result<Self> {
        Ok(Self {
            site: Site::foretell(bench, &[("FORETELL_SANDBOX__LOADED_VERSIONS", "10000")])?,
            plugin: testkit::echo(),
            size: 0,
        })
    }

    /// Pushes until there are so many.
    pub(crate) fn grow(&mut self, size: usize) -> Result<()> {
        let next = AtomicUsize::new(self.size);
        let push = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= size {
                    return Ok(());
                }
                self.site.push(&Version {
                    model: &format!("model-{number}"),
                    plugin: &self.plugin,
                    artifact: &number.to_le_bytes(),
                    runtime: json!({}),
                })?;
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..UPLOADS).map(|_| scope.spawn(push)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| match thread.join() {
                    Ok(pushed) => pushed,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })?;
        self.size = self.size.max(size);
        Ok(())
    }
}

/// A question to one of them.
pub(crate) fn ask(number: usize) -> Request {
    let body = json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [0.5]}]});
    Request::post(format!("/v2/models/model-{number}/infer"), body.to_string())
}
