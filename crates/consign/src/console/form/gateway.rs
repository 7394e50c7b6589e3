//! The form of a gateway.

use std::collections::BTreeMap;

use consign_core::catalog::Invalid;
use consign_core::connector::gateway::METHODS;
use serde_json::{Map, Value, json};

use super::choices::Follows;
use super::webhook::{join, word};
use super::{Choices, Form, field, message_at, with};

/// A gateway as it stands in the form.
#[derive(Debug, Default)]
pub(in crate::console) struct GatewayForm {
    texts: BTreeMap<&'static str, String>,
    flags: BTreeMap<&'static str, bool>,
    methods: Vec<String>,
    /// The ids of the API keys that are ticked.
    keys: Vec<String>,
}

const TEXTS: &[&str] = &[
    "name",
    "description",
    "credential",
    "slug",
    "path_prefixes",
    "timeout_seconds",
    "idle_seconds",
    "max_request_bytes",
    "max_concurrency",
    "max_per_second",
];
const FLAGS: &[&str] = &["scrub_answers", "record_calls"];
/// What stands behind "Limits".
const LIMITS: &[&str] = &[
    "timeout_seconds",
    "idle_seconds",
    "max_request_bytes",
    "max_concurrency",
    "max_per_second",
    "scrub_answers",
    "record_calls",
];

const SLUG_HINT: &str =
    "Small letters, digits and hyphens. Applications call this address, with the path of the tool behind it.";
const METHODS_HINT: &str = "Only these are passed on.";
const PREFIXES_HINT: &str = "Only these paths and all below them are passed on. One per line, such as \
    /api/now/table/incident. They are compared by whole segments.";
const KEYS_HINT: &str = "Which of them may call. None ticked: any API key with the scope gateway:call.";
const FIRST_BYTE_HINT: &str = "Seconds, from 1 to 600.";
const IDLE_HINT: &str = "Seconds without anything of an answer that has begun, from 1 to 600.";
const LARGEST_HINT: &str = "Up to 5 GiB. A request is passed on while it comes and never held whole.";
const SCRUB_HINT: &str = "Headers and body of an answer are searched for the secrets of the credential. A secret that is found \
    is covered with asterisks. This stops a tool that repeats what it was sent, not one that plots with the caller.";
const RECORDS_HINT: &str = "A line for each call: time, API key, method, path without its query, answer, bytes and duration. \
    Nothing that was sent or answered.";

/// What the page knows beside the form.
pub(in crate::console) struct Around<'a> {
    pub(in crate::console) choices: &'a Choices,
    /// The API keys that may call gateways.
    pub(in crate::console) callers: &'a [Value],
    pub(in crate::console) public_url: &'a str,
}

impl GatewayForm {
    /// A new gateway for a credential, if one is chosen already.
    pub(in crate::console) fn empty(credential: &str) -> Self {
        let texts = [
            ("credential", credential),
            ("timeout_seconds", "60"),
            ("idle_seconds", "60"),
            ("max_request_bytes", "100 MiB"),
            ("max_concurrency", "32"),
        ];
        Self {
            texts: texts.into_iter().map(|(key, text)| (key, text.to_owned())).collect(),
            flags: FLAGS.iter().map(|key| (*key, true)).collect(),
            methods: vec!["GET".to_owned()],
            keys: Vec::new(),
        }
    }

    /// The same with another credential, unless none is named.
    pub(in crate::console) fn choosing(mut self, credential: &str) -> Self {
        if !credential.is_empty() {
            self.texts.insert("credential", credential.to_owned());
        }
        self
    }

