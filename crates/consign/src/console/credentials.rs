//! Connector credentials: list, form, deletion.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::{Invalid, PUBLIC_URL};
use consign_core::credential::{Draft, Mode, NEEDED_AGAIN};
use consign_core::id::CredentialId;
use consign_core::preset::{self, Filling};
use consign_core::rights::Right;
use serde_json::{Value, json};

use super::Console;
use super::conflict::Conflict;
use super::connection_test::running;
use super::errors::Failure;
use super::form::{CredentialForm, Kept, carried, encoded, errors};
use super::host_keys::{self, Looked};
use super::managed;
use super::visit::{Message, Signed, is_own_path};
use crate::ops::{OpError, credential_tests, credentials, settings};

use deletion::{confirm, delete};
use list::{list, test_as_saved};
use lost::{give, offered};
use testing::{edit_test, last_test, new_test};

pub(super) use testing::test_saved;

mod deletion;
pub(super) mod list;
mod lost;
mod testing;

const PLACE: &str = "credentials";
const LIST: &str = "/credentials";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/credentials/new", get(new).post(create))
        .route("/credentials/new/fields", post(new_fields))
        .route("/credentials/{id}", get(edit).post(save))
        .route("/credentials/{id}/fields", post(edit_fields))
        .route("/credentials/{id}/test", post(test_as_saved))
        .route("/credentials/{id}/connectors", post(give))
        .route("/credentials/{id}/delete", get(confirm).post(delete))
}

/// Where to go on after a new credential: back to the form that needed one, or to its page.
fn back(visit: &Signed) -> &str {
    let back = visit.form.text("back");
    if is_own_path(back) { back } else { "" }
}

/// A form with what is said about it.
struct Page<'a> {
    status: StatusCode,
    form: &'a CredentialForm,
    kept: &'a Kept,
    invalid: &'a [Invalid],
    /// The result of a test of what was typed.
    test: Value,
    /// The host keys that were read for it.
    scan: Value,
    /// Another id than the reserved one, which is in use.
    reserved: Option<CredentialId>,
}

impl<'a> Page<'a> {
    fn new(form: &'a CredentialForm, kept: &'a Kept) -> Self {
        Self {
            status: StatusCode::OK,
            form,
            kept,
            invalid: &[],
            test: Value::Null,
            scan: Value::Null,
            reserved: None,
        }
    }

    fn refused(form: &'a CredentialForm, kept: &'a Kept, invalid: &'a [Invalid]) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, invalid, ..Self::new(form, kept) }
    }
}

async fn new(visit: Signed) -> Result<Response, Failure> {
    let kept = Kept::take(&visit).await?;
    Ok(new_page(&visit, Page::new(&CredentialForm::empty(), &kept)).await)
}

/// The id that a new credential will have: reserved when its form opens, so that its redirect URL can be registered
/// before it is saved.
fn reserved(visit: &Signed) -> CredentialId {
    visit.form.text("reserved").parse().unwrap_or_else(|_| CredentialId::new(visit.app().now()))
}

/// Puts the address of this server where a field begins with it.
fn at_server(mut fields: Value, public_url: &str) -> Value {
    for field in fields["of_type"].as_array_mut().into_iter().flatten() {
        if field["prefill"] == PUBLIC_URL {
            field["prefill"] = json!(public_url);
        }
    }
    fields
}

/// The certificate of a credential without its BEGIN and END lines, as some tools want it.
fn base64_of(current: &Value) -> String {
    let lines = current["certificate"].as_str().unwrap_or_default().lines();
    lines.filter(|line| !line.starts_with("-----")).collect()
}

async fn new_page(visit: &Signed, page: Page<'_>) -> Response {
    let id = page.reserved.unwrap_or_else(|| reserved(visit));
    let public_url = visit.app().public_url();
    let context = json!({
        "errors": errors(page.invalid),
        "fields": at_server(page.form.fields(page.kept, None, page.invalid, "/credentials/new/fields"), &public_url),
        "draft": page.kept.draft(),
        "reserved": id,
        "redirect_url": credentials::redirect_url(&public_url, id),
        "public_url": public_url,
        "public_url_set_by": settings::public_url_set_by(visit.app()),
        "other_origin": visit.other_origin(),
        "back": back(visit),
        "scan": page.scan,
        "may_scan": visit.actor.rights.allow(Right::CredentialsTest),
        "current": null,
        "test": page.test,
        "fresh": !page.test.is_null(),
        "testing": "",
    });
    visit.page(page.status, "credential.html", (PLACE, "New credential"), context).await
}

