//! What the commands of every kind of connector share: which are listed, how one is paused, and what is deleted.

use clap::Args;
use http::Method;

use super::client::{Answer, Call, Client};
use super::failure::Failure;
use super::listing::{PageFlags, show_written};
use super::object::etag;
use super::output::Output;

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
        let call = Call::get(&[path])
            .query("q", self.q.as_deref())
            .query("state", self.state.as_deref())
            .query("credential", self.credential.as_deref())
            .query("managed_by", self.managed_by.as_deref())
            .query("order", self.order.as_deref());
        client.send(self.page.of(call)).await
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
