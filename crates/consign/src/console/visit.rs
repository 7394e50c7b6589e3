//! One request of a browser: who is signed in, what was sent, and how its answer is made.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use consign_core::id::RequestId;
use consign_core::schedule::TimeZone;
use serde_json::{Value, json};

use super::Console;
use super::errors::Failure;
use super::form::Form;
use super::form::upload::{self, Upload};
use crate::App;
use crate::ops::idempotency::{self, Begun, Idempotency, IdempotencyFault};
use crate::ops::users::{self, SignedIn, oidc};
use crate::ops::{Actor, OpError, deliveries, settings};
use crate::server::PeerAddress;

/// How long a second click waits for what the first one started, and how often it looks.
const SECOND_CLICK_MAX: Duration = Duration::from_secs(20);
const SECOND_CLICK_LOOK: Duration = Duration::from_millis(100);
/// What the script sends with a page that it asks for by itself.
const BY_ITSELF: &str = "consign-by-itself";
/// A message waits this long for the next page.
const MESSAGE_SECONDS: u32 = 60;
/// As long as the server waits for a code.
const STEP_SECONDS: u32 = 600;

/// A request of anyone.
pub(super) struct Visit {
    pub(super) console: Arc<Console>,
    /// Who is signed in.
    pub(super) person: Option<SignedIn>,
    /// What was typed, or the query of the address.
    pub(super) form: Form,
    /// A file that follows what was typed.
    upload: Mutex<Option<Upload>>,
    /// Something is looked at, and nothing was sent.
    pub(super) looks: bool,
    /// Path and query as asked.
    pub(super) address: String,
    /// The same as the table of pages has it; empty for a page that is in none.
    pub(super) pattern: String,
    pub(super) from: Option<IpAddr>,
    pub(super) request_id: RequestId,
    /// The token of somebody whose code is missing.
    pub(super) step: Option<String>,
    /// What the browser of somebody on the way back from the provider kept.
    pub(super) way: Option<String>,
    /// Plain http on a loopback address: the cookie cannot be `Secure`.
    local: bool,
    /// The browser showed that it came by TLS or from this machine: it would keep a session's cookie.
    trusted_way: bool,
    /// Scheme, host and port as the browser sees them, as far as can be told.
    origin: String,
    message: Option<Value>,
}

/// A message at the top of the next page.
pub(super) struct Message {
    pub(super) kind: &'static str,
    pub(super) text: String,
    /// Where to go on, and what that is called.
    pub(super) actions: Vec<(String, &'static str)>,
    /// It has the focus: what was pressed before is gone.
    pub(super) focused: bool,
}

impl Message {
    pub(super) fn done(text: impl Into<String>) -> Self {
        Self { kind: "success", text: text.into(), actions: Vec::new(), focused: false }
    }

    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self { kind: "danger", text: text.into(), actions: Vec::new(), focused: false }
    }

    pub(super) fn with_action(mut self, address: impl Into<String>, words: &'static str) -> Self {
        self.actions.push((address.into(), words));
        self
    }

    pub(super) fn focused(self) -> Self {
        Self { focused: true, ..self }
    }
}

