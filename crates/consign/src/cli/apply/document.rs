//! The documents of files: what each declares, in the form that the API takes. A file, a key or a value that is wrong stops
//! all of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use consign_core::catalog::{Invalid, unknown_field};
use consign_core::connector::{ExporterDraft, GatewayDraft, WebhookDraft};
use consign_core::credential::{Draft, Mode};
use consign_core::json;
use consign_core::name::Name;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use serde_json::{Map, Value};

use super::values::{Values, literals, unquoted};
use crate::cli::failure::{Code, Failure};
use crate::cli::secret::from_input;

/// The form that this program reads.
const API_VERSION: &str = "consign/v1";
const KEYS: &[&str] = &["apiVersion", "kind", "metadata", "spec"];
const METADATA: &[&str] = &["name", "labels"];
/// Names that mean something else where the API looks for an object.
const NOT_ADDRESSED: &[&str] = &[".", "..", "preview"];
/// What files of a folder are called.
const ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// What a document declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Credential,
    Webhook,
    Exporter,
    Gateway,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Credential, Self::Webhook, Self::Exporter, Self::Gateway];

    /// The word in a document.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Credential => "Credential",
            Self::Webhook => "Webhook",
            Self::Exporter => "Exporter",
            Self::Gateway => "Gateway",
        }
    }

    /// Where the API has them.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Credential => "credentials",
            Self::Webhook => "webhooks",
            Self::Exporter => "exporters",
            Self::Gateway => "gateways",
        }
    }

    /// Whether answers have a key that no document declares.
    pub(super) fn is_read_only(self, key: &str) -> bool {
        match self {
            Self::Credential => Draft::is_read_only(key),
            Self::Webhook => WebhookDraft::is_read_only(key),
            Self::Exporter => ExporterDraft::is_read_only(key),
            Self::Gateway => GatewayDraft::is_read_only(key),
        }
    }

    /// What is not accepted of a body, as far as the body alone can tell.
    fn judge(self, body: Map<String, Value>, now: Timestamp) -> Vec<Invalid> {
        let judged = match self {
            Self::Credential => Draft::parse(body, Mode::Create, now).map(drop),
            Self::Webhook => WebhookDraft::parse(body, None).map(drop),
            Self::Exporter => ExporterDraft::parse(body, None).map(drop),
            Self::Gateway => GatewayDraft::parse(body, None).map(drop),
        };
        judged.err().unwrap_or_default()
    }
}

/// One object as a file declares it. It holds secrets, and so does not print.
pub(super) struct Document {
    pub(super) kind: Kind,
    /// Its name, which with the kind says which object it is.
    pub(super) name: String,
    /// What is sent.
    pub(super) body: Map<String, Value>,
}

/// Reads every document of what was named.
pub(super) fn read(paths: &[String], inline_secrets: bool, now: Timestamp) -> Result<Vec<Document>, Failure> {
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    for source in sources(paths)? {
        for (index, value) in source.values()?.into_iter().enumerate() {
            let place = format!("{}, document {}", source.shown, index + 1);
            let mut reading = Reading { faults: Vec::new(), inline_secrets, folder: &source.folder, now };
            documents.extend(reading.document(value));
            faults.extend(reading.faults.into_iter().map(|fault| format!("{place}: {fault}")));
        }
    }
    let mut seen = HashSet::new();
    for document in &documents {
        // Connectors of all kinds have names of one list.
        if !seen.insert((document.kind == Kind::Credential, document.name.to_lowercase())) {
            faults.push(format!("{} “{}” is declared twice", document.kind.word(), document.name));
        }
    }
    if documents.is_empty() && faults.is_empty() {
        return Err(Failure::usage("There are no documents to apply"));
    }
    if faults.is_empty() {
        return Ok(documents);
    }
    Err(Failure { code: Code::Usage, lines: faults, problem: None }.and("Nothing was sent"))
}

/// A text with documents.
struct Source {
    /// What it is called in messages.
    shown: String,
    /// Where files that it names are looked for.
    folder: PathBuf,
    text: Secret,
}

fn sources(paths: &[String]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for path in paths {
        if path == "-" {
            let (shown, folder) = ("standard input".to_owned(), PathBuf::new());
            sources.push(Source { shown, folder, text: from_input()? });
            continue;
        }
        for file in files(Path::new(path))? {
            let shown = file.display().to_string();
            let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&shown, &error))?;
            let folder = file.parent().map(Path::to_owned).unwrap_or_default();
            sources.push(Source { shown, folder, text: Secret::new(text) });
        }
    }
    Ok(sources)
}

/// The file, or those of a folder by their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut files = listed().map_err(|error| unreadable(&path.display().to_string(), &error))?;
    files.retain(|file| {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ENDINGS.contains(&ending) && file.is_file()
    });
    files.sort();
    Ok(files)
}

fn unreadable(shown: &str, error: &std::io::Error) -> Failure {
    Failure::caused(Code::Usage, &format!("{shown} cannot be read"), error)
}

impl Source {
    /// Its documents; JSON is tried first, so that whatever JSON allows is read as JSON.
    fn values(&self) -> Result<Vec<Value>, Failure> {
        let text = self.text.expose();
        if let Ok(value) = serde_json::from_str(text) {
            return match json::duplicate_member(text.as_bytes()) {
                None => Ok(vec![value]),
                Some(name) => Err(Failure::usage(&format!("{}: {}", self.shown, json::twice(&name)))),
            };
        }
        // What looks like a number or a word for yes to one reader of YAML and not to another stays a text.
        let options = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
        };
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
            // What the reader met is not repeated: it may be a secret.
            let place = error.location().map(|at| format!(": line {}, column {}", at.line(), at.column()));
            Failure::usage(&format!("{} is not YAML or JSON{}", self.shown, place.unwrap_or_default()))
        })
    }
}

