//! A flag for every field of every authorization type, made of the catalogue: a new type needs no line here. Secrets
//! are no flags; they come with `--secret`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap::{Args, FromArgMatches};
use consign_core::auth::AUTHORIZATION_TYPES;
use consign_core::catalog::{Field, Input, Rows, SentIn};
use serde_json::{Map, Value, json};

use super::super::failure::{Code, Failure};
use super::super::listing::text;
use super::super::secret::Secrets;

/// What was given for the fields of authorization types.
#[derive(Default)]
pub(crate) struct TypeFields {
    given: Vec<(&'static Field, Vec<String>)>,
}

/// Which rows go away.
#[derive(Default)]
pub(crate) struct RemovedRows {
    named: Vec<(&'static Field, Vec<String>)>,
}

impl TypeFields {
    /// Puts the plain values into a body of the API. Rows are put by [`TypeFields::rows`].
    pub(super) fn put_plain(&self, body: &mut Map<String, Value>) -> Result<(), Failure> {
        for (field, values) in self.given.iter().filter(|(field, _)| rules(field).is_none()) {
            let Some(value) = values.last() else { continue };
            let value = match field.input {
                Input::Certificate(_) | Input::ClientCertificate => certificate(value, &flag_of(field))?,
                _ => value.clone(),
            };
            body.insert(field.key.to_owned(), Value::String(value));
        }
        Ok(())
    }

    /// The rows that were given, by the key of their field.
    pub(super) fn rows(&self, secrets: &mut Secrets<'_>) -> Result<Vec<(&'static str, Vec<Value>)>, Failure> {
        let of_rows = self.given.iter().filter_map(|(field, values)| Some((field, rules(field)?, values)));
        let read = of_rows.map(|(field, rules, values)| {
            let rows: Result<_, _> =
                values.iter().map(|argument| row(argument, field, rules, secrets)).collect();
            Ok((field.key, rows?))
        });
        read.collect()
    }
}

impl RemovedRows {
    /// The names of rows that go away, by the key of their field.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        self.named.iter().map(|(field, names)| (field.key, names.as_slice()))
    }
}

/// The present rows with fresh ones behind them, in place of those of the same names: a name may stand there twice.
pub(super) fn merged_rows(present: Vec<Value>, fresh: Vec<Value>, removed: &[String]) -> Vec<Value> {
    let gone = |row: &Value| {
        let name = text(row, "name");
        removed.contains(&name) || fresh.iter().any(|other| text(other, "name") == name)
    };
    let kept: Vec<Value> = present.into_iter().filter(|row| !gone(row)).collect();
    kept.into_iter().chain(fresh).collect()
}

/// A certificate in a file: PEM as it is, DER as its Base64.
pub(super) fn certificate(argument: &str, flag: &str) -> Result<String, Failure> {
    let path = argument.strip_prefix('@').filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| Failure::usage(&format!("--{flag} is given as @FILE")))?;
    let bytes = std::fs::read(path);
    let bytes =
        bytes.map_err(|error| Failure::caused(Code::Usage, &format!("{path} cannot be read"), &error))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(binary) => BASE64_STANDARD.encode(binary.as_bytes()),
    })
}

/// `NAME=VALUE`, where `NAME?=` asks for the query of the address, and `@FILE` or `env:VAR` for a secret.
fn row(argument: &str, field: &Field, rules: &Rows, secrets: &mut Secrets<'_>) -> Result<Value, Failure> {
    let flag = flag_of(field);
    let pair = argument.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| Failure::usage(&format!("--{flag} is given as NAME=VALUE")))?;
    let (name, place) = match name.strip_suffix('?') {
        Some(name) if rules.query => (name, SentIn::Query),
        _ => (name, SentIn::Body),
    };
    let elsewhere = value.starts_with("env:")
        || value.strip_prefix('@').is_some_and(|path| {
            // Where there are no secrets a value may begin so: a name that people are mentioned by.
            rules.secrets || std::path::Path::new(path).is_file()
        });
    if elsewhere && !rules.secrets {
        let line = format!("--{flag} takes the value itself, not a file or a variable");
        let why = format!("{} are not secret: their values are stored and shown as text", field.label);
        return Err(Failure::usage(&line).and(&why));
    }
    let secret = rules.secrets && elsewhere;
    let value = if secret {
        let (_, value) = secrets.named(&format!("{name}={value}"))?;
        value.expose().to_owned()
    } else {
        value.to_owned()
    };
    let mut row = json!({ "name": name, "value": value });
    if secret {
        row["secret"] = Value::Bool(true);
    }
    if place == SentIn::Query {
        row["sent_in"] = place.kind().into();
    }
    Ok(row)
}

