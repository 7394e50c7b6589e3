//! Secrets on the command line: never as an argument, which other users of the machine could read.

use std::io::Read as _;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use consign_core::auth::AUTHORIZATION_TYPES;
use consign_core::catalog::Input;
use consign_core::secret::Secret;

use super::failure::{Code, Failure};
use super::output::Output;
use crate::config::variable;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `@PATH`: the content of a file, without one line break at its end.
    File(String),
    /// `env:NAME`.
    Variable(String),
    /// `-`: standard input, once.
    Input,
    /// `prompt`: typed without being shown.
    Prompt,
}

/// Reads `FIELD=@PATH`, `FIELD=env:NAME`, `FIELD=-` or `FIELD=prompt`. What is refused is never repeated.
pub(crate) fn parse(argument: &str) -> Result<(String, Origin), Failure> {
    let Some((field, source)) = argument.split_once('=').filter(|(field, _)| !field.is_empty()) else {
        return Err(Failure::usage(
            "A secret is given as FIELD=@file, FIELD=env:VAR, FIELD=- or FIELD=prompt",
        ));
    };
    let origin = match source {
        "-" => Origin::Input,
        "prompt" => Origin::Prompt,
        _ => match (source.strip_prefix('@'), source.strip_prefix("env:")) {
            (Some(path), _) if !path.is_empty() => Origin::File(path.to_owned()),
            (_, Some(name)) if !name.is_empty() => Origin::Variable(name.to_owned()),
            _ => return Err(refused(field)),
        },
    };
    Ok((field.to_owned(), origin))
}

fn refused(field: &str) -> Failure {
    Failure::usage("A secret on the command line can be read by other users of this machine.")
        .and(&format!("Use {field}=@file, {field}=env:VAR or {field}=- (standard input)"))
}

/// Reads secrets; standard input can be asked for once.
pub(crate) struct Secrets<'a> {
    output: &'a Output,
    input_is_read: bool,
}

impl<'a> Secrets<'a> {
    pub(crate) fn new(output: &'a Output) -> Self {
        Self { output, input_is_read: false }
    }

    /// The secret of a `FIELD=…` argument. Hyphens of the field become underscores.
    pub(crate) fn field(&mut self, argument: &str) -> Result<(String, Secret), Failure> {
        let (field, origin) = parse(argument)?;
        let secret = self.read(&field, &origin)?;
        Ok((field.replace('-', "_"), secret))
    }

    /// The secret of a `NAME=…` argument whose name stays as it is.
    pub(crate) fn named(&mut self, argument: &str) -> Result<(String, Secret), Failure> {
        let (name, origin) = parse(argument)?;
        let secret = self.read(&name, &origin)?;
        Ok((name, secret))
    }

    fn read(&mut self, field: &str, origin: &Origin) -> Result<Secret, Failure> {
        match origin {
            Origin::File(path) => from_file(Path::new(path), field),
            Origin::Variable(name) => {
                let value = variable(name).map(Secret::new);
                value.ok_or_else(|| Failure::usage(&format!("The variable {name} is not set")))
            }
            Origin::Input if self.input_is_read => Err(Failure::usage(
                "Standard input can hold one secret only. Use =@file or =env:VAR for the others",
            )),
            Origin::Input => {
                self.input_is_read = true;
                from_input()
            }
            Origin::Prompt => self.output.ask_secret(field),
        }
    }
}

/// All of a file, without one line break at its end.
pub(crate) fn from_file(path: &Path, field: &str) -> Result<Secret, Failure> {
    let unreadable = |error: &dyn std::error::Error| {
        Failure::caused(Code::Usage, &format!("{} cannot be read", path.display()), error)
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(without_line_break(text))),
        // The only secret that has a binary form is a private key in DER.
        Err(binary) if is_private_key(field) => Ok(Secret::new(BASE64_STANDARD.encode(binary.as_bytes()))),
        Err(error) => Err(unreadable(&error)),
    }
}

/// All of standard input, without one line break at its end.
pub(crate) fn from_input() -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| Failure::caused(Code::Failed, "Standard input could not be read", &error))?;
    Ok(Secret::new(without_line_break(text)))
}

fn is_private_key(field: &str) -> bool {
    let field = field.replace('-', "_");
    let mut fields = AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields);
    fields.any(|known| known.key == field && matches!(known.input, Input::CertificateKey | Input::ClientKey))
}

fn without_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests;
