//! From a signal to a drain.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Completes at the first SIGTERM or SIGINT. From then on a second one ends the process at once, for people who do not
/// want to wait for the drain.
///
/// # Errors
/// If the handlers cannot be set.
pub fn on_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = first(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "stopping; requests under way may end");
        tokio::spawn(async move {
            let name = first(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "stopped without waiting");
            std::process::exit(130);
        });
    })
}

async fn first(
    terminate: &mut tokio::signal::unix::Signal,
    interrupt: &mut tokio::signal::unix::Signal,
) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
