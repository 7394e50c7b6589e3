//! A person's own account: password, two-step sign-in with its recovery codes, and the time zone of their pages.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::Invalid;
use consign_core::secret::Secret;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::{Map, Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{errors, message_at, password_again};
use super::settings::zone_field;
use super::visit::{Message, Signed};
use crate::ops::settings::sign_in::{PASSWORD_RULE, rules};
use crate::ops::users::two_step::{self, Offer};
use crate::ops::{OpError, settings, users};

const PLACE: &str = "account";
const ACCOUNT: &str = "/account";
const PASSWORD: &str = "/account/password";
/// Light modules around a code, so that a camera finds it: ISO/IEC 18004 section 9.1.
const QUIET_ZONE: i32 = 4;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(ACCOUNT, get(show))
        .route(PASSWORD, get(ask_password).post(change_password))
        .route("/account/time-zone", post(set_time_zone))
        .route("/account/two-step/on", get(offer).post(switch_on))
        .route("/account/two-step/off", get(ask_off).post(switch_off))
        .route("/account/recovery-codes", get(ask_codes).post(renew_codes))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    account_page(&visit, StatusCode::OK, &[]).await
}

async fn account_page(visit: &Signed, status: StatusCode, invalid: &[Invalid]) -> Result<Response, Failure> {
    let account = users::account(visit.app(), &visit.actor).await?;
    let own = account["time_zone"].as_str().unwrap_or_default();
    let mut zone = zone_field(visit, own, invalid);
    zone["label"] = json!("Your time zone");
    zone["optional"] = json!(true);
    let usual = settings::time_zone(visit.app());
    zone["hint"] = json!(format!(
        "Exact times are shown to you in it. Empty: {usual}, as in the settings of this server."
    ));
    let left = two_step::recovery_codes_left(visit.app(), &visit.person).await?;
    let context = json!({
        "email": visit.person.email,
        "role": { "label": visit.person.role.label(), "hint": visit.person.role.hint() },
        "with_password": visit.person.signs_in_with.password,
        "two_step": visit.person.signs_in_with.code,
        "codes_left": left,
        "two_step_required": rules(visit.app()).two_step_since.is_some(),
        "no_password_because": account["no_password_because"],
        "errors": errors(invalid),
        "time_zone": zone,
    });
    Ok(visit.page(status, "account.html", (PLACE, "Your account"), context).await)
}

