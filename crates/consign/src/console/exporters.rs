//! Data exporters: list, form with preview, page with runs, start, pause, deletion.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::{Invalid, with_commas};
use consign_store::runs::UNSENT_COUNT_MAX;
use serde_json::{Value, json};

use super::conflict::Conflict;
use super::connector::{
    asks_for_credential, choices, filter, listed, new_credential, resumed, without_typed,
};
use super::errors::Failure;
use super::form::{Choices, ExporterForm, at_whole_fields, carried, errors, page, pages};
use super::visit::{Message, Signed};
use super::webhook_pages::activity_lines;
use super::{Console, managed};
use crate::ops::{IfMatch, OpError, exporters, runs, settings};

const PLACE: &str = "exporters";
const LIST: &str = "/exporters";
const BY_LAST: [&str; 2] = ["Last run, newest first", "Last run, oldest first"];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/exporters/new", get(new).post(create))
        .route("/exporters/new/fields", post(new_fields))
        .route("/exporters/{id}", get(show))
        .route("/exporters/{id}/set-up", get(edit).post(save))
        .route("/exporters/{id}/set-up/fields", post(edit_fields))
        .route("/exporters/{id}/activity", get(activity))
        .route("/exporters/{id}/run", post(run))
        .route("/exporters/{id}/pause", post(pause))
        .route("/exporters/{id}/resume", post(resume))
        .route("/exporters/{id}/delete", get(confirm).post(delete))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let choices = choices(&visit, form.text("credential")).await?;
    let found = exporters::list(visit.app(), &visit.actor, &filter(form, &choices), &page(form)).await?;
    let context = listed(&visit, ("exporter", LIST, BY_LAST), &choices, found).await?;
    Ok(visit.page(StatusCode::OK, "exporters.html", (PLACE, "Data exporters"), context).await)
}

/// What stands below the form when a preview was asked for.
async fn preview(visit: &Signed, form: &ExporterForm) -> Result<(Value, Vec<Invalid>), OpError> {
    if !visit.form.has("preview") {
        return Ok((Value::Null, Vec::new()));
    }
    match exporters::preview(visit.app(), &visit.actor, form.sent()).await {
        Ok(preview) => Ok((preview, Vec::new())),
        Err(OpError::Invalid(invalid)) => Ok((Value::Null, invalid)),
        Err(other) => Err(other),
    }
}

/// The page of a form, new or not.
async fn form_page(
    visit: &Signed,
    status: StatusCode,
    form: &ExporterForm,
    invalid: &[Invalid],
    current: Option<&Value>,
) -> Result<Response, Failure> {
    let (preview, found) = preview(visit, form).await?;
    let invalid = at_fields(&[invalid, &found].concat());
    let choices = choices(visit, form.credential()).await?;
    let address = current.map_or_else(
        || format!("{LIST}/new"),
        |current| format!("{LIST}/{}/set-up", current["id"].as_str().unwrap_or_default()),
    );
    let open = match current.and_then(|current| current["id"].as_str()) {
        Some(id) => runs::open_of(visit.app(), &visit.actor, id).await?,
        None => None,
    };
    let typed = visit.form.text("etag");
    let stored = |key: &str| current.and_then(|current| current[key].as_str()).unwrap_or_default();
    let context = json!({
        "errors": errors(&invalid),
        "fields": form.fields(&choices, &invalid, &format!("{address}/fields"), visit.app().now()),
        "address": address,
        "without_credentials": choices.0.is_empty(),
        "without_typed": without_typed(&visit.form, &address, &invalid),
        "filled": carried::fills_in(visit, current.is_some()),
        "current": current,
        "etag": if typed.is_empty() { stored("etag") } else { typed },
        "seen_at": if typed.is_empty() { stored("updated_at") } else { visit.form.text("seen_at") },
        "anyway": managed::is_open(&visit.form, &invalid),
        "released": managed::is_released(&visit.form),
        "preview": preview,
        "preview_faults": found.iter().map(|one| one.message.as_str()).collect::<Vec<_>>(),
        "open": open,
    });
    let title = if current.is_some() { stored("name") } else { "New data exporter" };
    let status = if found.is_empty() { status } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(visit.page(status, "exporter_form.html", (PLACE, title), context).await)
}

