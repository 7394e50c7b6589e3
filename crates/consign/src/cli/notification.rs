//! `consign notification`: who is told what needs a person, and whether mail arrives.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Global;
use super::client::Call;
use super::context;
use super::failure::{Code, Failure};
use super::listing::{show_one, text};
use super::object::etag;
use super::output::{Form, Output};

const NOTIFICATIONS: &str = "notifications";

/// What can be done with notifications.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show who gets mail, and what is told at present
    Get,
    /// Set who gets mail; without --email nobody does
    Set {
        /// An address; repeatable
        #[arg(long, value_name = "EMAIL", value_delimiter = ',')]
        email: Vec<String>,
        /// Only while the notifications have this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Send one mail to try it; exits with 8 when the mail server does not take it
    TestMail {
        /// Who gets it
        #[arg(long, value_name = "EMAIL")]
        to: String,
    },
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::Get => show_one(output, &client.send(Call::get(&[NOTIFICATIONS])).await?)?,
        Verb::Set { email, if_match } => {
            let etag = etag(if_match, &client.send(Call::get(&[NOTIFICATIONS])).await?)?;
            let body = json!({ "emails": email }).to_string().into_bytes();
            let call = Call::new(Method::PATCH, &[NOTIFICATIONS]).if_match(&etag);
            let answer = client.send(call.body("application/merge-patch+json", body)).await?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            output.done("Saved notifications");
        }
        Verb::TestMail { to } => {
            let answer = client.send(Call::post(&["mail-tests"]).json(&json!({ "to": to }))).await?;
            let ended = answer.json()?;
            if output.form == Form::Json {
                output.text(&answer.text());
            }
            let message = text(&ended, "message");
            if ended["outcome"] != "sent" {
                return Err(Failure::new(Code::SaidNo, &message));
            }
            output.done(&message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
