//! The accept loop: how many connections, how long each may let us wait, and how they all end.
//!
//! HTTP/1.1 for requests, HTTP/2 for the calls of gRPC, each on a port of its own. hyper speaks the protocols; limits,
//! timeouts and drain are ours, since warp's own server has none.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

mod bare;
mod calls;
mod connection;
mod pace;
mod places;
mod unread;

use crate::{App, HttpConfig, grpc, routes};
use calls::Calls;
use connection::Requests;
use places::Places;

/// Pause after an error of `accept`, which is mostly a lack of file descriptors that only time repairs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What was served from start to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

impl Summary {
    /// Of two listeners that ended together.
    fn and(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            turned_away: self.turned_away + other.turned_away,
            requests: self.requests + other.requests,
            cut_off: self.cut_off + other.cut_off,
            drained_in: self.drained_in.max(other.drained_in),
        }
    }
}

/// Where callers come in.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP/1.1.
    pub http: std::net::TcpListener,
    /// gRPC; none = it is not served.
    pub grpc: Option<std::net::TcpListener>,
}

impl From<std::net::TcpListener> for Listeners {
    /// HTTP alone.
    fn from(http: std::net::TcpListener) -> Self {
        Self { http, grpc: None }
    }
}

/// Serves until `shutdown` ends, then drains: not ready at once, after `drain_delay` no new connections, and requests
/// under way have `drain_grace` to end.
///
/// # Errors
/// If a listener cannot be used by the runtime. Errors of single connections end those only.
pub async fn serve(
    listeners: impl Into<Listeners>,
    app: App,
    config: HttpConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Summary> {
    let Listeners { http, grpc } = listeners.into();
    let (health, drain_delay) = (Arc::clone(&app.health), config.drain_delay);
    // One count for both listeners: what a connection takes of the machine is the same.
    let places = Arc::new(Places::new(&config));
    let mut calls = match grpc {
        None => None,
        Some(listener) => {
            let speaks = Calls::new(app.clone(), config.clone()).map_err(io::Error::other)?;
            Some(Server::new(listener, speaks, &places, &config)?)
        }
    };
    let reporter = calls.as_ref().map(|calls| calls.speaks.reporter.clone());
    if let Some(reporter) = &reporter {
        grpc::serving(reporter).await;
    }
    let speaks = Requests {
        routes: routes(app, &config),
        config: config.clone(),
        requests: AtomicU64::new(0),
    };
    let mut requests = Server::new(http, speaks, &places, &config)?;
    let stopping = watch::Sender::new(false);
    let stop = async {
        shutdown.await;
        health.drain();
        if let Some(reporter) = &reporter {
            grpc::not_serving(reporter).await;
        }
        tracing::info!("draining: not ready any more");
        sleep_until(Instant::now() + drain_delay).await;
        stopping.send_replace(true);
    };
    let accept_calls = async {
        if let Some(calls) = &mut calls {
            calls.accept_until(stopping.subscribe()).await;
        }
    };
    tokio::join!(
        stop,
        requests.accept_until(stopping.subscribe()),
        accept_calls
    );
    let drain_calls = async {
        match calls {
            Some(calls) => calls.drain().await,
            None => Summary::default(),
        }
    };
    let (requests, calls) = tokio::join!(requests.drain(), drain_calls);
    Ok(requests.and(calls))
}

/// What is spoken on the connections of a listener.
trait Speaks: Send + Sync + 'static {
    /// Tells a connection for which there is no place.
    fn turn_away(&self, stream: &TcpStream);

    /// Serves a connection until either side ends it, it is too slow, or `ending` says that the server stops.
    fn run(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        ending: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// How many requests came so far.
    fn requests(&self) -> u64;
}

/// One listener with its connections.
struct Server<S> {
    /// Taken away when nobody is accepted any more: the kernel refuses from then on.
    listener: Option<TcpListener>,
    speaks: Arc<S>,
    places: Arc<Places>,
    drain_grace: Duration,
    ending: watch::Sender<bool>,
    connections: JoinSet<()>,
    accepted: u64,
    turned_away: u64,
}

impl<S: Speaks> Server<S> {
    fn new(
        listener: std::net::TcpListener,
        speaks: S,
        places: &Arc<Places>,
        config: &HttpConfig,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: Some(TcpListener::from_std(listener)?),
            speaks: Arc::new(speaks),
            places: Arc::clone(places),
            drain_grace: config.drain_grace,
            ending: watch::Sender::new(false),
            connections: JoinSet::new(),
            accepted: 0,
            turned_away: 0,
        })
    }

    async fn accept_until(&mut self, mut stopping: watch::Receiver<bool>) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        loop {
            tokio::select! {
                // Biased: the end of the server must not wait behind a flood of connections.
                biased;
                () = is_set(&mut stopping) => return,
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
            self.speaks.turn_away(&stream);
            tracing::debug!(%peer, "connection turned away");
            return;
        };
        self.accepted += 1;
        // Without it small answers may wait for the caller's acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let ending = self.ending.subscribe();
        let connection = Arc::clone(&self.speaks).run(stream, peer, ending);
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
        let in_time = timeout(self.drain_grace, all_ended).await.is_ok();
        let cut_off = self.connections.len();
        if !in_time {
            tracing::warn!(cut_off, "the grace period is over");
            self.connections.shutdown().await;
        }
        Summary {
            connections: self.accepted,
            turned_away: self.turned_away,
            requests: self.speaks.requests(),
            cut_off,
            drained_in: since.elapsed(),
        }
    }
}

/// Waits until the server says so. The sender lives as long as the server; if it is gone, so is the server.
async fn is_set(flag: &mut watch::Receiver<bool>) {
    let _gone = flag.wait_for(|set| *set).await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
