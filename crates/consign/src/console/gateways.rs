//! Gateways: list, form, page with set-up and activity, pause, deletion.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::Invalid;
use serde_json::{Value, json};

use super::conflict::Conflict;
use super::connector::{
    asks_for_credential, filter, listed, new_credential, resumed, web_choices, without_typed,
};
use super::errors::Failure;
use super::form::{Around, Choices, GatewayForm, at_whole_fields, carried, errors, page};
use super::visit::{Message, Signed};
use super::{Console, managed};
use crate::ops::{IfMatch, OpError, gateways};

pub(super) const PLACE: &str = "gateways";
pub(super) const LIST: &str = "/gateways";
const BY_LAST: [&str; 2] = ["Last call, newest first", "Last call, oldest first"];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/gateways/new", get(new).post(create))
        .route("/gateways/new/fields", post(new_fields))
        .route("/gateways/{id}/set-up", get(edit).post(save))
        .route("/gateways/{id}/set-up/fields", post(edit_fields))
        .route("/gateways/{id}/pause", post(pause))
        .route("/gateways/{id}/resume", post(resume))
        .route("/gateways/{id}/delete", get(confirm).post(delete))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let choices = web_choices(&visit, form.text("credential")).await?;
    let found = gateways::list(visit.app(), &visit.actor, &filter(form, &choices), &page(form)).await?;
    let context = listed(&visit, ("gateway", LIST, BY_LAST), &choices, found).await?;
    Ok(visit.page(StatusCode::OK, "gateways.html", (PLACE, "Gateways"), context).await)
}

/// The page of a form, new or not.
async fn form_page(
    visit: &Signed,
    status: StatusCode,
    form: &GatewayForm,
    invalid: &[Invalid],
    current: Option<&Value>,
) -> Result<Response, Failure> {
    let invalid = at_whole_fields(invalid);
    let choices = web_choices(visit, form.credential()).await?;
    let callers = gateways::callers(visit.app(), &visit.actor)?;
    let around = Around { choices: &choices, callers: &callers, public_url: &visit.app().public_url() };
    let address = current.map_or_else(
        || format!("{LIST}/new"),
        |current| format!("{LIST}/{}/set-up", current["id"].as_str().unwrap_or_default()),
    );
    let typed = visit.form.text("etag");
    let stored = |key: &str| current.and_then(|current| current[key].as_str()).unwrap_or_default();
    let context = json!({
        "errors": errors(&invalid),
        "fields": form.fields(&around, &invalid),
        "address": address,
        "without_credentials": choices.0.is_empty(),
        "without_typed": without_typed(&visit.form, &address, &invalid),
        "filled": carried::fills_in(visit, current.is_some()),
        "curl": current.map(curl),
        "current": current,
        "etag": if typed.is_empty() { stored("etag") } else { typed },
        "seen_at": if typed.is_empty() { stored("updated_at") } else { visit.form.text("seen_at") },
        "anyway": managed::is_open(&visit.form, &invalid),
        "released": managed::is_released(&visit.form),
    });
    let title = if current.is_some() { stored("name") } else { "New gateway" };
    Ok(visit.page(status, "gateway_form.html", (PLACE, title), context).await)
}

/// A first call for a shell; the key is not in it.
fn curl(gateway: &Value) -> String {
    let first = |key: &str| gateway[key][0].as_str().unwrap_or_default().to_owned();
    let address = gateway["address"].as_str().unwrap_or_default().trim_end_matches('/');
    let method = match first("methods").as_str() {
        "GET" => String::new(),
        "HEAD" => "-I ".to_owned(),
        other => format!("-X {other} "),
    };
    // A path may hold a quote.
    let whole = format!("{address}{}", first("path_prefixes")).replace('\'', "'\\''");
    format!("curl -sS {method}'{whole}' -H \"Authorization: Bearer $CONSIGN_TOKEN\"")
}

async fn new(visit: Signed) -> Result<Response, Failure> {
    let form = if carried::comes_back(&visit.form) {
        GatewayForm::typed(&visit.form)
    } else {
        GatewayForm::empty(visit.form.text("credential"))
    };
    form_page(&visit, StatusCode::OK, &form, &[], None).await
}

/// The same page with the address that follows what was typed.
async fn new_fields(visit: Signed) -> Result<Response, Failure> {
    form_page(&visit, StatusCode::OK, &GatewayForm::typed(&visit.form), &[], None).await
}

async fn create(visit: Signed) -> Result<Response, Failure> {
    let form = GatewayForm::typed(&visit.form);
    if asks_for_credential(&visit) {
        return match new_credential(&visit, &format!("{LIST}/new")) {
            Ok(away) => Ok(away),
            Err(fault) => form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &[fault], None).await,
        };
    }
    let address = |made: &Value| format!("{LIST}/{}/set-up", made["id"].as_str().unwrap_or_default());
    let made = visit.once(address, gateways::create(visit.app(), &visit.actor, form.sent()));
    match made.await {
        Ok(address) => {
            Ok(visit.go_and_say(&address, Message::done("Saved. Applications can call its address now.")))
        }
        Err(OpError::Invalid(invalid)) => {
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &invalid, None).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn edit(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    // Fields that are only shown show what is stored.
    let form = if managed::refusal(&visit.form, &current).is_some() {
        GatewayForm::stored(&current)
    } else if carried::comes_back(&visit.form) {
        GatewayForm::typed(&visit.form)
    } else {
        GatewayForm::stored(&current).choosing(visit.form.text("credential"))
    };
    form_page(&visit, StatusCode::OK, &form, &[], Some(&current)).await
}

async fn edit_fields(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    form_page(&visit, StatusCode::OK, &GatewayForm::typed(&visit.form), &[], Some(&current)).await
}

async fn save(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    let form = GatewayForm::typed(&visit.form);
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
    let address = format!("{LIST}/{id}/set-up");
    let sent = managed::with_release(&visit.form, form.sent());
    match gateways::replace(visit.app(), &visit.actor, &id, sent, visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(&address, Message::done("Saved."))),
        Err(OpError::Invalid(invalid)) => {
            let current = gateways::find(visit.app(), &visit.actor, &id).await?;
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &invalid, Some(&current)).await
        }
        Err(OpError::Changed { .. }) => {
            let current = gateways::find(visit.app(), &visit.actor, &id).await?;
            let callers = gateways::callers(visit.app(), &visit.actor)?;
            let around = Around { choices: &Choices(Vec::new()), callers: &callers, public_url: "" };
            let fields = form.fields(&around, &[]);
            let conflict = Conflict::of(("this gateway", PLACE, address), &current, fields);
            conflict.page(&visit, &form.sent()).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn pause(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    gateways::pause(visit.app(), &visit.actor, &id).await?;
    let message = Message::done("Paused. Calls are refused until you resume it.");
    Ok(visit.go_and_say(&format!("{LIST}/{id}"), message))
}

async fn resume(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let connector = gateways::resume(visit.app(), &visit.actor, &id).await?;
    let page = format!("{LIST}/{id}");
    Ok(visit.go_and_say(&page, resumed(&connector, &page, "Resumed. Calls are passed on again.")))
}

async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    let context = json!({ "current": current });
    Ok(visit.page(StatusCode::OK, "gateway_delete.html", (PLACE, "Delete gateway"), context).await)
}

async fn delete(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let name = gateways::delete(visit.app(), &visit.actor, &id, IfMatch::Any).await?;
    let text = format!("Deleted {name}. Nothing answers at its address any more.");
    Ok(visit.go_and_say(LIST, Message::done(text).focused()))
}
