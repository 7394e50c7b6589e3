//! `consign serve`: opens the database with its key, serves until it is told to stop, and stops cleanly.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use consign_core::secret::Secret;
use consign_core::vault::KeyRing;
use consign_store::{DatabaseUrl, Store, StoreError};
use rustix::process::{Resource, Rlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::failure::{Code, Failure};
use super::output::Output;
use super::{ConfigFile, backup};
use crate::api;
use crate::config::Config;
use crate::engine::{Accept, RecordsError};
use crate::keys::{self, KeysError, Place};
use crate::locked::{self, Locked};
use crate::ops::users;
use crate::server::{self, Front};
use crate::{App, StartError, service, telemetry};

/// Set in a database from its first start on.
const INSTALLATION: &str = "id";
/// Tells a second process who was first.
const HOLDER_FILE: &str = "consign.pid";

/// How to serve.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
    /// End at once, instead of serving a page about it, when the encryption key does not fit
    #[arg(long)]
    strict_key: bool,
    /// Start although the database is older than this server has seen it, as after a restore. Sessions and invitations
    /// of it end, rows that were changed outside Consign stay locked, and the audit log says so
    #[arg(long)]
    accept_rollback: bool,
    /// Start although entries of the audit log are missing, and take rows that were changed outside Consign as saved:
    /// all of them, also a password or an API key that somebody put there. The log names each row, also those that a
    /// missing entry may have changed
    #[arg(long)]
    accept_changes: bool,
}

/// An opened database, with the key that fits or without.
pub(crate) enum Opened {
    /// Everything runs.
    Ready {
        /// The product.
        app: Arc<App>,
        /// Where its key ring was found.
        place: Place,
    },
    /// The key is missing or another one.
    Locked {
        /// Which one.
        why: Locked,
        /// The options, for serving the page about it.
        config: Box<Config>,
        /// The database, untouched.
        store: Store,
    },
}

impl Serve {
    /// The options to serve with.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        Ok(self.config.load()?.config)
    }
}

