//! `consign demo`: the product on loopback with throw-away data, a stand-in tool and a stand-in authorization server,
//! delivering real events.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use consign_core::auth::{AUTHORIZATION_TYPES, AuthorizationType};
use consign_core::catalog::{Protocol, Tokens};
use consign_core::credential::key_pairs;
use consign_core::id::RequestId;
use consign_core::secret::Secret;
use consign_core::time::in_words;
use consign_core::vault::KeyRing;
use consign_store::{DatabaseUrl, Store};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::client::{Call, Client, Server};
use super::failure::{Code, Failure};
use super::output::Output;
use crate::App;
use crate::config::{Config, Source};
use crate::ops::{self, Actor, Sent};

use assertions::Verifier;
use authorization_server::AuthorizationServer;
use file_server::FileServer;

mod assertions;
mod authorization_server;
mod exporter;
mod file_server;
mod https;
mod tool;

const PORT: u16 = 8_420;
const TOOL_PORT: u16 = 8_421;
const AUTHORIZATION_PORT: u16 = 8_422;
/// Each type gets so many events.
const EVENTS_PER_TYPE: usize = 3;
/// Everything arrives within this time, or the demo has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Nobody approves faster than this; what is sent after an approval takes less.
const APPROVED_BY_HAND: Duration = Duration::from_secs(2);

/// Runs the demo until somebody ends it; with `once` until everything arrived. Its data goes with it.
///
/// # Errors
/// When something does not start, or an event does not arrive.
pub(crate) async fn run(output: &Output, port: Option<u16>, once: bool) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    output.line(&format!("consign {version} · demo · loopback only · throw-away data, removed at the end"));
    let ended = ended().context("signals cannot be watched")?;
    let folder = Folder::create()?;
    let identity = https::Identity::create()?;
    let verifier = Verifier::find(folder.0.clone());
    let tokens = AuthorizationServer::start(listen(Some(AUTHORIZATION_PORT)).await?, &identity, verifier)?;
    let tool = tool::start(listen(Some(TOOL_PORT)).await?, &identity, &tokens)?;
    output.done(&format!(
        "Stand-in tool         {}    (own certificate, trusted by this demo only)",
        tool.address()
    ));
    output.done(&format!("Authorization server  {}/    (tokens live for a minute)", tokens.issuer()));

    let files = file_server(output, &folder).await;

    let listener = listen(port.or(Some(PORT))).await?;
    let ports = [tool.port(), tokens.port()].into_iter().chain(files.as_ref().map(FileServer::port));
    let app = start(&folder, ports, identity.ca_pem(), listener.local_addr()?).await?;
    // Nobody set it before: the application was just made.
    let _ = app.demo_tool.set(tool.address());
    let router = crate::server::router(app.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(crate::server::serve(app.clone(), listener, router, async {
        let _ = stopped.await;
    }));

    let shown = tokio::select! {
        shown = show(output, &app, &tool, &tokens, files.as_ref(), once) => shown.map(Some),
        () = told(ended.clone()) => Ok(None),
    };
    if let Ok(Some(shown)) = shown
        && !once
    {
        tokio::select! {
            () = watch_on(output, &tool, shown) => {}
            () = told(ended.clone()) => {}
        }
    }
    if *ended.borrow() {
        output.line("Stopping. The demo data is removed.");
    }
    let _ = stop.send(());
    serving.await??;
    app.stop().await;
    shown.map(|shown| match shown {
        None if once => ExitCode::from(Code::Stopped as u8),
        _ => ExitCode::SUCCESS,
    })
}

/// Becomes true when somebody ends the demo: Ctrl-C, the end of its terminal, or the system.
fn ended() -> io::Result<watch::Receiver<bool>> {
    let (tell, ended) = watch::channel(false);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, tell) = (signal(kind)?, tell.clone());
        tokio::spawn(async move {
            signals.recv().await;
            tell.send_replace(true);
        });
    }
    Ok(ended)
}

