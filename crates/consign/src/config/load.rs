//! Where options come from, and what is said about those that cannot be read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use consign_core::catalog::unknown_field;
use consign_core::mail::{MailServer, Mailbox};
use consign_core::oidc;
use toml::{Table, Value};

use super::given::Given;
use super::options::{self, Entry};
use super::{AuthOptions, Config, OidcOptions, SmtpOptions, default_file, environment};

/// The options in force and where each of them came from.
#[derive(Debug)]
pub struct Loaded {
    /// The options.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Where the value of an option came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was not given.
    Default,
    /// From the file.
    File,
    /// From this variable of the environment.
    Environment(String),
    /// The content of the file that the option's `_file` twin names.
    Twin(PathBuf),
    /// From the demo.
    Demo,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(name) => f.write_str(name),
            Self::Twin(path) => write!(f, "content of {}", path.display()),
            Self::Demo => f.write_str("demo"),
        }
    }
}

/// Why the options cannot be used. Values are never repeated.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// The file is not TOML.
    #[error("{} is not TOML: line {line}, {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What the reader met.
        what: String,
    },
    /// Options that do not fit, one sentence each.
    #[error("{}", .0.join("\n"))]
    Options(Vec<String>),
}

/// Reads the options of this process: the file asked for, else the usual places, then the environment.
///
/// # Errors
/// All that is wrong, in sentences that name options and never repeat values.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    let file = file.map(Path::to_owned).or_else(default_file);
    let text = match &file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| ConfigError::File(path.clone(), error))?
        }
        None => String::new(),
    };
    load_from(file, &text, &environment())
}

/// Reads the options from the text of a file and the variables of an environment.
///
/// # Errors
/// As [`load`].
pub fn load_from(
    file: Option<PathBuf>,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Loaded, ConfigError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Form {
        path: file.clone().unwrap_or_default(),
        line: error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1),
        what: error.message().to_owned(),
    })?;
    let mut reading = Reading { config: Config::default(), faults: Vec::new() };
    let entries = options::all();
    let mut given = BTreeMap::new();
    flatten("", table, &mut given);
    reading.read_file(&entries, given);
    reading.read_environment(&entries, environment);
    reading.faults.extend(between(&reading.config));
    if reading.faults.is_empty() {
        Ok(Loaded { config: reading.config, file })
    } else {
        Err(ConfigError::Options(reading.faults))
    }
}

struct Reading {
    config: Config,
    faults: Vec<String>,
}

impl Reading {
    fn read_file(&mut self, entries: &[Entry], given: BTreeMap<String, Value>) {
        for (key, value) in given {
            if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
                self.set(entry, Given::Toml(value), Source::File);
            } else if let Some(entry) = twin(entries, key.strip_suffix("_file")) {
                match value {
                    Value::String(path) => self.set_from_twin(entry, &key, path),
                    _ => self.faults.push(format!("{key} needs the path of a file")),
                }
            } else {
                let known: Vec<&str> = entries.iter().map(|entry| entry.key).collect();
                self.faults.push(format!("the option {}", unknown_field(&key, &known).message));
            }
        }
    }

    fn read_environment(&mut self, entries: &[Entry], environment: &BTreeMap<String, String>) {
        let names: Vec<String> = entries.iter().map(|entry| variable_of(entry.key)).collect();
        let find = |name: &str| names.iter().position(|known| known == name).map(|place| &entries[place]);
        for (name, value) in environment.iter().filter(|(name, _)| is_option(name)) {
            if let Some(entry) = find(name) {
                self.set(entry, Given::Text(value.clone()), Source::Environment(name.clone()));
            } else if let Some(entry) = name.strip_suffix("_FILE").and_then(find).filter(|entry| entry.secret)
            {
                self.set_from_twin(entry, name, value.clone());
            } else {
                let known: Vec<&str> = names.iter().map(String::as_str).collect();
                self.faults.push(format!("the variable {}", unknown_field(name, &known).message));
            }
        }
    }

    /// The content of a file, without one line break at its end.
    fn set_from_twin(&mut self, entry: &Entry, named: &str, path: String) {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
                self.set(entry, Given::Text(text), Source::Twin(PathBuf::from(path)));
            }
            Err(error) => self.faults.push(format!("{named} names {path}, which cannot be read: {error}")),
        }
    }

    fn set(&mut self, entry: &Entry, given: Given, source: Source) {
        let place = match &source {
            Source::Environment(name) => name.clone(),
            Source::Default | Source::File | Source::Twin(_) | Source::Demo => entry.key.to_owned(),
        };
        match (entry.set)(&mut self.config, given) {
            Ok(()) => {
                self.config.sources.insert(entry.key, source);
            }
            Err(fault) => self.faults.push(format!("{place} {fault}")),
        }
    }
}

