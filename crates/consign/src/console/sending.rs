//! Settings, Delivery: how it is sent and how long it is kept, how much that is, and a stop for everything.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::settings::rows;
use super::visit::{Message, Signed, is_own_path};
use crate::ops::{sending, settings};

const PLACE: &str = "settings";
const PAGE: &str = "/settings/delivery";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(PAGE, get(show))
        .route("/settings/delivery/pause", get(ask).post(pause))
        .route("/settings/delivery/resume", post(resume))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    let current = settings::find(visit.app(), &visit.actor).await?;
    let context = json!({
        "rows": rows(&current, &["delivery.", "retention.", "limits."]),
        "storage": sending::storage(visit.app(), &visit.actor).await?,
        "pause": current["sending_pause"],
    });
    Ok(visit.page(StatusCode::OK, "settings_delivery.html", (PLACE, "Settings"), context).await)
}

async fn ask(visit: Signed) -> Response {
    let title = "Pause all sending";
    visit.page(StatusCode::OK, "settings_delivery_pause.html", (PLACE, title), json!({})).await
}

async fn pause(visit: Signed) -> Result<Response, Failure> {
    sending::pause(visit.app(), &visit.actor).await?;
    Ok(visit.go_and_say(PAGE, Message::done("Nothing new leaves from now on. What is under way ends.")))
}

/// The banner of every page resumes, too, and leads back there.
async fn resume(visit: Signed) -> Result<Response, Failure> {
    sending::resume(visit.app(), &visit.actor).await?;
    let back = visit.form.text("back");
    let to = if is_own_path(back) { back } else { PAGE };
    Ok(visit.go_and_say(to, Message::done("Sending goes on.")))
}
