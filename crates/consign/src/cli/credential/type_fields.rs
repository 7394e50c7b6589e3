//! A flag for every field of every authorization type, made of the catalogue: a new type needs no line here. Secrets
//! are no flags; they come with `--secret`.

use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap::{Args, FromArgMatches};
use consign_core::auth::AUTHORIZATION_TYPES;
use consign_core::catalog::{Field, Input, Rows, SentIn};
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
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
    pub(super) fn put_plain(&self, body: &mut Map<String, Value>) {
        let plain = self.given.iter().filter(|(field, _)| rules(field).is_none());
        body.extend(plain.filter_map(|(field, values)| {
            Some((field.key.to_owned(), Value::String(values.last()?.clone())))
        }));
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

/// `NAME=VALUE`, where `NAME?=` asks for the query of the address, and `@FILE` or `env:VAR` for a secret.
fn row(argument: &str, field: &Field, rules: &Rows, secrets: &mut Secrets<'_>) -> Result<Value, Failure> {
    let flag = flag_of(field);
    let pair = argument.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| Failure::usage(&format!("--{flag} is given as NAME=VALUE")))?;
    let (name, place) = match name.strip_suffix('?') {
        Some(name) if rules.query => (name, SentIn::Query),
        _ => (name, SentIn::Body),
    };
    let secret = rules.secrets && (value.starts_with('@') || value.starts_with("env:"));
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
        Input::Text | Input::Secret | Input::PrivateKey(_) | Input::Address | Input::Choice(_) => None,
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
        Input::Text | Input::Secret | Input::PrivateKey(_) => flag.value_name(field.key.to_uppercase()),
        Input::Address => flag.value_name("URL"),
        Input::Choice(choices) => {
            let kinds: Vec<_> = choices.iter().map(|choice| choice.kind).collect();
            flag.value_name(kinds.join("|"))
        }
        Input::Rows(rules) => {
            let name = if rules.secrets { "NAME=VALUE|@FILE|env:VAR" } else { "NAME=VALUE" };
            flag.value_name(name).action(ArgAction::Append)
        }
    }
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
