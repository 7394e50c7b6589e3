//! What a page shows or can save, as a command for a terminal and as a request for curl. Both are made of one description,
//! so that neither says what the other does not. No secret is ever in it: each is a file that whoever pastes the text
//! puts beside it.

use serde_json::{Value, json};

pub(crate) use examples::{egress_check, invitation, new_api_key};
pub(crate) use objects::{connector, create_from_file, credential, get, send};

mod examples;
mod objects;

/// Longer command lines are broken before their flags.
const LINE_CHARACTERS: usize = 80;

/// One thing to copy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Copied {
    /// What it does.
    pub title: &'static str,
    /// What stands behind `consign`.
    pub arguments: Vec<String>,
    /// What stands behind it in commands that follow the first.
    pub then: Vec<Vec<String>>,
    /// The method of the request.
    pub method: &'static str,
    /// Its address below `/api/v1`, without the query.
    pub path: String,
    /// Its query.
    pub query: Vec<(String, String)>,
    /// The version that is changed.
    pub etag: Option<String>,
    /// The request asks to be done once.
    pub once: bool,
    /// What is sent.
    pub body: Body,
}

/// What a command reads and a request carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// These values, and secrets out of files at their places.
    Json(Value, Vec<SecretFile>),
    /// What whoever pastes the text wrote into this file.
    File(&'static str),
    /// Values that a command takes as flags.
    Flags(Value),
}

/// A secret of a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SecretFile {
    /// Where it is read from.
    pub file: String,
    /// Where it goes, as jq calls it.
    pub place: String,
}

/// A list with its filters: query parameters of the API, whose names are the flags of the command.
pub(crate) fn list(noun: &'static str, path: &'static str, filters: &[(&str, String)]) -> Copied {
    filtered(get("Show this list", &[noun, "list"], path), filters)
}

/// The same with filters.
pub(crate) fn filtered(mut copied: Copied, filters: &[(&str, String)]) -> Copied {
    for (name, value) in filters.iter().filter(|(_, value)| !value.is_empty()) {
        copied.query.push(((*name).to_owned(), value.clone()));
        match (*name, value.as_str()) {
            ("sort", _) => copied.arguments.push("--oldest-first".to_owned()),
            (flag, "true") => copied.arguments.push(format!("--{}", flag.replace('_', "-"))),
            // A value may begin like a flag.
            (flag, value) => copied.arguments.push(format!("--{}={value}", flag.replace('_', "-"))),
        }
    }
    copied
}

impl Copied {
    /// For the command line.
    pub(crate) fn command(&self) -> String {
        let mut text = line(&self.arguments);
        if let Body::Json(value, _) = &self.body {
            text.push_str(&document(value, ""));
        }
        for arguments in &self.then {
            text.push('\n');
            text.push_str(&line(arguments));
        }
        text
    }

    /// Title, command and request, as they are shown.
    pub(crate) fn json(&self, public_url: &str) -> Value {
        json!({ "title": self.title, "command": self.command(), "curl": self.curl(public_url) })
    }

    /// For curl; where there are secrets, jq puts them into the body.
    pub(crate) fn curl(&self, public_url: &str) -> String {
        let mut request =
            vec![format!("curl -sS{} {}", self.method_flag(), quoted(&self.address(public_url)))];
        request.push("-H \"Authorization: Bearer $CONSIGN_TOKEN\"".to_owned());
        if let Some(etag) = &self.etag {
            request.push(format!("-H {}", quoted(&format!("If-Match: {etag}"))));
        }
        if self.once {
            request.push("-H \"Idempotency-Key: $(date +%s)-$$\"".to_owned());
        }
        if self.body != Body::None {
            let patch = if self.method == "PATCH" { "merge-patch+" } else { "" };
            request.push(format!("-H 'Content-Type: application/{patch}json'"));
        }
        match &self.body {
            Body::None => broken(&request),
            Body::File(name) => {
                request.push(format!("--data-binary @{name}"));
                broken(&request)
            }
            Body::Flags(value) => {
                request.push(format!("--data {}", quoted(&value.to_string())));
                broken(&request)
            }
            Body::Json(value, secrets) if secrets.is_empty() => {
                request.push("--data-binary @-".to_owned());
                format!("{}{}", broken(&request), document(value, ""))
            }
            Body::Json(value, secrets) => {
                request.push("--data-binary @-".to_owned());
                format!("{}{}", filled(secrets), document(value, &format!(" | \\\n{}", broken(&request))))
            }
        }
    }

    /// curl asks with GET by itself.
    fn method_flag(&self) -> String {
        if self.method == "GET" { String::new() } else { format!(" -X {}", self.method) }
    }

    fn address(&self, public_url: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query);
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{public_url}/api/v1{}{mark}{query}", self.path)
    }
}

/// jq, which reads the secrets and puts each at its place, without the line break at the end of its file.
fn filled(secrets: &[SecretFile]) -> String {
    let read = (1..).zip(secrets).map(|(n, secret)| format!(" --rawfile s{n} {}", quoted(&secret.file)));
    let put = (1..).zip(secrets).map(|(n, secret)| format!("{} = ($s{n} | rtrimstr(\"\\n\"))", secret.place));
    let put = put.collect::<Vec<_>>().join(" | ");
    format!("jq{} {}", read.collect::<String>(), quoted(&put))
}

/// A document behind a command; `rest` is what follows on the line of the command. It is taken as it is: a `$` is a `$`.
fn document(value: &Value, rest: &str) -> String {
    format!(" <<'JSON'{rest}\n{value:#}\nJSON")
}

fn line(arguments: &[String]) -> String {
    let quoted: Vec<_> = arguments.iter().map(|argument| quoted(argument)).collect();
    let whole = format!("consign {}", quoted.join(" "));
    if whole.chars().count() <= LINE_CHARACTERS {
        return whole;
    }
    let mut parts = vec!["consign".to_owned()];
    for (argument, text) in arguments.iter().zip(quoted) {
        let last = parts.last_mut().expect("it begins with one");
        if argument.starts_with("--") {
            parts.push(text);
        } else {
            last.push(' ');
            last.push_str(&text);
        }
    }
    broken(&parts)
}

fn broken(parts: &[String]) -> String {
    parts.join(" \\\n  ")
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
