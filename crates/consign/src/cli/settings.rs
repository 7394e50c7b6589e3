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
const PAUSES: &str = "sending-pauses";

/// What can be done with settings.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show what is set, and every option of the server with its source
    Get,
    /// Set the name that the navigation shows, or the address of the server
    Set {
        /// The name; empty for none
        #[arg(long, value_name = "NAME", required_unless_present = "public_url")]
        instance_name: Option<String>,
        /// The address under which people and tools reach the server; redirect URLs change with it
        #[arg(long, value_name = "URL")]
        public_url: Option<String>,
        /// Only while the settings have this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Call the server at its public address, and tell what a proxy changes; exits with 8 when something is wrong
    CheckPublicUrl {
        /// Another address than the present one
        url: Option<String>,
    },
    /// Whether all sending is paused, since when and by whom
    Sending,
    /// Pause all sending: webhooks and exporters wait, events are accepted
    PauseSending {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let all sending go on
    ResumeSending,
    /// How much is kept, and how much it will be at this pace
    Storage,
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
        Verb::Set { instance_name, public_url, if_match } => {
            let etag = etag(if_match, &client.send(Call::get(&[SETTINGS])).await?)?;
            let mut patch = Map::new();
            put(&mut patch, "instance_name", instance_name);
            let moved = public_url.is_some();
            put(&mut patch, "public_url", public_url);
            let body = Value::Object(patch).to_string().into_bytes();
            let call = Call::new(http::Method::PATCH, &[SETTINGS]).if_match(&etag);
            let answer = client.send(call.body("application/merge-patch+json", body)).await?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            output.done("Saved settings");
            if moved {
                tell_redirect_urls(output, &answer.json()?);
            }
        }
        Verb::CheckPublicUrl { url } => {
            let call = Call::post(&["public-url-checks"]);
            let body = url.map_or_else(|| json!({}), |url| json!({ "public_url": url }));
            let answer = client.send(call.json(&body)).await?;
            let checked = answer.json()?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            let seen: Vec<_> = checked["seen"].as_array().into_iter().flatten().collect();
            for one in &seen {
                match one["good"] == true {
                    true => output.note(&text(one, "text")),
                    false => output.warn(&text(one, "text")),
                }
            }
            let message = text(&checked, "message");
            if checked["reached"] != true || seen.iter().any(|one| one["good"] != true) {
                return Err(Failure::new(Code::SaidNo, &message));
            }
            output.done(&message);
        }
        Verb::Sending => show_one(output, &client.send(Call::get(&[PAUSES])).await?)?,
        Verb::PauseSending { yes } => {
            output.confirm("Pause all sending, for everybody? Events are accepted and wait.", yes)?;
            let answer = client.send(Call::post(&[PAUSES])).await?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            output.done("All sending is paused");
            output.next("consign settings resume-sending");
        }
        Verb::ResumeSending => {
            let answer = client.send(Call::new(http::Method::DELETE, &[PAUSES])).await?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            output.done("Sending goes on");
        }
        Verb::Storage => show_one(output, &client.send(Call::get(&["storage"])).await?)?,
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

/// What has to be entered in tools after the address of the server changed.
fn tell_redirect_urls(output: &Output, settings: &Value) {
    for one in settings["redirect_urls"].as_array().into_iter().flatten() {
        let (name, url) = (text(one, "credential.name"), text(one, "redirect_url"));
        output.warn(&format!("The redirect URL of “{name}” is another one now. Enter it in the tool: {url}"));
    }
}
