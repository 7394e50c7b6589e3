//! One object as lines of names and values.

use serde_json::{Map, Value};

use super::Output;
use super::table::clean;

/// What stands for something that is not there.
const NOTHING: &str = "–";

/// Every key of an object with its value, aligned. Secrets appear as set or not set: nobody gets more.
pub(crate) fn details(output: &Output, object: &Map<String, Value>) -> String {
    let shown: Vec<(&String, String)> = object
        .iter()
        .filter(|(key, _)| *key != "etag")
        .map(|(key, value)| (key, value_text(output, key, value)))
        .collect();
    let width = shown.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let line = |(key, value): (&String, String)| format!("{key:width$}  {value}\n");
    shown.into_iter().map(line).collect()
}

fn value_text(output: &Output, key: &str, value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(_) if key.ends_with("_at") || key.ends_with("since") => output.when(value),
        Value::String(text) => clean(text),
        Value::Array(rows) if rows.is_empty() => NOTHING.to_owned(),
        Value::Array(rows) => {
            rows.iter().map(|row| value_text(output, key, row)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(object) => object_text(output, object),
    }
}

fn object_text(output: &Output, object: &Map<String, Value>) -> String {
    if let Some(set) = object.get("set").and_then(Value::as_bool) {
        return secret_text(output, set, object);
    }
    if let Some(label) = object.get("label").and_then(Value::as_str) {
        let reason = object.get("reason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
        return clean(&reason.map_or_else(|| label.to_owned(), |reason| format!("{label} ({reason})")));
    }
    let name = object.get("name").and_then(Value::as_str);
    if let (Some(name), Some(place), Some(value)) =
        (name, object.get("sent_in").and_then(Value::as_str), object.get("value"))
    {
        let value = value.as_str().unwrap_or("(secret)");
        let place = if place == "body" { String::new() } else { format!(" ({place})") };
        return clean(&format!("{name}={value}{place}"));
    }
    if object.contains_key("renewable") {
        return token_text(output, object);
    }
    if let (Some(name), Some(Value::Object(_))) = (name, object.get("value")) {
        let sent_with = object.get("sent_with").and_then(Value::as_str).unwrap_or_default();
        return clean(&format!("{name} ({sent_with})"));
    }
    if let (Some(name), true) = (name, object.contains_key("id")) {
        return clean(name);
    }
    if object.is_empty() {
        return NOTHING.to_owned();
    }
    let pairs = object.iter().map(|(key, value)| format!("{key}={}", value_text(output, key, value)));
    pairs.collect::<Vec<_>>().join(", ")
}

fn secret_text(output: &Output, set: bool, object: &Map<String, Value>) -> String {
    if !set {
        return "not set".to_owned();
    }
    let by = object.get("updated_by").and_then(Value::as_str);
    match (object.get("updated_at"), by) {
        (Some(at), Some(by)) => clean(&format!("set, saved {} by {by}", output.when(at))),
        (Some(at), None) => format!("set, saved {}", output.when(at)),
        (None, _) => "set".to_owned(),
    }
}

/// What is known of a token; the token itself is nowhere.
fn token_text(output: &Output, token: &Map<String, Value>) -> String {
    let text = |key: &str| token.get(key).and_then(Value::as_str).unwrap_or_default();
    let time = |key: &str| output.when(token.get(key).unwrap_or(&Value::Null));
    let mut parts = vec![text("type").to_owned(), format!("obtained {}", time("obtained_at"))];
    parts.push(match text("ends_at") {
        "" => "used until it is refused".to_owned(),
        _ => format!("ends {}", time("ends_at")),
    });
    if token.get("renewable").and_then(Value::as_bool) == Some(true) {
        parts.push("refresh token stored".to_owned());
    }
    if !text("refresh_ends_at").is_empty() {
        parts.push(format!("which ends {}", time("refresh_ends_at")));
    }
    if !text("scope").is_empty() {
        parts.push(format!("scope {}", text("scope")));
    }
    clean(&parts.join(", "))
}
