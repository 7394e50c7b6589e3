//! `consign connector`: connectors of every kind. And what the commands of each kind share: which are listed, how one is
//! paused, and what is deleted.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use super::client::{Answer, Call, Client};
use super::failure::Failure;
use super::listing::{PageFlags, cell, show, show_written};
use super::object::etag;
use super::output::Output;
use super::{Global, context};

const CONNECTORS: &str = "connectors";

/// What can be done with connectors whatever their kind.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List webhooks, exporters and gateways together
    List(AllFlags),
}

#[derive(Args)]
pub(crate) struct AllFlags {
    /// Only this kind: webhook, exporter or gateway
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    list: ListFlags,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List(flags) => {
            let call = flags.list.of(CONNECTORS).query("kind", flags.kind.as_deref());
            let answer = client.send(call).await?;
            let headings = ["name", "kind", "credential", "state"];
            show(output, &answer, &headings, "There are no connectors.", |row| {
                ["name", "kind", "credential.name", "state_label"].map(|key| cell(row, key)).to_vec()
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Args)]
pub(crate) struct ListFlags {
    /// Only those whose name holds this text
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only those in this state
    #[arg(long)]
    state: Option<String>,
    /// Only those of this credential
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Only those that are managed from a file under this name
    #[arg(long, value_name = "NAME")]
    managed_by: Option<String>,
    /// By name, -name, last_at or -last_at
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    order: Option<String>,
    #[command(flatten)]
    page: PageFlags,
}

impl ListFlags {
    /// A page of those at this path.
    pub(super) async fn send(&self, client: &Client<'_>, path: &str) -> Result<Answer, Failure> {
        client.send(self.of(path)).await
    }

    /// The request for it.
    fn of(&self, path: &str) -> Call {
        let call = Call::get(&[path])
            .query("q", self.q.as_deref())
            .query("state", self.state.as_deref())
            .query("credential", self.credential.as_deref())
            .query("managed_by", self.managed_by.as_deref())
            .query("order", self.order.as_deref());
        self.page.of(call)
    }
}

#[derive(Args)]
pub(crate) struct DeleteFlags {
    /// Name or id
    pub(super) name: String,
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
    /// Only while it is unchanged
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl DeleteFlags {
    /// What is deleted, as it is now.
    pub(super) async fn find(&self, client: &Client<'_>, path: &str) -> Result<Answer, Failure> {
        client.send(Call::get(&[path, &self.name])).await
    }

    /// The request that deletes what was found.
    pub(super) fn call(&self, path: &str, found: &Answer) -> Result<Call, Failure> {
        let etag = etag(self.if_match.clone(), found)?;
        Ok(Call::new(Method::DELETE, &[path, &self.name]).if_match(&etag))
    }
}

/// Pauses one and says what that means.
pub(super) async fn pause(
    client: &Client<'_>,
    output: &Output,
    (path, kind): (&str, &str),
    name: &str,
    meaning: &str,
) -> Result<(), Failure> {
    let answer = client.send(Call::post(&[path, name, "pauses"])).await?;
    show_written(output, &answer, "Paused", kind)?;
    output.note(meaning);
    Ok(())
}

/// Resumes one.
pub(super) async fn resume(
    client: &Client<'_>,
    output: &Output,
    (path, kind): (&str, &str),
    name: &str,
) -> Result<(), Failure> {
    let answer = client.send(Call::new(Method::DELETE, &[path, name, "pauses"])).await?;
    show_written(output, &answer, "Resumed", kind).map(drop)
}
