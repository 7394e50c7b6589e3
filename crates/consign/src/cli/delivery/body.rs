//! `consign delivery payload` and `request-body`: what came in, and what went out, as it is.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::Args;

use super::DELIVERIES;
use crate::cli::client::{Call, Client};
use crate::cli::failure::{Code, Failure};
use crate::cli::listing::text;
use crate::cli::output::{Form, Output};

#[derive(Args)]
pub(crate) struct BodyFlags {
    /// The id
    id: String,
    /// Where to, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints the body and nothing else: not even a line break behind it. A terminal gets it without what steers terminals.
pub(super) async fn print(
    client: &Client<'_>,
    output: &Output,
    flags: &BodyFlags,
    what: &str,
) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[DELIVERIES, &flags.id, what])).await?;
    if flags.output.is_none() && output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    let body = text(&answer.json()?, "body");
    let Some(path) = &flags.output else {
        let unwritten = |error| Failure::caused(Code::Failed, "The body cannot be written", &error);
        return output.body(&body).map_err(unwritten);
    };
    let unwritten =
        |error| Failure::caused(Code::Failed, &format!("{} cannot be written", path.display()), &error);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(unwritten)?;
    file.write_all(body.as_bytes()).map_err(unwritten)?;
    output.done(&format!("Wrote {}", path.display()));
    Ok(())
}