/// Faults of rows stand at the field that holds all rows; those of CSV at their own.
fn at_fields(invalid: &[Invalid]) -> Vec<Invalid> {
    let (csv, others): (Vec<_>, Vec<_>) =
        invalid.iter().cloned().partition(|one| one.field.starts_with("csv/"));
    let csv = csv.into_iter().map(|one| Invalid { field: one.field.replace('/', "."), ..one });
    at_whole_fields(&others).into_iter().chain(csv).collect()
}

async fn new(visit: Signed) -> Result<Response, Failure> {
    let usual = visit.app().engine.delivery_rules().timeout_seconds;
    let form = if carried::comes_back(&visit.form) {
        ExporterForm::typed(&visit.form)
    } else {
        ExporterForm::empty(visit.form.text("credential"))
            .with_text("timeout_seconds", usual.to_string())
            .with_text("time_zone", settings::time_zone(visit.app()))
    };
    form_page(&visit, StatusCode::OK, &form, &[], None).await
}

/// The same page with the fields of another choice, or with a preview.
async fn new_fields(visit: Signed) -> Result<Response, Failure> {
    form_page(&visit, StatusCode::OK, &ExporterForm::typed(&visit.form), &[], None).await
}

fn asks_for_fields(visit: &Signed) -> bool {
    visit.form.has("show_fields") || visit.form.has("preview")
}

async fn create(visit: Signed) -> Result<Response, Failure> {
    if asks_for_fields(&visit) {
        return new_fields(visit).await;
    }
    let form = ExporterForm::typed(&visit.form);
    if asks_for_credential(&visit) {
        return match new_credential(&visit, &format!("{LIST}/new")) {
            Ok(away) => Ok(away),
            Err(fault) => form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &[fault], None).await,
        };
    }
    let address = |made: &Value| format!("{LIST}/{}", made["id"].as_str().unwrap_or_default());
    let made = visit.once(address, exporters::create(visit.app(), &visit.actor, form.sent()));
    match made.await {
        Ok(address) => {
            let message = Message::done("Saved. Run it now to see that its records arrive.");
            Ok(visit.go_and_say(&address, message))
        }
        Err(OpError::Invalid(invalid)) => {
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &invalid, None).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = exporters::find(visit.app(), &visit.actor, &id).await?;
    let id = current["id"].as_str().unwrap_or_default();
    let listed = runs::list(visit.app(), &visit.actor, id, None, &page(&visit.form)).await?;
    let open = runs::open_of(visit.app(), &visit.actor, id).await?;
    let context = json!({
        "pages": pages(&visit.form, &format!("{LIST}/{id}"), &listed),
        "items": listed.items,
        "open": open,
        "current": current,
    });
    let name = current["name"].as_str().unwrap_or_default();
    Ok(visit.page(StatusCode::OK, "exporter.html", (PLACE, name), context).await)
}

async fn activity(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = exporters::find(visit.app(), &visit.actor, &id).await?;
    let history = exporters::history(visit.app(), &visit.actor, &id).await?;
    let open = runs::open_of(visit.app(), &visit.actor, current["id"].as_str().unwrap_or_default()).await?;
    let name = current["name"].as_str().unwrap_or_default().to_owned();
    let context = json!({ "current": current, "lines": activity_lines(&history), "open": open });
    Ok(visit.page(StatusCode::OK, "exporter_activity.html", (PLACE, &name), context).await)
}

