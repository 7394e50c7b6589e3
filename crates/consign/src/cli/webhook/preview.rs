//! `consign webhook preview`: the request that a webhook would send, before there is one.

use clap::Args;
use serde_json::Value;

use super::{Fields, WEBHOOKS};
use crate::cli::client::{Call, Client};
use crate::cli::failure::{Code, Failure};
use crate::cli::listing::text;
use crate::cli::object::put;
use crate::cli::output::{Form, Output, clean};

#[derive(Args)]
pub(crate) struct PreviewFlags {
    /// Made of this event that came in, by its id, and not of a sample
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Its name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
}

/// Prints the request as it would go: what is asked, the headers, and the body as it is.
pub(super) async fn preview(
    client: &Client<'_>,
    output: &Output,
    flags: PreviewFlags,
) -> Result<(), Failure> {
    let mut body = flags.fields.body()?;
    put(&mut body, "name", flags.name);
    put(&mut body, "event", flags.event);
    let answer = client.send(Call::post(&[WEBHOOKS, "preview"]).json(&Value::Object(body))).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    let request = answer.json()?;
    output.line(&clean(&format!("{} {}", text(&request, "method"), text(&request, "url"))));
    for header in request["headers"].as_array().into_iter().flatten() {
        output.line(&clean(&format!("{}: {}", text(header, "name"), text(header, "value"))));
    }
    output.line("");
    output
        .body(&text(&request, "body"))
        .map_err(|error| Failure::caused(Code::Failed, "The body cannot be written", &error))
}
