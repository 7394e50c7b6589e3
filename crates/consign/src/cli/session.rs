//! `consign login`, `logout`, `whoami`, `context`: which servers this person is signed in to.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use consign_core::secret::Secret;
use serde_json::{Value, json};

use super::Global;
use super::client::{Call, Server};
use super::context::{self, Context, Contexts, named_server};
use super::failure::{Code, Failure};
use super::listing::{show_one, text};
use super::output::{Form, Output, Table};
use super::secret::from_input;

/// Signing in.
#[derive(Args)]
pub(crate) struct Login {
    /// Read the API key from standard input
    #[arg(long)]
    with_token: bool,
}

/// What can be done with contexts.
#[derive(Subcommand)]
pub(crate) enum ContextVerb {
    /// List the servers you are signed in to
    List,
    /// Make one the current one
    Use {
        /// Its name
        name: String,
    },
    /// Forget one and its token
    Delete {
        /// Its name
        name: String,
    },
}

/// Tries an API key and keeps it for this server.
pub(crate) async fn login(login: Login, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::load()?;
    let server = match (named_server(global), contexts.chosen(global)) {
        (Some(server), _) => server,
        (None, Ok(Some((_, context)))) => context.server.clone(),
        (None, _) if output.may_ask() => output.ask("Server, such as https://consign.example.com: ")?,
        (None, _) => return Err(Failure::usage("Name the server with --server")),
    };
    let server = Server::parse(&server)?;
    if server.is_exposed() {
        output.warn(&format!("{} has no TLS: the token can be read on its way", server.origin()));
    }
    let token = if login.with_token {
        let typed = from_input()?;
        Secret::new(typed.expose().trim().to_owned())
    } else {
        output.ask_secret("API key (from Administration > API keys, or: consign admin api-key)")?
    };
    let mut client = context::anonymous(server.clone(), global, output);
    let kept = token.expose().to_owned();
    client.token = Some(token);
    let me = client.send(Call::get(&["me"])).await?;
    let name = global.context.clone().unwrap_or_else(|| server.name());
    contexts.contexts.insert(name.clone(), Context { server: server.origin(), token: kept });
    contexts.current = Some(name.clone());
    contexts.save()?;
    if output.form == Form::Json {
        output.text(&me.text());
    }
    output.done(&format!(
        "Signed in to {} as {}. Context {name}.",
        server.origin(),
        text(&me.json()?, "name")
    ));
    Ok(ExitCode::SUCCESS)
}

/// Forgets the token of the chosen context.
pub(crate) fn logout(global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::load()?;
    let name = contexts.chosen(global)?.map(|(name, _)| name.to_owned());
    let name = name.ok_or_else(|| Failure::new(Code::SignIn, "You are not signed in"))?;
    forget(&mut contexts, &name)?;
    output.done(&format!(
        "Signed out of {name}. The API key itself lives on; end it with: consign api-key revoke"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Who the server says we are.
pub(crate) async fn whoami(global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    show_one(output, &client.send(Call::get(&["me"])).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs one verb of `context`.
pub(crate) fn context(verb: ContextVerb, output: &Output) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::load()?;
    match verb {
        ContextVerb::List => list(&contexts, output),
        ContextVerb::Use { name } => {
            let asked = Global { context: Some(name.clone()), ..Global::default() };
            contexts.chosen(&asked)?;
            contexts.current = Some(name.clone());
            contexts.save()?;
            output.done(&format!("Now using {name}"));
        }
        ContextVerb::Delete { name } => {
            let asked = Global { context: Some(name.clone()), ..Global::default() };
            contexts.chosen(&asked)?;
            forget(&mut contexts, &name)?;
            output.done(&format!("Deleted context {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(contexts: &Contexts, output: &Output) {
    let is_current = |name: &str| contexts.current.as_deref() == Some(name);
    if output.form == Form::Json {
        let rows = contexts.contexts.iter().map(
            |(name, context)| json!({ "name": name, "server": context.server, "current": is_current(name) }),
        );
        return output.line(&json!({ "items": rows.collect::<Vec<Value>>() }).to_string());
    }
    let mut table = Table::new(&["current", "name", "server"]);
    for (name, context) in &contexts.contexts {
        let mark = if is_current(name) { "*" } else { "" };
        table.row([mark.to_owned(), name.clone(), context.server.clone()]);
    }
    if table.is_empty() {
        return output.note("You are not signed in anywhere.");
    }
    output.table(&table);
}

fn forget(contexts: &mut Contexts, name: &str) -> Result<(), Failure> {
    contexts.contexts.remove(name);
    if contexts.current.as_deref() == Some(name) {
        contexts.current = contexts.contexts.keys().next().cloned();
    }
    contexts.save()
}