async fn edit(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = exporters::find(visit.app(), &visit.actor, &id).await?;
    // Fields that are only shown show what is stored.
    let form = if managed::refusal(&visit.form, &current).is_some() {
        ExporterForm::stored(&current)
    } else if carried::comes_back(&visit.form) {
        ExporterForm::typed(&visit.form)
    } else {
        ExporterForm::stored(&current).choosing(visit.form.text("credential"))
    };
    form_page(&visit, StatusCode::OK, &form, &[], Some(&current)).await
}

async fn edit_fields(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = exporters::find(visit.app(), &visit.actor, &id).await?;
    form_page(&visit, StatusCode::OK, &ExporterForm::typed(&visit.form), &[], Some(&current)).await
}

async fn save(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    if asks_for_fields(&visit) {
        return edit_fields(visit, Path(id)).await;
    }
    let current = exporters::find(visit.app(), &visit.actor, &id).await?;
    let form = ExporterForm::typed(&visit.form);
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
    match exporters::replace(visit.app(), &visit.actor, &id, sent, visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(&format!("{LIST}/{id}"), Message::done("Saved."))),
        Err(OpError::Invalid(invalid)) => {
            let current = exporters::find(visit.app(), &visit.actor, &id).await?;
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &invalid, Some(&current)).await
        }
        Err(OpError::Changed { .. }) => {
            let current = exporters::find(visit.app(), &visit.actor, &id).await?;
            let address = format!("{LIST}/{id}/set-up");
            let fields = form.fields(&Choices(Vec::new()), &[], "", visit.app().now());
            let conflict = Conflict::of(("this exporter", PLACE, address), &current, fields);
            conflict.page(&visit, &form.sent()).await
        }
        Err(other) => Err(other.into()),
    }
}

/// Starts a run and shows it.
async fn run(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let address = |made: &Value| format!("/runs/{}", made["id"].as_str().unwrap_or_default());
    let started = visit.once(address, runs::start(visit.app(), &visit.actor, &id));
    match started.await {
        Ok(address) => Ok(visit.go(&address)),
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(&format!("{LIST}/{id}"), Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}

async fn pause(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    exporters::pause(visit.app(), &visit.actor, &id).await?;
    let message = Message::done("Paused. Records keep arriving and wait. Nothing is lost.");
    Ok(visit.go_and_say(&format!("{LIST}/{id}"), message))
}

async fn resume(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let connector = exporters::resume(visit.app(), &visit.actor, &id).await?;
    let page = format!("{LIST}/{id}");
    Ok(visit.go_and_say(&page, resumed(&connector, &page, "Resumed. A run that waited goes on now.")))
}

async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = exporters::find(visit.app(), &visit.actor, &id).await?;
    let loss = exporters::unsent(visit.app(), &visit.actor, &id).await?;
    let unsent = json!({
        "runs": loss.runs,
        "records": loss.records,
        "files": loss.files,
        "capped": loss.records >= u64::from(UNSENT_COUNT_MAX),
    });
    let context = json!({ "current": current, "unsent": unsent });
    let heading = (PLACE, "Delete data exporter");
    Ok(visit.page(StatusCode::OK, "exporter_delete.html", heading, context).await)
}

async fn delete(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let deleted = exporters::delete(visit.app(), &visit.actor, &id, IfMatch::Any).await?;
    let some = |count: u64, one: &str, many: &str| (count > 0).then(|| counted(count, one, many));
    let lost = [
        some(deleted.loss.runs, "run was cancelled", "runs were cancelled"),
        some(deleted.loss.records, "record is not sent", "records are not sent"),
        some(deleted.loss.files, "file is not sent", "files are not sent"),
    ];
    let lost: String = lost.into_iter().flatten().map(|what| format!(" {what}.")).collect();
    let text = format!("Deleted {}.{lost}", deleted.name);
    Ok(visit.go_and_say(LIST, Message::done(text).focused()))
}

/// "1 run was cancelled", "1,000 records are not sent".
fn counted(count: u64, one: &str, many: &str) -> String {
    let digits = with_commas(usize::try_from(count).unwrap_or(usize::MAX));
    format!("{digits} {}", if count == 1 { one } else { many })
}
