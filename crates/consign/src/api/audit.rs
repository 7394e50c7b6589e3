//! `/audit-entries`.

use axum::body::Body;
use consign_store::audit::AuditFilter;
use http::header::CONTENT_DISPOSITION;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::audit::{self, Format};

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    Ok(call.listed(audit::list(&call.app, &call.actor, &filter(&call)?, &call.page()?).await?))
}

fn filter(call: &Call) -> Result<AuditFilter, Problem> {
    let result = call.parsed("result", "done or refused", |text| {
        ["done", "refused"].contains(&text).then(|| text.to_owned())
    })?;
    Ok(AuditFilter {
        object: call.text("object"),
        actor: call.text("actor"),
        action: call.text("action"),
        from: call.text("from"),
        result,
        after: call.time("created_after")?,
        before: call.time("created_before")?,
        ..AuditFilter::default()
    })
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&audit::find(&call.app, &call.actor, call.place("sequence")).await?))
}

/// The whole of a filter, as long as it is.
pub(super) async fn export(call: Call) -> Result<Answer, Problem> {
    let format = call.parsed("format", "ndjson or csv", Format::find)?.unwrap_or(Format::Ndjson);
    let body = audit::export(&call.app, &call.actor, filter(&call)?, format).await?;
    let name = format!("attachment; filename=\"{}\"", format.file_name());
    Ok(Answer::streamed(format.media_type(), Body::new(body)).header(CONTENT_DISPOSITION, &name))
}

pub(super) async fn verify(call: Call) -> Result<Answer, Problem> {
    call.nothing()?;
    Ok(Answer::ok(&audit::verify(&call.app, &call.actor).await?))
}
