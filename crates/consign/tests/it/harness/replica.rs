//! The product in this process: started over a database, served on ports of its own, stopped as by SIGTERM.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use consign::config::Config;
use consign::{App, keys, server, telemetry};
use consign_core::secret::Secret;
use consign_store::{DatabaseUrl, Store};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Database, Folder};
use crate::peers;

/// One process's worth of the product.
pub(crate) struct Replica {
    pub(crate) app: Arc<App>,
    pub(crate) address: SocketAddr,
    pub(super) metrics: SocketAddr,
    stop: Vec<oneshot::Sender<()>>,
    serving: Vec<JoinHandle<()>>,
}

impl Replica {
    /// Starts one over a database; its key ring lies in the data folder.
    pub(crate) async fn start(
        folder: &Folder,
        database: &Database,
        edit: &(dyn Fn(&mut Config) + Send + Sync),
    ) -> Result<Self, String> {
        let local = (Ipv4Addr::LOCALHOST, 0);
        let (listener, metrics_listener) =
            (TcpListener::bind(local).await.unwrap(), TcpListener::bind(local).await.unwrap());
        let (address, metrics) = (listener.local_addr().unwrap(), metrics_listener.local_addr().unwrap());
        let config = config(folder, database, address, metrics, edit);
        telemetry::metrics();
        keys::create_folder(&config.data.dir).unwrap();
        let url = DatabaseUrl::parse(&config.database_url()).map_err(|error| error.to_string())?;
        let store =
            Store::open(&url, config.database.max_connections).await.map_err(|error| error.to_string())?;
        let empty = !config.own_keys_file().exists();
        let ring = keys::load(&config, empty).map_err(|error| error.to_string())?.ring;
        let app = App::start(config, ring, store).await.map_err(|error| error.to_string())?;
        let draining = Arc::new(AtomicBool::new(false));
        let front = server::Front::new(&app.config, app.store.clone(), server::router(app.clone())).unwrap();
        let front = front.reached_as_chosen(app.clone());
        let watched = server::metrics(app.clone(), draining);
        let watched = server::Front::plain(app.store.clone(), watched);
        let (mut stop, mut serving) = (Vec::new(), Vec::new());
        for (front, listener) in [(front, listener), (watched, metrics_listener)] {
            let (sender, stopped) = oneshot::channel::<()>();
            stop.push(sender);
            serving.push(tokio::spawn(async move {
                let stopped = async {
                    let _ = stopped.await;
                };
                front.serve(listener, stopped).await;
            }));
        }
        Ok(Self { app, address, metrics, stop, serving })
    }

    /// Stops as SIGTERM does: no new requests, running attempts end.
    pub(crate) async fn stop(self) {
        for stop in self.stop {
            let _ = stop.send(());
        }
        for serving in self.serving {
            serving.await.unwrap();
        }
        self.app.stop().await;
    }
}

fn config(
    folder: &Folder,
    database: &Database,
    address: SocketAddr,
    metrics: SocketAddr,
    edit: &(dyn Fn(&mut Config) + Send + Sync),
) -> Config {
    let mut config = Config::default();
    config.server.listen = address;
    config.server.metrics_listen = Some(metrics);
    config.server.shutdown_grace_seconds = 10;
    config.data.dir = folder.join("data");
    config.database.url = Some(Secret::new(database.url.clone()));
    config.database.max_connections = 6;
    config.egress.allow = vec!["127.0.0.1:*".to_owned()];
    config.egress.allow_loopback = true;
    config.egress.ca_file = Some(folder.write("ca.pem", peers::authority().pem()).into());
    edit(&mut config);
    config
}
