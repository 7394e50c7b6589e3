//! `consign api-key`: keys of programs. The text of a key is shown once.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::Global;
use super::client::Call;
use super::context;
use super::failure::Failure;
use super::listing::{cell, show, text};
use super::object::put;
use super::output::{Form, Output};

const API_KEYS: &str = "api-keys";

/// What can be done with API keys.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List API keys
    List,
    /// Create one and print its text, once
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do, such as events:write; repeatable
        #[arg(long, value_name = "SCOPE", required_unless_present = "role", value_delimiter = ',')]
        scope: Vec<String>,
        /// A role that stands for its scopes: administrator, credential_manager, operator, auditor or viewer
        #[arg(long, conflicts_with = "scope")]
        role: Option<String>,
        /// A gateway that it may call, by name or id, and no other; repeatable
        #[arg(long, value_name = "NAME")]
        gateway: Vec<String>,
        /// An address or network that it may be used from, such as 10.20.0.0/16, and from no other; repeatable
        #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
        allow_from: Vec<String>,
        /// The day on which it ends
        #[arg(long, value_name = "DATE")]
        ends_on: Option<String>,
    },
    /// End one at once
    Revoke {
        /// The id
        id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List => {
            let answer = client.send(Call::get(&[API_KEYS])).await?;
            let headings =
                ["id", "name", "key", "scopes", "gateways", "allowed from", "last used", "from", "ends"];
            show(output, &answer, &headings, "There are no API keys.", |row| {
                let words = |member: &str| {
                    let words = row[member].as_array().into_iter().flatten().filter_map(Value::as_str);
                    words.collect::<Vec<_>>().join(" ")
                };
                vec![
                    cell(row, "id"),
                    cell(row, "name"),
                    cell(row, "key"),
                    words("scopes"),
                    gateways(row),
                    words("allowed_addresses"),
                    output.when(&row["last_used_at"]),
                    text(row, "last_used_from"),
                    output.when(&row["ends_at"]),
                ]
            })?;
        }
        Verb::Create { name, scope, role, gateway, allow_from, ends_on } => {
            let mut body = body(name, scope, ends_on);
            if let Some(role) = role {
                body.remove("scopes");
                body.insert("role".to_owned(), json!(role));
            }
            if !gateway.is_empty() {
                body.insert("gateways".to_owned(), json!(gateway));
            }
            if !allow_from.is_empty() {
                body.insert("allowed_addresses".to_owned(), json!(allow_from));
            }
            let answer = client.send(Call::post(&[API_KEYS]).json(&Value::Object(body))).await?;
            if output.form == Form::Json {
                output.text(&answer.text());
            } else {
                let key = answer.json()?;
                output.done(&format!("Created API key “{}” ({})", text(&key, "name"), text(&key, "id")));
                output.line(&text(&key, "text"));
                output.note("Keep it now. It cannot be shown again.");
            }
        }
        Verb::Revoke { id, yes } => {
            output.confirm(&format!("End API key {id}? Programs that use it are refused at once."), yes)?;
            client.send(Call::new(Method::DELETE, &[API_KEYS, &id])).await?;
            output.done(&format!("Ended API key {id}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The gateways that a key is limited to; one that was deleted by its id.
fn gateways(key: &Value) -> String {
    let limit = key["gateways"].as_array().into_iter().flatten();
    let names: Vec<_> = limit.filter_map(|one| one["name"].as_str().or_else(|| one["id"].as_str())).collect();
    names.join(", ")
}

/// A new key as the API takes it.
pub(super) fn body(name: String, scopes: Vec<String>, ends_on: Option<String>) -> Map<String, Value> {
    let mut body = Map::new();
    put(&mut body, "name", Some(name));
    body.insert("scopes".to_owned(), json!(scopes));
    put(&mut body, "ends_on", ends_on);
    body
}
