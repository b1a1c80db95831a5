//! `serve`: the server, until a signal stops it.

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};

use clap::Args;

use super::config::Source;
use super::exit::{Exit, Failure};
use super::{Context, output};
use crate::Listeners;
use crate::config::Server;
use crate::config::{Config, Loaded};
use crate::folder::{DataFolder, FolderError};
use crate::lock::LockError;
use crate::telemetry::{self, Colour};
use crate::wire::{House, StartError};
use crate::{limits, shutdown, threads};

/// Starts the server. Without any configuration it makes ./foretell-data, an operator's key, and listens on
/// 127.0.0.1:5000.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
}

impl Serve {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let Loaded { config, notes, .. } = self.source.load(&context.environment)?;
        let colour = match context.environment.get("NO_COLOR") {
            Some(_) => Colour::Never,
            None => Colour::Auto,
        };
        telemetry::start(&config.logging, colour);
        for note in notes {
            tracing::warn!("{note}");
        }
        limits::give_memory_back();
        let files = limits::raise_open_files();
        if files < limits::ENOUGH_FILES {
            tracing::warn!(
                files,
                "few open files are allowed; raise the hard limit (LimitNOFILE, ulimit -Hn)"
            );
        }
        // The folder before the port: whoever starts a second server should learn about the first one.
        let folder =
            DataFolder::open(&config.server.data_dir).map_err(|error| folder_failure(&error))?;
        let Server {
            listen,
            grpc_listen,
            ..
        } = config.server;
        let listeners = Listeners {
            http: bind(listen, "--listen")?,
            grpc: match grpc_listen.address(listen) {
                Some(address) => Some(bind(address, "server.grpc_listen")?),
                None => None,
            },
        };
        threads::runtime()
            .map_err(|error| Failure::new(Exit::Os, format_args!("async runtime: {error}")))?
            .block_on(serve(config, folder, listeners))
    }
}

async fn serve(config: Config, folder: DataFolder, listeners: Listeners) -> Result<(), Failure> {
    // Before anything slow: a signal during the start must stop it cleanly, too.
    let shutdown = shutdown::on_signal()
        .map_err(|error| Failure::new(Exit::Os, format_args!("signal handlers: {error}")))?;
    let address_of = |listener: &TcpListener| {
        let address = listener.local_addr();
        address.map_err(|error| Failure::io("the listener", &error))
    };
    let address = address_of(&listeners.http)?;
    let grpc = match &listeners.grpc {
        Some(listener) => format!(" (gRPC on {})", address_of(listener)?),
        None => String::new(),
    };
    let data_dir = folder.path().display().to_string();
    let mut house = House::open(config, folder)
        .await
        .map_err(|error| start_failure(&error))?;
    if let Some(secret) = house.take_new_operator_key() {
        output::note(format_args!(
            "first start: data folder {data_dir}\n\
             operator key, shown this once: {secret}\n\
             next: export FORETELL_KEY={secret}; foretell --url http://{address} tenant create NAME"
        ));
    }
    // Whoever reads it becomes an operator: it is shown to somebody who looks on, and is in no log.
    if std::io::stderr().is_terminal()
        && let Some(token) = setup_token(&house).await?
    {
        output::note(format_args!(
            "nobody can log in as an operator yet\n\
             setup token, good once and until the server stops: {token}\n\
             next: foretell --url http://{address} user setup NAME"
        ));
    }
    output::note(format_args!("listening on http://{address}{grpc}"));
    house
        .serve(listeners, shutdown)
        .await
        .map_err(|error| Failure::io("the listener", &error))
}

async fn setup_token(house: &House) -> Result<Option<String>, Failure> {
    house.setup_token().await.map_err(|error| {
        let cause = error.cause().unwrap_or_else(|| error.to_string());
        Failure::new(Exit::Io, format_args!("the setup token: {cause}"))
    })
}

fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        use std::io::ErrorKind;
        let exit = match error.kind() {
            ErrorKind::PermissionDenied => Exit::NoPermission,
            ErrorKind::AddrNotAvailable => Exit::Config,
            _ => Exit::Unavailable,
        };
        Failure::new(
            exit,
            format_args!("cannot listen on {address}: {error}; choose another with {setting}"),
        )
    })
}

fn folder_failure(error: &FolderError) -> Failure {
    let exit = match error {
        FolderError::Lock(LockError::Held { .. }) => Exit::Unavailable,
        FolderError::Lock(LockError::Io { .. }) | FolderError::Io { .. } => Exit::CannotCreate,
    };
    Failure::new(exit, error)
}

fn start_failure(error: &StartError) -> Failure {
    let exit = match error {
        StartError::Secrets(_) | StartError::Store(foretell_store::StoreError::Corrupt(_)) => {
            Exit::Data
        }
        StartError::Store(foretell_store::StoreError::Unsupported(_))
        | StartError::OperatorKey(_)
        | StartError::Tokens(_) => Exit::Config,
        StartError::Store(_) => Exit::Io,
        StartError::Engine(_) | StartError::Worker(_) => Exit::Os,
    };
    Failure::new(exit, error)
}
