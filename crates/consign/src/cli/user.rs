//! `consign user`: people and their roles.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::Global;
use super::client::{Call, Client};
use super::context;
use super::failure::Failure;
use super::listing::{PageFlags, cell, show, show_one, text};
use super::object::{etag, save};
use super::output::{Form, Output};

const USERS: &str = "users";

/// What can be done with people.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List people, the newest first
    List {
        /// The oldest first
        #[arg(long)]
        oldest_first: bool,
        #[command(flatten)]
        page: PageFlags,
    },
    /// Show one person
    Get {
        /// The id or email address
        person: String,
    },
    /// Invite somebody and print the link for them, once
    Invite {
        /// Their email address
        email: String,
        /// What they may do: administrator, credential_manager, operator, auditor or viewer
        #[arg(long)]
        role: String,
    },
    /// Print a new link for somebody who has not come yet
    InviteAgain {
        /// The id or email address
        person: String,
    },
    /// Give somebody another role; their sessions end
    SetRole {
        /// The id or email address
        person: String,
        /// administrator, credential_manager, operator, auditor or viewer
        role: String,
        /// Only while the person has this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Keep somebody from signing in; their sessions end
    Suspend {
        /// The id or email address
        person: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let somebody sign in again
    Reactivate {
        /// The id or email address
        person: String,
    },
    /// End every session of somebody
    SignOut {
        /// The id or email address
        person: String,
    },
    /// Switch the second step of somebody off who lost app and recovery codes
    ResetTwoStep {
        /// The id or email address
        person: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Delete a person or an invitation
    Delete {
        /// The id or email address
        person: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only while the person has this ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List { oldest_first, page } => list(&client, output, oldest_first, &page).await?,
        Verb::Get { person } => show_one(output, &client.send(Call::get(&[USERS, &person])).await?)?,
        Verb::Invite { email, role } => {
            let call = Call::post(&[USERS]).json(&json!({ "email": email, "role": role }));
            invited(&client, output, call).await?;
        }
        Verb::InviteAgain { person } => {
            invited(&client, output, Call::post(&[USERS, &person, "invitations"])).await?;
        }
        Verb::SetRole { person, role, if_match } => {
            let place = [USERS, person.as_str()];
            let etag = etag(if_match, &client.send(Call::get(&place)).await?)?;
            let patch = Map::from_iter([("role".to_owned(), Value::from(role))]);
            save(&client, output, &place, &etag, patch, "user").await?;
        }
        Verb::Suspend { person, yes } => {
            output.confirm(&format!("Suspend {person}? Their sessions end."), yes)?;
            act(&client, output, Call::post(&[USERS, &person, "suspension"]), "Suspended").await?;
        }
        Verb::Reactivate { person } => {
            let call = Call::new(Method::DELETE, &[USERS, &person, "suspension"]);
            act(&client, output, call, "Reactivated").await?;
        }
        Verb::SignOut { person } => {
            let call = Call::new(Method::DELETE, &[USERS, &person, "sessions"]);
            act(&client, output, call, "Signed out everywhere:").await?;
        }
        Verb::ResetTwoStep { person, yes } => {
            output.confirm(&format!("Switch the second step of {person} off?"), yes)?;
            let call = Call::new(Method::DELETE, &[USERS, &person, "two-step"]);
            act(&client, output, call, "Reset two-step sign-in of").await?;
        }
        Verb::Delete { person, yes, if_match } => {
            output.confirm(&format!("Delete {person}? This cannot be undone."), yes)?;
            let place = [USERS, person.as_str()];
            let etag = etag(if_match, &client.send(Call::get(&place)).await?)?;
            client.send(Call::new(Method::DELETE, &place).if_match(&etag)).await?;
            output.done(&format!("Deleted {person}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    client: &Client<'_>,
    output: &Output,
    oldest_first: bool,
    page: &PageFlags,
) -> Result<(), Failure> {
    let call = page.of(Call::get(&[USERS])).query("sort", oldest_first.then_some("created_at"));
    let answer = client.send(call).await?;
    let headings = ["id", "name", "email", "role", "state", "two-step", "last seen"];
    show(output, &answer, &headings, "There is nobody.", |row| {
        vec![
            cell(row, "id"),
            cell(row, "name"),
            cell(row, "email"),
            cell(row, "role"),
            cell(row, "state"),
            if row["two_step"] == true { "on" } else { "off" }.to_owned(),
            output.when(&row["last_seen_at"]),
        ]
    })
}

/// The link is data; the rest is said beside it.
async fn invited(client: &Client<'_>, output: &Output, call: Call) -> Result<(), Failure> {
    let answer = client.send(call).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    let person = answer.json()?;
    output.done(&format!("Invited {} as {}", text(&person, "email"), text(&person, "role")));
    output.line(&text(&person, "invitation.link"));
    output.note("Pass the link on now. It works once, for 72 hours, and cannot be shown again.");
    Ok(())
}

async fn act(client: &Client<'_>, output: &Output, call: Call, done: &str) -> Result<(), Failure> {
    let answer = client.send(call).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    output.done(&format!("{done} {}", text(&answer.json()?, "email")));
    Ok(())
}
