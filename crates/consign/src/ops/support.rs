//! The support bundle: what somebody who helps needs to know of this server, and nothing that names a person, a tool or an
//! address. It is one JSON text, so that whoever passes it on can read all of it first.

use std::collections::BTreeMap;

use consign_core::delivery::HoldReason;
use consign_core::rights::Right;
use consign_store::{credentials, deliveries};
use serde_json::{Map, Value, json};

use super::figures::Told;
use super::{Actor, Object, OpError, audit_entry, backup, commit, encryption, replicas, sending};
use crate::config::{Config, Source};
use crate::{App, BUILD, COMMIT, telemetry};

/// The name of the file.
pub const FILE_NAME: &str = "consign-support.json";

/// What the bundle holds, as it would be taken away now.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn preview(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let counted = app.figures.contents.get(|| app.store.instant(), app.store.contents()).await?;
    let Told { value: contents, age } = counted;
    let storage = sending::storage(app, actor).await?;
    let backups = backup::list(app, actor).await?;
    let count_open = async { deliveries::open_counts(&mut *app.store.read().await?).await };
    let open = app.figures.open.get(|| app.store.instant(), count_open).await?;
    let now = app.now();
    let known = credentials::counts(&mut *app.store.read().await?, now).await?;
    let (mut by_status, mut by_type) = (BTreeMap::new(), BTreeMap::new());
    for (status, kind, count) in known {
        *by_status.entry(status).or_insert(0) += count;
        *by_type.entry(kind).or_insert(0) += count;
    }
    let by_state = open.value.iter().map(|(state, reason, count)| {
        let reason = reason.map_or("", HoldReason::kind);
        (format!("{} {reason}", state.kind()).trim_end().to_owned(), json!(count))
    });
    Ok(json!({
        "made_at": now,
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT,
        "build": BUILD,
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "clock_ahead_ms": app.store.local_now().millis() - now.millis(),
        "database": {
            "kind": if app.store.is_postgres() { "postgresql" } else { "sqlite" },
            "schema": contents.schema,
            "rows": contents.counts,
            "rows_counted_at": now.minus(age),
        },
        "storage": storage,
        "options": options(&app.config),
        "encryption_keys": encryption_keys(app, actor).await?,
        "credentials": { "by_status": by_status, "by_authorization_type": by_type },
        "connectors": connectors(app),
        "deliveries_open": by_state.collect::<Map<_, _>>(),
        "deliveries_open_counted_at": now.minus(open.age),
        "sending_paused": app.engine.snapshot().sending_pause().is_some(),
        "backups": {
            "kept": backups["items"].as_array().map_or(0, Vec::len),
            "last_success_at": backups["last_success_at"],
            "last_failed_at": backups["last_failure"]["at"],
            "next_at": backups["next_at"],
        },
        "replicas": anonymous(&replicas::list(app, actor).await?),
        "metrics": telemetry::render(&telemetry::Stored::default()).lines().filter(|line| is_figure(line)).collect::<Vec<_>>(),
    }))
}

/// The same, to be taken away: the audit log says so.
///
/// # Errors
/// Without the right, or when the database cannot be read or written.
pub async fn take(app: &App, actor: &Actor) -> Result<Value, OpError> {
    let bundle = preview(app, actor).await?;
    let mut tx = app.store.begin().await?;
    let object = Object { kind: "installation", id: String::new(), name: "Support bundle" };
    audit_entry(app, &mut tx, actor, "Took support bundle", object, json!({})).await?;
    commit(app, tx).await?;
    Ok(bundle)
}

/// Buckets of histograms would be most of it, and are read by nobody.
fn is_figure(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#') && !line.contains("_bucket{")
}

/// Numbers and words of closed sets say how a server is set up; any other text may name something of its operator.
fn options(config: &Config) -> Value {
    let defaults = Config::default().print();
    let option = |(key, value, _): (&'static str, String, Source)| {
        let given = !defaults.iter().any(|(other, default, _)| *other == key && *default == value);
        let known = !given || says_nothing(&value) || WORDS.contains(&key);
        let shown = if known { value } else { "set".to_owned() };
        json!({ "key": key, "value": shown, "given": given })
    };
    config.print().into_iter().map(option).collect()
}

/// Options whose value is one of a few words.
const WORDS: &[&str] = &["egress.tls_min", "log.format", "log.level", "backup.schedule"];

/// Whether a value is a number, yes or no, or a list of numbers.
fn says_nothing(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || b"[], ".contains(&byte);
    ["true", "false", "none", "set", "[]"].contains(&value) || value.bytes().all(plain)
}

async fn encryption_keys(app: &App, actor: &Actor) -> Result<Value, OpError> {
    let keys = encryption::list(app, actor).await?;
    let key = |key: &Value| json!({ "id": key["id"], "role": key["role"], "values": key["values"], "first_seen_at": key["first_seen_at"] });
    let items: Vec<_> = keys["items"].as_array().into_iter().flatten().map(key).collect();
    Ok(json!({ "keys": items, "missing_key_values": keys["missing_key_values"], "moving": keys["moving"] }))
}

fn connectors(app: &App) -> Value {
    let snapshot = app.engine.snapshot();
    let words = snapshot.connectors().iter().map(|one| format!("{} {}", one.kind.word(), one.state.kind()));
    json!(counted(words))
}

fn counted<T: Into<String>>(words: impl Iterator<Item = T>) -> BTreeMap<String, u64> {
    words.fold(BTreeMap::new(), |mut counts, word| {
        *counts.entry(word.into()).or_default() += 1;
        counts
    })
}

/// Hosts are called by their place in the list.
fn anonymous(replicas: &Value) -> Value {
    let one = |one: &Value| {
        json!({
            "version": one["version"], "role": one["role"], "started_at": one["started_at"],
            "last_seen_at": one["last_seen_at"], "leases": one["leases"],
        })
    };
    replicas["items"].as_array().into_iter().flatten().map(one).collect()
}

#[cfg(test)]
mod tests;
