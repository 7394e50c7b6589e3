//! Connector credentials: list, form, deletion.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::auth::{self, AUTHORIZATION_TYPES};
use consign_core::catalog::{Fault, Invalid};
use consign_core::credential::StatusCode as CredentialStatus;
use consign_store::credentials::CredentialFilter;
use serde_json::{Value, json};

use super::Console;
use super::conflict::Conflict;
use super::errors::Failure;
use super::form::{CredentialForm, Kept, asked, errors, page, pages};
use super::visit::{Message, Signed, is_own_path};
use crate::ops::credentials::{self, Deleted};
use crate::ops::{IfMatch, OpError, Usage};

const PLACE: &str = "credentials";
const LIST: &str = "/credentials";
const SOON: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/credentials/new", get(new).post(create))
        .route("/credentials/new/fields", post(new_fields))
        .route("/credentials/{id}", get(edit).post(save))
        .route("/credentials/{id}/fields", post(edit_fields))
        .route("/credentials/{id}/delete", get(confirm).post(delete))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let ends_before = (form.text("ends") == "soon").then(|| visit.app().now().plus(SOON).day());
    let filter = CredentialFilter {
        q: asked(form, "q"),
        status: CredentialStatus::find(form.text("status")),
        authorization_type: auth::find(form.text("type")).map(|entry| entry.kind.to_owned()),
        ends_before,
        ..CredentialFilter::default()
    };
    let listed = credentials::list(visit.app(), &visit.actor, &filter, &page(form)).await?;
    let statuses =
        CredentialStatus::ALL.iter().map(|status| json!({ "value": status.kind(), "label": status.label() }));
    let types = AUTHORIZATION_TYPES.iter().map(|entry| json!({ "value": entry.kind, "label": entry.label }));
    let filtered = ["q", "status", "type", "ends"].iter().any(|key| !form.text(key).is_empty());
    let context = json!({
        "q": form.text("q"),
        "status": form.text("status"),
        "type": form.text("type"),
        "ends": form.text("ends"),
        "statuses": statuses.collect::<Vec<_>>(),
        "types": types.collect::<Vec<_>>(),
        "filtered": filtered,
        "pages": pages(form, LIST, &listed),
        "whole": listed.next.is_none() && listed.previous.is_none(),
        "items": listed.items,
    });
    Ok(visit.page(StatusCode::OK, "credentials.html", (PLACE, "Connector credentials"), context).await)
}

/// Where to go on after a new credential: back to the form that needed one, or to its page.
fn back(visit: &Signed) -> &str {
    let back = visit.form.text("back");
    if is_own_path(back) { back } else { "" }
}

async fn new(visit: Signed) -> Result<Response, Failure> {
    let kept = Kept::take(&visit).await?;
    Ok(new_page(&visit, StatusCode::OK, &CredentialForm::empty(), &kept, &[]).await)
}

async fn new_page(
    visit: &Signed,
    status: StatusCode,
    form: &CredentialForm,
    kept: &Kept,
    invalid: &[Invalid],
) -> Response {
    let context = json!({
        "errors": errors(invalid),
        "fields": form.fields(kept, None, invalid, "/credentials/new/fields"),
        "draft": kept.draft(),
        "back": back(visit),
        "current": null,
    });
    visit.page(status, "credential.html", (PLACE, "New credential"), context).await
}

/// The same page with the fields of another choice.
async fn new_fields(visit: Signed) -> Result<Response, Failure> {
    let mut kept = Kept::take(&visit).await?;
    let form = CredentialForm::typed(&visit.form, &mut kept);
    kept.keep(&visit).await?;
    Ok(new_page(&visit, StatusCode::OK, &form, &kept, &[]).await)
}

/// Whether a button asks for other fields or rows, not for a save. Without the script the form itself asks.
fn asks_for_fields(visit: &Signed) -> bool {
    ["show_fields", "add_custom_header", "remove_custom_header"].iter().any(|name| visit.form.has(name))
}

async fn create(visit: Signed) -> Result<Response, Failure> {
    if asks_for_fields(&visit) {
        return new_fields(visit).await;
    }
    let mut kept = Kept::take(&visit).await?;
    let form = CredentialForm::typed(&visit.form, &mut kept);
    let sent = form.sent(&kept, None);
    let id = |made: &Value| made["id"].as_str().unwrap_or_default().to_owned();
    let made = visit.once(id, credentials::create(visit.app(), &visit.actor, sent));
    match made.await {
        Ok(id) => {
            let message = saved(&form, &kept);
            Ok(match back(&visit) {
                "" => {
                    let message =
                        message.with_action(format!("/webhooks/new?credential={id}"), "Create a webhook");
                    visit.go_and_say(&format!("{LIST}/{id}"), message)
                }
                back => visit.go_and_say(&format!("{back}?credential={id}"), message),
            })
        }
        Err(OpError::Invalid(invalid)) => {
            kept.keep(&visit).await?;
            Ok(new_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &kept, &invalid).await)
        }
        Err(other) => Err(other.into()),
    }
}

