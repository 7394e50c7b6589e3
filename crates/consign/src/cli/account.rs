//! `consign account`: what a person does with their own account. API keys have none, so that email and password are sent
//! with each request.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use consign_core::secret::Secret;
use http::{HeaderName, Method};
use serde_json::{Value, json};

use super::Global;
use super::client::Call;
use super::context;
use super::failure::Failure;
use super::listing::show_one;
use super::output::{Form, Output};
use super::secret::Secrets;

const CODE: HeaderName = HeaderName::from_static("consign-code");

/// Who does it.
#[derive(Args)]
pub(crate) struct Person {
    /// Your email address
    #[arg(long)]
    email: String,
    /// Where secrets come from, such as password=@file, new_password=env:VAR, or code=- ; asked for on a terminal otherwise
    #[arg(long, value_name = "FIELD=SOURCE")]
    secret: Vec<String>,
    /// You have two-step sign-in: ask for the code
    #[arg(long)]
    with_code: bool,
}

/// What can be done with one's own account.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show it: email, role, ways to sign in, time zone, theme
    Show {
        #[command(flatten)]
        person: Person,
    },
    /// Set where exact times are read on your pages, such as Europe/Lisbon; empty for what the server has
    SetTimeZone {
        /// Its name
        zone: String,
        #[command(flatten)]
        person: Person,
    },
    /// Set how your pages look
    SetTheme {
        /// light, dark or system
        theme: String,
        #[command(flatten)]
        person: Person,
    },
    /// Change your password; every web session of yours ends
    SetPassword {
        #[command(flatten)]
        person: Person,
    },
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Show { person } => {
            let mut typed = Typed::read(&person, output)?;
            let password = typed.take("password")?;
            let client = context::of_person((&person.email, &password), global, output)?;
            show_one(output, &client.send(typed.with_code(Call::get(&["me"]))?).await?)?;
        }
        Verb::SetTimeZone { zone, person } => {
            change(&json!({ "time_zone": zone }), &person, global, output).await?;
            output.done("Saved your time zone");
        }
        Verb::SetTheme { theme, person } => {
            change(&json!({ "theme": theme }), &person, global, output).await?;
            output.done("Saved your theme");
        }
        Verb::SetPassword { person } => {
            let mut typed = Typed::read(&person, output)?;
            let (present, new) = (typed.take("password")?, typed.take("new_password")?);
            let body = json!({ "password": present.expose(), "new_password": new.expose() });
            let call = Call::new(Method::PUT, &["me", "password"]).json(&body);
            let client = context::of_person((&person.email, &present), global, output)?;
            client.send(typed.with_code(call)?).await?;
            output.done("Changed your password. Your web sessions have ended");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes what the patch names (RFC 7396).
async fn change(patch: &Value, person: &Person, global: &Global, output: &Output) -> Result<(), Failure> {
    let mut typed = Typed::read(person, output)?;
    let password = typed.take("password")?;
    let call = Call::new(Method::PATCH, &["me"]).json(patch);
    let client = context::of_person((&person.email, &password), global, output)?;
    let answer = client.send(typed.with_code(call)?).await?;
    if output.form == Form::Json {
        show_one(output, &answer)?;
    }
    Ok(())
}

/// The secrets that were named; the others are asked for.
struct Typed<'a> {
    named: Vec<(String, Secret)>,
    asks_for_code: bool,
    output: &'a Output,
}

impl<'a> Typed<'a> {
    fn read(person: &Person, output: &'a Output) -> Result<Self, Failure> {
        let mut secrets = Secrets::new(output);
        let named = person.secret.iter().map(|argument| secrets.field(argument));
        let named = named.collect::<Result<Vec<_>, _>>()?;
        if let Some((field, _)) =
            named.iter().find(|(field, _)| !["password", "new_password", "code"].contains(&field.as_str()))
        {
            let line = format!("There is no secret {field} here; use password, new_password or code");
            return Err(Failure::usage(&line));
        }
        Ok(Self { named, asks_for_code: person.with_code, output })
    }

    fn take(&mut self, field: &str) -> Result<Secret, Failure> {
        match self.named.iter().position(|(known, _)| known == field) {
            Some(place) => Ok(self.named.swap_remove(place).1),
            None => self.output.ask_secret(field),
        }
    }

    /// The request with the code, where there is one. It works once and is worth nothing afterwards.
    fn with_code(&mut self, call: Call) -> Result<Call, Failure> {
        let named = self.named.iter().any(|(known, _)| known == "code");
        if !named && !self.asks_for_code {
            return Ok(call);
        }
        Ok(call.header(CODE, self.take("code")?.expose().trim()))
    }
}
