//! Options of the server in words: what each is called, its value as people say it, and who set it.

use std::time::Duration;

use consign_core::catalog::{size, with_commas};
use consign_core::time::in_words;
use serde_json::{Value, json};

/// How the value of an option is said.
#[derive(Clone, Copy)]
enum Said {
    /// A text; an empty one says that it is off.
    Text,
    /// Yes or no.
    Flag,
    /// A span of seconds.
    Seconds,
    /// Spans of seconds, one after another.
    Spans,
    /// A size in bytes.
    Bytes,
    /// A number.
    Number,
    /// A number a second; 0 is no limit.
    Rate,
}

/// What each option is called: those that pages show.
const NAMES: [(&str, &str, Said); 24] = [
    ("server.listen", "Listens at", Said::Text),
    ("server.public_url", "Public URL", Said::Text),
    ("server.tls.cert_file", "TLS certificate", Said::Text),
    ("server.tls.key_file", "Key of the TLS certificate", Said::Text),
    ("server.trusted_proxies", "Trusted proxies", Said::Text),
    ("server.client_header", "Header that names the client", Said::Text),
    ("server.metrics_listen", "Metrics and health at", Said::Text),
    ("server.metrics_credential_ends", "Ends of credentials in the metrics", Said::Flag),
    ("server.shutdown_grace_seconds", "Time to end what runs", Said::Seconds),
    ("egress.allow", "Allowed private networks", Said::Text),
    ("egress.allow_loopback", "Loopback", Said::Flag),
    ("egress.proxy", "Proxy", Said::Text),
    ("egress.proxy_login", "Sign-in at the proxy", Said::Text),
    ("egress.no_proxy", "Reached without the proxy", Said::Text),
    ("egress.ca_file", "Extra CA certificates", Said::Text),
    ("egress.tls_min", "Lowest TLS version", Said::Text),
    ("delivery.workers", "Requests at a time", Said::Number),
    ("delivery.timeout_seconds", "Timeout", Said::Seconds),
    ("delivery.retry_schedule_seconds", "Retry schedule", Said::Spans),
    ("limits.event_bytes", "Largest request with events", Said::Bytes),
    ("limits.export_bytes", "Largest file", Said::Bytes),
    ("limits.disk_low_bytes", "The disk is low below", Said::Bytes),
    ("limits.requests_per_second", "Requests a second of one API key", Said::Rate),
    ("limits.event_requests_per_second", "Requests with events a second of one API key", Said::Rate),
];

/// The options of some groups: name, key, value in words, and who set it.
pub(super) fn rows(current: &Value, groups: &[&str]) -> Value {
    let options = current["options"].as_array().into_iter().flatten();
    let of_groups = options.filter(|option| {
        let key = option["key"].as_str().unwrap_or_default();
        groups.iter().any(|group| key.starts_with(group))
    });
    let row = |option: &Value| {
        let key = option["key"].as_str().unwrap_or_default();
        let (_, label, said) =
            NAMES.into_iter().find(|(known, ..)| *known == key).unwrap_or((key, key, Said::Text));
        let value = say(said, option["value"].as_str().unwrap_or_default());
        json!({ "key": key, "label": label, "value": value, "source": source(option) })
    };
    of_groups.map(row).collect()
}

/// The value of an option, by the end of its key, in words.
pub(super) fn said(key: &str, value: &Value) -> Option<String> {
    let (_, _, said) = NAMES.into_iter().find(|(known, ..)| known.rsplit('.').next() == Some(key))?;
    Some(say(said, &value.to_string()))
}

fn source(option: &Value) -> String {
    let name = option["source_name"].as_str().unwrap_or_default();
    match option["source"].as_str() {
        Some("environment") => small_word("set by {name}").replace("{name}", name),
        Some("file") => small_word("set in the configuration file"),
        Some("file_content") => small_word("content of {name}").replace("{name}", name),
        Some("demo") => small_word("set by the demo"),
        _ => small_word("default"),
    }
}

