//! Webhooks: list, form, page with deliveries and set-up, test event, pause, deletion.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::Invalid;
use consign_core::id::EventId;
use consign_core::rights::Right;
use consign_store::deliveries::DeliveryFilter;
use serde_json::{Value, json};

use super::conflict::Conflict;
use super::connector::{
    asks_for_credential, filter, listed, new_credential, resumed, web_choices, without_typed,
};
use super::deliveries::shown_payload;
use super::errors::Failure;
use super::form::{Choices, WebhookForm, at_whole_fields, carried, errors, page, pages};
use super::visit::{Message, Signed};
use super::webhook_pages::recent;
use super::{Console, chart, managed, signatures};
use crate::ops::{IfMatch, OpError, deliveries, webhooks};

const PLACE: &str = "webhooks";
const LIST: &str = "/webhooks";
const BY_LAST: [&str; 2] = ["Last delivery, newest first", "Last delivery, oldest first"];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/webhooks/new", get(new).post(create))
        .route("/webhooks/new/fields", post(new_fields))
        .route("/webhooks/{id}", get(show))
        .route("/webhooks/{id}/set-up", get(edit).post(save))
        .route("/webhooks/{id}/set-up/fields", post(edit_fields))
        .route("/webhooks/{id}/pause", post(pause))
        .route("/webhooks/{id}/resume", post(resume))
        .route("/webhooks/{id}/delete", get(confirm).post(delete))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let choices = web_choices(&visit, form.text("credential")).await?;
    let mut found = webhooks::list(visit.app(), &visit.actor, &filter(form, &choices), &page(form)).await?;
    found.items = found.items.into_iter().map(with_small_chart).collect();
    let context = listed(&visit, ("webhook", LIST, BY_LAST), &choices, found).await?;
    Ok(visit.page(StatusCode::OK, "webhooks.html", (PLACE, "Webhooks"), context).await)
}

/// A webhook with the drawing of its last hours.
fn with_chart(mut webhook: Value) -> Value {
    webhook["chart"] = chart::strip(&webhook["by_hour"]);
    webhook
}

/// The same for a row, which has no room for numbers of each hour.
fn with_small_chart(mut webhook: Value) -> Value {
    webhook["chart"] = chart::small_strip(&webhook["by_hour"].take());
    webhook
}

/// What stands below the form when a preview was asked for.
async fn preview(visit: &Signed, form: &WebhookForm) -> Result<(Value, Vec<Invalid>), OpError> {
    if !visit.form.has("preview") {
        return Ok((Value::Null, Vec::new()));
    }
    let event = visit.form.text("preview_event").parse::<EventId>().ok();
    match webhooks::preview(visit.app(), &visit.actor, form.sent(), event).await {
        Ok(mut preview) => {
            // A template is shown as it will be sent: its lines are its author's.
            if visit.form.text("payload") != "template" {
                let shown = shown_payload(&preview);
                for key in ["body", "cut"] {
                    preview[key] = shown[key].clone();
                }
            }
            Ok((preview, Vec::new()))
        }
        Err(OpError::Invalid(invalid)) => Ok((Value::Null, invalid)),
        Err(other) => Err(other),
    }
}

/// The page of a form, new or not.
async fn form_page(
    visit: &Signed,
    status: StatusCode,
    form: &WebhookForm,
    invalid: &[Invalid],
    current: Option<&Value>,
) -> Result<Response, Failure> {
    let (preview, found) = preview(visit, form).await?;
    let invalid = at_whole_fields(&[invalid, &found].concat());
    let choices = web_choices(visit, form.credential()).await?;
    let address = current.map_or_else(
        || format!("{LIST}/new"),
        |current| format!("{LIST}/{}/set-up", current["id"].as_str().unwrap_or_default()),
    );
    let typed = visit.form.text("etag");
    let stored = |key: &str| current.and_then(|current| current[key].as_str()).unwrap_or_default();
    let context = json!({
        "errors": errors(&invalid),
        "fields": form.fields(&choices, &invalid, &format!("{address}/fields")),
        "address": address,
        "without_credentials": choices.0.is_empty(),
        "without_typed": without_typed(&visit.form, &address, &invalid),
        "filled": carried::fills_in(visit, current.is_some()),
        "current": current,
        "etag": if typed.is_empty() { stored("etag") } else { typed },
        "seen_at": if typed.is_empty() { stored("updated_at") } else { visit.form.text("seen_at") },
        "anyway": managed::is_open(&visit.form, &invalid),
        "released": managed::is_released(&visit.form),
        "recent": recent(visit).await?,
        "preview_faults": found.iter().map(|one| one.message.as_str()).collect::<Vec<_>>(),
        "preview": preview,
        "preview_event": visit.form.text("preview_event"),
    });
    let title = if current.is_some() { stored("name") } else { "New webhook" };
    let status = if found.is_empty() { status } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(visit.page(status, "webhook_form.html", (PLACE, title), context).await)
}

async fn new(visit: Signed) -> Result<Response, Failure> {
    let usual = visit.app().engine.delivery_rules().timeout_seconds;
    let form = if carried::comes_back(&visit.form) {
        WebhookForm::typed(&visit.form)
    } else {
        WebhookForm::suggested(&visit.form).with_text("timeout_seconds", usual.to_string())
    };
    form_page(&visit, StatusCode::OK, &form, &[], None).await
}

/// The same page with the fields of another choice, or with a preview.
async fn new_fields(visit: Signed) -> Result<Response, Failure> {
    form_page(&visit, StatusCode::OK, &WebhookForm::typed(&visit.form), &[], None).await
}

fn asks_for_fields(visit: &Signed) -> bool {
    visit.form.has("show_fields") || visit.form.has("preview")
}

