//! An attempt as a command that can be pasted into a terminal. What is secret is a variable of the shell, and the body
//! a file: neither is in the record of an attempt.

use serde_json::Value;

/// Made anew by whoever sends it.
const OWN: [&str; 4] = ["content-length", "user-agent", "webhook-timestamp", "webhook-signature"];

/// The command for a request line, `POST https://host/path`, and the headers that were kept.
pub(super) fn curl(request_line: &str, headers: &Value) -> Option<String> {
    let (method, address) = request_line.split_once(' ')?;
    let mut command = format!("curl -sS -X {method} {}", quoted(address));
    for header in headers.as_array().into_iter().flatten() {
        let name = header["name"].as_str().unwrap_or_default();
        let value = header["value"].as_str().unwrap_or_default();
        if OWN.contains(&name) {
            continue;
        }
        let line = if value == "hidden" {
            format!("\"{name}: ${}\"", variable(name))
        } else {
            quoted(&format!("{name}: {value}"))
        };
        command.push_str(&format!(" \\\n  -H {line}"));
    }
    command.push_str(" \\\n  --data-binary @payload.json");
    Some(command)
}

/// `$TOKEN` for the sign-in; the others are called as their headers.
fn variable(name: &str) -> String {
    if name == "authorization" {
        return "TOKEN".to_owned();
    }
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// For a POSIX shell; a secret part of the address is a variable too.
fn quoted(text: &str) -> String {
    match text.split_once("•••") {
        Some((before, after)) => format!("{}\"$SECRET_PATH\"{}", quoted(before), quoted(after)),
        None if text.is_empty() => String::new(),
        None => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests;
