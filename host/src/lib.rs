//! Foretell, the program: command line, configuration, and the wiring of the rooms.
//!
//! [`run`] is the server: what `foretell serve` calls and what tests call. [`cli`] is the command line over it. The
//! rooms (`foretell-http`, `-predict`, `-store`, `-engine`) do not know each other beyond their traits; [`wire`] is the
//! one file that introduces them.

pub mod cli;
pub mod client;
pub mod config;
pub mod folder;
pub mod health;
mod key_set;
pub mod limits;
pub mod lock;
pub mod manifest;
pub mod plugin;
pub mod record;
pub mod sandbox;
pub mod secrets;
pub mod shutdown;
pub mod telemetry;
pub mod threads;
pub mod wire;

pub use config::Config;
pub use foretell_http::Listeners;

use folder::DataFolder;
use wire::House;

/// Serves on the listeners, a [`std::net::TcpListener`] for HTTP alone, until `shutdown` completes, then lets requests under way end within the drain grace.
///
/// The data folder is made where it is missing and locked against a second server. Nobody is told the key of a first
/// start: set [`config::Security::admin_key`].
///
/// # Errors
/// If the data folder, the store or the engine cannot be opened, or the listener breaks.
pub async fn run(
    config: Config,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let folder = DataFolder::open(&config.server.data_dir)?;
    let house = House::open(config, folder).await?;
    house.serve(listeners, shutdown).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Client;
    use config::units::{AdminKey, ByteSize, DatabaseUrl, Setting};
    use reqwest::Method;
    use serde_json::json;
    use std::net::TcpListener;
    use tokio::sync::oneshot;

    const KEY: &str = "an-operators-key-of-a-test";

    struct Running {
        client: Client,
        stop: oneshot::Sender<()>,
        server: tokio::task::JoinHandle<anyhow::Result<()>>,
    }

    fn config(data_dir: &std::path::Path) -> Config {
        let mut config = Config::default();
        config.server.data_dir = data_dir.to_owned();
        config.database.url = DatabaseUrl::parse("memory:").unwrap();
        config.security.admin_key = Some(AdminKey::parse(KEY).unwrap());
        config.sandbox.instances = 4;
        config
    }

    fn start(config: Config) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(run(config, listener, async {
            let _ = stopped.await;
        }));
        let client = Client::new(&url, Some(KEY.to_owned()), None).unwrap();
        Running {
            client,
            stop,
            server,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_answers_its_operator_until_it_is_told_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let Running {
            client,
            stop,
            server,
        } = start(config(folder.path()));
        let tenant = json!({"name": "acme"});
        let created = client
            .host(Method::POST, "/api/tenants", Some(&tenant))
            .await
            .unwrap();
        assert_eq!(created.json["name"], "acme");
        let again = client
            .host(Method::POST, "/api/tenants", Some(&tenant))
            .await
            .unwrap_err();
        assert!(again.message.ends_with("(conflict)"), "{again}");
        assert_eq!(again.exit, cli::exit::Exit::Data);
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_in_use_is_refused_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let Running {
            client,
            stop,
            server,
        } = start(config(folder.path()));
        client.host(Method::GET, "/livez", None).await.unwrap();
        let second = start(config(folder.path()));
        let error = second.server.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("in use by process"), "{error}");
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        folder::DataFolder::open(folder.path()).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_check_of_the_machine_degrades_the_server() {
        for (check, change) in [
            (
                "disk_space",
                (|config: &mut Config| config.health.min_free_disk = ByteSize::mib(1 << 30))
                    as fn(&mut Config),
            ),
            ("memory_usage", |config| {
                config.health.max_memory = ByteSize(1)
            }),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut config = config(folder.path());
            change(&mut config);
            let Running {
                client,
                stop,
                server,
            } = start(config);
            let report = client.host(Method::GET, "/health", None).await.unwrap();
            assert_eq!(report.json["status"], "degraded", "{check}");
            assert_eq!(
                report.json["checks"][check]["status"], "unhealthy",
                "{}",
                report.text
            );
            assert_eq!(
                report.json["checks"]["database"]["status"], "healthy",
                "{}",
                report.text
            );
            stop.send(()).unwrap();
            server.await.unwrap().unwrap();
        }
    }
}