/// A document while it is read.
struct Reading<'a> {
    faults: Vec<String>,
    inline_secrets: bool,
    folder: &'a Path,
    now: Timestamp,
}

impl Reading<'_> {
    /// The document; `None` when it was not accepted.
    fn document(&mut self, value: Value) -> Option<Document> {
        let Value::Object(mut document) = value else {
            self.refuse("A document is an object with apiVersion, kind, metadata and spec");
            return None;
        };
        self.refuse_unknown("", &document, KEYS);
        match document.get("apiVersion").and_then(Value::as_str) {
            Some(API_VERSION) => {}
            Some(other) => {
                self.refuse(format!("apiVersion “{other}” is not known. This program reads {API_VERSION}"))
            }
            None => self.refuse(format!("apiVersion is missing. Write apiVersion: {API_VERSION}")),
        }
        let kind = self.kind(&document);
        let mut metadata = self.object(&mut document, "metadata");
        self.refuse_unknown("metadata.", &metadata, METADATA);
        let name = match metadata.get("name").and_then(Value::as_str).map(Name::parse) {
            Some(Ok(name)) if NOT_ADDRESSED.contains(&name.as_str()) => {
                self.fault(format!("metadata.name: “{name}” cannot be applied. Choose another name"))
            }
            Some(Ok(name)) => Some(name.to_string()),
            Some(Err(fault)) => self.fault(format!("metadata.name: {}", fault.message)),
            None if metadata.contains_key("name") => {
                self.fault("metadata.name must be a text. Put it in quotes")
            }
            None => self.fault("metadata.name is missing"),
        };
        let mut body = self.object(&mut document, "spec");
        if body.contains_key("name") {
            self.refuse("spec.name: the name stands in metadata");
        }
        let (kind, name) = (kind?, name?);
        body.insert("name".to_owned(), name.clone().into());
        self.labels(kind, &mut metadata, &mut body);
        self.spec(kind, &mut body);
        self.faults.is_empty().then_some(Document { kind, name, body })
    }

    fn kind(&mut self, document: &Map<String, Value>) -> Option<Kind> {
        let known = || Kind::ALL.map(Kind::word).join(", ");
        match document.get("kind").and_then(Value::as_str) {
            Some(word) => match Kind::ALL.into_iter().find(|kind| kind.word() == word) {
                Some(kind) => Some(kind),
                None => self.fault(format!("kind “{word}” is not known. Use one of {}", known())),
            },
            None => self.fault(format!("kind is missing. Use one of {}", known())),
        }
    }

    /// Labels stand beside the name, and in the API among the other keys.
    fn labels(&mut self, kind: Kind, metadata: &mut Map<String, Value>, body: &mut Map<String, Value>) {
        let Some(labels) = metadata.remove("labels") else { return };
        if kind != Kind::Credential {
            self.refuse("metadata.labels: only credentials have labels");
        } else if body.insert("labels".to_owned(), labels).is_some() {
            self.refuse("labels stand in metadata and in spec. Write them once");
        }
    }

    /// Judges the keys, refuses literal secrets, and then reads the values that stand elsewhere.
    fn spec(&mut self, kind: Kind, body: &mut Map<String, Value>) {
        let mut bare = body.clone();
        bare.values_mut().for_each(blank);
        let unknown = kind.judge(bare, self.now).into_iter().filter(|one| one.code == "unknown_field");
        self.faults.extend(unknown.map(|one| format!("spec: {}", one.message)));
        if kind == Kind::Credential {
            for key in unquoted(body) {
                self.refuse(format!(
                    "spec.{key} is a text, and is read as a number or as yes or no. Put it in quotes"
                ));
            }
        }
        if kind == Kind::Credential && !self.inline_secrets {
            for place in literals(body) {
                self.refuse(format!(
                    "spec.{place} is a secret that stands in the file. Use value_from with env or file, or \
                     --allow-inline-secrets"
                ));
            }
        }
        let mut values = Values { folder: self.folder, faults: Vec::new() };
        for (key, value) in body.iter_mut() {
            values.fill(&format!("spec.{key}"), key, value);
        }
        self.faults.extend(values.faults);
    }

    fn object(&mut self, document: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
        match document.remove(key) {
            Some(Value::Object(object)) => object,
            _ => {
                self.refuse(format!("{key} must be an object"));
                Map::new()
            }
        }
    }

    fn refuse_unknown(&mut self, before: &str, object: &Map<String, Value>, known: &[&str]) {
        let unknown = object.keys().filter(|key| !known.contains(&key.as_str()));
        let unknown = unknown.map(|key| format!("{before}{key}: {}", unknown_field(key, known).message));
        self.faults.extend(unknown.collect::<Vec<_>>());
    }

    fn refuse(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    fn fault<T>(&mut self, fault: impl Into<String>) -> Option<T> {
        self.refuse(fault);
        None
    }
}

/// Leaves of a value from elsewhere only that it is there: its keys are judged before anything is read.
fn blank(value: &mut Value) {
    match value {
        Value::Object(object) if object.contains_key("value_from") => *value = Value::Null,
        Value::Object(object) => object.values_mut().for_each(blank),
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