/// Words of a page that begin no sentence, such as `yes`. The name tells `cargo xtask words` that people read them.
pub(super) fn small_word(words: &str) -> String {
    words.to_owned()
}

/// A value that stands as in the file, in words.
fn say(said: Said, written: &str) -> String {
    let Ok(mut table) = toml::from_str::<toml::Table>(&format!("value = {written}")) else {
        return match written {
            "none" => small_word("none"),
            // In the place of a secret.
            "set" => small_word("set"),
            other => other.to_owned(),
        };
    };
    match table.remove("value") {
        Some(toml::Value::Array(values)) if values.is_empty() => match said {
            Said::Spans => small_word("one attempt"),
            _ => small_word("none"),
        },
        Some(toml::Value::Array(values)) => {
            values.iter().map(|value| say_one(said, value)).collect::<Vec<_>>().join(", ")
        }
        Some(value) => say_one(said, &value),
        None => written.to_owned(),
    }
}

fn say_one(said: Said, value: &toml::Value) -> String {
    match (said, value) {
        (_, toml::Value::String(text)) if text.is_empty() => small_word("off"),
        (_, toml::Value::String(text)) => text.clone(),
        (_, toml::Value::Boolean(true)) => small_word("yes"),
        (_, toml::Value::Boolean(false)) => small_word("no"),
        (Said::Seconds | Said::Spans, toml::Value::Integer(seconds)) => match u64::try_from(*seconds) {
            Ok(seconds @ 60..) => in_words(Duration::from_secs(seconds)),
            _ => format!("{seconds} s"),
        },
        (Said::Bytes, toml::Value::Integer(bytes)) => size(u64::try_from(*bytes).unwrap_or_default()),
        (Said::Rate, toml::Value::Integer(0)) => small_word("no limit"),
        (_, toml::Value::Integer(number)) => with_commas(usize::try_from(*number).unwrap_or_default()),
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Every option of the pages has a name, and every value is in words.
    #[test]
    fn options_are_said_in_words() {
        let options = Config::default().print().into_iter();
        let options: Vec<_> = options
            .map(|(key, value, _)| json!({ "key": key, "value": value, "source": "default" }))
            .collect();
        let shown = rows(&json!({ "options": options }), &["server.", "egress.", "delivery.", "limits."]);
        let lines = shown.as_array().unwrap().iter().map(|row| {
            assert_ne!(row["key"], row["label"], "it has no name");
            format!("{}: {}", row["label"].as_str().unwrap(), row["value"].as_str().unwrap())
        });
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), NAMES.len(), "{lines:#?}");
        for expected in [
            "Public URL: none",
            "Trusted proxies: none",
            "Ends of credentials in the metrics: yes",
            "Time to end what runs: 30 s",
            "Lowest TLS version: 1.2",
            "Requests at a time: 1,024",
            "Retry schedule: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 1 d",
            "Largest file: 5.4 GB",
            "Requests with events a second of one API key: no limit",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
        }
        assert_eq!(
            say(Said::Text, "[\"10.0.0.0/8:443\", \"bmc.example:8443\"]"),
            "10.0.0.0/8:443, bmc.example:8443"
        );
        assert_eq!(
            (say(Said::Text, "\"\""), say(Said::Spans, "[]")),
            ("off".to_owned(), "one attempt".to_owned())
        );
        assert_eq!(said("export_bytes", &json!(5_000_000)).as_deref(), Some("5.0 MB"));
        assert_eq!(say(Said::Text, "set"), "set");
        assert_eq!(source(&json!({ "source": "demo" })), "set by the demo");
        let from = |kind: &str| source(&json!({ "source": kind, "source_name": "CONSIGN_X" }));
        assert_eq!(
            [from("environment"), from("file_content"), from("file")],
            ["set by CONSIGN_X", "content of CONSIGN_X", "set in the configuration file"]
        );
    }
}
