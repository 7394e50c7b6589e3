//! Which server a command talks to, and with which token: flag, environment, then the context file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use consign_core::secret::Secret;
use serde::{Deserialize, Serialize};

use super::Global;
use super::client::{Client, Server};
use super::failure::{Code, Failure};
use super::output::Output;
use crate::config::variable;

/// Where a server listens unless told otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8420";
/// An answer takes no longer, unless a delivery is waited for.
const TIME_MAX: Duration = Duration::from_secs(90);

/// The context file: servers and the tokens for them. Only its owner can read it.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Contexts {
    /// The one in use.
    pub(crate) current: Option<String>,
    /// All, by name.
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A server and the token for it.
#[derive(Deserialize, Serialize)]
pub(crate) struct Context {
    /// The server's origin.
    pub(crate) server: String,
    /// The token.
    pub(crate) token: String,
}

impl Contexts {
    /// Reads the context file; none is the same as an empty one.
    pub(crate) fn load() -> Result<Self, Failure> {
        match path() {
            Some(path) => Self::load_from(&path),
            None => Ok(Self::default()),
        }
    }

    fn load_from(path: &Path) -> Result<Self, Failure> {
        let damaged = || {
            Failure::new(Code::Failed, &format!("{} is damaged. Delete it and sign in again", path.display()))
        };
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|_| damaged()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                Err(Failure::caused(Code::Failed, &format!("{} cannot be read", path.display()), &error))
            }
        }
    }

    /// Writes the context file.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let nowhere = || {
            Failure::new(Code::Failed, "There is no home folder to keep the token in. Use CONSIGN_TOKEN_FILE")
        };
        self.save_to(&path().ok_or_else(nowhere)?)
    }

    /// Whole or not at all, and never readable by others.
    fn save_to(&self, path: &Path) -> Result<(), Failure> {
        let written = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or_else(|| Path::new("."));
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let fresh = path.with_extension(format!("new-{}", std::process::id()));
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            let text = Secret::new(serde_json::to_string_pretty(self)?);
            file.write_all(text.expose().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(fresh, path)
        };
        written().map_err(|error| {
            Failure::caused(Code::Failed, &format!("{} cannot be written", path.display()), &error)
        })
    }

    /// The context asked for by flag or environment, else the current one.
    pub(crate) fn chosen(&self, global: &Global) -> Result<Option<(&str, &Context)>, Failure> {
        let asked = global.context.clone().or_else(|| variable("CONSIGN_CONTEXT"));
        let Some(name) = asked.as_ref().or(self.current.as_ref()) else { return Ok(None) };
        match self.contexts.get_key_value(name) {
            Some((name, context)) => Ok(Some((name, context))),
            None if asked.is_some() => {
                Err(Failure::new(Code::NotFound, &format!("There is no context “{name}”"))
                    .and("See: consign context list"))
            }
            None => Ok(None),
        }
    }
}

/// The server by flag or environment.
pub(crate) fn named_server(global: &Global) -> Option<String> {
    global.server.clone().or_else(|| variable("CONSIGN_SERVER"))
}

/// The server by flag or environment, else that of the context, else the one of this machine.
fn server(global: &Global, context: Option<(&str, &Context)>) -> Result<Server, Failure> {
    let named = named_server(global).map(|text| Server::parse(&text)).transpose()?;
    match (named, context) {
        (Some(server), _) => Ok(server),
        (None, Some((_, context))) => Server::parse(&context.server),
        (None, None) => Server::parse(DEFAULT_SERVER),
    }
}

/// A client for the server and with the token of this command.
pub(crate) fn client<'a>(global: &Global, output: &'a Output) -> Result<Client<'a>, Failure> {
    let contexts = Contexts::load()?;
    let context = contexts.chosen(global)?;
    let server = server(global, context)?;
    // A token goes to the server it was made for and to no other.
    let kept = context.filter(|(_, context)| context.server == server.origin());
    let token = match token_of_environment()? {
        Some(token) => Some(token),
        None => kept.map(|(_, context)| Secret::new(context.token.clone())),
    };
    let Some(token) = token else {
        let line = format!("You are not signed in to {}", server.origin());
        return Err(Failure::new(Code::SignIn, &line)
            .and(&format!("Sign in with: consign login --server {}", server.origin())));
    };
    if server.is_exposed() {
        output.warn(&format!("{} has no TLS: the token can be read on its way", server.origin()));
    }
    Ok(Client { token: Some(token), ..anonymous(server, global, output) })
}

/// A client of a person, who shows with each request who they are.
pub(crate) fn of_person<'a>(
    (email, password): (&str, &Secret),
    global: &Global,
    output: &'a Output,
) -> Result<Client<'a>, Failure> {
    let contexts = Contexts::load()?;
    let server = server(global, contexts.chosen(global)?)?;
    if server.is_exposed() {
        output.warn(&format!("{} has no TLS: the password can be read on its way", server.origin()));
    }
    let person = Secret::new(format!("{email}:{}", password.expose()));
    Ok(Client { person: Some(person), ..anonymous(server, global, output) })
}

/// A client without a token.
pub(crate) fn anonymous<'a>(server: Server, global: &Global, output: &'a Output) -> Client<'a> {
    Client { server, token: None, person: None, time_max: global.timeout.unwrap_or(TIME_MAX), output }
}

fn token_of_environment() -> Result<Option<Secret>, Failure> {
    if let Some(token) = variable("CONSIGN_TOKEN") {
        return Ok(Some(Secret::new(token)));
    }
    let Some(path) = variable("CONSIGN_TOKEN_FILE") else { return Ok(None) };
    let text = std::fs::read_to_string(&path);
    let text =
        text.map_err(|error| Failure::caused(Code::SignIn, &format!("{path} cannot be read"), &error))?;
    Ok(Some(Secret::new(text.trim().to_owned())))
}

fn path() -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    Some(folder.or_else(home)?.join("consign").join("contexts.json"))
}

#[cfg(test)]
mod tests;
