//! Templates and assets: read from disk in debug builds, so that editing one compiles nothing; compiled in
//! for release. Both go through one list.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use consign_core::catalog::{size, with_commas};
use consign_core::hex::hex;
use consign_core::locale::Locale;
use consign_core::schedule::TimeZone;
use consign_core::time::{Timestamp, in_words};
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, HtmlEscape, State as Rendering, UndefinedBehavior, Value};
use serde_json::json;

use super::form::sends_to;
use super::gzip;
use super::options::small_word;
use crate::manual::{self, GUIDES, Part};

/// A file of the console.
pub(super) struct File {
    folder: &'static str,
    pub(super) name: &'static str,
    compiled: Option<&'static str>,
}

#[cfg(not(debug_assertions))]
macro_rules! compiled {
    ($path:expr) => {
        Some(include_str!($path))
    };
}
#[cfg(debug_assertions)]
macro_rules! compiled {
    ($path:expr) => {
        None
    };
}
macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(File { folder: $folder, name: $name, compiled: compiled!(concat!($folder, "/", $name)) }),*]
    };
}

/// Every template.
pub(super) static TEMPLATES: &[File] = files!["templates":
    "account.html",
    "account_ask.html",
    "account_password.html",
    "api_key.html",
    "api_key_created.html",
    "api_key_revoke.html",
    "api_keys.html",
    "assertion.html",
    "audit.html",
    "audit_entry.html",
    "authorize.html",
    "certificate_next.html",
    "certificates.html",
    "conflict.html",
    "connection_test.html",
    "consented.html",
    "credential.html",
    "credential_delete.html",
    "credential_forget.html",
    "credentials.html",
    "deliveries.html",
    "delivery.html",
    "delivery_replay.html",
    "demo.html",
    "design.html",
    "docs.html",
    "docs_api.html",
    "docs_base.html",
    "docs_guide.html",
    "docs_macros.html",
    "docs_problem.html",
    "docs_problems.html",
    "docs_schema.html",
    "docs_schemas.html",
    "error.html",
    "event.html",
    "events.html",
    "exporter.html",
    "exporter_activity.html",
    "exporter_base.html",
    "exporter_delete.html",
    "exporter_form.html",
    "exporters.html",
    "gateway.html",
    "gateway_activity.html",
    "gateway_delete.html",
    "gateway_form.html",
    "gateway_try.html",
    "gateways.html",
    "host_keys.html",
    "invitation.html",
    "layout.html",
    "locked.html",
    "macros.html",
    "operation.html",
    "operation_backup.html",
    "operations.html",
    "overview.html",
    "plain.html",
    "recovery_codes.html",
    "replay.html",
    "run.html",
    "run_cancel.html",
    "settings.html",
    "settings_about.html",
    "settings_backup.html",
    "settings_backup_deed.html",
    "settings_delivery.html",
    "settings_delivery_pause.html",
    "settings_egress.html",
    "settings_encryption.html",
    "settings_licences.html",
    "settings_notifications.html",
    "settings_replicas.html",
    "settings_sign_in.html",
    "settings_support.html",
    "setup.html",
    "sign_in.html",
    "sign_in_code.html",
    "tags.html",
    "test_step.html",
    "two_step_on.html",
    "user.html",
    "user_deed.html",
    "user_invited.html",
    "user_new.html",
    "users.html",
    "webhook.html",
    "webhook_activity.html",
    "webhook_base.html",
    "webhook_delete.html",
    "webhook_form.html",
    "webhook_secret.html",
    "webhook_signature.html",
    "webhook_signature_change.html",
    "webhook_test.html",
    "webhooks.html",
    "welcome.html",
    "welcome_key.html",
];

/// Every asset.
pub(super) static ASSETS: &[File] = files!["assets": "consign.css", "consign.js", "icons.svg"];

/// How a receiver checks a signature and how an application calls a gateway, in several languages.
pub(super) static SAMPLES: &[File] = files!["samples":
    "call.js",
    "call.py",
    "ed25519.go",
    "ed25519.java",
    "ed25519.js",
    "ed25519.py",
    "hmac.cs",
    "hmac.go",
    "hmac.java",
    "hmac.js",
    "hmac.py",
];

impl File {
    /// Its text; in debug builds as it is on disk now.
    fn text(&self) -> std::io::Result<Cow<'static, str>> {
        match self.compiled {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => {
                let console = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console");
                std::fs::read_to_string(format!("{console}/{}/{}", self.folder, self.name)).map(Cow::Owned)
            }
        }
    }

    fn media_type(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        }
    }
}