impl Visit {
    /// Reads a request. What must not go on comes back as the failure to show.
    pub(super) async fn begin(
        console: Arc<Console>,
        parts: &mut Parts,
        body: Body,
    ) -> (Self, Result<(), Failure>) {
        let now = console.app.now();
        let local = is_local(&console.app, &parts.headers);
        let cookie = |name| cookie(&parts.headers, name);
        let message = cookie(message_cookie(local)).and_then(|text| read_message(&text));
        let mut visit = Self {
            person: None,
            form: Form::default(),
            upload: Mutex::default(),
            looks: parts.method.is_safe(),
            address: parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            pattern: parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned(),
            from: parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip()),
            request_id: parts.extensions.get().copied().unwrap_or_else(|| RequestId::new(now)),
            step: cookie(step_cookie(local)),
            way: cookie(way_cookie(local)),
            local,
            trusted_way: local || came_by_tls(&console.app, &parts.headers),
            origin: origin(&parts.headers),
            message,
            console,
        };
        let token = cookie(session_cookie(local));
        let read = visit.read(token, parts, body).await;
        (visit, read)
    }

    async fn read(&mut self, token: Option<String>, parts: &mut Parts, body: Body) -> Result<(), Failure> {
        if let Some(token) = token {
            // A page that asks by itself whether there is news does not keep a session alive.
            let quiet = parts.uri.path() == super::deliveries::NEWS || parts.headers.contains_key(BY_ITSELF);
            self.person = users::session(self.app(), &token, quiet).await?;
        }
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        *request.extensions_mut() = parts.extensions.clone();
        if parts.method == Method::POST {
            if upload::is_upload(&request) {
                let (form, upload) = upload::begin(request).await?;
                (self.form, self.upload) = (form, Mutex::new(upload));
            } else {
                self.form = Form::read(request).await?;
            }
            return self.judge_origin(&parts.headers);
        }
        if !parts.method.is_safe() {
            return Err(Failure::WrongMethod);
        }
        self.form = Form::read(request).await?;
        Ok(())
    }

    /// A form counts when it stood on a page of ours: the browser says so, and it has its session's token.
    fn judge_origin(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (site, origin) = (header("sec-fetch-site"), header("origin"));
        let ours = match (site, origin) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            // Before there is a session there is no token either.
            (None, Some("null")) => self.person.is_some(),
            (None, Some(origin)) => self.is_ours(origin, header("host")),
            (None, None) => true,
        };
        let token = self.person.as_ref().is_none_or(|person| {
            verify_slices_are_equal(self.form.text("csrf").as_bytes(), person.csrf.as_bytes()).is_ok()
        });
        match (ours, token) {
            (true, true) => Ok(()),
            (true, false) => Err(Failure::FormTooOld),
            (false, _) => Err(Failure::OtherSite),
        }
    }

    fn is_ours(&self, origin: &str, host: Option<&str>) -> bool {
        let named = origin.split_once("://").map(|(_, authority)| authority);
        origin == self.app().public_url() || (named.is_some() && named == host)
    }

    /// The file of this form, once.
    pub(super) fn take_upload(&self) -> Option<Upload> {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn app(&self) -> &App {
        &self.console.app
    }

    /// Where the browser is, when that is not where tools send people to.
    pub(super) fn other_origin(&self) -> Option<&str> {
        let other = !self.origin.is_empty() && self.origin != self.app().public_url();
        other.then_some(self.origin.as_str())
    }

    /// Where the page is, for what comes back to it. The way back from a tool holds a code, which no page shows.
    fn path(&self) -> &str {
        let back = [super::consent::CALLBACK, oidc::CALLBACK];
        if back.iter().any(|back| self.address.starts_with(back)) { "/" } else { &self.address }
    }

    /// What the frame of a page needs: navigation, user, messages.
    async fn frame(&self, place: &str, title: &str) -> Value {
        // Only who is signed in sees the counts.
        let attention = match self.person {
            Some(_) => deliveries::attention(self.app()).await.unwrap_or_default(),
            None => deliveries::Attention::default(),
        };
        let person = self.person.as_ref();
        json!({
            "title": title,
            "page": place,
            "nav": { "deliveries": badge(attention.deliveries), "credentials": attention.credentials },
            "user": {
                "name": person.map_or("", |person| person.name.as_str()),
                "role": person.map_or("", |person| person.role.label()),
            },
            "may": super::policy::may(self),
            "theme": person.map_or("", |person| person.theme.as_str()),
            "csrf": person.map_or("", |person| person.csrf.as_str()),
            "banners": super::banners::of(self).await,
            "flash": self.message,
            "instance": self.instance().await,
            "zone": person.map_or_else(String::new, |person| self.zone_of(person)),
            "locale": settings::locale(self.app()).name(),
            "docs": "/docs",
            "path": self.path(),
            "once": self.request_id,
            "now": self.app().now(),
            "signed_in": person.is_some(),
        })
    }

    /// The name that administrators gave this installation. Only those who are signed in see it.
    async fn instance(&self) -> String {
        match self.person {
            Some(_) => settings::instance_name(self.app()).await.unwrap_or_default(),
            None => String::new(),
        }
    }

    /// Where the clock of a person's pages hangs.
    fn zone_of(&self, person: &SignedIn) -> String {
        if person.time_zone.is_empty() { settings::time_zone(self.app()) } else { person.time_zone.clone() }
    }

    /// A page: `place` is the entry of the navigation that it belongs to.
    pub(super) async fn page(
        &self,
        status: StatusCode,
        template: &str,
        (place, title): (&str, &str),
        context: Value,
    ) -> Response {
        let mut whole = self.frame(place, title).await;
        if status == StatusCode::OK {
            whole["copies"] = super::commands::of(self).await;
        }
        if let (Some(whole), Value::Object(own)) = (whole.as_object_mut(), context) {
            debug_assert!(
                own.keys().all(|key| !whole.contains_key(key)),
                "{template} hides a value of the frame"
            );
            whole.extend(own);
        }
        match self.console.views.render(template, whole) {
            Ok(text) => self.seen((status, Html(text)).into_response()),
            Err(error) => {
                let (cause, request_id) = (&error as &dyn std::error::Error, self.request_id);
                tracing::error!(error = cause, template, %request_id, "a page could not be made");
                let text = format!("Something went wrong on this server. Reference {}", self.request_id);
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
            }
        }
    }

    /// Answers with where to go next.
    pub(super) fn go(&self, address: &str) -> Response {
        let location = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
    }

    /// Answers with where to go next, and what is said there.
    pub(super) fn go_and_say(&self, address: &str, message: Message) -> Response {
        let actions = message.actions.iter().map(|(url, action)| json!({ "url": url, "action": action }));
        let actions: Vec<_> = actions.collect();
        let said = json!({
            "kind": message.kind, "text": message.text, "actions": actions, "focused": message.focused,
        });
        let text = BASE64_URL_SAFE_NO_PAD.encode(said.to_string());
        self.with_cookie(self.go(address), message_cookie(self.local), &text, Some(MESSAGE_SECONDS))
    }

    /// Takes away a message that was shown.
    fn seen(&self, response: Response) -> Response {
        if self.message.is_none() {
            return response;
        }
        self.with_cookie(response, message_cookie(self.local), "", Some(0))
    }

    /// Whether a session can begin: by plain http from another machine, cookie and password could be read.
    pub(super) fn judge_way(&self) -> Result<(), Failure> {
        if self.trusted_way { Ok(()) } else { Err(Failure::PlainHttp) }
    }

    /// Starts the web session of a browser; an empty token ends it.
    pub(super) fn with_session(&self, response: Response, token: &str) -> Response {
        let age = if token.is_empty() { Some(0) } else { None };
        self.with_cookie(response, session_cookie(self.local), token, age)
    }

    /// Remembers for ten minutes whose code is missing; an empty token forgets it.
    pub(super) fn with_step(&self, response: Response, token: &str) -> Response {
        let age = if token.is_empty() { 0 } else { STEP_SECONDS };
        self.with_cookie(response, step_cookie(self.local), token, Some(age))
    }

    /// Keeps for ten minutes what somebody needs for the way back from the provider; an empty text forgets it.
    pub(super) fn with_way(&self, response: Response, way: &str) -> Response {
        let age = if way.is_empty() { 0 } else { oidc::WAY_SECONDS };
        self.with_cookie(response, way_cookie(self.local), way, Some(age))
    }

    fn with_cookie(&self, mut response: Response, name: &str, value: &str, age: Option<u32>) -> Response {
        let secure = if self.local { "" } else { "; Secure" };
        let age = age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// A number beside an entry of the navigation.
fn badge(count: u64) -> Value {
    if count < deliveries::IN_NAVIGATION_MAX { json!(count) } else { json!("999+") }
}

/// A request of a person who is signed in.
pub(super) struct Signed {
    visit: Arc<Visit>,
    pub(super) person: SignedIn,
    pub(super) actor: Actor,
}

impl std::ops::Deref for Signed {
    type Target = Visit;

    fn deref(&self) -> &Visit {
        &self.visit
    }
}

impl Signed {
    /// Where the clock of their pages hangs. A database of another release may not know it any more: then it is UTC.
    pub(super) fn zone(&self) -> TimeZone {
        let known = TimeZone::parse(&self.zone_of(&self.person));
        known.or_else(|_| TimeZone::parse("")).expect("no name is UTC")
    }

    /// Does what a form asks for, once: a second click gets what the first one made. `address` is where that is.
    /// The same form with something else in it, as after going back in the browser, asks for something else.
    pub(super) async fn once(
        &self,
        address: fn(&Value) -> String,
        work: impl Future<Output = Result<Value, OpError>>,
    ) -> Result<String, OpError> {
        let token = self.form.text("once");
        if token.is_empty() {
            return work.await.map(|made| address(&made));
        }
        let (app, actor) = (self.app(), &self.actor);
        let content = self.form.content();
        let Idempotency { fingerprint, .. } =
            Idempotency::new(app, String::new(), "POST", &self.address, content.expose().as_bytes());
        let asked = Idempotency { key: format!("{token}/{fingerprint}"), fingerprint };
        let deadline = app.now().plus(SECOND_CLICK_MAX);
        loop {
            let status = StatusCode::SEE_OTHER.as_u16();
            match idempotency::begin(app, actor, asked.clone(), status, address).await {
                Ok(Begun::New) => break,
                Ok(Begun::Replay { body, .. }) => return Ok(body.expose().to_owned()),
                Err(OpError::Idempotency(IdempotencyFault::Running)) if app.now() < deadline => {
                    tokio::time::sleep(SECOND_CLICK_LOOK).await;
                }
                Err(other) => return Err(other),
            }
        }
        let made = work.await.map(|made| address(&made));
        match &made {
            Ok(address) => idempotency::finish(app, actor, address).await?,
            Err(_) => idempotency::forget(app, actor).await?,
        }
        made
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Signed {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let visit = parts.extensions.get::<Arc<Visit>>().cloned().ok_or(Failure::NotFound)?;
        let Some(person) = visit.person.clone() else {
            return Err(if !users::waits_for_setup(visit.app()).await? {
                Failure::SignIn
            } else if users::sign_in_link_waits(visit.app()) {
                Failure::DemoNotOpened
            } else {
                Failure::NotSetUp
            });
        };
        let actor = person.actor(visit.from, visit.request_id);
        Ok(Self { visit, person, actor })
    }
}

/// A request of anyone, for pages that need no session.
pub(super) struct Anyone(pub(super) Arc<Visit>);

impl std::ops::Deref for Anyone {
    type Target = Visit;

    fn deref(&self) -> &Visit {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Anyone {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Arc<Visit>>().cloned().map(Self).ok_or(Failure::NotFound)
    }
}

/// Whether a browser came by plain http to a loopback address, where `Secure` cookies may be refused.
fn is_local(app: &App, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    !app.public_url().starts_with("https://") && is_loopback(host)
}

/// Whether a form came by TLS, as far as can be told behind a proxy: browsers send `Sec-Fetch-Site` to such
/// addresses only.
fn came_by_tls(app: &App, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    app.public_url().starts_with("https://")
        || headers.contains_key("sec-fetch-site")
        || origin.starts_with("https://")
}

/// Where a browser is. Other machines reach a page that is marked `Sec-Fetch-Site` by https only.
fn origin(headers: &HeaderMap) -> String {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return String::new();
    };
    let scheme = if headers.contains_key("sec-fetch-site") && !is_loopback(host) { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// Whether the host of a `Host` header, with or without a port, is this machine itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn session_cookie(local: bool) -> &'static str {
    if local { "consign-local" } else { "__Host-consign" }
}

/// Between the password and the code of a sign-in.
fn step_cookie(local: bool) -> &'static str {
    if local { "consign-local-step" } else { "__Host-consign-step" }
}

/// Between the button and the way back from the provider.
fn way_cookie(local: bool) -> &'static str {
    if local { "consign-local-way" } else { "__Host-consign-way" }
}

fn message_cookie(local: bool) -> &'static str {
    if local { "consign-local-message" } else { "__Host-consign-message" }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found = pairs.flat_map(|pairs| pairs.split(';')).find_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then(|| value.to_owned())
    });
    found.filter(|value| !value.is_empty())
}

/// A message as the layout shows it; anything else that claims to be one is dropped.
fn read_message(text: &str) -> Option<Value> {
    let message: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let is_text = |value: &Value, key: &str| value.get(key).is_some_and(Value::is_string);
    let leads_on = |action: &Value| {
        let url = action.get("url").and_then(Value::as_str);
        url.is_some_and(is_own_path) && is_text(action, "action")
    };
    let actions = message.get("actions").and_then(Value::as_array);
    let all_lead_on = actions.is_some_and(|actions| actions.iter().all(leads_on));
    (is_text(&message, "kind") && is_text(&message, "text") && all_lead_on).then_some(message)
}

/// A path of this server, and not of another one: `//host` and `/\host` lead away.
pub(super) fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
