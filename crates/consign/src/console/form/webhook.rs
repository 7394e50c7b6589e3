//! The form of a webhook.

use std::collections::BTreeMap;

use consign_core::catalog::Invalid;
use serde_json::{Map, Value, json};

use super::choices::{CHANGES, Follows};
use super::{Choices, Form, field, message_at, with};

/// A webhook as it stands in the form.
#[derive(Debug, Default)]
pub(in crate::console) struct WebhookForm {
    texts: BTreeMap<&'static str, String>,
    flags: BTreeMap<&'static str, bool>,
}

const TEXTS: &[&str] = &[
    "name",
    "description",
    "credential",
    "method",
    "path",
    "event_types",
    "only_when",
    "payload",
    "template",
    "content_type",
    "headers",
    "signature",
    "success_when",
    "outputs",
    "retry_schedule_seconds",
    "when_no_answer",
    "timeout_seconds",
    "max_concurrency",
    "max_per_second",
];
const FLAGS: &[&str] = &["retry_client_errors", "idempotency_header"];
const METHODS: &[(&str, &str)] = &[("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH")];

const TYPES_HINT: &str = "device.score.low, or device.* for all below it. One per line; * is All.";
const CONDITION_HINT: &str =
    r#"A condition on the event, such as data.score < 3 and data.site in ["LIS","OPO"]."#;
const TEMPLATE_HINT: &str = "{{ data.device }} puts in a value of the event; \
    {{ data.site | default(\"-\") }} when it may be missing.";
const HEADERS_HINT: &str = "Not for secrets. Put those in the credential. Name: value, one per line.";
const SIGNATURE_HINT: &str = "By it the receiver knows that Consign sent the request.";
const OUTPUTS_HINT: &str =
    "Such as the ticket number, by JSON Pointer: number = /result/number. One per line.";
const RETRIES_HINT: &str = "Times between attempts, in seconds: 5, 300, 1800. \
    Empty: ten attempts in about 3 days. none: one attempt only.";
const CLIENT_ERRORS_HINT: &str = "400, 413, 415 and 422 are not retried otherwise.";
const NO_ANSWER_HINT: &str = "A request may have been processed although no answer came.";

/// Typed instead of waits: one attempt, no retries.
const NO_RETRIES: &str = "none";

impl WebhookForm {
    /// A new webhook for a credential, if one is chosen already.
    pub(in crate::console) fn empty(credential: &str) -> Self {
        let texts = [
            ("credential", credential),
            ("method", "POST"),
            ("payload", "event"),
            ("content_type", "application/json"),
            ("signature", "off"),
            ("success_when", "status"),
            ("when_no_answer", "retry"),
            ("timeout_seconds", "20"),
            ("max_concurrency", "4"),
        ];
        Self {
            texts: texts.into_iter().map(|(key, text)| (key, text.to_owned())).collect(),
            flags: [("idempotency_header", true)].into_iter().collect(),
        }
    }

    /// The same with another text in a field.
    pub(in crate::console) fn with_text(mut self, key: &'static str, text: String) -> Self {
        self.texts.insert(key, text);
        self
    }

    /// The same with another credential, unless none is named.
    pub(in crate::console) fn choosing(self, credential: &str) -> Self {
        if credential.is_empty() { self } else { self.with_text("credential", credential.to_owned()) }
    }

    /// A new webhook as a link suggests it.
    pub(in crate::console) fn suggested(form: &Form) -> Self {
        let mut suggested = Self::empty(form.text("credential"));
        suggested.texts.insert("path", form.text("path").to_owned());
        if METHODS.iter().any(|(method, _)| *method == form.text("method")) {
            suggested.texts.insert("method", form.text("method").to_owned());
        }
        suggested
    }

