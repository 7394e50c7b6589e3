//! Connection tests from the form of a credential: of what is stored, and of what is typed.

use std::io;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use consign_core::catalog::Invalid;
use consign_core::connection_test::TestStep;
use consign_core::id::RequestId;
use serde_json::{Value, json};

use super::{Page, Stored, edit_page, left_open, new_page};
use crate::console::Console;
use crate::console::connection_test::{self, outdated, panel};
use crate::console::errors::Failure;
use crate::console::form::{CredentialForm, Kept};
use crate::console::visit::Signed;
use crate::engine::StepWatch;
use crate::ops::credential_tests::live::{self, Begun};
use crate::ops::{OpError, Sent, credential_tests};

pub(super) async fn new_test(visit: Signed) -> Result<Response, Failure> {
    let by = (visit.console.clone(), visit.request_id);
    if is_by_script(&visit) {
        live(by, |watch| test_new(visit, Some(watch))).await
    } else {
        test_new(visit, None).await
    }
}

/// Tests what stands in the form: as it is stored when nothing was typed, else as if it were saved.
pub(super) async fn edit_test(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let by = (visit.console.clone(), visit.request_id);
    if is_by_script(&visit) {
        live(by, |watch| test_stored(visit, id, Some(watch))).await
    } else {
        test_stored(visit, id, None).await
    }
}

/// Whether the script asks, which shows steps as they end.
fn is_by_script(visit: &Signed) -> bool {
    visit.form.text("test") == "script"
}

/// The steps of a test, a line each as soon as it ends, and the page behind them.
async fn live<F>(
    (console, request_id): (Arc<Console>, RequestId),
    work: impl FnOnce(StepWatch) -> F,
) -> Result<Response, Failure>
where
    F: Future<Output = Result<Response, Failure>> + Send + 'static,
{
    let test = match live::begin(work).await {
        Begun::Ended(page) => return page,
        Begun::GoesOn(test) => test,
    };
    let line = move |step: &TestStep| {
        let shown = connection_test::live(step).map(|step| json!({ "s": step }));
        let line = shown.and_then(|shown| console.views.render("test_step.html", shown).ok());
        line.map(|line| line.trim().replace('\n', " ") + "\n").unwrap_or_default()
    };
    let page = async move |page: Result<Response, Failure>| match page {
        Ok(page) => to_bytes(page.into_body(), usize::MAX).await.map_err(io::Error::other),
        Err(failure) => {
            if let Failure::Op(error) = &failure {
                live::has_no_result(error, request_id);
            }
            Err(io::Error::other("there is no page"))
        }
    };
    let head = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (live::UNBUFFERED, "no")];
    Ok((head, Body::new(test.body(line, page))).into_response())
}

async fn test_new(visit: Signed, watch: Option<StepWatch>) -> Result<Response, Failure> {
    let (form, kept) = to_test(&visit).await?;
    let open = left_open(&visit, &form, &kept);
    if !open.is_empty() {
        return Ok(new_page(&visit, Page::refused(&form, &kept, &open)).await);
    }
    let sent = form.sent(&kept, None);
    let work = credential_tests::of_values(visit.app(), &visit.actor, sent, false, watch);
    Ok(match tested(work, form.type_label()).await? {
        Ok(Tested { wait, status, test }) => {
            let page = new_page(&visit, Page { status, test, ..Page::new(&form, &kept) }).await;
            retry_after(page, wait)
        }
        Err(invalid) => new_page(&visit, Page::refused(&form, &kept, &invalid)).await,
    })
}

async fn test_stored(visit: Signed, id: String, watch: Option<StepWatch>) -> Result<Response, Failure> {
    let mut stored = Stored::read(&visit, &id).await?;
    let (form, kept) = match visit.form.has("name") {
        true => to_test(&visit).await?,
        // Fields that are only shown are not sent.
        false => (CredentialForm::stored(&stored.current), Kept::take(&visit).await?),
    };
    let values = values_of(&form, &kept, &stored.current);
    let work = credential_tests::start(visit.app(), &visit.actor, &id, values, false, watch);
    match tested(work, form.type_label()).await? {
        Ok(Tested { status, test, wait }) => {
            if test["saved"] == json!(true) {
                stored = Stored::read(&visit, &id).await?;
            }
            let page = edit_page(&visit, Page { status, test, ..Page::new(&form, &kept) }, &stored).await?;
            Ok(retry_after(page, wait))
        }
        Err(invalid) => edit_page(&visit, Page::refused(&form, &kept, &invalid), &stored).await,
    }
}

/// What is in the form and not stored; `None` when that is nothing.
fn values_of(form: &CredentialForm, kept: &Kept, current: &Value) -> Option<Sent> {
    let sent = form.sent(kept, Some(current));
    let stored = CredentialForm::stored(current).sent(&Kept::default(), Some(current));
    (sent != stored).then_some(sent)
}

/// Starts the test after a save. Whoever goes on to authorize is tested when they come back.
pub(in crate::console) fn test_saved(visit: &Signed, id: &str) {
    if let (Ok(id), false) = (id.parse(), visit.form.has("authorize")) {
        credential_tests::start_in_background(&visit.console.app, &visit.actor, id);
    }
}

/// The panel of the last test. What it says to do is left out once the status says something else.
pub(super) fn last_test(test: &Value, current: &Value) -> Value {
    let mut shown = panel(test, current["authorization_type_label"].as_str().unwrap_or_default());
    if outdated(&shown, &current["status"]) {
        shown["action"] = Value::Null;
    }
    shown
}

/// What a test of a form found.
struct Tested {
    status: StatusCode,
    test: Value,
    /// The seconds until another one is taken.
    wait: Option<u64>,
}

/// Tests; the inner error are sentences for the fields.
async fn tested(
    work: impl Future<Output = Result<Value, OpError>>,
    what: &str,
) -> Result<Result<Tested, Vec<Invalid>>, Failure> {
    match work.await {
        Ok(test) => Ok(Ok(Tested { status: StatusCode::OK, test: panel(&test, what), wait: None })),
        Err(OpError::Invalid(invalid)) => Ok(Err(invalid)),
        Err(OpError::TooMany { seconds }) => {
            let sentence = format!("Too many tests. Wait {seconds} seconds.");
            let test = json!({ "refused": sentence });
            Ok(Ok(Tested { status: StatusCode::TOO_MANY_REQUESTS, test, wait: Some(seconds) }))
        }
        Err(other) => Err(other.into()),
    }
}

fn retry_after(mut page: Response, wait: Option<u64>) -> Response {
    if let Some(seconds) = wait {
        page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    page
}

/// What stands in a form that is to be tested. The script leaves it in its fields, where it can still be taken back;
/// a page that comes anew has its secrets kept.
async fn to_test(visit: &Signed) -> Result<(CredentialForm, Kept), OpError> {
    let stays = is_by_script(visit);
    let mut kept = Kept::take(visit).await?;
    if stays {
        kept.keep(visit).await?;
    }
    let form = CredentialForm::typed(&visit.form, &mut kept);
    if !stays {
        kept.keep(visit).await?;
    }
    Ok((form, kept))
}