/// The same page with the fields of another choice.
async fn new_fields(visit: Signed) -> Result<Response, Failure> {
    let mut kept = Kept::take(&visit).await?;
    let mut form = CredentialForm::typed(&visit.form, &mut kept);
    form.start(&kept, &visit.app().public_url());
    kept.keep(&visit).await?;
    Ok(new_page(&visit, Page::new(&form, &kept)).await)
}

/// The same page with host keys that were read, or with the chosen one.
async fn new_host_keys(visit: Signed) -> Result<Response, Failure> {
    let mut kept = Kept::take(&visit).await?;
    let mut form = CredentialForm::typed(&visit.form, &mut kept);
    kept.keep(&visit).await?;
    let Looked { status, panel, invalid } = host_keys::look(&visit, &mut form).await?;
    let page = Page { status, scan: panel, invalid: &invalid, ..Page::new(&form, &kept) };
    Ok(new_page(&visit, page).await)
}

/// Whether a button asks for other fields or rows, not for a save. Without the script the form itself asks.
fn asks_for_fields(visit: &Signed) -> bool {
    ["show_fields", "add_row", "remove_row", "use_offer"].iter().any(|name| visit.form.has(name))
}

/// What a preset left to be filled in, with everything else that will not be accepted; empty when it left nothing.
fn left_open(visit: &Signed, form: &CredentialForm, kept: &Kept) -> Vec<Invalid> {
    let mut open = form.left_open();
    if open.is_empty() {
        return open;
    }
    let others =
        Draft::parse(form.sent(kept, None), Mode::Create, visit.app().now()).err().unwrap_or_default();
    let others = others.into_iter().filter(|one| open.iter().all(|known| known.field != one.field));
    let others: Vec<_> = others.collect();
    open.extend(others);
    open
}

async fn create(visit: Signed) -> Result<Response, Failure> {
    // A preset without a type is chosen for its fields.
    let starts =
        !visit.form.text("start_from").is_empty() && visit.form.text("authorization_type").is_empty();
    if asks_for_fields(&visit) || starts {
        return new_fields(visit).await;
    }
    if host_keys::asks(&visit) {
        return new_host_keys(visit).await;
    }
    if visit.form.has("test") {
        return new_test(visit).await;
    }
    let mut kept = Kept::take(&visit).await?;
    let form = CredentialForm::typed(&visit.form, &mut kept);
    let open = left_open(&visit, &form, &kept);
    if !open.is_empty() {
        kept.keep(&visit).await?;
        return Ok(new_page(&visit, Page::refused(&form, &kept, &open)).await);
    }
    let sent = form.sent(&kept, None);
    let id = |made: &Value| made["id"].as_str().unwrap_or_default().to_owned();
    let work = async {
        let made = credentials::create_as(visit.app(), &visit.actor, sent, reserved(&visit)).await?;
        test_saved(&visit, &id(&made));
        Ok(made)
    };
    match visit.once(id, work).await {
        Ok(id) => {
            let back = back(&visit);
            if visit.form.has("authorize") {
                return Ok(visit.go_and_say(&authorize_page(&id), Message::done("Saved.")));
            }
            if !back.is_empty() {
                let message = said(&form.warnings(&kept), "Saved.");
                return Ok(visit.go_and_say(&carried::with_credential(back, &id), message));
            }
            let current = credentials::find(visit.app(), &visit.actor, &id).await?;
            let message = saved(&visit, &form, &kept, &current);
            let message = message.with_action(first_webhook(&current, form.preset()), "Create a webhook");
            Ok(visit.go_and_say(&saved_page(&visit, &id), message))
        }
        Err(OpError::Invalid(invalid)) => {
            kept.keep(&visit).await?;
            let taken = invalid.iter().any(|one| one.code == credentials::ID_TAKEN);
            let reserved = taken.then(|| CredentialId::new(visit.app().now()));
            Ok(new_page(&visit, Page { reserved, ..Page::refused(&form, &kept, &invalid) }).await)
        }
        Err(other) => Err(other.into()),
    }
}