async fn told(mut ended: watch::Receiver<bool>) {
    // An error means that nothing is left that could tell.
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Sets up one credential and one webhook per authorization type, sends events, and shows what arrives.
async fn show(
    output: &Output,
    app: &Arc<App>,
    tool: &tool::Tool,
    tokens: &AuthorizationServer,
    files: Option<&FileServer>,
    once: bool,
) -> anyhow::Result<usize> {
    let actor = Actor::system(app.now());
    let mut waiting = None;
    let types = shown_types(output, tokens);
    for entry in &types {
        let lock = tool
            .lock(entry.kind)
            .with_context(|| format!("the stand-in tool has no door for {}", entry.kind))?;
        let name = format!("Demo {}", entry.label);
        let credential = object(lock.credential(&name, &tool.address()));
        let created = ops::credentials::create(app, &actor, credential).await.map_err(explain)?;
        let webhook = object(lock.webhook(&name, &created["id"], entry.kind));
        ops::webhooks::create(app, &actor, webhook).await.map_err(explain)?;
        if let Some(certificate) = created["certificate"].as_str() {
            tokens.trust(certificate);
        }
        if let Some(redirect_url) = created["redirect_url"].as_str() {
            tokens.register(redirect_url);
            waiting = created["id"].as_str().map(|id| format!("/credentials/{id}/authorize"));
        }
        output.done(&format!("Credential, webhook   “{name}”"));
    }
    let exporter = exporter::create(app, &actor).await?;
    output.done(&format!("Data exporter         “{}”", exporter::NAME));
    let to_server = match files {
        Some(files) => Some((files, exporter::create_for(app, &actor, files).await?)),
        None => None,
    };
    let key =
        object(json!({ "name": "demo", "scopes": ["events:write", "deliveries:read"], "ends_on": null }));
    let (_, key) = ops::api_keys::create(app, &actor, key).await.map_err(explain)?;

    let events = format!("{}/api/v1/events", app.public_url());
    let client = Client {
        server: Server::parse(&app.public_url()).map_err(said)?,
        token: Some(Secret::new(key.expose().to_owned())),
        person: None,
        time_max: PATIENCE,
        output,
    };
    let (alone, approved): (Vec<_>, Vec<_>) =
        types.into_iter().partition(|entry| entry.tokens != Tokens::Granted);
    send(&client, &alone).await?;
    output.line("");
    output.line("ARRIVED   AUTHORIZATION                   STATUS  AFTER         REFERENCE");
    let shown = watch(output, tool, EVENTS_PER_TYPE * alone.len()).await?;
    let exported = exporter::run(app, &actor, &exporter).await?;
    output.line("");
    output.done(&format!("Data exporter         {}", exported["message"].as_str().unwrap_or_default()));
    if let Some((files, exporter)) = &to_server {
        show_file(output, exporter::bring(app, &actor, exporter, files).await);
    }
    if once {
        output.line(&format!("All {shown} events arrived, each with the right sign-in."));
        return Ok(shown);
    }
    // These wait until somebody approves.
    send(&client, &approved).await?;
    let link = ops::users::new_sign_in_link(app);
    output.line("");
    output.line(&format!(
        "Console       {}/demo/{}     signs you in as Demo, once",
        app.public_url(),
        link.expose()
    ));
    if let Some(page) = waiting {
        output.line(&format!("Approve       {}/demo/{}?next={page}", app.public_url(), link.expose()));
        output.line(&format!(
            "              {EVENTS_PER_TYPE} events wait for it. Both links sign you in, in the browser in which you open the"
        ));
        output.line("              first of them. Your browser warns of the demo's own certificate.");
    }
    output.line("Send another event:");
    output.line(&format!(
        "  curl -sS {events} -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n    --data '{{\"type\":\"demo.basic\",\"data\":{{\"device\":\"LT-0007\"}}}}'",
        key.expose()
    ));
    output.line("Ctrl-C ends the demo and deletes its data.");
    Ok(shown)
}

/// OpenSSH's server, where it is installed and starts; otherwise a line that says what is missing.
async fn file_server(output: &Output, folder: &Folder) -> Option<FileServer> {
    match FileServer::start(&folder.0).await {
        Ok(Some(server)) => {
            let port = server.port();
            output.done(&format!("OpenSSH file server   sftp://127.0.0.1:{port}/     (throw-away keys)"));
            Some(server)
        }
        Ok(None) => {
            let advice = file_server::ADVICE;
            output.warn(&format!("Files over SFTP are left out: no OpenSSH server here. {advice}"));
            None
        }
        Err(error) => {
            output
                .warn(&format!("Files over SFTP are left out: the OpenSSH server did not start. {error:#}"));
            None
        }
    }
}

/// The file that arrived. A server that does not let its own user in, as with a locked account, is no fault of the demo.
fn show_file(output: &Output, arrived: anyhow::Result<(String, Vec<String>)>) {
    match arrived {
        Ok((message, lines)) => {
            output.done(&format!("File over SFTP        {message}"));
            lines.iter().for_each(|line| output.line(&format!("  {line}")));
        }
        Err(error) => output.warn(&format!("The file over SFTP did not arrive: {error:#}")),
    }
}

/// The types that can be shown here: those of tools on the web, since webhooks go nowhere else; assertions only where a
/// program of somebody else can judge their signatures.
fn shown_types(output: &Output, tokens: &AuthorizationServer) -> Vec<&'static AuthorizationType> {
    let of_web = AUTHORIZATION_TYPES.iter().copied().filter(|entry| entry.protocol == Protocol::Https);
    if tokens.judges_assertions() {
        return of_web.collect();
    }
    let (signed, others): (Vec<&AuthorizationType>, Vec<&AuthorizationType>) =
        of_web.partition(|entry| key_pairs::fields(entry).is_some());
    for entry in signed {
        output.warn(&format!(
            "“{}” is left out: no xmlsec1 here to judge its signatures. {}",
            entry.label,
            assertions::ADVICE
        ));
    }
    others
}