/// Whether whoever saves goes on to a test event.
fn goes_on_to_test(visit: &Signed) -> bool {
    visit.form.has("send_test") && visit.actor.rights.allow(Right::DeliveriesOperate)
}

async fn create(visit: Signed) -> Result<Response, Failure> {
    if asks_for_fields(&visit) {
        return new_fields(visit).await;
    }
    let form = WebhookForm::typed(&visit.form);
    if asks_for_credential(&visit) {
        return match new_credential(&visit, &format!("{LIST}/new")) {
            Ok(away) => Ok(away),
            Err(fault) => form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &[fault], None).await,
        };
    }
    let address = |made: &Value| format!("{LIST}/{}", made["id"].as_str().unwrap_or_default());
    let mut created = Value::Null;
    let made = visit.once(address, async {
        created = webhooks::create(visit.app(), &visit.actor, form.sent()).await?;
        Ok(created.clone())
    });
    match made.await {
        Ok(address) if created["signing_secret"].is_string() => {
            let next = format!("{address}/{}", if goes_on_to_test(&visit) { "test" } else { "signature" });
            Ok(signatures::secret_page(&visit, &created, &next).await)
        }
        Ok(address) if goes_on_to_test(&visit) => {
            Ok(visit.go_and_say(&format!("{address}/test"), Message::done("Saved.")))
        }
        Ok(address) => {
            Ok(visit.go_and_say(&address, Message::done("Saved. Send a test event to see that it arrives.")))
        }
        Err(OpError::Invalid(invalid)) => {
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &invalid, None).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
    let id = current["id"].as_str().unwrap_or_default();
    let filter = DeliveryFilter { connector: id.parse().ok(), ..DeliveryFilter::default() };
    let listed = deliveries::list(visit.app(), &visit.actor, &filter, &page(&visit.form)).await?;
    let context = json!({
        "pages": pages(&visit.form, &format!("{LIST}/{id}"), &listed),
        "items": listed.items,
        "current": with_chart(current.clone()),
    });
    let name = current["name"].as_str().unwrap_or_default();
    Ok(visit.page(StatusCode::OK, "webhook.html", (PLACE, name), context).await)
}

async fn edit(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
    // Fields that are only shown show what is stored.
    let form = if managed::refusal(&visit.form, &current).is_some() {
        WebhookForm::stored(&current)
    } else if carried::comes_back(&visit.form) {
        WebhookForm::typed(&visit.form)
    } else {
        WebhookForm::stored(&current).choosing(visit.form.text("credential"))
    };
    form_page(&visit, StatusCode::OK, &form, &[], Some(&current)).await
}

async fn edit_fields(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
    form_page(&visit, StatusCode::OK, &WebhookForm::typed(&visit.form), &[], Some(&current)).await
}

async fn save(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    if asks_for_fields(&visit) {
        return edit_fields(visit, Path(id)).await;
    }
    let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
    let form = WebhookForm::typed(&visit.form);
    if asks_for_credential(&visit) {
        let address = format!("{LIST}/{}/set-up", current["id"].as_str().unwrap_or_default());
        return match new_credential(&visit, &address) {
            Ok(away) => Ok(away),
            Err(fault) => {
                let invalid = [fault];
                form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &invalid, Some(&current)).await
            }
        };
    }
    if let Some(refusal) = managed::refusal(&visit.form, &current) {
        return form_page(&visit, StatusCode::CONFLICT, &form, &[refusal], Some(&current)).await;
    }
    let sent = managed::with_release(&visit.form, form.sent());
    match webhooks::replace(visit.app(), &visit.actor, &id, sent, visit.form.if_match()).await {
        Ok(saved) if saved["signing_secret"].is_string() => {
            let next = if goes_on_to_test(&visit) { "test" } else { "signature" };
            let next = format!("{LIST}/{}/{next}", saved["id"].as_str().unwrap_or_default());
            Ok(signatures::secret_page(&visit, &saved, &next).await)
        }
        Ok(_) if goes_on_to_test(&visit) => {
            Ok(visit.go_and_say(&format!("{LIST}/{id}/test"), Message::done("Saved.")))
        }
        Ok(_) => Ok(visit.go_and_say(&format!("{LIST}/{id}"), Message::done("Saved."))),
        Err(OpError::Invalid(invalid)) => {
            let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &invalid, Some(&current)).await
        }
        Err(OpError::Changed { .. }) => {
            let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
            let address = format!("{LIST}/{id}/set-up");
            let fields = form.fields(&Choices(Vec::new()), &[], "");
            let conflict = Conflict::of(("this webhook", PLACE, address), &current, fields);
            conflict.page(&visit, &form.sent()).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn pause(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    webhooks::pause(visit.app(), &visit.actor, &id).await?;
    let message = Message::done("Paused. Events keep arriving and wait. Nothing is lost.");
    Ok(visit.go_and_say(&format!("{LIST}/{id}"), message))
}

async fn resume(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let connector = webhooks::resume(visit.app(), &visit.actor, &id).await?;
    let page = format!("{LIST}/{id}");
    Ok(visit.go_and_say(&page, resumed(&connector, &page, "Resumed. Waiting deliveries are sent now.")))
}

async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
    let context = json!({ "current": current });
    Ok(visit.page(StatusCode::OK, "webhook_delete.html", (PLACE, "Delete webhook"), context).await)
}

async fn delete(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let deleted = webhooks::delete(visit.app(), &visit.actor, &id, IfMatch::Any).await?;
    let text = match deleted.cancelled {
        0 => format!("Deleted {}.", deleted.name),
        1 => format!("Deleted {}. 1 waiting delivery was cancelled.", deleted.name),
        many => format!("Deleted {}. {many} waiting deliveries were cancelled.", deleted.name),
    };
    Ok(visit.go_and_say(LIST, Message::done(text).focused()))
}
