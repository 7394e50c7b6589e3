//! What the form of a credential for a file server has of its own: address, host keys, and the panel that reads them.

use consign_core::catalog::{Fault, Invalid, Protocol};
use consign_core::pin::{self, Compared, HostKey, PINS_MAX, Pins};
use consign_core::target::SftpAddress;
use serde_json::{Map, Value, json};

use super::credential::CredentialForm;
use super::{Form, field, with};

const HOSTNAME: &str = "hostname";
const COMPARED_WITH: &str = "host_keys_compared_with";
/// The fields of the form that only file servers have.
pub(super) const TEXTS: [&str; 3] = [HOSTNAME, pin::FIELD, COMPARED_WITH];

impl CredentialForm {
    /// Whether it is for a file server.
    pub(in crate::console) fn is_sftp(&self) -> bool {
        self.text("protocol") == Protocol::Sftp.kind()
    }

    /// The body of a scan of the host that stands in the form; pins that do not read are no pins.
    pub(in crate::console) fn scan(&self) -> Map<String, Value> {
        let address = SftpAddress::parse(self.text(HOSTNAME)).ok();
        let pins = Pins::parse(self.text(pin::FIELD), address.as_ref()).map(|pins| pins.lines());
        let mut sent = Map::new();
        sent.insert(HOSTNAME.to_owned(), json!(self.text(HOSTNAME)));
        sent.insert(pin::FIELD.to_owned(), json!(pins.unwrap_or_default()));
        sent
    }

    /// What a request says of a file server.
    pub(super) fn sent_sftp(&self, sent: &mut Map<String, Value>) {
        for key in TEXTS {
            sent.insert(key.to_owned(), json!(self.text(key)));
        }
    }

    /// The fields of a file server.
    pub(super) fn sftp_fields(&self, invalid: &[Invalid]) -> Value {
        let address = "Include sftp:// and the port. The folder belongs in the data exporter.";
        let pins = "One per line. SHA256 fingerprint or public key line.";
        let lines = self.text(pin::FIELD);
        let warning = Pins::parse(lines, None).ok().and_then(|pins| pins.warning());
        json!({
            "hostname": with(
                field(HOSTNAME, "Hostname", address, self.text(HOSTNAME), invalid),
                json!({ "placeholder": "sftp://host:port/", "mono": true }),
            ),
            "pins": with(
                field(pin::FIELD, "SFTP server fingerprint", pins, lines, invalid),
                json!({
                    "mono": true, "rows": lines.lines().count().clamp(2, PINS_MAX + 1), "warning": warning,
                }),
            ),
            "compared_with": self.text(COMPARED_WITH),
        })
    }

    /// Whether other host keys stand in the form than are stored: then the saved secrets are asked for again.
    pub(super) fn has_other_pins(&self, current: Option<&Value>) -> bool {
        let Some(stored) = current.and_then(|current| current[pin::FIELD].as_array()) else { return false };
        let stored: Vec<_> = stored.iter().filter_map(Value::as_str).collect();
        let binding = |lines: &str| Pins::parse(lines, None).ok().map(|pins| pins.binding());
        match (binding(self.text(pin::FIELD)), binding(&stored.join("\n"))) {
            (Some(typed), Some(stored)) => typed != stored,
            _ => false,
        }
    }

    /// Takes a key that was compared: in the place of pins of its family, else behind the others.
    ///
    /// # Errors
    /// What is missing before a key may be used.
    pub(in crate::console) fn use_key(&mut self, form: &Form) -> Result<(), Vec<Invalid>> {
        let mut invalid = Vec::new();
        let line = form.text("scanned_key");
        let chosen = if line.is_empty() {
            Err(Fault::new("missing", "Select the host key that you compared"))
        } else {
            Pins::parse(line, None)
        };
        let chosen = chosen.map_err(|fault| invalid.push(fault.at("scanned_key"))).ok();
        if form.text("compared") != "on" {
            let sentence = "Compare the fingerprint first, and tick that you did";
            invalid.push(Fault::new("missing", sentence).at("compared"));
        }
        let with = form.text("scan_compared_with").trim();
        if with.is_empty() {
            let sentence = "Enter what you compared the host key with";
            invalid.push(Fault::new("missing", sentence).at("scan_compared_with"));
        }
        let Some(chosen) = chosen.filter(|_| invalid.is_empty()) else { return Err(invalid) };
        let family = chosen.iter().next().and_then(|pin| pin.key_type);
        let present = Pins::parse(self.text(pin::FIELD), None);
        let kept = present.iter().flat_map(Pins::iter).filter(|pin| pin.key_type != family);
        let mut lines: Vec<_> = kept.map(ToString::to_string).collect();
        lines.push(line.to_owned());
        self.texts.insert(pin::FIELD, lines.join("\n"));
        self.texts.insert(COMPARED_WITH, with.to_owned());
        Ok(())
    }
}

/// The panel of a scan, made again of what its form sent.
pub(in crate::console) fn panel_again(form: &Form, invalid: &[Invalid]) -> Value {
    let keys = form.all("scanned").into_iter().filter_map(|sent| {
        let (compared, line) = sent.split_once(' ')?;
        let compared = Compared::find(compared)?;
        let pins = Pins::parse(line, None).ok()?;
        let key = HostKey::parse(pins.iter().next()?.key.as_ref()?)?;
        Some(json!({
            "type": key.key_type.kind(),
            "bits": key.bits,
            "fingerprint": key.fingerprint().to_string(),
            "line": line,
            "compared": compared.kind(),
            "compared_label": compared.label(),
            "chosen": line == form.text("scanned_key"),
        }))
    });
    let keys: Vec<_> = keys.collect();
    panel(
        &json!({ "at": form.text("scanned_at"), "outcome": "read", "message": "", "keys": keys }),
        form,
        invalid,
    )
}

/// The panel of a scan.
pub(in crate::console) fn panel(scan: &Value, form: &Form, invalid: &[Invalid]) -> Value {
    let with = form.text("scan_compared_with");
    json!({
        "at": scan["at"],
        "failed": scan["outcome"] == "failed",
        "message": scan["message"],
        "keys": scan["keys"],
        "key_error": super::message_at(invalid, "scanned_key"),
        "compared": super::with(
            field("compared", "I compared it with:", "", Value::Null, invalid),
            json!({ "value": form.text("compared") == "on" }),
        ),
        "compared_with": field("scan_compared_with", "A ticket, a person, a document", "", with, invalid),
    })
}

#[cfg(test)]
mod tests;