/// `server.listen` as `CONSIGN_SERVER_LISTEN`.
pub(super) fn variable_of(key: &str) -> String {
    format!("CONSIGN_{}", key.replace('.', "_").to_uppercase())
}

/// The command line's own variables and those that container platforms invent are no options.
fn is_option(name: &str) -> bool {
    let client = ["CONSIGN_SERVER", "CONSIGN_TOKEN", "CONSIGN_TOKEN_FILE", "CONSIGN_CONTEXT"];
    let foreign = ["CONSIGN_SERVICE_", "CONSIGN_PORT", "CONSIGN_TEST_"];
    !client.contains(&name) && !foreign.iter().any(|start| name.starts_with(start))
}

fn twin<'a>(entries: &'a [Entry], key: Option<&str>) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.secret && Some(entry.key) == key)
}

/// Nested tables as dotted keys.
fn flatten(prefix: &str, table: Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, into),
            value => {
                into.insert(key, value);
            }
        }
    }
}

/// Rules between options.
fn between(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if config.server.tls_cert_file.is_some() != config.server.tls_key_file.is_some() {
        faults.push(
            "server.tls.cert_file and server.tls.key_file belong together: give both or none".to_owned(),
        );
    }
    if config.encryption.keys.is_some() && config.encryption.keys_file.is_some() {
        faults.push("encryption.keys and encryption.keys_file both name a key ring: give one".to_owned());
    }
    if config.admin.email.is_some() != config.admin.password.is_some() {
        faults.push("admin.email and admin.password belong together: give both or none".to_owned());
    }
    faults.extend(of_provider(&config.auth));
    faults.extend(of_mail(&config.smtp));
    if let Err(fault) = config.egress() {
        faults.push(format!("egress.allow: {fault}"));
    }
    faults.extend(config.proxy().err());
    if config.egress.proxy.is_none() && config.egress.proxy_login.is_some() {
        faults.push("egress.proxy_login is given, and no egress.proxy: give both or none".to_owned());
    }
    faults
}

/// Rules for the server of mail.
fn of_mail(smtp: &SmtpOptions) -> Vec<String> {
    let mut faults = Vec::new();
    if smtp.url.is_some() != smtp.from.is_some() {
        faults.push("smtp.url and smtp.from belong together: give both or none".to_owned());
    }
    if let Some(Err(fault)) = smtp.url.as_ref().map(MailServer::parse) {
        faults.push(format!("smtp.url {fault}"));
    }
    if let Some(Err(fault)) = smtp.from.as_deref().map(Mailbox::parse) {
        faults.push(format!("smtp.from {fault}"));
    }
    faults
}

/// Rules between the options of the provider.
fn of_provider(auth: &AuthOptions) -> Vec<String> {
    let mut faults = Vec::new();
    let OidcOptions { issuer, client_id, client_secret, admin_group, name } = &auth.oidc;
    if issuer.is_some() != client_id.is_some() {
        let both = "auth.oidc.issuer and auth.oidc.client_id belong together: give both or none";
        faults.push(both.to_owned());
    }
    let more = client_secret.is_some() || admin_group.is_some() || name.is_some() || !auth.local;
    if issuer.is_none() && more {
        let needed =
            "auth.oidc.client_secret, admin_group, name and auth.local = false need auth.oidc.issuer";
        faults.push(needed.to_owned());
    }
    if let Some(Err(fault)) = issuer.as_deref().map(oidc::discovery) {
        faults.push(format!("auth.oidc.issuer: {}", fault.message));
    }
    faults
}
