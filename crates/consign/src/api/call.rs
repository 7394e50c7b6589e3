//! One request after it was let in: who calls, and what was sent.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Query, RawPathParams};
use bytes::Bytes;
use consign_core::catalog::unknown_field;
use consign_core::field_manager::{Applying, FieldManager};
use consign_core::id::RequestId;
use consign_core::time::Timestamp;
use consign_store::Page;
use http::header::{ACCEPT, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::problem::{Problem, kinds};
use super::sign_in::SignedIn;
use super::{Route, backups, body, events, exporters, sign_in, uploads};
use crate::App;
use crate::ops::{Actor, IfMatch};

/// The items of a page when nobody says how many.
const PAGE_ITEMS: u32 = 50;
/// The most items of a page: about what a person scrolls through, and a bounded answer.
pub(super) const PAGE_ITEMS_MAX: u32 = 200;
/// Enough for any name, id or search text.
const PARAMETER_CHARS_MAX: usize = 512;
/// In front of a cursor: the page behind it, or before it.
pub(super) const AFTER: char = 'a';
pub(super) const BEFORE: char = 'b';

/// A request that may do what it asks for.
pub(super) struct Call {
    /// The product.
    pub(super) app: Arc<App>,
    /// Who asks.
    pub(super) actor: Actor,
    /// The hash of the console's session that it came in.
    pub(super) session: Option<String>,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The path as sent.
    pub(super) path: String,
    /// The method.
    pub(super) method: Method,
    /// The body; empty where none is read.
    pub(super) body: Bytes,
    /// The body where it is read piece by piece.
    stream: Mutex<Option<Body>>,
    /// The query parameters, each known to the route and there once.
    pub(super) query: Vec<(&'static str, String)>,
    places: Vec<(String, String)>,
}

impl Call {
    /// Signs in, asks for the right, and only then reads what was sent.
    pub(super) async fn admit(
        app: Arc<App>,
        route: &'static Route,
        mut parts: Parts,
        body: Body,
        request_id: RequestId,
    ) -> Result<Self, Problem> {
        let SignedIn { actor, session } = sign_in::actor(&app, route, &parts, request_id).await?;
        let limits = &app.config.limits;
        let takes_events = route.path == events::PATH && route.method == Method::POST;
        let limit = if takes_events { limits.event_requests_per_second } else { limits.requests_per_second };
        app.allowances
            .take(&actor, takes_events, limit, app.now())
            .map_err(|wait| Problem::too_many(limit, wait))?;
        if let Some(right) = route.right {
            actor.require(right)?;
        }
        let query = query(route, &parts)?;
        let places = if route.path.contains('{') { places(&mut parts).await? } else { Vec::new() };
        let mut stream = None;
        let body = if route.method == Method::GET {
            Bytes::new()
        } else if [uploads::FILES, uploads::UPLOAD, backups::CHECKS].contains(&route.path) {
            stream = Some(body);
            Bytes::new()
        } else {
            let bytes_max = match route.path {
                events::PATH => {
                    usize::try_from(app.engine.delivery_rules().event_bytes).unwrap_or(body::BYTES_MAX)
                }
                exporters::RECORDS => exporters::RECORDS_BYTES_MAX,
                _ => body::BYTES_MAX,
            };
            body::read(&parts.headers, body, bytes_max).await?
        };
        let path = parts.uri.path().to_owned();
        let (headers, method, stream) = (parts.headers, parts.method, Mutex::new(stream));
        let mut call = Self { app, actor, session, headers, path, method, body, stream, query, places };
        call.actor.applying = call.applying()?;
        Ok(call)
    }

    /// The file that is applied, where the request says so.
    fn applying(&self) -> Result<Option<Applying>, Problem> {
        // A word without a value would be passed over, and the change made.
        for name in ["field_manager", "force", "dry_run"] {
            if self.query.iter().any(|(known, value)| *known == name && value.is_empty()) {
                return Err(Problem::parameter(name, format!("{name} needs a value.")));
            }
        }
        let manager = self.manager("field_manager")?;
        let (force, dry_run) = (self.flag("force")?, self.flag("dry_run")?);
        match manager {
            Some(manager) => Ok(Some(Applying { manager, force, dry_run })),
            None if force => Err(alone("force")),
            None if dry_run => Err(alone("dry_run")),
            None => Ok(None),
        }
    }

    /// The name of a field manager.
    pub(super) fn manager(&self, name: &str) -> Result<Option<FieldManager>, Problem> {
        self.parsed(name, "a name such as platform-itsm", |text| FieldManager::parse(text).ok())
    }

    /// The body where it is read piece by piece; empty the second time.
    pub(super) fn take_stream(&mut self) -> Body {
        self.stream.get_mut().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// What stands at a `{…}` of the address.
    pub(super) fn place(&self, name: &str) -> &str {
        let found = self.places.iter().find(|(place, _)| place == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The id at `{id}`; a text that is no such id names nothing.
    pub(super) fn id<T: std::str::FromStr>(&self, what: &'static str) -> Result<T, Problem> {
        self.place("id").parse().map_err(|_| Problem::not_found(what))
    }

    /// A query parameter that is there and not empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A query parameter as a text of its own.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.parameter(name).map(str::to_owned)
    }

    /// A query parameter of a form of its own.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| Problem::parameter(name, format!("{name} must be {expected}.")))
    }

    /// A point in time.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.parsed(name, "a time such as 2026-11-22T13:56:54Z", Timestamp::parse_rfc3339)
    }

    /// Yes or no; absent is no.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        let read = |text: &str| text.parse::<bool>().ok();
        Ok(self.parsed(name, "true or false", read)?.unwrap_or(false))
    }

    /// Which page of a list is asked for.
    pub(super) fn page(&self) -> Result<Page, Problem> {
        let limit = self.parsed("limit", "a number from 1 to 200", |text| {
            text.parse().ok().filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit))
        })?;
        let mut page = Page::first(limit.unwrap_or(PAGE_ITEMS));
        page.counted = self.flag("count")?;
        let oldest_first = |text: &str| match text {
            "created_at" => Some(true),
            "-created_at" => Some(false),
            _ => None,
        };
        let sort = self.parsed("sort", "created_at or -created_at", oldest_first)?;
        page.oldest_first = sort.unwrap_or_default();
        let cursor = self.parsed("cursor", "next_cursor or prev_cursor of another page", |text| {
            let place = text.get(1..).filter(|place| !place.is_empty())?;
            match text.chars().next()? {
                AFTER => Some((true, place.to_owned())),
                BEFORE => Some((false, place.to_owned())),
                _ => None,
            }
        })?;
        match cursor {
            Some((true, place)) => page.after = Some(place),
            Some((false, place)) => page.before = Some(place),
            None => {}
        }
        Ok(page)
    }

    /// Whether this media type is asked for by name (RFC 9110 section 12.5.1).
    pub(super) fn accepts(&self, media_type: &str) -> bool {
        let sent = self.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types = sent.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next());
        types.any(|one| one.trim().eq_ignore_ascii_case(media_type))
    }

    /// What must be unchanged: RFC 9110 section 13.1.1. A tag that we never gave out fits nothing.
    pub(super) fn if_match(&self) -> Result<IfMatch, Problem> {
        let mut sent = self.headers.get_all(IF_MATCH).iter();
        let Some(first) = sent.next() else {
            let detail = "Send the ETag of the object as you know it in If-Match, or * for whatever it is.";
            return Err(Problem::new(&kinds::IF_MATCH_NEEDED, detail));
        };
        let text = first.to_str().unwrap_or_default().trim();
        if sent.next().is_some() || text.contains(',') {
            return Err(Problem::new(&kinds::NOT_READABLE, "If-Match takes one ETag, or *."));
        }
        if text == "*" {
            return Ok(IfMatch::Any);
        }
        let number = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Ok(IfMatch::Revision(number.and_then(|number| number.parse().ok()).unwrap_or(0)))
    }
}