/// Serves.
pub(crate) async fn run(arguments: Serve, config: Config, output: &Output) -> Result<ExitCode, Failure> {
    telemetry::start_log(&config.log).map_err(|why| Failure::new(Code::Failed, &why))?;
    keys::harden();
    keys::small_pages();
    keys::quiet_panics();
    raise_open_files();
    let (listen, metrics_listen) = (config.server.listen, config.server.metrics_listen);
    let gateway_listen = config.gateway.listen;
    let accept = Accept { older: arguments.accept_rollback, changes: arguments.accept_changes };
    let opened = open(config, accept).await?;
    if let Opened::Locked { why, .. } = &opened
        && arguments.strict_key
    {
        return Err(Failure::new(Code::Failed, &why.sentence()));
    }
    let listener = bind(listen, "server.listen").await?;
    let metrics = match metrics_listen {
        Some(address) => Some(bind(address, "server.metrics_listen").await?),
        None => None,
    };
    let gateways = match gateway_listen {
        Some(address) => Some(bind(address, "gateway.listen").await?),
        None => None,
    };
    let stop =
        stop_signal().map_err(|error| Failure::caused(Code::Failed, "Signals cannot be received", &error))?;
    match opened {
        Opened::Ready { app, place } => {
            let listeners = Listeners { main: listener, metrics, gateways };
            serve(&app, &place, listeners, stop, output).await?;
        }
        Opened::Locked { why, config, store } => {
            tracing::error!("locked: {}", why.sentence());
            output.note(&format!(
                "{}\nOnly a page about this is served at {}",
                why.sentence(),
                config.public_url()
            ));
            service::tell(&format!("{}\nSTATUS=Locked: the encryption key does not fit", service::READY));
            let front = Front::new(&config, store.clone(), locked::router(why.clone()));
            let health = metrics.map(|listener| {
                let front = Front::plain(store.clone(), locked::router(why));
                tokio::spawn(front.serve(listener, told(stop.clone())))
            });
            front.map_err(|error| tls_fault(&error))?.serve(listener, told(stop)).await;
            if let Some(health) = health {
                health.abort();
            }
            store.close().await;
            forget_holder(&config);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where it is reached.
struct Listeners {
    main: TcpListener,
    metrics: Option<TcpListener>,
    gateways: Option<TcpListener>,
}

async fn serve(
    app: &Arc<App>,
    place: &Place,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
    output: &Output,
) -> Result<(), Failure> {
    telemetry::metrics();
    let draining = Arc::new(AtomicBool::new(false));
    let router = server::router_until(app.clone(), draining.clone());
    let front = Front::new(&app.config, app.store.clone(), router).map_err(|error| tls_fault(&error))?;
    let front = front.reached_as_chosen(app.clone());
    let gateways = listeners.gateways.map(|listener| {
        Ok((listener, Front::new(&app.config, app.store.clone(), api::gateways_alone(app.clone()))?))
    });
    let gateways = gateways.transpose().map_err(|error: io::Error| tls_fault(&error))?;
    greet(app, place, output).await?;
    let upkeep = tokio::spawn(telemetry::upkeep());
    let draining_soon = tokio::spawn(server::drain(draining.clone(), told(stop.clone())));
    let metrics = listeners.metrics.map(|listener| {
        let front = Front::plain(app.store.clone(), server::metrics(app.clone(), draining));
        tokio::spawn(front.serve(listener, told(stop.clone())))
    });
    let gateways = gateways.map(|(listener, front)| {
        let front = front.reached_as_chosen(app.clone());
        tokio::spawn(front.serve(listener, told(stop.clone())))
    });
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = app.public_url(), "serving");
    service::tell(service::READY);
    front.serve(listeners.main, told(stop)).await;
    if let Some(gateways) = gateways {
        // It was told to stop at the same moment, and has the same time for its last answers.
        let _ = gateways.await;
    }
    tracing::info!("stopping: running attempts end, the others go back to the queue");
    app.stop().await;
    for task in [Some(upkeep), Some(draining_soon), metrics].into_iter().flatten() {
        task.abort();
    }
    forget_holder(&app.config);
    tracing::info!("stopped");
    Ok(())
}

/// Opens the database and starts the product with the key ring that fits.
pub(crate) async fn open(config: Config, accept: Accept) -> Result<Opened, Failure> {
    let wrong =
        |error: &dyn std::error::Error| Failure::caused(Code::Failed, "The database cannot be used", error);
    let url = DatabaseUrl::parse(&config.database_url()).map_err(|error| wrong(&error))?;
    keys::create_folder(&config.data.dir).map_err(|error| {
        Failure::caused(
            Code::Failed,
            &format!("The data folder {} cannot be created", config.data.dir.display()),
            &error,
        )
    })?;
    let store = Store::connect(&url, config.database.max_connections).await.map_err(|error| match error {
        StoreError::Locked => held_by_another(&config),
        other => wrong(&other),
    })?;
    if let Some(path) = url.sqlite_path() {
        note_holder(&config);
        // The store holds the lock: no restore is under way.
        backup::forget_second_names(path);
    }
    let is_empty = store.installation(INSTALLATION).await.map_err(|error| wrong(&error))?.is_none();
    let found = match keys::load(&config, is_empty) {
        Ok(found) => found,
        Err(KeysError::Missing(path)) if !is_empty => {
            let sealed_with = sealed_with(&store).await?;
            let why = Locked { sealed_with, loaded: None, place: path.display().to_string() };
            return Ok(Opened::Locked { why, config: Box::new(config), store });
        }
        Err(error) => return Err(Failure::caused(Code::Failed, "The key ring cannot be used", &error)),
    };
    let place = found.place;
    keys::remove_left(&place);
    // The key is judged before anything is changed: under a wrong one the database stays as it is.
    match App::judge_key(&store, &found.ring).await {
        Ok(()) => {}
        Err(StartError::WrongKey { sealed_with, loaded }) => {
            let why = Locked { sealed_with, loaded: Some(loaded), place: place.to_string() };
            return Ok(Opened::Locked { why, config: Box::new(config), store });
        }
        Err(error) => return Err(not_started(&error)),
    }
    store.migrate().await.map_err(|error| wrong(&error))?;
    let started = App::start_on(config, found.ring, store, accept).await;
    started.map(|app| Opened::Ready { app, place }).map_err(|error| not_started(&error))
}

fn not_started(error: &StartError) -> Failure {
    let failure = Failure::caused(Code::Failed, "Consign cannot start", error);
    match error {
        StartError::Records(RecordsError::RolledBack { .. }) => failure.and(
            "Somebody put an older copy of the database in place, or a restore was cut off near its end. If that was \
             you, start once with:\n  consign serve --accept-rollback",
        ),
        StartError::Records(RecordsError::Broken(_)) => failure.and(
            "Somebody changed the database. Restore a backup that is whole; or, if you know what was changed and \
             want it, start once with:\n  consign serve --accept-changes\n\
             Add --accept-rollback where the database is older, too",
        ),
        _ => failure,
    }
}

/// The key that the database asks for, told by a ring that cannot be the right one.
async fn sealed_with(store: &Store) -> Result<String, Failure> {
    match App::judge_key(store, &KeyRing::generate()).await {
        Err(StartError::WrongKey { sealed_with, .. }) => Ok(sealed_with),
        Err(error) => Err(not_started(&error)),
        Ok(()) => Err(Failure::new(Code::Failed, "The database does not tell which key it was sealed with")),
    }
}

/// What a person sees at the start.
async fn greet(app: &App, place: &Place, output: &Output) -> Result<(), Failure> {
    let refused = |error| Failure::caused(Code::Failed, "Consign cannot be set up", &error);
    let database = if app.store.is_postgres() { "PostgreSQL" } else { "SQLite" };
    let folder = app.config.data.dir.display();
    output
        .note(&format!("consign {} · data folder {folder} · database {database}", env!("CARGO_PKG_VERSION")));
    if let Place::Created(path) = place {
        output.note(&format!(
            "Created an encryption key in {} (mode 0600).\n  \
             Keep a copy somewhere else. Without it saved secrets cannot be recovered.",
            path.display()
        ));
    }
    if let (Some(email), Some(password)) = (&app.config.admin.email, &app.config.admin.password) {
        users::setup_unattended(app, email, password).await.map_err(refused)?;
    }
    if users::waits_for_setup(app).await.map_err(refused)? {
        let token = users::new_setup_link(app).await.map_err(refused)?;
        output.note(&format!(
            "\nFinish setting up in your browser (link works for 30 minutes, once):\n  {}\n  \
             A new link: stop the server, then consign admin setup-link",
            setup_address(app, &token)
        ));
    } else {
        if users::people_are_gone(app).await.map_err(refused)? {
            PEOPLE_ARE_GONE.iter().for_each(|line| output.warn(line));
        }
        output.note(&format!("Console: {}", app.public_url()));
    }
    Ok(())
}

/// Set-up is for a database that never had anybody.
pub(crate) const PEOPLE_ARE_GONE: [&str; 3] = [
    "Nobody can sign in, and there is no set-up: the audit log knows people, and the database has none",
    "They were removed outside Consign. Put a backup back: consign backup restore",
    "To go on without them, and to set up anew, start once with: consign serve --accept-changes",
];

/// The address of a set-up link.
pub(crate) fn setup_address(app: &App, token: &Secret) -> String {
    format!("{}/setup/{}", app.public_url(), token.expose())
}

async fn bind(address: std::net::SocketAddr, option: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let line = format!("{option} {address} cannot be used");
        let failure = Failure::caused(Code::Failed, &line, &error);
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                failure.and(&format!("Another program listens there. Choose another {option}"))
            }
            _ => failure,
        }
    })
}

