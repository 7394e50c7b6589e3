//! Reading the host keys of a file server, for a person to compare. It trusts nothing and stores nothing but that it was
//! done.

use consign_core::catalog::{Fault, Reader};
use consign_core::pin::{self, Compared, HostKey, Pins};
use consign_core::rights::Right;
use consign_core::target::SftpAddress;
use serde_json::{Value, json};

use super::{Actor, Object, OpError, Sent, audit_entry, commit};
use crate::App;

/// Reads one key of each family that the server has, and tells how each compares with the pins that were sent along.
///
/// # Errors
/// Without the right, too often, or when the address or a pin is not accepted. A server that does not answer is none.
pub async fn scan(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::CredentialsTest)?;
    let now = app.now();
    let (address, pins) = read(sent)?;
    app.tests.take(actor.caller(), now)?;
    let scanned = app.engine.scan_host_keys(&address).await;
    let (outcome, message) = match &scanned {
        Ok(_) => ("read", String::new()),
        Err(fault) => ("failed", fault.detail.clone()),
    };
    let found = scanned.unwrap_or_default();
    let answered = found.first().map(|one| one.address.to_string());
    let keys = found.iter().map(|one| show(&one.key, pins.as_ref())).collect::<Vec<_>>();
    let mut tx = app.store.begin().await?;
    let name = address.to_string();
    let of = Object { kind: "host", id: String::new(), name: &name };
    let prints: Vec<_> = found.iter().map(|one| one.key.fingerprint().to_string()).collect();
    audit_entry(app, &mut tx, actor, "Read host keys", of, json!({ "host_keys": prints })).await?;
    commit(app, tx).await?;
    Ok(json!({
        "hostname": name,
        "at": now.to_string(),
        "by": actor.name(),
        "outcome": outcome,
        "message": message,
        "address": answered,
        "keys": keys,
    }))
}

fn read(sent: Sent) -> Result<(SftpAddress, Option<Pins>), OpError> {
    let mut reader = Reader::new(sent);
    let hostname = reader.text("hostname", "Hostname");
    let address = reader.accept("hostname", SftpAddress::parse(&hostname));
    let lines = match reader.take(pin::FIELD) {
        Value::String(text) => text,
        Value::Array(lines) if lines.iter().all(Value::is_string) => {
            lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        Value::Null => String::new(),
        _ => {
            let sentence = "SFTP server fingerprint must be a list of texts";
            reader.refuse(pin::FIELD, Fault::new("bad_form", sentence));
            String::new()
        }
    };
    let pins = match lines.trim() {
        "" => None,
        lines => reader.accept(pin::FIELD, Pins::parse(lines, address.as_ref())),
    };
    reader.refuse_unknown(&["hostname", pin::FIELD], &[]);
    let invalid = reader.into_invalid();
    match address {
        Some(address) if invalid.is_empty() => Ok((address, pins)),
        _ => Err(OpError::Invalid(invalid)),
    }
}

/// A key, and how it compares.
fn show(key: &HostKey, pins: Option<&Pins>) -> Value {
    let compared = pins.map_or(Compared::New, |pins| pins.compare(key));
    json!({
        "type": key.key_type.kind(),
        "bits": key.bits,
        "fingerprint": key.fingerprint().to_string(),
        "line": key.line(),
        "compared": compared.kind(),
        "compared_label": compared.label(),
    })
}

#[cfg(test)]
mod tests;
