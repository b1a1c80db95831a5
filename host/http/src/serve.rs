//! The accept loop: how many connections, how long each may let us wait, and how they all end.
//!
//! HTTP/1.1 only. hyper speaks the protocol; limits, timeouts and drain are ours, since warp's own server has none.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

mod bare;
mod connection;
mod pace;
mod places;

use crate::{App, HttpConfig, Routes, extract, reply, routes};
use connection::Shared;
use places::Places;

/// Pause after an error of `accept`, which is mostly a lack of file descriptors that only time repairs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What was served from start to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Connections that were accepted and served.
    pub connections: u64,
    /// Connections that were turned away because a cap was reached.
    pub turned_away: u64,
    /// Requests that reached the routes.
    pub requests: u64,
    /// Connections that were cut off because their request did not end within the grace period.
    pub cut_off: usize,
    /// Time from the end of accepting to the end of the last connection.
    pub drained_in: Duration,
}

/// Serves until `shutdown` ends, then drains: not ready at once, after `drain_delay` no new connections, and requests
/// under way have `drain_grace` to end.
///
/// # Errors
/// If the listener cannot be used by the runtime. Errors of single connections end those only.
pub async fn serve(
    listener: std::net::TcpListener,
    app: App,
    config: HttpConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Summary> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (health, drain_delay) = (Arc::clone(&app.health), config.drain_delay);
    let stop = async move {
        shutdown.await;
        health.drain();
        tracing::info!("draining: not ready any more");
        sleep_until(Instant::now() + drain_delay).await;
    };
    let mut server = Server::new(routes(app, &config), config);
    server.accept_until(&listener, std::pin::pin!(stop)).await;
    // From here on new connections are refused by the kernel.
    drop(listener);
    Ok(server.drain().await)
}

struct Server {
    shared: Arc<Shared>,
    places: Places,
    ending: watch::Sender<bool>,
    connections: JoinSet<()>,
    accepted: u64,
    turned_away: u64,
}

impl Server {
    fn new(routes: Routes, config: HttpConfig) -> Self {
        Self {
            places: Places::new(&config),
            shared: Arc::new(Shared {
                routes,
                config,
                requests: AtomicU64::new(0),
            }),
            ending: watch::Sender::new(false),
            connections: JoinSet::new(),
            accepted: 0,
            turned_away: 0,
        }
    }

    async fn accept_until(
        &mut self,
        listener: &TcpListener,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) {
        loop {
            tokio::select! {
                // Biased: the end of the server must not wait behind a flood of connections.
                biased;
                () = &mut stop => return,
                Some(ended) = self.connections.join_next() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        sleep_until(Instant::now() + ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Some(place) = self.places.take(peer.ip()) else {
            self.turned_away += 1;
            // As much as fits the empty send buffer of a new socket, which is all of it; nobody waits for more.
            let told = stream.try_write(reply::full(&extract::generated_id()).as_bytes());
            tracing::debug!(%peer, told = told.is_ok(), "connection turned away");
            return;
        };
        self.accepted += 1;
        // Without it small answers may wait for the caller's acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let connection = connection::run(
            stream,
            peer,
            Arc::clone(&self.shared),
            self.ending.subscribe(),
        );
        self.connections.spawn(async move {
            let _place = place;
            connection.await;
        });
    }

    async fn drain(mut self) -> Summary {
        let since = Instant::now();
        self.ending.send_replace(true);
        let all_ended = async {
            while let Some(ended) = self.connections.join_next().await {
                report(ended);
            }
        };
        let in_time = timeout(self.shared.config.drain_grace, all_ended)
            .await
            .is_ok();
        let cut_off = self.connections.len();
        if !in_time {
            tracing::warn!(cut_off, "the grace period is over");
            self.connections.shutdown().await;
        }
        Summary {
            connections: self.accepted,
            turned_away: self.turned_away,
            requests: self.shared.requests.load(Ordering::Relaxed),
            cut_off,
            drained_in: since.elapsed(),
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
