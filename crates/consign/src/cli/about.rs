//! `consign about`: what runs at the server, and what it is built of.

use std::process::ExitCode;

use clap::Args;

use super::client::Call;
use super::failure::Failure;
use super::listing::{cell, show, show_one};
use super::output::Output;
use super::{Global, context};

/// What to tell.
#[derive(Args)]
pub(crate) struct About {
    /// What it is built of, with the licence of each
    #[arg(long)]
    licences: bool,
    /// What everybody who is signed in may know: version, public URL, and limits
    #[arg(long, conflicts_with = "licences")]
    limits: bool,
}

/// Tells it.
pub(crate) async fn run(flags: About, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    if !flags.licences {
        let place = if flags.limits { "meta" } else { "about" };
        show_one(output, &client.send(Call::get(&[place])).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer = client.send(Call::get(&["about", "licences"])).await?;
    show(
        output,
        &answer,
        &["name", "version", "licence", "source"],
        "It is built of nothing else.",
        |row| ["name", "version", "licence", "source"].map(|key| cell(row, key)).to_vec(),
    )?;
    Ok(ExitCode::SUCCESS)
}
