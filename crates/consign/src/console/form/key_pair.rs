//! A certificate with its private key in a form: created with the save, one's own, or as it is stored.

use std::collections::BTreeMap;

use consign_core::catalog::Invalid;
use consign_core::credential::PASSPHRASE;
use consign_core::sign::KeySize;
use serde_json::{Map, Value, json};

use super::{Form, Kept, field, message_at, saved, with};

const CHOICE: &str = "key_pair";
const BITS: &str = "key_pair_bits";
const YEARS: &str = "key_pair_years";

/// What a form asks beside the certificate and its key.
pub(super) const KEYS: &[&str] = &[CHOICE, BITS, YEARS];

const KEEP: &str = "keep";
const GENERATE: &str = "generate";
const OWN: &str = "own";
const YEARS_USUAL: &str = "3";

/// What was chosen.
pub(super) fn typed(form: &Form) -> Vec<(&'static str, String)> {
    KEYS.iter().filter(|key| form.has(key)).map(|key| (*key, form.text(key).trim().to_owned())).collect()
}

/// The members of a body that say the same. `stored` is the credential of the same type, as it is.
pub(super) fn sent(
    plain: &BTreeMap<&'static str, String>,
    kept: &Kept,
    stored: Option<&Value>,
    (certificate, key): (&'static str, &'static str),
) -> Map<String, Value> {
    let text = |key: &str| plain.get(key).map(String::as_str);
    let mut sent = Map::new();
    match (text(CHOICE), stored) {
        (Some(GENERATE), _) => {
            for key in [CHOICE, BITS, YEARS] {
                sent.extend(text(key).map(|text| (key.to_owned(), json!(text))));
            }
        }
        (None | Some(KEEP), Some(stored)) => {
            sent.insert(certificate.to_owned(), stored[certificate].clone());
        }
        _ => {
            sent.extend(text(certificate).map(|text| (certificate.to_owned(), json!(text))));
            for key in [key, PASSPHRASE] {
                sent.extend(kept.text(key).map(|text| (key.to_owned(), json!(text))));
            }
        }
    }
    sent
}

/// The parts of the field.
pub(super) fn fields(
    plain: &BTreeMap<&'static str, String>,
    kept: &Kept,
    stored: Option<&Value>,
    invalid: &[Invalid],
    key: &'static str,
) -> Value {
    let text = |key: &str| plain.get(key).map(String::as_str);
    let choices = [(KEEP, "Keep the present one"), (GENERATE, "Create a key pair here"), (OWN, "Use my own")];
    let choices = choices.iter().filter(|(kind, _)| *kind != KEEP || stored.is_some());
    let options: Vec<_> = choices.map(|(kind, label)| json!({ "value": kind, "label": label })).collect();
    let usual = if stored.is_some() { KEEP } else { GENERATE };
    // A passphrase that was refused would be refused again.
    let entered = |key: &str| kept.has(key) && message_at(invalid, key).is_empty();
    let sizes = KeySize::ALL
        .iter()
        .map(|size| json!({ "value": size.bits().to_string(), "label": format!("RSA {}", size.bits()) }));
    let bits = KeySize::default().bits().to_string();
    json!({
        "chosen": text(CHOICE).unwrap_or(usual),
        "choices": options,
        "bits": with(
            field(BITS, "Key length", "", text(BITS).unwrap_or(&bits), invalid),
            json!({ "options": sizes.collect::<Vec<_>>() }),
        ),
        "years": field(YEARS, "Years until it ends", "From 1 to 10.", text(YEARS).unwrap_or(YEARS_USUAL), invalid),
        "private_key": with(
            field(key, "Private key", "From BEGIN to END. PKCS#8 or PKCS#1.", "", invalid),
            json!({
                "entered": entered(key),
                "set": stored.map_or(Value::Null, |stored| saved(&stored[key])),
            }),
        ),
        "passphrase": with(
            field(PASSPHRASE, "Passphrase", "Only if the private key has one. It is not kept.", "", invalid),
            json!({ "entered": entered(PASSPHRASE), "optional": true, "autocomplete": "off" }),
        ),
    })
}