fn tls_fault(error: &io::Error) -> Failure {
    Failure::caused(Code::Failed, "Built-in TLS cannot start", error)
}

/// Becomes true with the first SIGTERM or SIGINT. A second SIGINT ends the process where it stands.
fn stop_signal() -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        service::tell(service::STOPPING);
        tell.send_replace(true);
        interrupt.recv().await;
        std::process::exit(Code::Stopped as i32);
    });
    Ok(told)
}

async fn told(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it all reason to go on.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Each connection is an open file; the usual limit of 1,024 is less than what goes in and out at one time.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

fn holder_file(config: &Config) -> PathBuf {
    config.data.dir.join(HOLDER_FILE)
}

fn note_holder(config: &Config) {
    let holder = format!("process {}, {}\n", std::process::id(), config.public_url());
    if let Err(error) = std::fs::write(holder_file(config), holder) {
        tracing::debug!(%error, "the data folder does not say who uses it");
    }
}

pub(crate) fn forget_holder(config: &Config) {
    // Nothing depends on it: the lock is what counts.
    let _ = std::fs::remove_file(holder_file(config));
}

fn held_by_another(config: &Config) -> Failure {
    let holder = std::fs::read_to_string(holder_file(config)).unwrap_or_default();
    let holder = holder.trim();
    let who = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
    Failure::new(
        Code::Failed,
        &format!("Another Consign{who} uses the data folder {}", config.data.dir.display()),
    )
    .and("Stop it first, or give this one a folder of its own with data.dir")
}
