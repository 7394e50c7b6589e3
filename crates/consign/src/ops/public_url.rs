//! Whether people and tools reach this server at its public address, and what a proxy on the way changes: the server calls
//! itself there, as a tool would be called, and tells what arrived.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use consign_core::address::Egress;
use consign_core::catalog::{Fault, Reader};
use consign_core::connector::Message;
use consign_core::credential::Access;
use consign_core::delivery::{Outcome, Unreached};
use consign_core::rights::Right;
use consign_core::target::{Origin, RemotePath};
use consign_core::time::Timestamp;
use consign_store::installation;
use consign_transport::{Limits, Network, Settings};
use http::Method;
use serde_json::{Value, json};

use super::users::random_text;
use super::{Actor, Object, OpError, Sent, audit_entry, commit, invalid};
use crate::App;
use crate::config::read_public_url;

/// Where the installation keeps a check that is under way: this, and the hash of its token.
const CHECK: &str = "url_check/";
const FIELD: &str = "public_url";
const TIME_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Whether this is the token of a check that is under way.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_under_way(app: &App, token: &str) -> Result<bool, OpError> {
    let until = installation::get(&mut *app.store.read().await?, &place(token)).await?;
    let until = until.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis);
    Ok(until.is_some_and(|until| until > app.now()))
}

fn place(token: &str) -> String {
    format!("{CHECK}{}", consign_core::api_key::hash(token))
}

/// Calls itself at an address, or at the present one. Only one that the operator set in the configuration is called
/// whatever the egress rules say; any other, also one that a person chose, is a destination like every other.
///
/// # Errors
/// When it is no address, or the database cannot be written.
pub async fn check(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut reader = Reader::new(sent);
    let typed = reader.text(FIELD, "Public URL").trim().to_owned();
    reader.refuse_unknown(&[FIELD], &[]);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    let typed = if typed.is_empty() { app.public_url() } else { typed };
    let url =
        read_public_url(&typed).map_err(|needs| invalid(FIELD, "bad_form", format!("Public URL {needs}")))?;
    if url.starts_with("http://") {
        let message = format!(
            "{url} is not https. It is good for a browser on the same computer; tools and other people need a public \
             https address."
        );
        return Ok(told(&url, false, &message, &[]));
    }
    let origin =
        Origin::parse("Public URL", &url).map_err(|fault: Fault| OpError::Invalid(vec![fault.at(FIELD)]))?;
    let token = random_text();
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    // What a crash left of other checks lets nobody in, and goes.
    installation::remove_ended(&mut tx, CHECK, now).await?;
    let until = now.plus(TIME_MAX * 2);
    let place = place(token.expose());
    installation::put(&mut tx, &place, &until.millis().to_string()).await?;
    tx.commit().await?;
    let is_set = app.config.server.public_url.is_some() && url == app.public_url();
    let answered = call(app, &origin, is_set, token.expose()).await;
    let value = judged(app, &url, answered);
    let mut tx = app.store.begin().await?;
    installation::remove(&mut tx, &place).await?;
    let object = Object { kind: "settings", id: String::new(), name: "Public URL" };
    let changes = json!({ FIELD: url, "reached": value["reached"] });
    audit_entry(app, &mut tx, actor, "Checked public URL", object, changes).await?;
    commit(app, tx).await?;
    Ok(value)
}

/// Why nothing is known of what answers there, as coarse as that is useful: this must be no way to look around in a
/// network.
enum NotCalled {
    Closed,
    NotReached,
    Tls,
    /// On this server.
    Here(String),
}

/// Status and body of what answers there, or why nothing did.
async fn call(app: &App, origin: &Origin, is_set: bool, token: &str) -> Result<(u16, Bytes), NotCalled> {
    let network = Network::new(Settings {
        egress: if is_set { only(app, origin) } else { app.config.egress() }.map_err(NotCalled::Here)?,
        extra_roots: app.config.extra_roots().map_err(NotCalled::Here)?,
        tls_min: app.config.tls_min(),
        system_roots: true,
        // What is called is this server itself.
        own_ports: Vec::new(),
        connect_timeout: CONNECT_MAX,
        // The way to this server itself does not lead out.
        proxy: None,
    });
    let path = RemotePath::parse(&format!("/url-check/{token}"))
        .map_err(|_| NotCalled::Here("the check cannot be addressed".to_owned()))?;
    let access = Access { origin: origin.clone(), headers: Vec::new(), path: None, identity: None };
    let message = Message { method: Method::GET, path, headers: Vec::new() };
    let limits = Limits { timeout: TIME_MAX, head_timeout: None, answer_bytes_max: ANSWER_BYTES_MAX };
    let sent = network.send(&access, &message, Bytes::new(), &limits, app.now()).await;
    network.close();
    match (sent.answer, sent.outcome) {
        (Some(answer), _) => Ok((answer.status, answer.body)),
        (None, Outcome::Refused { .. }) => Err(NotCalled::Closed),
        (None, Outcome::Unreachable { reason: Unreached::Tls }) => Err(NotCalled::Tls),
        (None, _) => Err(NotCalled::NotReached),
    }
}