/// The form of a first webhook for a credential, with what the presets know of its tool.
pub(super) fn first_webhook(credential: &Value, filling: Option<&Filling>) -> String {
    let text = |key: &str| credential[key].as_str().unwrap_or_default();
    let form = format!("/webhooks/new?credential={}", text("id"));
    match filling.or_else(|| preset::of_address(text("url_address"), text("authorization_type"))) {
        Some(filling) => {
            let path = filling.webhook_path_beside(text("test_path"));
            format!("{form}&method={}&path={}", filling.webhook_method, encoded(&path))
        }
        None => form,
    }
}

fn authorize_page(id: &str) -> String {
    format!("{LIST}/{id}/authorize")
}

/// The page of a credential that was just saved.
pub(super) fn saved_page(visit: &Signed, id: &str) -> String {
    if visit.actor.rights.allow(Right::CredentialsTest) {
        format!("{LIST}/{id}?testing=1")
    } else {
        format!("{LIST}/{id}")
    }
}

/// What is said after a save: what the page itself will not say.
fn saved(visit: &Signed, form: &CredentialForm, kept: &Kept, now: &Value) -> Message {
    let (stored, nothing) = (CredentialForm::stored(now), Kept::default());
    let shown = stored.warnings(&nothing);
    let passing: Vec<_> =
        form.warnings(kept).into_iter().filter(|warning| !shown.contains(warning)).collect();
    let tested = visit.actor.rights.allow(Right::CredentialsTest);
    said(&passing, if tested { "Saved. Testing the connection…" } else { "Saved." })
}

fn said(warnings: &[(&str, String)], first: &str) -> Message {
    if warnings.is_empty() {
        return Message::done(first);
    }
    let sentences: Vec<_> = warnings.iter().map(|(_, sentence)| sentence.as_str()).collect();
    Message { kind: "warning", ..Message::done(format!("{first} {}", sentences.join(" "))) }
}

/// A credential as it is stored, and its last test.
struct Stored {
    current: Value,
    test: Option<Value>,
}

impl Stored {
    /// The test comes first: one that ends in between is waited for, and not shown beside the status before it.
    async fn read(visit: &Signed, id: &str) -> Result<Self, Failure> {
        let test = credential_tests::list(visit.app(), &visit.actor, id).await?.into_iter().next();
        Ok(Self { current: credentials::find(visit.app(), &visit.actor, id).await?, test })
    }
}

async fn edit(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let stored = Stored::read(&visit, &id).await?;
    let kept = Kept::take(&visit).await?;
    edit_page(&visit, Page::new(&CredentialForm::stored(&stored.current), &kept), &stored).await
}

async fn edit_page(visit: &Signed, page: Page<'_>, stored: &Stored) -> Result<Response, Failure> {
    let Stored { current, test } = stored;
    let id = current["id"].as_str().unwrap_or_default();
    let users = credentials::usage(visit.app(), &visit.actor, id).await?;
    let history = credentials::history(visit.app(), &visit.actor, id).await?;
    // A page shown again keeps the version that its reader began with, so that a stale save is noticed.
    let typed = visit.form.text("etag");
    let stored = |key: &str| current[key].as_str().unwrap_or_default();
    let waits = visit.form.has("testing") && running(test.as_ref(), stored("updated_at"), visit.app().now());
    let address = format!("{LIST}/{id}?testing=1");
    let moved = moved(&page, current);
    let fresh = !page.test.is_null();
    let test =
        if fresh { page.test } else { test.as_ref().map_or(Value::Null, |test| last_test(test, current)) };
    let public_url = visit.app().public_url();
    let id: CredentialId = id.parse().unwrap_or_else(|_| CredentialId::new(visit.app().now()));
    let context = json!({
        "errors": errors(page.invalid),
        "fields": at_server(
            page.form.fields(page.kept, Some(current), page.invalid, &format!("{LIST}/{id}/fields")),
            &public_url,
        ),
        "certificate_base64": base64_of(current),
        "draft": page.kept.draft(),
        "redirect_url": credentials::redirect_url(&public_url, id),
        "public_url": public_url,
        "public_url_set_by": settings::public_url_set_by(visit.app()),
        "other_origin": visit.other_origin(),
        "back": "",
        "scan": page.scan,
        "may_scan": visit.actor.rights.allow(Right::CredentialsTest),
        "current": current,
        "etag": if typed.is_empty() { stored("etag") } else { typed },
        "seen_at": if typed.is_empty() { stored("updated_at") } else { visit.form.text("seen_at") },
        "anyway": managed::is_open(&visit.form, page.invalid),
        "released": managed::is_released(&visit.form),
        "users": users,
        "lost": offered(visit, current)?,
        "moved": moved,
        "first_webhook": first_webhook(current, None),
        "history": history,
        "test": test,
        "fresh": fresh,
        "testing": if waits { address.as_str() } else { "" },
    });
    let name = current["name"].as_str().unwrap_or_default();
    Ok(visit.page(page.status, "credential.html", (PLACE, name), context).await)
}