/// A parameter that says nothing without a field manager.
fn alone(name: &str) -> Problem {
    Problem::parameter(name, format!("{name} goes with field_manager."))
}

async fn places(parts: &mut Parts) -> Result<Vec<(String, String)>, Problem> {
    let unreadable = |_| Problem::new(&kinds::NOT_READABLE, "The address is not percent-encoded UTF-8.");
    let params = RawPathParams::from_request_parts(parts, &()).await.map_err(unreadable)?;
    Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The query parameters: known, and each given once.
fn query(route: &Route, parts: &Parts) -> Result<Vec<(&'static str, String)>, Problem> {
    if parts.uri.query().is_none() {
        return Ok(Vec::new());
    }
    let unreadable = |_| Problem::new(&kinds::NOT_READABLE, "The query is not percent-encoded UTF-8.");
    let Query(sent) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(unreadable)?;
    let mut query: Vec<(&'static str, String)> = Vec::with_capacity(sent.len());
    for (name, value) in sent {
        let Some(known) = route.query.iter().copied().find(|known| *known == name) else {
            let unknown = unknown_field(&name, route.query);
            let errors = serde_json::json!([
                { "parameter": unknown.field, "code": "unknown_parameter", "message": unknown.message }
            ]);
            let sentence =
                format!("{}{}", unknown.message, if unknown.message.ends_with('?') { "" } else { "." });
            return Err(Problem::new(&kinds::UNKNOWN_PARAMETER, sentence).with("errors", errors));
        };
        if query.iter().any(|(other, _)| *other == known) {
            return Err(Problem::parameter(known, format!("{known} was given twice.")));
        }
        if value.chars().count() > PARAMETER_CHARS_MAX {
            return Err(Problem::parameter(known, format!("{known} must be 512 characters or fewer.")));
        }
        query.push((known, value));
    }
    Ok(query)
}
