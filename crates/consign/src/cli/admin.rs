//! `consign admin`: the data folder of this machine, while the server is stopped. (On PostgreSQL it may run.)

use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;

use super::failure::{Code, Failure};
use super::output::{Form, Output};
use super::{ConfigFile, api_key, serve};
use crate::App;
use crate::engine::Accept;
use crate::ops::{self, Actor, OpError, Sent, users};

/// What can be done in the data folder.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Print a new link to finish setting up
    SetupLink(ConfigFile),
    /// Invite a person and print the link for them, once: for when nobody can sign in
    Invite {
        /// Their email address
        email: String,
        /// What they may do, administrator unless it is said: or credential_manager, operator, auditor, viewer
        #[arg(long, default_value = "administrator")]
        role: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Create an API key and print its text, once
    ApiKey {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do, such as events:write; repeatable
        #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
        scope: Vec<String>,
        /// The day on which it ends
        #[arg(long, value_name = "DATE")]
        ends_on: Option<String>,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, output: &Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::SetupLink(file) => {
            let app = open(&file).await?;
            let done = setup_link(&app, output).await;
            close(&app).await;
            done?;
        }
        Verb::Invite { email, role, config } => {
            let app = open(&config).await?;
            let sent =
                Sent::from_iter([("email".to_owned(), json!(email)), ("role".to_owned(), json!(role))]);
            let made = ops::people::invite(&app, &Actor::system(app.now()), sent).await;
            close(&app).await;
            let made = made.map_err(refused)?;
            if output.form == Form::Json {
                output.line(&made.to_string());
            } else {
                output.line(made["invitation"]["link"].as_str().unwrap_or_default());
                output.note("Pass the link on now. It works once, for 72 hours, and cannot be shown again.");
            }
        }
        Verb::ApiKey { name, scope, ends_on, config } => {
            let app = open(&config).await?;
            let sent = api_key::body(name, scope, ends_on);
            let created = ops::api_keys::create(&app, &Actor::system(app.now()), sent).await;
            close(&app).await;
            let (mut key, text) = created.map_err(refused)?;
            if output.form == Form::Json {
                key["text"] = json!(text.expose());
                output.line(&key.to_string());
            } else {
                output.line(text.expose());
                output.note("Keep it now. It cannot be shown again.");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn setup_link(app: &App, output: &Output) -> Result<(), Failure> {
    if users::people_are_gone(app).await.map_err(refused)? {
        let [first, rest @ ..] = serve::PEOPLE_ARE_GONE;
        return Err(rest.iter().fold(Failure::new(Code::Failed, first), |failure, line| failure.and(line)));
    }
    if !users::setup_needed(app).await.map_err(refused)? {
        return Err(
            Failure::new(Code::Failed, "Consign is set up already. Sign in at:").and(&app.public_url())
        );
    }
    let token = users::new_setup_link(app).await.map_err(refused)?;
    output.line(&serve::setup_address(app, &token));
    output.note("It works once, for 30 minutes.");
    Ok(())
}

/// The product without its work: nothing is delivered meanwhile.
async fn open(file: &ConfigFile) -> Result<Arc<App>, Failure> {
    let mut config = file.load()?.config;
    config.delivery.workers = 0;
    match serve::open(config, Accept::default()).await? {
        serve::Opened::Ready { app, .. } => Ok(app),
        serve::Opened::Locked { why, .. } => Err(Failure::new(Code::Failed, &why.sentence())),
    }
}

async fn close(app: &App) {
    app.stop().await;
    serve::forget_holder(&app.config);
}

fn refused(error: OpError) -> Failure {
    match error {
        OpError::Invalid(faults) => faults
            .iter()
            .fold(Failure::new(Code::NotAccepted, "Some values were not accepted"), |failure, fault| {
                failure.and(&format!("  {}: {}", fault.field, fault.message))
            }),
        other => Failure::caused(Code::Failed, "It was not done", &other),
    }
}