fn find(files: &'static [File], name: &str) -> Option<&'static File> {
    files.iter().find(|file| file.name == name)
}

/// The first 64 bits of the hash of its text: enough to tell versions of a file apart.
fn hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hex(&hash.as_ref()[..8])
}

fn asset_url(name: &str) -> Result<String, Error> {
    let file = find(ASSETS, name).ok_or_else(|| wrong(format!("there is no asset {name}")))?;
    let text = file.text().map_err(|error| wrong(format!("{name} cannot be read: {error}")))?;
    Ok(format!("/assets/{}/{name}", hash(&text)))
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// One asset, to be kept for ever: other content has another address. As gzip for whoever accepts it.
pub(super) async fn asset(Path((asked, name)): Path<(String, String)>, sent: HeaderMap) -> Response {
    let found = find(ASSETS, &name).and_then(|file| Some((file, file.text().ok()?)));
    let Some((file, text)) = found.filter(|(_, text)| hash(text) == asked) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let gzipped = if gzip::is_accepted(&sent) { gzip::of(file.name, &asked, &text).ok() } else { None };
    let mut response = match gzipped {
        Some(bytes) => {
            ([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], bytes).into_response()
        }
        None => text.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The templates, ready to render.
pub(super) struct Views {
    environment: Environment<'static>,
}

impl Views {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_loader(|name| {
            let Some(file) = find(TEMPLATES, name) else { return Ok(None) };
            file.text().map(|text| Some(text.into_owned())).map_err(|error| wrong(format!("{name}: {error}")))
        });
        let addresses: Vec<_> = ASSETS.iter().map(|file| (file.name, asset_url(file.name))).collect();
        environment.add_function("asset", move |name: &str| {
            match addresses.iter().find(|(known, _)| *known == name) {
                Some((_, Ok(address))) if !cfg!(debug_assertions) => {
                    Ok(Value::from_safe_string(address.clone()))
                }
                // Made of a hash and a name of the list: nothing in it needs escaping.
                _ => asset_url(name).map(Value::from_safe_string),
            }
        });
        environment.add_function("sample", |name: &str| {
            let file = find(SAMPLES, name).ok_or_else(|| wrong(format!("there is no sample {name}")))?;
            file.text().map(Cow::into_owned).map_err(|error| wrong(format!("{name} cannot be read: {error}")))
        });
        // What Markdown becomes here holds no HTML but ours.
        environment.add_filter("markdown", |text: &str| Value::from_safe_string(manual::html(text)));
        environment.add_function("guide", |name: &str| {
            let guide = manual::guide(name).ok_or_else(|| wrong(format!("there is no guide {name}")))?;
            Ok(Value::from_safe_string(guide.page().html.clone()))
        });
        environment.add_function("tools", || {
            let tools = GUIDES.iter().filter(|guide| guide.part == Part::Tools);
            Value::from(Serde(
                tools
                    .map(|guide| json!({ "title": guide.title(), "address": guide.address() }))
                    .collect::<Vec<_>>(),
            ))
        });
        environment.add_function("sends_to", |method: &str, address: &str, path: &str| {
            sends_to(method, address, path)
        });
        environment.add_filter("when", when);
        environment.add_filter("day", day);
        environment.add_filter("hour", hour);
        environment.add_filter("breakable", |text: &str| Value::from_safe_string(breakable(text)));
        environment.add_filter("took", took);
        environment.add_filter("pace", |rate: f64| rate.to_string());
        environment.add_filter("commas", |number: u64| commas(number));
        environment.add_filter("size", size);
        environment.add_filter("count", |number: u64, one: &str, many: &str| {
            format!("{} {}", commas(number), if number == 1 { one } else { many })
        });
        Self { environment }
    }

    /// A whole page.
    pub(super) fn render(&self, name: &str, context: serde_json::Value) -> Result<String, Error> {
        let context = Value::from(Serde(context));
        if cfg!(debug_assertions) {
            let mut fresh = self.environment.clone();
            fresh.clear_templates();
            return fresh.get_template(name)?.render(context);
        }
        self.environment.get_template(name)?.render(context)
    }
}

fn commas(number: u64) -> String {
    with_commas(usize::try_from(number).unwrap_or(usize::MAX))
}

/// A time as `{iso, exact, relative, clock}`; the page's `now` is what it is relative to, its `zone` where it is read.
fn when(state: &mut Rendering<'_, '_>, time: &str) -> Result<Value, Error> {
    let at = Timestamp::parse_rfc3339(time).ok_or_else(|| wrong(format!("{time} is not a time")))?;
    let now =
        state.lookup("now").and_then(|now| now.as_str().and_then(Timestamp::parse_rfc3339)).unwrap_or(at);
    let (zone, locale) = (zone(state), locale(state));
    let exact = zone.format(at, locale.exact());
    let clock = clock(&zone, locale, at, now);
    Ok(Value::from(Serde(
        json!({ "iso": time, "exact": exact, "relative": relative(at, now), "clock": clock }),
    )))
}

/// The time zone of whoever looks at the page; without one, UTC.
fn zone(state: &Rendering<'_, '_>) -> TimeZone {
    let name = state.lookup("zone");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
    TimeZone::parse(name).unwrap_or_else(|_| utc())
}

/// How dates and times are written on the page.
fn locale(state: &Rendering<'_, '_>) -> Locale {
    let name = state.lookup("locale");
    name.as_ref().and_then(Value::as_str).and_then(Locale::find).unwrap_or_default()
}

fn utc() -> TimeZone {
    TimeZone::parse("").expect("no name is UTC")
}

/// "3 November 2026": of a day that day, of a time the day that it is where it is read.
fn day(state: &mut Rendering<'_, '_>, time: &str) -> Result<String, Error> {
    let is_day = time.len() == 10;
    let whole = if is_day { Cow::Owned(format!("{time}T00:00:00Z")) } else { Cow::Borrowed(time) };
    let at = Timestamp::parse_rfc3339(&whole).ok_or_else(|| wrong(format!("{time} is not a time")))?;
    let zone = if is_day { utc() } else { zone(state) };
    Ok(zone.format(at, locale(state).day()))
}

/// "15:00": when an hour begins, of the last day.
fn hour(state: &mut Rendering<'_, '_>, time: &str) -> Result<String, Error> {
    let at = Timestamp::parse_rfc3339(time).ok_or_else(|| wrong(format!("{time} is not a time")))?;
    Ok(zone(state).format(at, locale(state).hour()))
}

/// The time alone of what was today, else the day with it: rows that stand below each other show their order and gaps.
fn clock(zone: &TimeZone, locale: Locale, at: Timestamp, now: Timestamp) -> String {
    let same = |form: &str| zone.format(at, form) == zone.format(now, form);
    zone.format(at, locale.clock(same("%F"), same("%Y")))
}

/// "2 minutes ago", "in 4 minutes". Each is a whole phrase: not every language puts them together as English does.
fn relative(at: Timestamp, now: Timestamp) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = (now.millis() - at.millis()) / 1_000;
    let (number, [one, many]) = match (seconds.unsigned_abs(), seconds < 0) {
        (0..10, _) => return small_word("just now"),
        (seconds @ 10..MINUTE, false) => {
            (seconds, [small_word("{number} second ago"), small_word("{number} seconds ago")])
        }
        (seconds @ 10..MINUTE, true) => {
            (seconds, [small_word("in {number} second"), small_word("in {number} seconds")])
        }
        (seconds @ MINUTE..HOUR, false) => {
            (seconds / MINUTE, [small_word("{number} minute ago"), small_word("{number} minutes ago")])
        }
        (seconds @ MINUTE..HOUR, true) => {
            (seconds / MINUTE, [small_word("in {number} minute"), small_word("in {number} minutes")])
        }
        (seconds @ HOUR..DAY, false) => {
            (seconds / HOUR, [small_word("{number} hour ago"), small_word("{number} hours ago")])
        }
        (seconds @ HOUR..DAY, true) => {
            (seconds / HOUR, [small_word("in {number} hour"), small_word("in {number} hours")])
        }
        (seconds, false) => {
            (seconds / DAY, [small_word("{number} day ago"), small_word("{number} days ago")])
        }
        (seconds, true) => (seconds / DAY, [small_word("in {number} day"), small_word("in {number} days")]),
    };
    let phrase = if number == 1 { one } else { many };
    phrase.replace("{number}", &number.to_string())
}

/// A text that breaks behind its dots and underscores before it breaks within a word, as HTML.
fn breakable(text: &str) -> String {
    let parts = text.split_inclusive(['.', '_']).map(|part| HtmlEscape(part).to_string());
    parts.collect::<Vec<_>>().join("<wbr>")
}

/// Milliseconds as people say them.
fn took(ms: u64) -> String {
    in_words(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests;