/// Every plain field once, in the order of the form: types share some of them.
fn fields() -> Vec<&'static Field> {
    let mut fields: Vec<&'static Field> = Vec::new();
    for field in AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields) {
        if !field.is_secret() && fields.iter().all(|known| known.key != field.key) {
            fields.push(field);
        }
    }
    fields
}

const fn rules(field: &Field) -> Option<&'static Rows> {
    match field.input {
        Input::Rows(rules) => Some(rules),
        Input::Text
        | Input::Secret
        | Input::Address
        | Input::Choice(_)
        | Input::Suggested(_)
        | Input::Certificate(_)
        | Input::CertificateKey
        | Input::ClientCertificate
        | Input::ClientKey
        | Input::PrivateKey(_) => None,
    }
}

/// `access_token_url` is `--access-token-url`; rows are given one by one, so `--oauth-token-request`.
fn flag_of(field: &Field) -> String {
    let key = if rules(field).is_some() { field.key.trim_end_matches('s') } else { field.key };
    key.replace('_', "-")
}

fn flag(field: &'static Field) -> Arg {
    let flag = Arg::new(field.key).long(flag_of(field)).help(help(field)).help_heading("Authorization type");
    match field.input {
        Input::Text
        | Input::Secret
        | Input::CertificateKey
        | Input::ClientKey
        | Input::PrivateKey(_)
        | Input::Suggested(_) => flag.value_name(field.key.to_uppercase()),
        Input::Certificate(_) | Input::ClientCertificate => flag.value_name("@FILE"),
        Input::Address => flag.value_name("URL"),
        Input::Choice(_) => flag.value_name(kinds(field.key).join("|")),
        Input::Rows(rules) => {
            let name = if rules.secrets { "NAME=VALUE|@FILE|env:VAR" } else { "NAME=VALUE" };
            flag.value_name(name).action(ArgAction::Append)
        }
    }
}

/// The choices of a field, over all types that have it.
fn kinds(key: &str) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let same = AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields).filter(|field| field.key == key);
    for field in same {
        let Input::Choice(choices) = field.input else { continue };
        let fresh = choices.iter().map(|choice| choice.kind).filter(|kind| !kinds.contains(kind));
        kinds.extend(fresh.collect::<Vec<_>>());
    }
    kinds
}

/// Label and hint of the form.
fn help(field: &Field) -> String {
    let hint = field.hint.trim_end_matches('.');
    let mut help = if hint.is_empty() { field.label.to_owned() } else { format!("{}. {hint}", field.label) };
    if let Some(rules) = rules(field) {
        help.push_str("; repeatable");
        if rules.query {
            help.push_str("; NAME?=VALUE goes into the query of the address");
        }
    }
    help
}

fn values_of(matches: &mut ArgMatches, id: &str) -> Vec<String> {
    matches.remove_many::<String>(id).into_iter().flatten().collect()
}

impl Args for TypeFields {
    fn augment_args(command: Command) -> Command {
        command.args(fields().into_iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TypeFields {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let given = fields().into_iter().map(|field| (field, values_of(matches, field.key)));
        Ok(Self { given: given.filter(|(_, values)| !values.is_empty()).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The id of the flag that removes rows.
fn removal_of(field: &Field) -> String {
    format!("remove_{}", field.key)
}

impl Args for RemovedRows {
    fn augment_args(command: Command) -> Command {
        let flags = fields().into_iter().filter_map(|field| {
            let help = format!("Remove every {} of this name; repeatable", rules(field)?.what);
            let flag = Arg::new(removal_of(field)).long(format!("remove-{}", flag_of(field)));
            let flag = flag.help(help).value_name("NAME").action(ArgAction::Append);
            Some(flag.help_heading("Authorization type"))
        });
        command.args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RemovedRows {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let of_rows = fields().into_iter().filter(|field| rules(field).is_some());
        let named = of_rows.map(|field| (field, values_of(matches, &removal_of(field))));
        Ok(Self { named: named.filter(|(_, names)| !names.is_empty()).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
