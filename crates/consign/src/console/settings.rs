//! Settings: the name of this installation, what its operator set, and what the egress rules make of an address.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use consign_core::locale::Locale;
use consign_core::schedule::TimeZone;
use serde_json::{Map, Value, json};

use super::Console;
use super::conflict::{Conflict, labelled};
use super::errors::Failure;
use super::form::{errors, message_at, password_again, seen_etag};
use super::options::rows;
use super::visit::{Message, Signed};
use crate::ops::settings::egress;
use crate::ops::{OpError, public_url, settings};

const PLACE: &str = "settings";
const GENERAL: &str = "/settings";
const EGRESS: &str = "/settings/egress";
/// The text for firewall requests, and what it is called.
const OUTGOING: (&str, &str) = ("outgoing_addresses", "Outgoing addresses");
/// What can be set in general, and what it is called.
const LABELS: [(&str, &str); 4] = [
    ("instance_name", "Instance name"),
    ("time_zone", "Time zone"),
    ("locale", "Dates and times"),
    ("public_url", "Public URL"),
];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(GENERAL, get(general).post(save)).route(EGRESS, get(show_egress).post(post_egress))
}

async fn general(visit: Signed) -> Result<Response, Failure> {
    let current = settings::find(visit.app(), &visit.actor).await?;
    Ok(general_page(&visit, StatusCode::OK, &current, &[], &Value::Null).await)
}

async fn general_page(
    visit: &Signed,
    status: StatusCode,
    current: &Value,
    invalid: &[Invalid],
    checked: &Value,
) -> Response {
    let stored = current["instance_name"].as_str().unwrap_or_default();
    let form = &visit.form;
    let name = if form.has("instance_name") { form.text("instance_name") } else { stored };
    let context = json!({
        "errors": errors(invalid),
        "etag": seen_etag(&visit.form, current),
        "name": {
            "key": "instance_name", "label": "Instance name", "optional": true, "value": name,
            "hint": "Stands below “Consign” in the navigation, so that nobody takes the test system for the real one.",
            "error": message_at(invalid, "instance_name"),
        },
        "time_zone": zone_field(visit, current["time_zone"].as_str().unwrap_or_default(), invalid),
        "locale_field": locale_field(visit, current, invalid),
        "url": url_field(visit, current, invalid),
        "password": password_for_url(visit, invalid),
        "public_url": current["public_url"],
        "redirect_urls": current["redirect_urls"],
        "checked": checked,
        "rows": rows(current, &["server."]),
    });
    visit.page(status, "settings.html", (PLACE, "Settings"), context).await
}

/// How dates and times are written, each as it looks.
fn locale_field(visit: &Signed, current: &Value, invalid: &[Invalid]) -> Value {
    let value =
        if visit.form.has("locale") { json!(visit.form.text("locale")) } else { current["locale"].clone() };
    let options = Locale::ALL.map(|one| json!({ "value": one.name(), "label": one.label() }));
    json!({
        "key": "locale", "label": "Dates and times", "value": value, "options": options,
        "error": message_at(invalid, "locale"),
    })
}

/// The field for a time zone, with the names that there are.
pub(super) fn zone_field(visit: &Signed, stored: &str, invalid: &[Invalid]) -> Value {
    let value = if visit.form.has("time_zone") { visit.form.text("time_zone") } else { stored };
    let names = TimeZone::names().into_iter().map(|name| json!({ "value": name, "label": name }));
    json!({
        "key": "time_zone", "label": "Time zone", "value": value, "suggestions": names.collect::<Vec<_>>(),
        "hint": "Exact times are shown in it, and new exporters run by it. A name such as Europe/Lisbon.",
        "error": message_at(invalid, "time_zone"),
    })
}

/// Asked for with another public URL alone.
pub(super) fn password_for_url(visit: &Signed, invalid: &[Invalid]) -> Value {
    let mut field = password_again(visit, invalid);
    if field.is_object() {
        field["hint"] = json!("Only for another public URL: invitations and redirect URLs lead there.");
    }
    field
}

/// The field for the address of this server; locked where its operator set it.
fn url_field(visit: &Signed, current: &Value, invalid: &[Invalid]) -> Value {
    let (form, stored) = (&visit.form, current["public_url"].as_str().unwrap_or_default());
    let value = if form.has("public_url") { form.text("public_url") } else { stored };
    json!({
        "key": "public_url", "label": "Public URL", "value": value, "mono": true,
        "hint": "People and tools reach this server here; OAuth tools need a public https address.",
        "set_by": current["public_url_set_by"],
        "error": message_at(invalid, "public_url"),
    })
}

async fn save(visit: Signed) -> Result<Response, Failure> {
    if visit.form.text("act") == "check" {
        return check_url(&visit).await;
    }
    let before = visit.app().public_url();
    let mut sent = Map::new();
    let keys = LABELS.map(|(key, _)| key).into_iter().chain(["password"]);
    for key in keys.filter(|key| visit.form.has(key)) {
        sent.insert(key.to_owned(), json!(visit.form.text(key)));
    }
    match settings::change(visit.app(), &visit.actor, sent, visit.form.if_match()).await {
        Ok(saved) => {
            let moved = saved["public_url"] != json!(before) && saved["redirect_urls"] != json!([]);
            Ok(visit.go_and_say(GENERAL, if moved { moved_message(&saved) } else { Message::done("Saved.") }))
        }
        Err(OpError::Invalid(invalid)) => {
            let current = settings::find(visit.app(), &visit.actor).await?;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(general_page(&visit, status, &current, &invalid, &Value::Null).await)
        }
        Err(OpError::Changed { .. }) => changed_meanwhile(&visit).await,
        Err(other) => Err(other.into()),
    }
}

