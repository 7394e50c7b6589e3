//! Commands and requests about one object: read it, save it as it is shown, make another one like it.

use consign_core::auth;
use consign_core::catalog::{Field, Input};
use consign_core::pin;
use serde_json::{Map, Value, json};

use super::{Body, Copied, SecretFile};

/// Of a credential, beside the fields of its authorization type.
const OF_CREDENTIAL: &[&str] = &[
    "name",
    "protocol",
    "url_address",
    "hostname",
    pin::FIELD,
    "authorization_type",
    "test_path",
    "ends_on",
    "labels",
    "max_concurrency",
    "max_per_second",
];
/// What is written of a webhook.
pub(super) const OF_WEBHOOK: &[&str] = &[
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
    "retry_client_errors",
    "when_no_answer",
    "timeout_seconds",
    "max_concurrency",
    "max_per_second",
    "idempotency_header",
];
/// What is written of an exporter.
pub(super) const OF_EXPORTER: &[&str] = &[
    "name",
    "description",
    "credential",
    "source",
    "event_types",
    "only_when",
    "schedule",
    "time_zone",
    "method",
    "path",
    "folder",
    "file_name",
    "if_exists",
    "keep_files",
    "max_records_per_request",
    "timeout_seconds",
    "max_per_second",
    "format",
    "json_shape",
    "json_array_key",
    "json_properties",
    "columns",
    "csv",
    "compression",
    "when_empty",
];
/// What is written of a gateway.
pub(super) const OF_GATEWAY: &[&str] = &[
    "name",
    "description",
    "credential",
    "slug",
    "methods",
    "path_prefixes",
    "api_keys",
    "timeout_seconds",
    "idle_seconds",
    "max_request_bytes",
    "max_concurrency",
    "max_per_second",
    "scrub_answers",
    "record_calls",
];
const READ: &str = "Read it";
const SAVE: &str = "Save it as it is shown";
const ANOTHER: &str = "Create one like it";

/// A read, or whatever else takes nothing but its address.
pub(crate) fn get(title: &'static str, words: &[&str], path: impl Into<String>) -> Copied {
    Copied {
        title,
        arguments: words.iter().map(|word| (*word).to_owned()).collect(),
        then: Vec::new(),
        method: "GET",
        path: path.into(),
        query: Vec::new(),
        etag: None,
        once: false,
        body: Body::None,
    }
}

/// Something that is done, with values that the command takes as flags.
pub(crate) fn send(title: &'static str, words: &[&str], path: impl Into<String>, body: Value) -> Copied {
    let body = if body.is_null() { Body::None } else { Body::Flags(body) };
    Copied { method: "POST", body, ..get(title, words, path) }
}

/// A new object out of a file with the keys of the API.
pub(crate) fn create_from_file(noun: &'static str, path: &'static str, file: &'static str) -> Copied {
    let words = [noun, "create", "--from-file", file];
    Copied { method: "POST", body: Body::File(file), ..get("Create one from a file", &words, path) }
}

/// A webhook, an exporter or a gateway as it is shown; `writes`: whoever looks may save it.
pub(crate) fn connector(shown: &Value, writes: bool) -> Vec<Copied> {
    let (noun, keys) = match shown["kind"].as_str() {
        Some("exporter") => ("exporter", OF_EXPORTER),
        Some("gateway") => ("gateway", OF_GATEWAY),
        _ => ("webhook", OF_WEBHOOK),
    };
    let mut body = present(shown, keys);
    if let Some(name) = shown["credential"]["name"].as_str() {
        body.insert("credential".to_owned(), json!(name));
    }
    // Of an API key only its id is sent.
    if let Some(keys) = body.get_mut("api_keys").and_then(Value::as_array_mut) {
        for key in keys {
            *key = key["id"].take();
        }
    }
    let body = Value::Object(body);
    three(noun, &format!("/{noun}s"), shown, (body.clone(), Vec::new()), (body, Vec::new()), writes)
}

/// A credential as it is shown.
pub(crate) fn credential(shown: &Value, writes: bool) -> Vec<Copied> {
    let Some(entry) = shown["authorization_type"].as_str().and_then(auth::find) else { return Vec::new() };
    let mut body = present(shown, OF_CREDENTIAL);
    let plain = entry.fields.iter().filter(|field| !field.is_secret() && !is_rows(field));
    let plain: Vec<_> = plain.map(|field| field.key).collect();
    body.extend(present(shown, &plain));
    let lists = entry.fields.iter().filter(|field| is_rows(field)).map(|field| field.key);
    let lists: Vec<_> = lists.chain(["custom_headers"]).collect();
    // Saved secrets stay while the body does not name them, and in rows where it says that they are set; the address of
    // this type is one of them.
    let mut saved = body.clone();
    for key in &lists {
        let rows = shown[*key].as_array().map(Vec::as_slice).unwrap_or_default();
        if !rows.is_empty() {
            let with =
                |secret: Option<Value>| rows.iter().map(|row| with_secret(row, secret.as_ref())).collect();
            saved.insert((*key).to_owned(), Value::Array(with(Some(json!({ "set": true })))));
            body.insert((*key).to_owned(), Value::Array(with(None)));
        }
    }
    let mut secrets = Secrets::default();
    if entry.address_is_secret {
        saved.remove("url_address");
        secrets.field("url_address");
    }
    for field in entry.fields.iter().filter(|field| field.is_secret() && is_set(&shown[field.key])) {
        secrets.field(field.key);
    }
    for key in lists.iter().filter(|key| **key != "custom_headers") {
        secrets.rows(key, shown[*key].as_array().map(Vec::as_slice).unwrap_or_default());
    }
    secrets.headers(shown["custom_headers"].as_array().map(Vec::as_slice).unwrap_or_default());
    if let Some(compared) = shown["host_keys"][0]["compared_with"].as_str().filter(|text| !text.is_empty()) {
        body.insert("host_keys_compared_with".to_owned(), json!(compared));
    }
    let Secrets { flags, later, files } = secrets;
    let (saved, body) = ((Value::Object(saved), Vec::new()), (Value::Object(body), files));
    let mut all = three("credential", "/credentials", shown, saved, body, writes);
    if let Some(another) = all.iter_mut().find(|copied| copied.title == ANOTHER) {
        another.arguments.extend(flags);
        let name = shown["name"].as_str().unwrap_or_default();
        another.then = later
            .into_iter()
            .map(|flags| ["credential", "edit", name].map(str::to_owned).into_iter().chain(flags).collect())
            .collect();
    }
    all
}

