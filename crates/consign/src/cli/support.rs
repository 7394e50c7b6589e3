//! `consign support-bundle`: what somebody who helps needs to know of a server, without names, addresses or secrets.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::client::Call;
use super::failure::{Code, Failure};
use super::output::Output;
use super::{Global, context};

/// Where to.
#[derive(Args)]
pub(crate) struct Support {
    /// Only show it: the audit log does not tell of it
    #[arg(long, conflicts_with = "output")]
    preview: bool,
    /// Where to, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Shows or takes it.
pub(crate) async fn run(flags: Support, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    let call = if flags.preview { Call::get(&["support-bundle"]) } else { Call::post(&["support-bundle"]) };
    let bundle = client.send(call).await?.json()?;
    let text = serde_json::to_string_pretty(&bundle).unwrap_or_default();
    let Some(path) = flags.output else {
        output.text(&text);
        return Ok(ExitCode::SUCCESS);
    };
    let unwritten =
        |error| Failure::caused(Code::Failed, &format!("{} cannot be written", path.display()), &error);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(unwritten)?;
    file.write_all(text.as_bytes()).map_err(unwritten)?;
    output.done(&format!("Wrote {}. Read it before you pass it on", path.display()));
    Ok(ExitCode::SUCCESS)
}