/// Sends events for these types, in turns.
async fn send(client: &Client<'_>, types: &[&AuthorizationType]) -> anyhow::Result<()> {
    for _ in 0..EVENTS_PER_TYPE {
        for entry in types {
            let event = json!({ "type": format!("demo.{}", entry.kind), "data": { "device": "LT-0231", "score": 2.1 } });
            client.send(Call::post(&["events"]).json(&event)).await.map_err(said)?;
        }
    }
    Ok(())
}

/// Prints what arrives until `expected` events did.
async fn watch(output: &Output, tool: &tool::Tool, expected: usize) -> anyhow::Result<usize> {
    let mut shown = 0;
    for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
        shown = print_from(output, tool, shown);
        if shown >= expected {
            let refused = tool.received(0).iter().filter(|arrival| arrival.status != 201).count();
            if refused > 0 {
                bail!("{refused} of {shown} requests came without the right sign-in");
            }
            return Ok(shown);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("only {shown} of {expected} events arrived within {} seconds", PATIENCE.as_secs())
}

async fn watch_on(output: &Output, tool: &tool::Tool, mut shown: usize) {
    loop {
        shown = print_from(output, tool, shown);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn print_from(output: &Output, tool: &tool::Tool, shown: usize) -> usize {
    let arrivals = tool.received(shown);
    arrivals.iter().for_each(|arrival| output.line(&row(arrival)));
    shown + arrivals.len()
}

/// One line of the table.
fn row(arrival: &tool::Arrival) -> String {
    let entry = AUTHORIZATION_TYPES.iter().find(|entry| entry.kind == arrival.kind);
    let label = entry.map_or("?", |entry| entry.label);
    let waited =
        entry.is_some_and(|entry| entry.tokens == Tokens::Granted) && arrival.after >= APPROVED_BY_HAND;
    let clock = arrival.at.to_string();
    format!(
        "{}  {label:<30}  {:<6}  {:<12}  {}{}",
        clock.get(11..19).unwrap_or_default(),
        arrival.status,
        in_words(arrival.after),
        arrival.reference,
        if waited { "  waited for your approval" } else { "" },
    )
}

async fn start(
    folder: &Folder,
    ports: impl Iterator<Item = u16>,
    ca_pem: &str,
    listen: SocketAddr,
) -> anyhow::Result<Arc<App>> {
    let mut config = Config::default();
    config.server.listen = listen;
    config.server.metrics_listen = None;
    config.data.dir = folder.0.clone();
    config.egress.allow = ports.map(|port| format!("127.0.0.1:{port}")).collect();
    config.egress.allow_loopback = true;
    let ca = folder.0.join("tool-ca.pem");
    std::fs::write(&ca, ca_pem)?;
    config.egress.ca_file = Some(ca);
    for option in [
        "server.listen",
        "server.metrics_listen",
        "data.dir",
        "egress.allow",
        "egress.allow_loopback",
        "egress.ca_file",
    ] {
        config.sources.insert(option, Source::Demo);
    }
    let url = DatabaseUrl::parse(&config.database_url())?;
    let store = Store::open(&url, config.database.max_connections).await?;
    Ok(App::start(config, KeyRing::generate(), store).await?)
}

/// The wanted port, or a free one when it is taken.
async fn listen(port: Option<u16>) -> anyhow::Result<TcpListener> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    match TcpListener::bind(wanted).await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
    }
}

fn object(value: Value) -> Sent {
    match value {
        Value::Object(object) => object,
        _ => Sent::new(),
    }
}

fn explain(error: ops::OpError) -> anyhow::Error {
    match error {
        ops::OpError::Invalid(faults) => {
            let sentences: Vec<_> =
                faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
            anyhow::anyhow!("{}", sentences.join("; "))
        }
        other => other.into(),
    }
}

fn said(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("{}", failure.lines.join(" "))
}

/// A data folder that is removed at the end, whatever the end is.
struct Folder(PathBuf);

impl Folder {
    fn create() -> anyhow::Result<Self> {
        let now = consign_store::local_now();
        let path = std::env::temp_dir().join(format!("consign-demo-{}", RequestId::new(now)));
        crate::keys::create_folder(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed was throw-away data all the same.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
