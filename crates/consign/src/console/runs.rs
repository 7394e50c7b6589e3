//! A run of an exporter: its steps, how far it has come, its log; stop it, send it again.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::id::RunId;
use serde_json::{Value, json};

use super::Console;
use super::errors::Failure;
use super::visit::{Message, Signed};
use crate::ops::deliveries::Resolution;
use crate::ops::{OpError, runs};

const PLACE: &str = "exporters";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/runs/{id}", get(show))
        .route("/runs/{id}/cancel", get(confirm).post(cancel))
        .route("/runs/{id}/repeat", post(repeat))
        .route("/runs/{id}/send-again", post(send_again))
        .route("/runs/{id}/mark-delivered", post(mark_delivered))
}

fn id_of(text: &str) -> Result<RunId, OpError> {
    text.parse().map_err(|_| OpError::NotFound("run"))
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = runs::find(visit.app(), &visit.actor, id_of(&id)?).await?;
    let title = format!("Run {}", current["number"]);
    let context = json!({ "current": current });
    Ok(visit.page(StatusCode::OK, "run.html", (PLACE, title.as_str()), context).await)
}

async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = runs::find(visit.app(), &visit.actor, id_of(&id)?).await?;
    let context = json!({ "current": current });
    Ok(visit.page(StatusCode::OK, "run_cancel.html", (PLACE, "Cancel run"), context).await)
}

async fn cancel(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let leave_out = visit.form.text("records") == "left_out";
    let message = match runs::cancel(visit.app(), &visit.actor, id_of(&id)?, leave_out).await {
        Ok(run) if run["state"] != "cancelled" => {
            Message::done("Stopped. Its file may have arrived: look on the server, then decide.")
        }
        Ok(run) if run["records_in_next_run"] == true => {
            Message::done("Cancelled. Its records go with the next run.")
        }
        Ok(_) => Message::done("Cancelled."),
        Err(OpError::WrongState(sentence)) => Message::refused(format!("{sentence}.")),
        Err(other) => return Err(other.into()),
    };
    Ok(visit.go_and_say(&format!("/runs/{id}"), message))
}

async fn repeat(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let address = |made: &Value| format!("/runs/{}", made["id"].as_str().unwrap_or_default());
    let started = visit.once(address, runs::repeat(visit.app(), &visit.actor, id_of(&id)?));
    match started.await {
        Ok(address) => Ok(visit.go(&address)),
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(&format!("/runs/{id}"), Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}

async fn send_again(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    resolve(&visit, &id, Resolution::SendAgain, "It is sent again.").await
}

async fn mark_delivered(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    resolve(&visit, &id, Resolution::Delivered, "Marked as delivered.").await
}

async fn resolve(visit: &Signed, id: &str, resolution: Resolution, done: &str) -> Result<Response, Failure> {
    let message = match runs::resolve(visit.app(), &visit.actor, id_of(id)?, resolution).await {
        Ok(_) => Message::done(done),
        Err(OpError::WrongState(sentence)) => Message::refused(format!("{sentence}.")),
        Err(other) => return Err(other.into()),
    };
    Ok(visit.go_and_say(&format!("/runs/{id}"), message))
}