    /// A stored gateway.
    pub(in crate::console) fn stored(gateway: &Value) -> Self {
        let text = |key: &str| match &gateway[key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let mut texts: BTreeMap<_, _> = TEXTS.iter().map(|key| (*key, text(key))).collect();
        texts.insert("credential", gateway["credential"]["id"].as_str().unwrap_or_default().to_owned());
        texts.insert("path_prefixes", join(&gateway["path_prefixes"], "\n", word));
        texts.insert("max_request_bytes", shown_bytes(gateway["max_request_bytes"].as_u64().unwrap_or(0)));
        let words = |list: &Value, text: fn(&Value) -> String| {
            list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>()
        };
        Self {
            texts,
            flags: FLAGS.iter().map(|key| (*key, gateway[*key] == json!(true))).collect(),
            methods: words(&gateway["methods"], word),
            keys: words(&gateway["api_keys"], |key| word(&key["id"])),
        }
    }

    /// What was typed.
    pub(in crate::console) fn typed(form: &Form) -> Self {
        let all = |key: &str| form.all(key).into_iter().map(str::to_owned).collect();
        Self {
            texts: TEXTS.iter().map(|key| (*key, form.lines(key))).collect(),
            flags: FLAGS.iter().map(|key| (*key, form.has(key))).collect(),
            methods: all("methods"),
            keys: all("api_keys"),
        }
    }

    fn text(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    fn flag(&self, key: &str) -> bool {
        self.flags.get(key).copied().unwrap_or(false)
    }

    fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.text("path_prefixes").lines().map(str::trim).filter(|line| !line.is_empty())
    }

    /// The body of a request to the API that says the same.
    pub(in crate::console) fn sent(&self) -> Map<String, Value> {
        let texts = TEXTS.iter().filter(|key| **key != "path_prefixes");
        let mut sent: Map<_, _> = texts.map(|key| ((*key).to_owned(), json!(self.text(key)))).collect();
        for key in FLAGS {
            sent.insert((*key).to_owned(), json!(self.flag(key)));
        }
        sent.insert("path_prefixes".to_owned(), self.prefixes().collect());
        sent.insert("methods".to_owned(), json!(self.methods));
        sent.insert("api_keys".to_owned(), json!(self.keys));
        sent
    }

    /// The credential that is chosen.
    pub(in crate::console) fn credential(&self) -> &str {
        self.text("credential")
    }

    /// The fields for the template.
    pub(in crate::console) fn fields(&self, around: &Around<'_>, invalid: &[Invalid]) -> Value {
        let text = |key: &str, label: &str, hint: &str| field(key, label, hint, self.text(key), invalid);
        let optional = |key, label, hint| with(text(key, label, hint), json!({ "optional": true }));
        let flag = |key: &str, label, hint| field(key, label, hint, self.flag(key), invalid);
        let slug = self.text("slug").trim();
        let slug = if slug.is_empty() { "…" } else { slug };
        let methods = METHODS.iter().map(|method| {
            json!({ "value": method.as_str(), "label": method.as_str(), "checked": self.methods.iter().any(|one| one == method.as_str()) })
        });
        json!({
            "name": text("name", "Name", ""),
            "description": optional("description", "Description", ""),
            "credential": around.choices.field(self.text("credential"), invalid, &Follows::Nothing),
            "slug": with(text("slug", "Address part", SLUG_HINT), json!({
                "mono": true,
                "placeholder": "servicenow",
                "preview": format!("{}/gateway/{slug}/", around.public_url.trim_end_matches('/')),
            })),
            "methods": with(field("methods", "Methods", METHODS_HINT, "", invalid), json!({
                "options": methods.collect::<Vec<_>>(), "inline": true,
            })),
            "path_prefixes": with(text("path_prefixes", "Path prefixes", PREFIXES_HINT), json!({
                "mono": true, "rows": 3,
            })),
            "allows_everything": self.prefixes().any(|prefix| prefix == "/"),
            "api_keys": with(field("api_keys", "API keys", KEYS_HINT, "", invalid), json!({
                "options": self.key_options(around.callers), "optional": true,
            })),
            "limits": {
                "timeout_seconds": text("timeout_seconds", "Time for the first byte", FIRST_BYTE_HINT),
                "idle_seconds": text("idle_seconds", "Idle time", IDLE_HINT),
                "max_request_bytes": text("max_request_bytes", "Largest request", LARGEST_HINT),
                "max_concurrency": text("max_concurrency", "At most N at a time", ""),
                "max_per_second": optional("max_per_second", "At most N per second", ""),
                "scrub_answers": flag("scrub_answers", "Hide secrets in answers", SCRUB_HINT),
                "record_calls": flag("record_calls", "Keep call records", RECORDS_HINT),
            },
            "limits_open": LIMITS.iter().any(|key| !message_at(invalid, key).is_empty()),
        })
    }

    /// The API keys to tick. One that was revoked stays ticked until somebody unticks it: without it the gateway
    /// would be open for all.
    fn key_options(&self, callers: &[Value]) -> Vec<Value> {
        let is = |caller: &Value, id: &String| caller["id"].as_str() == Some(id);
        let known = callers.iter().map(|caller| {
            let ended = caller["ended"] == json!(true);
            json!({
                "value": caller["id"],
                "label": caller["name"],
                "hint": format!("{}{}", word(&caller["key"]), if ended { " · ended" } else { "" }),
                "checked": self.keys.iter().any(|id| is(caller, id)),
            })
        });
        let gone = self.keys.iter().filter(|id| !callers.iter().any(|caller| is(caller, id)));
        let gone =
            gone.map(|id| json!({ "value": id, "label": "A revoked key", "hint": id, "checked": true }));
        known.chain(gone).collect()
    }
}

/// Whole units as people write them; else the bytes, so that saving the form changes nothing.
fn shown_bytes(bytes: u64) -> String {
    for (unit, of) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= of && bytes.is_multiple_of(of) {
            return format!("{} {unit}", bytes / of);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests;
