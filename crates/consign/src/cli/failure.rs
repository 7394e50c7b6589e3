//! Why a command failed: its exit code, and what is said. What happened, why, what to do.

use std::error::Error;
use std::process::ExitCode;

use serde_json::Value;

/// The exit codes; their numbers are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Something that has no code of its own.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// Sign-in needed or ended.
    SignIn = 4,
    /// Not allowed.
    NotAllowed = 5,
    /// Changed by someone else, or in the wrong state.
    Changed = 6,
    /// Values were not accepted.
    NotAccepted = 7,
    /// The other side said no.
    SaidNo = 8,
    /// Some of it was done.
    Partly = 9,
    /// A dry run found something to do.
    Pending = 10,
    /// The server cannot be reached.
    Unreachable = 11,
    /// Waited too long.
    TooLong = 12,
    /// Stopped by the person.
    Stopped = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: Code,
    /// The first line says what happened, the others why and what to do.
    pub(crate) lines: Vec<String>,
    /// The problem document of the server.
    pub(crate) problem: Option<Value>,
}

impl Failure {
    pub(crate) fn new(code: Code, line: &str) -> Self {
        Self { code, lines: vec![line.to_owned()], problem: None }
    }

    /// Wrong usage.
    pub(crate) fn usage(line: &str) -> Self {
        Self::new(Code::Usage, line)
    }

    /// With the causes of an error.
    pub(crate) fn caused(code: Code, line: &str, error: &dyn Error) -> Self {
        Self { code, lines: vec![format!("{line}: {}", chain(error))], problem: None }
    }

    /// One more line.
    pub(crate) fn and(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// What the server answered, when it was not a success.
    pub(crate) fn answered(status: u16, body: &[u8]) -> Self {
        let problem: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
        let text = |key: &str| problem.as_ref().and_then(|problem| problem[key].as_str()).map(str::to_owned);
        let title = text("title").unwrap_or_else(|| format!("The server answered with status {status}"));
        let first = match text("detail") {
            Some(detail) if detail != title => format!("{title}. {detail}"),
            _ => title,
        };
        let mut lines = vec![first];
        let rows = problem.as_ref().and_then(|problem| problem["errors"].as_array()).into_iter().flatten();
        lines.extend(rows.map(|row| {
            let field = row["pointer"].as_str().unwrap_or_default().trim_start_matches('/');
            let message = row["message"].as_str().unwrap_or_default();
            if field.is_empty() { format!("  {message}") } else { format!("  {field}: {message}") }
        }));
        lines.extend(advice(status, text("code").as_deref()).map(str::to_owned));
        if status >= 500 {
            lines.extend(text("request_id").map(|id| format!("Reference {id}")));
        }
        Self { code: code_of(status), lines, problem }
    }
}

/// What can be done about it.
fn advice(status: u16, code: Option<&str>) -> Option<&'static str> {
    match (status, code) {
        (409, Some("managed_elsewhere")) => Some("Take it over with --force"),
        (401, _) => Some("Sign in with: consign login"),
        (412, _) => Some("Look at it again, then repeat the command"),
        (503, Some("locked")) => Some("The log of the server names the key that is missing"),
        (503, Some("not_set_up")) => Some("Open the set-up link that the server printed at its start"),
        (503 | 507, _) => Some("Try again in a moment"),
        _ => None,
    }
}

fn code_of(status: u16) -> Code {
    match status {
        400 | 428 => Code::Usage,
        401 => Code::SignIn,
        403 => Code::NotAllowed,
        404 => Code::NotFound,
        409 | 412 => Code::Changed,
        422 => Code::NotAccepted,
        _ => Code::Failed,
    }
}

/// An error and its causes in one line; a cause that repeats its parent is left out.
fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { code: Code::Failed, lines: vec![chain(error.as_ref())], problem: None }
    }
}

#[cfg(test)]
mod tests;