async fn set_time_zone(visit: Signed) -> Result<Response, Failure> {
    let sent = Map::from_iter([("time_zone".to_owned(), json!(visit.form.text("time_zone")))]);
    match users::change_account(visit.app(), &visit.actor, sent).await {
        Ok(()) => Ok(visit.go_and_say(ACCOUNT, Message::done("Saved."))),
        Err(OpError::Invalid(invalid)) => {
            account_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn ask_password(visit: Signed) -> Result<Response, Failure> {
    password_page(&visit, StatusCode::OK, &[]).await
}

async fn password_page(visit: &Signed, status: StatusCode, invalid: &[Invalid]) -> Result<Response, Failure> {
    let account = users::account(visit.app(), &visit.actor).await?;
    if let Some(why) = account["no_password_because"].as_str() {
        return Ok(visit.go_and_say(ACCOUNT, Message::refused(format!("{why}."))));
    }
    let context = json!({
        "errors": errors(invalid),
        "present": {
            "key": "password", "label": "Present password", "autocomplete": "current-password",
            "error": message_at(invalid, "password"),
        },
        "new": {
            "key": "new_password", "label": "New password", "hint": PASSWORD_RULE,
            "error": message_at(invalid, "new_password"),
        },
    });
    Ok(visit.page(status, "account_password.html", (PLACE, "Change your password"), context).await)
}

async fn change_password(visit: Signed) -> Result<Response, Failure> {
    let typed = ["password", "new_password"].map(|key| (key.to_owned(), json!(visit.form.text(key))));
    let session = Some(visit.person.hash.as_str());
    match users::change_password(visit.app(), &visit.actor, session, Map::from_iter(typed)).await {
        Ok(()) => {
            let text = "Your password is changed. Your other sessions have ended.";
            Ok(visit.go_and_say(ACCOUNT, Message::done(text)))
        }
        Err(OpError::Invalid(invalid)) => {
            password_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(ACCOUNT, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}

/// The name that apps show beside the code.
fn issuer(visit: &Signed) -> String {
    let url = visit.app().public_url();
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
    format!("Consign {host}")
}

async fn offer(visit: Signed) -> Response {
    let offer = two_step::offer(visit.app(), &visit.person, &issuer(&visit));
    offer_page(&visit, StatusCode::OK, &offer, &[]).await
}

async fn offer_page(visit: &Signed, status: StatusCode, offer: &Offer, invalid: &[Invalid]) -> Response {
    let letters: Vec<_> = offer.key.expose().as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    let context = json!({
        "errors": errors(invalid),
        "must": visit.person.must_set_up,
        "qr": qr(offer.address.expose()),
        "key": letters.join(" "),
        "sealed": offer.sealed,
        "code": {
            "key": "code", "label": "Code", "autocomplete": "one-time-code", "mono": true,
            "hint": "The six digits that the app shows now.", "error": message_at(invalid, "code"),
        },
        "password": password_again(visit, invalid),
    });
    visit.page(status, "two_step_on.html", (PLACE, "Set up two-step sign-in"), context).await
}

/// A QR code as one path of an SVG, dark modules as unit squares; and the side of its square.
fn qr(text: &str) -> Value {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return Value::Null };
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            path.push_str(&format!("M{} {}h1v1h-1z", x + QUIET_ZONE, y + QUIET_ZONE));
        }
    }
    json!({ "path": path, "side": code.size() + 2 * QUIET_ZONE })
}

async fn switch_on(visit: Signed) -> Result<Response, Failure> {
    let (sealed, code) = (visit.form.text("sealed"), visit.form.text("code"));
    let typed = (code, &typed_password(&visit));
    match two_step::switch_on(visit.app(), &visit.actor, &visit.person, sealed, typed).await {
        Ok(codes) => Ok(codes_page(&visit, &codes, true).await),
        Err(OpError::Invalid(invalid)) => {
            let offer = two_step::offer_again(visit.app(), &visit.person, &issuer(&visit), sealed);
            Ok(offer_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &offer, &invalid).await)
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(ACCOUNT, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}

fn typed_password(visit: &Signed) -> Secret {
    Secret::new(visit.form.text("password").to_owned())
}

/// The one page that holds the codes.
async fn codes_page(visit: &Signed, codes: &[Secret], new: bool) -> Response {
    let codes: Vec<_> = codes.iter().map(Secret::expose).collect();
    let context = json!({ "codes": codes, "new": new });
    visit.page(StatusCode::OK, "recovery_codes.html", (PLACE, "Recovery codes"), context).await
}

/// A page that asks for the password before something is done.
struct Ask {
    address: &'static str,
    title: &'static str,
    meaning: &'static str,
    button: &'static str,
    danger: bool,
}

const OFF: Ask = Ask {
    address: "/account/two-step/off",
    title: "Switch two-step sign-in off",
    meaning: "The password alone is enough from then on. Recovery codes no longer work.",
    button: "Switch off",
    danger: true,
};

const CODES: Ask = Ask {
    address: "/account/recovery-codes",
    title: "New recovery codes",
    meaning: "You get ten new codes. The ones before them no longer work.",
    button: "Make new codes",
    danger: false,
};

async fn ask(visit: &Signed, status: StatusCode, ask: &Ask, invalid: &[Invalid]) -> Response {
    let context = json!({
        "errors": errors(invalid),
        "address": ask.address,
        "meaning": ask.meaning,
        "button": ask.button,
        "danger": ask.danger,
        "password": password_again(visit, invalid),
    });
    visit.page(status, "account_ask.html", (PLACE, ask.title), context).await
}

async fn ask_off(visit: Signed) -> Response {
    ask(&visit, StatusCode::OK, &OFF, &[]).await
}

async fn switch_off(visit: Signed) -> Result<Response, Failure> {
    match two_step::switch_off(visit.app(), &visit.actor, &visit.person, &typed_password(&visit)).await {
        Ok(()) => Ok(visit.go_and_say(ACCOUNT, Message::done("Two-step sign-in is off."))),
        Err(OpError::Invalid(invalid)) => {
            Ok(ask(&visit, StatusCode::UNPROCESSABLE_ENTITY, &OFF, &invalid).await)
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(ACCOUNT, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}

async fn ask_codes(visit: Signed) -> Response {
    ask(&visit, StatusCode::OK, &CODES, &[]).await
}

async fn renew_codes(visit: Signed) -> Result<Response, Failure> {
    let password = typed_password(&visit);
    match two_step::renew_recovery_codes(visit.app(), &visit.actor, &visit.person, &password).await {
        Ok(codes) => Ok(codes_page(&visit, &codes, false).await),
        Err(OpError::Invalid(invalid)) => {
            Ok(ask(&visit, StatusCode::UNPROCESSABLE_ENTITY, &CODES, &invalid).await)
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(ACCOUNT, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}