/// Read, save, create another one.
fn three(
    noun: &'static str,
    path: &str,
    shown: &Value,
    saved: (Value, Vec<SecretFile>),
    another: (Value, Vec<SecretFile>),
    writes: bool,
) -> Vec<Copied> {
    let (id, etag) = (text(shown, "id"), text(shown, "etag"));
    let one = format!("{path}/{id}");
    let mut all = vec![get(READ, &[noun, "get", id], &*one)];
    if writes {
        let words = [noun, "edit", id, "--if-match", etag, "--from-file", "-"];
        all.push(Copied {
            method: "PATCH",
            etag: Some(etag.to_owned()),
            body: Body::Json(saved.0, saved.1),
            ..get(SAVE, &words, &*one)
        });
        let words = [noun, "create", "--from-file", "-"];
        let body = Body::Json(another.0, another.1);
        all.push(Copied { method: "POST", body, ..get(ANOTHER, &words, path) });
    }
    all
}

/// What is set of these keys.
fn present(shown: &Value, keys: &[&str]) -> Map<String, Value> {
    let is_set =
        |value: &Value| !value.is_null() && *value != json!("") && *value != json!([]) && *value != json!({});
    let set = keys.iter().map(|key| (*key, &shown[*key])).filter(|(_, value)| is_set(value));
    set.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

fn is_rows(field: &Field) -> bool {
    matches!(field.input, Input::Rows(_))
}

fn is_set(secret: &Value) -> bool {
    secret["set"] == true
}

/// A row as it is written, with this in the place of a value that is a secret.
fn with_secret(row: &Value, secret: Option<&Value>) -> Value {
    let of = |(key, value): (&String, &Value)| match (value.is_object(), secret) {
        (false, _) => Some((key.clone(), value.clone())),
        (true, secret) => secret.map(|secret| (key.clone(), secret.clone())),
    };
    row.as_object().into_iter().flatten().filter_map(of).collect::<Map<_, _>>().into()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What a new credential needs beside what is shown.
#[derive(Default)]
struct Secrets {
    /// Flags of the command.
    flags: Vec<String>,
    /// Flags of the commands that follow.
    later: Vec<Vec<String>>,
    /// The same for the request.
    files: Vec<SecretFile>,
}

impl Secrets {
    fn field(&mut self, key: &str) {
        let file = self.file(key, format!(".{key}"));
        self.flags.extend(["--secret".to_owned(), format!("{key}=@{file}")]);
    }

    /// Rows of an authorization type, all of them as soon as one is a secret: flags take the place of the body's.
    fn rows(&mut self, key: &str, rows: &[Value]) {
        if !rows.iter().any(|row| row["value"].is_object()) {
            return;
        }
        let flag = format!("--{}", key.trim_end_matches('s').replace('_', "-"));
        for (index, row) in rows.iter().enumerate() {
            let name = text(row, "name");
            let mark = if text(row, "sent_in") == "query" { "?" } else { "" };
            let value = match row["value"].as_str() {
                Some(plain) => plain.to_owned(),
                None => {
                    let place = format!(".{key}[{index}].value");
                    format!("@{}", self.file(&format!("{key}_{name}"), place))
                }
            };
            self.flags.extend([flag.clone(), format!("{name}{mark}={value}")]);
        }
    }

    /// Custom headers: one command says of all its headers which requests carry them.
    fn headers(&mut self, rows: &[Value]) {
        let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let (name, sent_with) = (text(row, "name"), text(row, "sent_with"));
            let place = format!(".custom_headers[{index}].value");
            let file = self.file(&format!("custom_header_{name}"), place);
            let flags = ["--custom-header".to_owned(), format!("{name}=@{file}")];
            match groups.iter_mut().find(|(with, _)| *with == sent_with) {
                Some((_, group)) => group.extend(flags),
                None => groups.push((sent_with, flags.into())),
            }
        }
        for (place, (sent_with, mut group)) in groups.into_iter().enumerate() {
            group.extend(["--sent-with".to_owned(), sent_with.to_owned()]);
            if place == 0 { self.flags.extend(group) } else { self.later.push(group) }
        }
    }

    /// A file of its own for each secret.
    fn file(&mut self, name: &str, place: String) -> String {
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '_' };
        let stem: String = name.chars().map(plain).collect();
        let taken = |file: &String| self.files.iter().any(|other| other.file == *file);
        let names = (2..).map(|number| format!("{stem}-{number}.txt"));
        let file = std::iter::once(format!("{stem}.txt")).chain(names).find(|file| !taken(file));
        let file = file.expect("numbers do not end");
        self.files.push(SecretFile { file: file.clone(), place });
        file
    }
}
