//! What a tool's answer says: its message and the reference of a new record, found by shape. Nothing here is
//! scrubbed.

use serde::de::IgnoredAny;
use serde_json::Value;

/// As much of an answer as is read.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest message or reference.
const MESSAGE_CHARACTERS_MAX: usize = 300;
/// What is shown of an answer in no known shape.
const EXCERPT_CHARACTERS: usize = 200;
/// Messages of one answer that are joined.
const MESSAGES_MAX: usize = 20;

/// What the tool says, in at most 300 characters on one line; `None` when it says nothing that can be read.
pub fn message(content_type: Option<&str>, body: &[u8]) -> Option<String> {
    let body = &body[..body.len().min(BODY_BYTES_MAX)];
    if let Some(said) = serde_json::from_slice::<Value>(body).ok().and_then(|value| of_json(&value)) {
        return Some(clean(&said, MESSAGE_CHARACTERS_MAX)).filter(|said| !said.is_empty());
    }
    if body.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    if is_web_page(content_type, body) {
        let title = title(&text).map(|title| clean(&title, MESSAGE_CHARACTERS_MAX - 12));
        return Some(match title.filter(|title| !title.is_empty()) {
            Some(title) => format!("Web page: {title}"),
            None => "Web page".to_owned(),
        });
    }
    Some(clean(&text, EXCERPT_CHARACTERS)).filter(|said| !said.is_empty())
}

/// How the tool names the new record: its place, or else a number or id in the answer.
pub fn reference(body: &[u8], location: Option<&str>) -> Option<String> {
    if let Some(location) =
        location.map(|location| clean(location, MESSAGE_CHARACTERS_MAX)).filter(|it| !it.is_empty())
    {
        return Some(location);
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    let pointers = ["/result/number", "/result/sys_id", "/issueKey", "/ticket/id", "/nodeID", "/id"];
    let found = pointers.into_iter().filter_map(|pointer| scalar(value.pointer(pointer)?));
    found.map(|found| clean(&found, MESSAGE_CHARACTERS_MAX)).find(|found| !found.is_empty())
}

/// Whether the answer is JSON. One that was cut after 64 KiB counts when it is JSON so far.
pub fn is_json(body: &[u8]) -> bool {
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => true,
        Err(error) => error.is_eof() && body.len() >= BODY_BYTES_MAX,
    }
}

/// Whether the answer is a page for people.
pub fn is_web_page(content_type: Option<&str>, body: &[u8]) -> bool {
    let media =
        content_type.and_then(|text| text.split(';').next()).map(|media| media.trim().to_ascii_lowercase());
    if matches!(media.as_deref(), Some("text/html" | "application/xhtml+xml")) {
        return true;
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let starts_with =
        |start: &[u8]| body.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    starts_with(b"<!doctype html") || starts_with(b"<html")
}

/// The message of an answer in one of the known shapes.
fn of_json(value: &Value) -> Option<String> {
    if let Some(items) = value.as_array() {
        return joined(items.iter().filter_map(of_bmc));
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let errors = value.get("errors");
    if let Some(error) = value.get("error").filter(|error| error.is_object()) {
        return pair(member(error, "message"), member(error, "detail"));
    }
    if let (Some(code), Some(messages)) = (text("code"), value.get("message").and_then(Value::as_array)) {
        return pair(Some(code.to_owned()), joined(messages.iter().filter_map(scalar)));
    }
    if let Some(items) = errors.and_then(Value::as_array).filter(|items| !items.is_empty()) {
        let each = items.iter().filter_map(|item| {
            let message = member(item, "message").or_else(|| scalar(item))?;
            Some(member(item, "field").map_or_else(|| message.clone(), |field| format!("{field}: {message}")))
        });
        return joined(each).or_else(|| text("description").map(str::to_owned));
    }
    of_jira(value)
        .or_else(|| pair(text("error").map(str::to_owned), text("error_description").map(str::to_owned)))
        .or_else(|| pair(text("title").map(str::to_owned), text("detail").map(str::to_owned)))
        .or_else(|| text("message").or_else(|| text("description")).map(str::to_owned))
}

/// `messageText (messageNumber): messageAppendedText`.
fn of_bmc(item: &Value) -> Option<String> {
    let text = member(item, "messageText")?;
    let numbered = match member(item, "messageNumber") {
        Some(number) => format!("{text} ({number})"),
        None => text,
    };
    pair(Some(numbered), member(item, "messageAppendedText"))
}

/// Lists and maps of errors, or one error with its translation.
fn of_jira(value: &Value) -> Option<String> {
    let listed =
        value.get("errorMessages").and_then(Value::as_array).into_iter().flatten().filter_map(scalar);
    let fields = value.get("errors").and_then(Value::as_object).into_iter().flatten();
    let named = fields.filter_map(|(field, message)| Some(format!("{field}: {}", scalar(message)?)));
    let single = member(value, "errorMessage");
    let translation =
        value.get("i18nErrorMessage").map(|text| member(text, "i18nKey").or_else(|| scalar(text)));
    let translated = translation.flatten().filter(|text| single.as_ref() != Some(text));
    joined(listed.chain(named).chain(single).chain(translated))
}

/// A text, number or truth value as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn member(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(scalar)
}

/// `first: second`, or the one that is there.
fn pair(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}: {second}")),
        (first, second) => first.or(second),
    }
}

fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    let texts: Vec<String> = texts.take(MESSAGES_MAX).collect();
    if texts.is_empty() { None } else { Some(texts.join("; ")) }
}

/// What stands between the title tags, with the usual entities decoded.
fn title(page: &str) -> Option<String> {
    // Same length as the page, so that positions fit both.
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let mut title = page[start..end].to_owned();
    for (entity, text) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
    {
        title = title.replace(entity, text);
    }
    Some(title)
}

/// One line without control characters, cut with an ellipsis.
fn clean(text: &str, characters_max: usize) -> String {
    let spaced = text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c });
    let mut line = String::new();
    let mut count = 0;
    for c in spaced.skip_while(|c| c.is_whitespace()) {
        if c.is_whitespace() && line.ends_with(' ') {
            continue;
        }
        if count == characters_max {
            line.pop();
            line.push('…');
            return line;
        }
        line.push(if c.is_whitespace() { ' ' } else { c });
        count += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

/// Marks that turn the direction of a line around, and the byte-order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