/// "Saved.", and what else is worth saying.
fn saved(form: &CredentialForm, kept: &Kept) -> Message {
    let warnings = form.warnings(kept);
    if warnings.is_empty() {
        return Message::done("Saved.");
    }
    let sentences: Vec<_> = warnings.iter().map(|(_, sentence)| sentence.as_str()).collect();
    Message { kind: "warning", text: format!("Saved. {}", sentences.join(" ")), action: None }
}

async fn edit(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let kept = Kept::take(&visit).await?;
    edit_page(&visit, StatusCode::OK, &CredentialForm::stored(&current), &kept, (&current, &[])).await
}

async fn edit_page(
    visit: &Signed,
    status: StatusCode,
    form: &CredentialForm,
    kept: &Kept,
    (current, invalid): (&Value, &[Invalid]),
) -> Result<Response, Failure> {
    let id = current["id"].as_str().unwrap_or_default();
    let users = credentials::usage(visit.app(), &visit.actor, id).await?;
    let history = credentials::history(visit.app(), &visit.actor, id).await?;
    // A page shown again keeps the version that its reader began with, so that a stale save is noticed.
    let typed = visit.form.text("etag");
    let stored = |key: &str| current[key].as_str().unwrap_or_default();
    let context = json!({
        "errors": errors(invalid),
        "fields": form.fields(kept, Some(current), invalid, &format!("{LIST}/{id}/fields")),
        "draft": kept.draft(),
        "back": "",
        "current": current,
        "etag": if typed.is_empty() { stored("etag") } else { typed },
        "seen_at": if typed.is_empty() { stored("updated_at") } else { visit.form.text("seen_at") },
        "users": users,
        "history": history,
    });
    let name = current["name"].as_str().unwrap_or_default();
    Ok(visit.page(status, "credential.html", (PLACE, name), context).await)
}

async fn edit_fields(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let mut kept = Kept::take(&visit).await?;
    let form = CredentialForm::typed(&visit.form, &mut kept);
    kept.keep(&visit).await?;
    edit_page(&visit, StatusCode::OK, &form, &kept, (&current, &[])).await
}

async fn save(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    if asks_for_fields(&visit) {
        return edit_fields(visit, Path(id)).await;
    }
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let mut kept = Kept::take(&visit).await?;
    let form = CredentialForm::typed(&visit.form, &mut kept);
    let sent = form.sent(&kept, Some(&current));
    match credentials::replace(visit.app(), &visit.actor, &id, sent.clone(), visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(&format!("{LIST}/{id}"), saved(&form, &kept))),
        Err(OpError::Invalid(invalid)) => {
            kept.keep(&visit).await?;
            edit_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &kept, (&current, &invalid)).await
        }
        Err(OpError::Changed { .. }) => {
            kept.keep(&visit).await?;
            let history = credentials::history(visit.app(), &visit.actor, &id).await?;
            let conflict = Conflict {
                what: "credential",
                place: PLACE,
                address: format!("{LIST}/{id}"),
                theirs: &current,
            };
            Ok(conflict.page(&visit, &sent, history.first()).await)
        }
        Err(other) => Err(other.into()),
    }
}

async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let users = credentials::usage(visit.app(), &visit.actor, &id).await?;
    confirm_page(&visit, StatusCode::OK, &id, &users, &[]).await
}

async fn confirm_page(
    visit: &Signed,
    status: StatusCode,
    id: &str,
    users: &[Usage],
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, id).await?;
    let error = super::form::message_at(invalid, "confirm_name");
    let context =
        json!({ "errors": errors(invalid), "current": current, "users": users, "confirm_error": error });
    Ok(visit.page(status, "credential_delete.html", (PLACE, "Delete webhook credential"), context).await)
}

async fn delete(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let confirmed = Some(visit.form.text("confirm_name").trim()) == current["name"].as_str();
    match credentials::delete(visit.app(), &visit.actor, &id, IfMatch::Any, confirmed).await {
        Ok(deleted) => Ok(visit.go_and_say(LIST, farewell(&deleted))),
        Err(OpError::StillUsed(users)) => {
            let invalid = [Fault::new("not_matching", "Type the name exactly as shown").at("confirm_name")];
            confirm_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &id, &users, &invalid).await
        }
        Err(other) => Err(other.into()),
    }
}

fn farewell(deleted: &Deleted) -> Message {
    let text = format!("Deleted {}.", deleted.name);
    let waiting = match deleted.connectors.len() {
        0 => return Message::done(text),
        1 => format!("{text} 1 connector waits for a credential."),
        many => format!("{text} {many} connectors wait for a credential."),
    };
    Message::done(waiting).with_action("/webhooks?state=credential_missing", "Show them")
}
