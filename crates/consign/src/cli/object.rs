//! What the verbs of every kind of object share: its tag, a body from a file, saving, deleting, and what was done with it.

use clap::Args;
use http::Method;
use serde_json::{Map, Value};

use super::client::{Answer, Call, Client};
use super::failure::{Code, Failure};
use super::listing::{cell, show, show_written};
use super::output::{Form, Output};
use super::secret::from_input;

/// What can be changed of every kind of object, and on which condition.
#[derive(Args)]
pub(super) struct Edited {
    /// A new name
    #[arg(long = "name", value_name = "NAME")]
    new_name: Option<String>,
    /// No file manages it any longer
    #[arg(long)]
    no_longer_managed: bool,
    /// Only while it is unchanged
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl Edited {
    /// Puts it into a patch, and gives the tag to send with it.
    pub(super) fn put(self, patch: &mut Map<String, Value>, found: &Answer) -> Result<String, Failure> {
        put(patch, "name", self.new_name);
        if self.no_longer_managed {
            patch.insert("managed_by".to_owned(), Value::Null);
        }
        etag(self.if_match, found)
    }
}

/// Changes what the patch names (RFC 7396) and says so.
pub(super) async fn save(
    client: &Client<'_>,
    output: &Output,
    place: &[&str],
    etag: &str,
    patch: Map<String, Value>,
    kind: &str,
) -> Result<Value, Failure> {
    if patch.is_empty() {
        return Err(Failure::usage(&format!("Say what to change; see: consign {kind} edit --help")));
    }
    let body = Value::Object(patch).to_string().into_bytes();
    let call = Call::new(Method::PATCH, place).if_match(etag).body("application/merge-patch+json", body);
    show_written(output, &client.send(call).await?, "Saved", kind)
}

/// Deletes and says so; `what` is the kind with the name.
pub(super) async fn delete(
    client: &Client<'_>,
    output: &Output,
    call: Call,
    what: &str,
) -> Result<(), Failure> {
    let answer = client.send(call).await?;
    if output.form == Form::Json && !answer.body.is_empty() {
        output.text(&answer.text());
    }
    output.done(&format!("Deleted {what}"));
    Ok(())
}

/// What was done with an object of this path, the newest first.
pub(super) async fn history(
    client: &Client<'_>,
    output: &Output,
    path: &str,
    name: &str,
) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[path, name, "history"])).await?;
    show(output, &answer, &["when", "who", "action"], "Nothing was done yet.", |row| {
        vec![output.when(&row["at"]), cell(row, "actor"), cell(row, "action")]
    })
}

/// The tag to send back: the one asked for, else the one just read.
pub(super) fn etag(asked: Option<String>, found: &Answer) -> Result<String, Failure> {
    let etag = asked.or_else(|| found.etag.clone());
    etag.ok_or_else(|| Failure::new(Code::Failed, "The server's answer has no ETag. Is it a Consign server?"))
}

/// A JSON object from a file; `-` is standard input.
pub(super) fn read_object(path: &str) -> Result<Map<String, Value>, Failure> {
    let text = if path == "-" {
        from_input()?
    } else {
        let text = std::fs::read_to_string(path);
        let unreadable = |error| Failure::caused(Code::Usage, &format!("{path} cannot be read"), &error);
        consign_core::secret::Secret::new(text.map_err(unreadable)?)
    };
    // What the reader met is not repeated: the file may hold secrets.
    serde_json::from_str(text.expose()).map_err(|error| {
        Failure::usage(&format!(
            "{path} is not a JSON object: line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

pub(super) fn put(body: &mut Map<String, Value>, key: &str, value: Option<String>) {
    body.extend(value.map(|value| (key.to_owned(), Value::String(value))));
}