    /// A stored webhook.
    pub(in crate::console) fn stored(webhook: &Value) -> Self {
        let text = |key: &str| match &webhook[key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let mut texts: BTreeMap<_, _> = TEXTS.iter().map(|key| (*key, text(key))).collect();
        texts.insert("credential", webhook["credential"]["id"].as_str().unwrap_or_default().to_owned());
        texts.insert("event_types", join(&webhook["event_types"], "\n", word));
        texts.insert(
            "headers",
            join(&webhook["headers"], "\n", |row| format!("{}: {}", word(&row["name"]), word(&row["value"]))),
        );
        texts.insert(
            "outputs",
            join(&webhook["outputs"], "\n", |row| {
                format!("{} = {}", word(&row["name"]), word(&row["pointer"]))
            }),
        );
        let waits = match webhook["retry_schedule_seconds"].as_array() {
            Some(waits) if waits.is_empty() => NO_RETRIES.to_owned(),
            _ => join(&webhook["retry_schedule_seconds"], ", ", word),
        };
        texts.insert("retry_schedule_seconds", waits);
        let flags = FLAGS.iter().map(|key| (*key, webhook[*key] == json!(true))).collect();
        Self { texts, flags }
    }

    /// What was typed.
    pub(in crate::console) fn typed(form: &Form) -> Self {
        Self {
            texts: TEXTS.iter().map(|key| (*key, form.lines(key))).collect(),
            flags: FLAGS.iter().map(|key| (*key, form.has(key))).collect(),
        }
    }

    fn text(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    fn flag(&self, key: &str) -> bool {
        self.flags.get(key).copied().unwrap_or(false)
    }

    /// The body of a request to the API that says the same.
    pub(in crate::console) fn sent(&self) -> Map<String, Value> {
        let lists = ["event_types", "headers", "outputs", "retry_schedule_seconds"];
        let texts = TEXTS.iter().filter(|key| !lists.contains(key));
        let mut sent: Map<_, _> = texts.map(|key| ((*key).to_owned(), json!(self.text(key)))).collect();
        for key in FLAGS {
            sent.insert((*key).to_owned(), json!(self.flag(key)));
        }
        let types =
            self.text("event_types").split(['\n', ',']).map(str::trim).filter(|text| !text.is_empty());
        sent.insert("event_types".to_owned(), types.map(Value::from).collect());
        sent.insert("headers".to_owned(), rows(self.text("headers"), ':', "value"));
        sent.insert("outputs".to_owned(), rows(self.text("outputs"), '=', "pointer"));
        sent.insert("retry_schedule_seconds".to_owned(), waits(self.text("retry_schedule_seconds")));
        sent
    }

    /// The whole address as far as it is known, such as `POST https://host/path`.
    fn preview(&self, choices: &Choices) -> String {
        let Some(chosen) = choices.find(self.text("credential")) else { return String::new() };
        sends_to(self.text("method"), &chosen.address, self.text("path").trim())
    }

    /// The credential that is chosen.
    pub(in crate::console) fn credential(&self) -> &str {
        self.text("credential")
    }

    /// The fields for the template. `refresh` is where the page asks for other fields.
    pub(in crate::console) fn fields(&self, choices: &Choices, invalid: &[Invalid], refresh: &str) -> Value {
        let refresh = json!({ "url": refresh, "target": "webhook-fields" });
        let text = |key: &str, label: &str, hint: &str| field(key, label, hint, self.text(key), invalid);
        let optional = |key, label, hint| with(text(key, label, hint), json!({ "optional": true }));
        let delivery = [
            "headers",
            "signature",
            "success_when",
            "outputs",
            "retry_schedule_seconds",
            "retry_client_errors",
            "when_no_answer",
            "timeout_seconds",
            "max_concurrency",
            "max_per_second",
            "idempotency_header",
        ];
        json!({
            "name": text("name", "Name", ""),
            "description": optional("description", "Description", ""),
            "event_types": with(
                text("event_types", "Event types", TYPES_HINT),
                json!({ "mono": true, "rows": rows_of(self.text("event_types")) })),
            "only_when": with(
                optional("only_when", "Only when", CONDITION_HINT),
                json!({ "mono": true })),
            "credential": choices.field(self.text("credential"), invalid, &Follows::Preview(&refresh)),
            "method": with(text("method", "Method", ""), json!({ "options": options(METHODS) })),
            "path": with(text("path", "Path", "Added to the URL address of the credential."), json!({
                "mono": true, "placeholder": "/api/now/table/incident", "preview": self.preview(choices),
            })),
            "payload": with(text("payload", "Payload", CHANGES), json!({
                "refresh": refresh,
                "options": options(&[
                    ("event", "The event as received"),
                    ("cloudevents", "CloudEvents JSON"),
                    ("template", "Template"),
                ]),
            })),
            "is_template": self.text("payload") == "template",
            "template": with(
                text("template", "Template", TEMPLATE_HINT),
                json!({ "mono": true, "rows": 10 })),
            "content_type": with(text("content_type", "Content type", ""), json!({ "mono": true })),
            "delivery": self.delivery_fields(invalid),
            "delivery_open": delivery.iter().any(|key| !message_at(invalid, key).is_empty()),
        })
    }

    fn delivery_fields(&self, invalid: &[Invalid]) -> Value {
        let text = |key: &str, label: &str, hint: &str| field(key, label, hint, self.text(key), invalid);
        let optional = |key, label, hint| with(text(key, label, hint), json!({ "optional": true }));
        let rows = |key, label, hint| with(optional(key, label, hint), json!({ "mono": true, "rows": 3 }));
        let flag = |key: &str, label, hint| field(key, label, hint, self.flag(key), invalid);
        json!({
            "headers": rows("headers", "Headers", HEADERS_HINT),
            "signature": with(text("signature", "Signature", SIGNATURE_HINT), json!({
                "options": [
                    { "value": "off", "label": "Off" },
                    { "value": "hmac", "label": "Standard Webhooks", "hint": "A secret that both sides know. It is shown once." },
                    { "value": "ed25519", "label": "Public key, nothing to share", "hint": "The key that signs never leaves this server." },
                ],
            })),
            "success_when": with(text("success_when", "Counts as delivered", ""), json!({
                "options": options(&[("status", "Any 2xx"), ("status_and_json", "2xx with a JSON answer")]),
            })),
            "outputs": rows("outputs", "Keep from the answer", OUTPUTS_HINT),
            "retry_schedule_seconds": optional("retry_schedule_seconds", "Retries", RETRIES_HINT),
            "retry_client_errors": flag("retry_client_errors", "Retry these too", CLIENT_ERRORS_HINT),
            "when_no_answer": with(
                text("when_no_answer", "When no answer arrives", NO_ANSWER_HINT),
                json!({ "options": options(&[("retry", "Send again"), ("hold", "Wait for a person")]) })),
            "timeout_seconds": text("timeout_seconds", "Timeout", "Seconds, from 1 to 60."),
            "max_concurrency": text("max_concurrency", "At most N at a time", ""),
            "max_per_second": optional("max_per_second", "At most N per second", ""),
            "idempotency_header": flag("idempotency_header", "Send Idempotency-Key", ""),
        })
    }
}

/// Method and whole address, such as `POST https://host/path`.
pub(in crate::console) fn sends_to(method: &str, address: &str, path: &str) -> String {
    let start = if path.is_empty() { address } else { address.trim_end_matches('/') };
    format!("{method} {start}{path}")
}

/// Faults of rows stand at the one field that holds all rows.
pub(in crate::console) fn at_whole_fields(invalid: &[Invalid]) -> Vec<Invalid> {
    let whole = |one: &Invalid| Invalid {
        field: one.field.split('/').next().unwrap_or_default().to_owned(),
        ..one.clone()
    };
    invalid.iter().map(whole).collect()
}

pub(super) fn options(choices: &[(&str, &str)]) -> Value {
    choices.iter().map(|(value, label)| json!({ "value": value, "label": label })).collect()
}

/// How high a field for lines is: most have one or two.
pub(super) fn rows_of(lines: &str) -> usize {
    lines.lines().count().clamp(2, 8)
}

pub(super) fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn join(list: &Value, between: &str, text: impl Fn(&Value) -> String) -> String {
    let rows = list.as_array().into_iter().flatten();
    rows.map(text).collect::<Vec<_>>().join(between)
}

/// Lines such as `Name: value` as rows.
fn rows(text: &str, between: char, second: &str) -> Value {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let rows = lines.map(|line| {
        let (name, value) = line.split_once(between).unwrap_or((line, ""));
        json!({ "name": name.trim(), second: value.trim() })
    });
    rows.collect()
}

/// Waits in seconds; what is no number is sent on as it is, to be refused with the sentence of the rule.
fn waits(text: &str) -> Value {
    let text = text.trim();
    if text.is_empty() {
        return Value::Null;
    }
    if text.eq_ignore_ascii_case(NO_RETRIES) {
        return json!([]);
    }
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    parts.map(|part| part.parse::<u64>().map_or_else(|_| json!(part), Value::from)).collect()
}

#[cfg(test)]
mod tests;
