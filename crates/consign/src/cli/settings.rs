//! `consign settings`: what administrators set while the server runs, and what its egress rules allow.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::Global;
use super::client::{Answer, Call, Client};
use super::context;
use super::failure::{Code, Failure};
use super::listing::{show_one, text};
use super::object::{etag, put};
use super::output::{Form, Output, Table};

const SETTINGS: &str = "settings";
const PAUSES: &str = "sending-pauses";
const SIGN_IN: &[&str] = &[SETTINGS, "sign-in"];
const DELIVERY: &[&str] = &[SETTINGS, "delivery"];
const EGRESS: &[&str] = &[SETTINGS, "egress"];
const SCHEDULE: &str = "retry_schedule_seconds";
const OUTGOING: &str = "outgoing_addresses";

/// What can be done with settings.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show what is set, and every option of the server with its source
    Get,
    /// Set the name that the navigation shows, the time zone, how dates are written, or the address of the server
    Set {
        /// The name; empty for none
        #[arg(long, value_name = "NAME", required_unless_present_any = ["public_url", "time_zone", "locale"])]
        instance_name: Option<String>,
        /// Where exact times of pages are read and new exporters run, such as Europe/Lisbon; empty for UTC
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// How pages write dates and times: en-GB or en-US
        #[arg(long, value_name = "NAME")]
        locale: Option<String>,
        /// The address under which people and tools reach the server. Only people choose another one, in the console
        #[arg(long, value_name = "URL")]
        public_url: Option<String>,
        /// Only while the settings have this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Show who gets in, and for how long
    SignIn,
    /// Set who gets in, and for how long; default goes back to what the operator set, or the default
    SetSignIn {
        /// Whether people sign in with a password that is kept here
        #[arg(long, value_name = "true|false|default")]
        local: Option<String>,
        /// Whether who signs in with a password needs a second step
        #[arg(long, value_name = "true|false|default")]
        two_step_required: Option<String>,
        /// How long a session lives
        #[arg(long, value_name = "N|default")]
        session_hours: Option<String>,
        /// How long it lives unused
        #[arg(long, value_name = "N|default")]
        idle_minutes: Option<String>,
        /// Only while the settings have this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Show how it is sent, and how long it is kept
    Delivery,
    /// Set how it is sent, and how long it is kept; default goes back to what the operator set, or the default
    SetDelivery {
        /// Seconds between attempts, separated by commas; none for one attempt
        #[arg(long, value_name = "N,N,…|none|default")]
        retry_schedule_seconds: Option<String>,
        /// How long an answer may take, of connectors that are saved without a time of their own
        #[arg(long, value_name = "N|default")]
        timeout_seconds: Option<String>,
        /// The largest request with events
        #[arg(long, value_name = "N|default")]
        event_bytes: Option<String>,
        /// The largest file that is pushed to an exporter
        #[arg(long, value_name = "N|default")]
        export_bytes: Option<String>,
        /// Days that payloads of ended deliveries stay
        #[arg(long, value_name = "N|default")]
        payload_days: Option<String>,
        /// Days that records of ended deliveries stay
        #[arg(long, value_name = "N|default")]
        delivery_days: Option<String>,
        /// Only while the settings have this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Show the egress rules, the certificate authorities besides those of the system with their ends, and the addresses
    /// that connections come from
    Egress,
    /// Set the addresses that connections come from, for people who ask for a rule of a firewall
    SetEgress {
        /// What they read; empty for none
        #[arg(long, value_name = "TEXT")]
        outgoing_addresses: String,
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
        Verb::Set { instance_name, time_zone, locale, public_url, if_match } => {
            let etag = etag(if_match, &client.send(Call::get(&[SETTINGS])).await?)?;
            let mut patch = Map::new();
            put(&mut patch, "instance_name", instance_name);
            put(&mut patch, "time_zone", time_zone);
            put(&mut patch, "locale", locale);
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
        Verb::SignIn => show_one(output, &client.send(Call::get(SIGN_IN)).await?)?,
        Verb::SetSignIn { local, two_step_required, session_hours, idle_minutes, if_match } => {
            let sent = [
                ("local", local),
                ("two_step_required", two_step_required),
                ("session_hours", session_hours),
                ("idle_minutes", idle_minutes),
            ];
            change(&client, output, SIGN_IN, &sent, if_match).await?;
        }
        Verb::Delivery => show_one(output, &client.send(Call::get(DELIVERY)).await?)?,
        Verb::SetDelivery {
            retry_schedule_seconds,
            timeout_seconds,
            event_bytes,
            export_bytes,
            payload_days,
            delivery_days,
            if_match,
        } => {
            let sent = [
                (SCHEDULE, retry_schedule_seconds),
                ("timeout_seconds", timeout_seconds),
                ("event_bytes", event_bytes),
                ("export_bytes", export_bytes),
                ("payload_days", payload_days),
                ("delivery_days", delivery_days),
            ];
            change(&client, output, DELIVERY, &sent, if_match).await?;
        }
        Verb::Egress => egress(output, &client.send(Call::get(EGRESS)).await?)?,
        Verb::SetEgress { outgoing_addresses, if_match } => {
            change(&client, output, EGRESS, &[(OUTGOING, Some(outgoing_addresses))], if_match).await?;
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

/// Changes one part of the settings: what was not given stays.
async fn change(
    client: &Client<'_>,
    output: &Output,
    place: &[&str],
    given: &[(&str, Option<String>)],
    if_match: Option<String>,
) -> Result<(), Failure> {
    let given = given.iter().filter_map(|(key, text)| text.as_deref().map(|text| (*key, text)));
    let patch: Map<_, _> = given.map(|(key, text)| (key.to_owned(), value_of(key, text))).collect();
    if patch.is_empty() {
        return Err(Failure::usage("Say what to set; see --help"));
    }
    let etag = etag(if_match, &client.send(Call::get(place)).await?)?;
    let call = Call::new(http::Method::PATCH, place).if_match(&etag);
    let body = Value::Object(patch).to_string().into_bytes();
    let answer = client.send(call.body("application/merge-patch+json", body)).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    output.done("Saved settings");
    Ok(())
}

/// What the server judges: what is no number goes there as it was typed.
fn value_of(key: &str, text: &str) -> Value {
    match (key, text) {
        (OUTGOING, text) => json!(text),
        (_, "default") => Value::Null,
        (SCHEDULE, "none") => json!([]),
        (SCHEDULE, waits) => {
            let wait = |wait: &str| wait.trim().parse::<u64>().map_or_else(|_| json!(wait), Value::from);
            waits.split(',').map(wait).collect()
        }
        (_, "true") => json!(true),
        (_, "false") => json!(false),
        (_, text) => json!(text),
    }
}

/// The rules, and below them the outgoing addresses and the authorities.
fn egress(output: &Output, answer: &Answer) -> Result<(), Failure> {
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    let shown = answer.json()?;
    let mut rules = Table::new(&["option", "value", "source"]);
    for option in shown["options"].as_array().into_iter().flatten() {
        rules.row(["key", "value", "source"].map(|key| text(option, key)));
    }
    output.table(&rules);
    let outgoing = text(&shown, OUTGOING);
    match outgoing.is_empty() {
        true => output.note("Nobody has written down the outgoing addresses."),
        false => output.text(&format!("Outgoing addresses:\n{outgoing}")),
    }
    let mut authorities = Table::new(&["extra CA certificate", "ends"]);
    for one in shown["extra_authorities"].as_array().into_iter().flatten() {
        authorities.row([text(one, "subject"), output.when(&one["ends_at"])]);
    }
    if authorities.is_empty() {
        output.note("No extra CA certificates.");
        return Ok(());
    }
    output.table(&authorities);
    Ok(())
}

/// What has to be entered in tools after the address of the server changed.
fn tell_redirect_urls(output: &Output, settings: &Value) {
    for one in settings["redirect_urls"].as_array().into_iter().flatten() {
        let (name, url) = (text(one, "credential.name"), text(one, "redirect_url"));
        output.warn(&format!("The redirect URL of “{name}” is another one now. Enter it in the tool: {url}"));
    }
}