/// Somebody else saved meanwhile: the choice, with what was typed.
async fn changed_meanwhile(visit: &Signed) -> Result<Response, Failure> {
    let mut theirs = settings::find(visit.app(), &visit.actor).await?;
    let typed = |key: &str| visit.form.text(key).trim();
    let mut mine = Map::new();
    for (key, _) in LABELS.into_iter().filter(|(key, _)| visit.form.has(key)) {
        let value = match key {
            "locale" => locale_label(typed(key)),
            "time_zone" if typed(key).is_empty() => "UTC",
            key => typed(key),
        };
        mine.insert(key.to_owned(), json!(value));
    }
    let moves = visit.form.has("public_url") && theirs["public_url"] != mine["public_url"];
    theirs["locale"] = json!(locale_label(theirs["locale"].as_str().unwrap_or_default()));
    let conflict = Conflict {
        what: "these settings",
        place: PLACE,
        address: GENERAL.to_owned(),
        name: "General",
        saved: settings::SAVED,
        fields: labelled(&LABELS),
        password: if moves { password_for_url(visit, &[]) } else { Value::Null },
        theirs: &theirs,
    };
    conflict.page(visit, &mine).await
}

/// How a way of writing dates is called in the form.
fn locale_label(name: &str) -> &str {
    match Locale::find(name) {
        Some(locale) => locale.label(),
        None => name,
    }
}

fn moved_message(saved: &Value) -> Message {
    let urls = saved["redirect_urls"].as_array();
    let names = urls.into_iter().flatten().filter_map(|one| one["credential"]["name"].as_str());
    let names = names.map(|name| format!("“{name}”")).collect::<Vec<_>>().join(", ");
    Message::done(format!("Saved. Enter the new redirect URL in the tools of {names}."))
}

async fn check_url(visit: &Signed) -> Result<Response, Failure> {
    let mut sent = Map::new();
    if visit.form.has("public_url") {
        sent.insert("public_url".to_owned(), json!(visit.form.text("public_url")));
    }
    let current = settings::find(visit.app(), &visit.actor).await?;
    match public_url::check(visit.app(), &visit.actor, sent).await {
        Ok(checked) => Ok(general_page(visit, StatusCode::OK, &current, &[], &checked).await),
        Err(OpError::Invalid(invalid)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(general_page(visit, status, &current, &invalid, &Value::Null).await)
        }
        Err(other) => Err(other.into()),
    }
}

async fn show_egress(visit: Signed) -> Result<Response, Failure> {
    egress_page(&visit, StatusCode::OK, &Value::Null, &[]).await
}

async fn egress_page(
    visit: &Signed,
    status: StatusCode,
    verdict: &Value,
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let current = egress::find(visit.app(), &visit.actor).await?;
    let (key, label) = OUTGOING;
    let stored = current[key].as_str().unwrap_or_default();
    let typed = visit.form.has(key).then(|| visit.form.lines(key));
    let context = json!({
        "errors": errors(invalid),
        "rows": rows(&current, &["egress."]),
        "authorities": current["extra_authorities"],
        "etag": seen_etag(&visit.form, &current),
        "outgoing": {
            "key": key, "label": label, "optional": true,
            "hint": "For firewall requests: where connections of Consign come from, in your words, such as “Consign connects \
                     from 203.0.113.10 and 203.0.113.11”.",
            "value": typed.as_deref().unwrap_or(stored), "error": message_at(invalid, key),
        },
        "has_outgoing": !stored.is_empty(),
        "address": {
            "key": "address", "label": "Would this address be allowed?", "mono": true,
            "hint": "An address such as https://10.21.0.5/. Nothing is sent to it; only its name is looked up.",
            "value": visit.form.text("address"), "error": message_at(invalid, "address"),
        },
        "verdict": verdict,
    });
    Ok(visit.page(status, "settings_egress.html", (PLACE, "Settings"), context).await)
}

/// The page has two forms: one saves the outgoing addresses, the other one checks an address.
async fn post_egress(visit: Signed) -> Result<Response, Failure> {
    if visit.form.has(OUTGOING.0) { save_outgoing(&visit).await } else { check(&visit).await }
}

async fn save_outgoing(visit: &Signed) -> Result<Response, Failure> {
    let (key, label) = OUTGOING;
    let sent = Map::from_iter([(key.to_owned(), json!(visit.form.lines(key)))]);
    match egress::change(visit.app(), &visit.actor, sent.clone(), visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(EGRESS, Message::done("Saved."))),
        Err(OpError::Invalid(invalid)) => {
            egress_page(visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid).await
        }
        Err(OpError::Changed { .. }) => {
            let conflict = Conflict {
                what: "these settings",
                place: PLACE,
                address: EGRESS.to_owned(),
                name: "Egress",
                saved: egress::SAVED,
                fields: labelled(&[(key, label)]),
                password: Value::Null,
                theirs: &egress::find(visit.app(), &visit.actor).await?,
            };
            conflict.page(visit, &sent).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn check(visit: &Signed) -> Result<Response, Failure> {
    let mut sent = Map::new();
    sent.insert("address".to_owned(), json!(visit.form.text("address")));
    match settings::check_egress(visit.app(), &visit.actor, sent).await {
        Ok(verdict) => egress_page(visit, StatusCode::OK, &verdict, &[]).await,
        Err(OpError::Invalid(invalid)) => {
            egress_page(visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid).await
        }
        Err(other) => Err(other.into()),
    }
}
