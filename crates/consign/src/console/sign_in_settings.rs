//! Settings, Sign-in: with what people come in, with how many steps, and for how long.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use serde_json::{Map, Value, json};

use super::Console;
use super::conflict::{Conflict, labelled};
use super::errors::Failure;
use super::form::{errors, message_at, password_again, seen_etag};
use super::options::small_word;
use super::visit::{Message, Signed};
use crate::ops::OpError;
use crate::ops::settings::sign_in;

const PLACE: &str = "settings";
const PAGE: &str = "/settings/sign-in";
const LOCAL: (&str, &str) = ("local", "People sign in with a password that is kept here");
const TWO_STEP: (&str, &str) =
    ("two_step_required", "Two-step sign-in is required of everybody with a password");
const SESSION_HOURS: (&str, &str) = ("session_hours", "Session length in hours");
const IDLE_MINUTES: (&str, &str) = ("idle_minutes", "Idle time in minutes");

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PAGE, get(show).post(save))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    let current = sign_in::find(visit.app(), &visit.actor).await?;
    Ok(page(&visit, StatusCode::OK, &current, &[]).await)
}

async fn page(visit: &Signed, status: StatusCode, current: &Value, invalid: &[Invalid]) -> Response {
    let typed = visit.form.has("etag");
    let check = |(key, label): (&str, &str), hint: &str| {
        let value = if typed { visit.form.has(key) } else { current[key] == true };
        json!({
            "key": key, "label": label, "hint": hint, "value": value, "error": message_at(invalid, key),
            "set_by": current[format!("{key}_set_by")], "shown": if current[key] == true { small_word("yes") } else { small_word("no") },
        })
    };
    let number = |(key, label): (&str, &str), hint: &str| {
        let value = if typed { json!(visit.form.text(key)) } else { current[key].clone() };
        json!({
            "key": key, "label": label, "hint": hint, "value": value, "error": message_at(invalid, key),
            "set_by": current[format!("{key}_set_by")], "shown": current[key],
        })
    };
    let context = json!({
        "errors": errors(invalid),
        "etag": seen_etag(&visit.form, current),
        "current": current,
        "local": check(
            LOCAL,
            "Without it only the OpenID provider below lets people in. Sessions go on until they end.",
        ),
        "two_step": check(
            TWO_STEP,
            "Who has none is led to set it up at the next sign-in, before anything else.",
        ),
        "session_hours": number(SESSION_HOURS, "Then people sign in again, from 1 to 720."),
        "idle_minutes": number(IDLE_MINUTES, "A session that nobody uses ends after it."),
        "password": password_again(visit, invalid),
    });
    visit.page(status, "settings_sign_in.html", (PLACE, "Settings"), context).await
}

async fn save(visit: Signed) -> Result<Response, Failure> {
    let current = sign_in::find(visit.app(), &visit.actor).await?;
    let open = |key: &&str| current[format!("{key}_set_by")].is_null();
    let mut sent = Map::new();
    for key in [LOCAL.0, TWO_STEP.0].into_iter().filter(open) {
        sent.insert(key.to_owned(), json!(visit.form.has(key)));
    }
    for key in [SESSION_HOURS.0, IDLE_MINUTES.0].into_iter().filter(open).filter(|key| visit.form.has(key)) {
        sent.insert(key.to_owned(), json!(visit.form.text(key)));
    }
    let mine = sent.clone();
    sent.insert("password".to_owned(), json!(visit.form.text("password")));
    match sign_in::change(visit.app(), &visit.actor, sent, visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(PAGE, Message::done("Saved. It holds from now on."))),
        Err(OpError::Invalid(invalid)) => {
            Ok(page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &current, &invalid).await)
        }
        Err(OpError::Changed { .. }) => {
            let conflict = Conflict {
                what: "these settings",
                place: PLACE,
                address: PAGE.to_owned(),
                name: "Sign-in",
                saved: sign_in::SAVED,
                fields: labelled(&[LOCAL, TWO_STEP, SESSION_HOURS, IDLE_MINUTES]),
                password: password_again(&visit, &[]),
                theirs: &sign_in::find(visit.app(), &visit.actor).await?,
            };
            conflict.page(&visit, &mine).await
        }
        Err(other) => Err(other.into()),
    }
}