/// This address and nothing else: the rules for tools may close the network that this server is in. What this machine
/// keeps to itself stays closed.
fn only(app: &App, origin: &Origin) -> Result<Egress, String> {
    let host = match origin.host().literal() {
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => origin.host().unicode(),
    };
    Egress::parse(&[format!("{host}:{}", origin.port())], app.config.egress.allow_loopback)
}

/// One thing that was seen.
struct Seen {
    good: bool,
    text: String,
}

fn judged(app: &App, url: &str, answered: Result<(u16, Bytes), NotCalled>) -> Value {
    let not_reached = |message: &str| told(url, false, message, &[]);
    let (status, body) = match answered {
        Ok(answered) => answered,
        Err(NotCalled::Closed) => {
            return not_reached(&format!(
                "The egress rules of this server close {url}. Add a rule for it to egress.allow, or set it as \
                 server.public_url in the configuration: that address is called whatever they say. Then restart."
            ));
        }
        Err(NotCalled::NotReached) => {
            return not_reached(&format!("{url} was not reached from this server."));
        }
        Err(NotCalled::Tls) => {
            return not_reached(&format!(
                "{url} was reached, and TLS failed there: its certificate must be valid for this name, and issued by \
                 an authority that this server trusts."
            ));
        }
        Err(NotCalled::Here(why)) => return not_reached(&format!("{url} was not called: {why}.")),
    };
    let arrived: Option<Value> = serde_json::from_slice(&body).ok().filter(|_| status == 200);
    let Some(arrived) = arrived.filter(|arrived: &Value| arrived["forwarded"].is_object()) else {
        return not_reached(&format!(
            "Something else than this server answers at {url}. If that address redirects, use the one that it leads to."
        ));
    };
    let seen = [host(url, &arrived), scheme(&arrived), client(app, &arrived)];
    let seen: Vec<_> = seen.into_iter().flatten().collect();
    let good = seen.iter().all(|one| one.good);
    let message = if good {
        format!("{url} leads here.")
    } else {
        format!("{url} leads here, and a proxy on the way changes something.")
    };
    told(url, true, &message, &seen)
}

fn told(url: &str, reached: bool, message: &str, seen: &[Seen]) -> Value {
    let seen: Vec<_> = seen.iter().map(|one| json!({ "good": one.good, "text": one.text })).collect();
    json!({ "public_url": url, "reached": reached, "message": message, "seen": seen })
}

fn host(url: &str, arrived: &Value) -> Option<Seen> {
    let asked = url.strip_prefix("https://")?;
    let found = arrived["host"].as_str().unwrap_or_default();
    let same = found.eq_ignore_ascii_case(asked) || found.strip_suffix(":443") == Some(asked);
    let text = if same {
        format!("The host arrives as it was asked for: {found}.")
    } else {
        format!(
            "The proxy changes the host from {asked} to {found}. Let it pass the header Host on as it is."
        )
    };
    Some(Seen { good: same, text })
}

fn scheme(arrived: &Value) -> Option<Seen> {
    let found = arrived["forwarded"]["x-forwarded-proto"].as_str()?;
    let good = found.eq_ignore_ascii_case("https");
    let text = if good {
        "The proxy says that people come by https.".to_owned()
    } else {
        format!("The proxy says that people come by {found}. Let it send X-Forwarded-Proto: https.")
    };
    Some(Seen { good, text })
}

/// Whether the audit log will know people by their addresses.
fn client(app: &App, arrived: &Value) -> Option<Seen> {
    let client = arrived["client"].as_str().unwrap_or_default();
    let forwarded = &arrived["forwarded"];
    let named = forwarded[app.config.server.client_header].as_str();
    let (good, text) = match named {
        Some(named) if named.contains(client) => {
            (true, format!("The proxy names the client, and server.trusted_proxies trusts it: {client}."))
        }
        Some(_) => (
            false,
            format!(
                "A proxy at {client} names the client, and server.trusted_proxies does not list it: the audit log and \
                 the brake on guesses know only the proxy."
            ),
        ),
        None if app.config.server.tls_cert_file.is_some() => {
            (true, "Nothing between says that it is a proxy.".to_owned())
        }
        None => (
            false,
            format!(
                "A proxy at {client} ends TLS and does not name the client: the audit log and the brake on guesses know \
                 only the proxy. Let it send X-Forwarded-For, and list it in server.trusted_proxies; server.client_header names another header."
            ),
        ),
    };
    Some(Seen { good, text })
}
