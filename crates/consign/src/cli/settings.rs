//! `consign settings`: what administrators set while the server runs, and what its egress rules allow.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::Global;
use super::client::Call;
use super::context;
use super::failure::{Code, Failure};
use super::listing::{show_one, text};
use super::object::{etag, put};
use super::output::{Form, Output};

const SETTINGS: &str = "settings";

/// What can be done with settings.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show what is set, and every option of the server with its source
    Get,
    /// Set the name that the navigation shows
    Set {
        /// The name; empty for none
        #[arg(long, value_name = "NAME")]
        instance_name: String,
        /// Only while the settings have this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Whether the egress rules of the server allow an address; exits with 8 when not
    CheckAddress {
        /// Such as https://10.21.0.5/
        address: String,
    },
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::Get => show_one(output, &client.send(Call::get(&[SETTINGS])).await?)?,
        Verb::Set { instance_name, if_match } => {
            let etag = etag(if_match, &client.send(Call::get(&[SETTINGS])).await?)?;
            let mut patch = Map::new();
            put(&mut patch, "instance_name", Some(instance_name));
            let body = Value::Object(patch).to_string().into_bytes();
            let call = Call::new(http::Method::PATCH, &[SETTINGS]).if_match(&etag);
            let answer = client.send(call.body("application/merge-patch+json", body)).await?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            output.done("Saved settings");
        }
        Verb::CheckAddress { address } => {
            let call = Call::post(&["egress-checks"]).json(&json!({ "address": address }));
            let answer = client.send(call).await?;
            let verdict = answer.json()?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            let message = text(&verdict, "message");
            if verdict["allowed"] != true {
                return Err(Failure::new(Code::SaidNo, &message));
            }
            output.done(&message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