/// From where to where the address was changed, when saved secrets are asked for again.
fn moved(page: &Page<'_>, current: &Value) -> Value {
    if !page.invalid.iter().any(|one| one.code == NEEDED_AGAIN) {
        return Value::Null;
    }
    let moved = page.form.moved(page.kept, current);
    moved.map_or(Value::Null, |(from, to)| json!({ "from": from, "to": to }))
}

async fn edit_fields(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let stored = Stored::read(&visit, &id).await?;
    let mut kept = Kept::take(&visit).await?;
    let form = CredentialForm::typed(&visit.form, &mut kept);
    kept.keep(&visit).await?;
    edit_page(&visit, Page::new(&form, &kept), &stored).await
}

async fn edit_host_keys(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let stored = Stored::read(&visit, &id).await?;
    let mut kept = Kept::take(&visit).await?;
    let mut form = CredentialForm::typed(&visit.form, &mut kept);
    kept.keep(&visit).await?;
    let Looked { status, panel, invalid } = host_keys::look(&visit, &mut form).await?;
    let page = Page { status, scan: panel, invalid: &invalid, ..Page::new(&form, &kept) };
    edit_page(&visit, page, &stored).await
}

async fn save(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    if asks_for_fields(&visit) {
        return edit_fields(visit, Path(id)).await;
    }
    if host_keys::asks(&visit) {
        return edit_host_keys(visit, Path(id)).await;
    }
    if visit.form.has("test") {
        return edit_test(visit, Path(id)).await;
    }
    let stored = Stored::read(&visit, &id).await?;
    let current = &stored.current;
    let mut kept = Kept::take(&visit).await?;
    let form = CredentialForm::typed(&visit.form, &mut kept);
    if let Some(refusal) = managed::refusal(&visit.form, current) {
        kept.keep(&visit).await?;
        let page = Page {
            status: StatusCode::CONFLICT,
            ..Page::refused(&form, &kept, std::slice::from_ref(&refusal))
        };
        return edit_page(&visit, page, &stored).await;
    }
    let sent = form.sent(&kept, Some(current));
    let whole = managed::with_release(&visit.form, sent.clone());
    match credentials::replace(visit.app(), &visit.actor, &id, whole, visit.form.if_match()).await {
        Ok(new) => {
            let id = new["id"].as_str().unwrap_or_default();
            test_saved(&visit, id);
            if visit.form.has("authorize") {
                return Ok(visit.go_and_say(&authorize_page(id), Message::done("Saved.")));
            }
            let mut message = saved(&visit, &form, &kept, &new);
            // What was granted stays as it is until someone approves the new scope.
            if form.is_granted() && !new["token"].is_null() && current["scope"] != new["scope"] {
                message.kind = "warning";
                message.text.push_str(" Authorize again to use the new scope.");
                message = message.with_action(authorize_page(id), "Authorize again");
            }
            Ok(visit.go_and_say(&saved_page(&visit, id), message))
        }
        Err(OpError::Invalid(invalid)) => {
            kept.keep(&visit).await?;
            edit_page(&visit, Page::refused(&form, &kept, &invalid), &stored).await
        }
        Err(OpError::Changed { .. }) => {
            kept.keep(&visit).await?;
            let fields = form.fields(&kept, Some(current), &[], "");
            let place = ("this credential", PLACE, format!("{LIST}/{id}"));
            let conflict = Conflict::of(place, current, fields);
            conflict.page(&visit, &sent).await
        }
        Err(other) => Err(other.into()),
    }
}
