//! What is kept of an attempt: scrubbed, cut, by allow-list.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use consign_core::answer;
use consign_core::connector::{Message, Success};
use consign_core::credential::Credential;
use consign_core::delivery::{EXCERPT_BYTES_MAX, Outcome};
use consign_core::vault::DerivedKey;
use consign_transport::{Sent, Timing};
use serde::Serialize;
use serde_json::Value;

use super::super::authorize::Authorized;

/// A message of a tool that is kept with the delivery.
const MESSAGE_CHARS_MAX: usize = 300;

/// Headers whose values may be shown; of every other only the name is.
const SHOWN_HEADERS: &[&str] = &[
    "content-type",
    "content-length",
    "content-encoding",
    "date",
    "retry-after",
    "x-request-id",
    "x-correlation-id",
    "idempotency-key",
    "etag",
    "allow",
    "server",
    "www-authenticate",
    "accept",
    "user-agent",
];
const SHOWN_PREFIXES: &[&str] = &["ratelimit", "x-ratelimit", "webhook-"];

/// What one attempt saw, with what is kept of it.
pub(in crate::engine) struct Seen {
    pub(in crate::engine) outcome: Outcome,
    pub(super) request_line: String,
    pub(super) request_headers: String,
    pub(super) request_bytes: u64,
    pub(super) answer_headers: String,
    pub(super) answer_bytes: u64,
    pub(super) excerpt: Option<Vec<u8>>,
    pub(in crate::engine) message: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) timing: String,
    /// The request, sealed, where it left.
    pub(super) request: Option<Vec<u8>>,
}

impl Seen {
    /// Nothing was sent.
    pub(in crate::engine) fn nothing(outcome: Outcome, message: Option<String>) -> Self {
        Self {
            outcome,
            request_line: String::new(),
            request_headers: "[]".to_owned(),
            request_bytes: 0,
            answer_headers: "[]".to_owned(),
            answer_bytes: 0,
            excerpt: None,
            message,
            reference: None,
            timing: "{}".to_owned(),
            request: None,
        }
    }
}

/// For whom an answer is read, and how.
pub(in crate::engine) struct Kept<'a> {
    /// What the start of the answer is sealed for.
    pub(in crate::engine) record: &'a str,
    /// When the request counts as taken.
    pub(in crate::engine) success_when: Success,
    /// Names and JSON Pointers of values kept from the answer.
    pub(in crate::engine) outputs: &'a [(String, String)],
}

/// Turns what the transport saw into what is kept: scrubbed, cut, by allow-list.
pub(in crate::engine) fn seen(
    of: &Kept<'_>,
    credential: &Credential,
    authorized: &Authorized,
    message: &Message,
    sent: Sent,
    payload_key: &DerivedKey,
) -> Seen {
    let mut outcome = sent.outcome;
    let secret_names: Vec<_> = authorized.access.headers.iter().map(|(name, _)| name).collect();
    let own = message.headers.iter().filter(|(name, _)| !secret_names.contains(&name));
    let request_headers = own
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("hidden"), shown(name.as_str())))
        .chain(secret_names.iter().map(|name| (name.as_str(), "hidden", false)))
        .map(|(name, value, shown)| KeptHeader { name, value: (if shown { value } else { "hidden" }).into() })
        .collect::<Vec<_>>();
    let path = if authorized.access.path.is_some() {
        "•••"
    } else {
        message.path.without_query().trim_start_matches('/')
    };
    let mut seen = Seen {
        outcome: outcome.clone(),
        request_line: format!("{} {}{path}", message.method, credential.target),
        request_headers: json_text(&request_headers),
        request_bytes: sent.request_bytes,
        answer_headers: "[]".to_owned(),
        answer_bytes: 0,
        excerpt: None,
        // Of an answer the message is what the tool says in it; only of a redirect is it where it leads.
        message: (!sent.detail.is_empty() && (sent.answer.is_none() || outcome.class() == "http_3xx"))
            .then(|| authorized.scrubber.scrub(&sent.detail).into_owned()),
        reference: None,
        timing: json_text(&KeptTiming::of(&sent.timing)),
        request: None,
    };
    let Some(reply) = sent.answer else { return seen };
    let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok());
    if let (Outcome::Accepted { status }, Success::StatusAndJson) = (&outcome, of.success_when)
        && !answer::is_json(&reply.body)
    {
        seen.message =
            Some(format!("The tool answered {status} with a web page instead of JSON. Check the path."));
        outcome = Outcome::Rejected { status: *status, wait: None };
    }
    let accepted = matches!(outcome, Outcome::Accepted { .. });
    let answer_headers = reply
        .headers
        .iter()
        .map(|(name, value)| {
            let value = value.to_str().ok().filter(|_| shown(name.as_str()));
            let value = value.map_or(Cow::Borrowed("hidden"), |value| authorized.scrubber.scrub(value));
            KeptHeader { name: name.as_str(), value }
        })
        .collect::<Vec<_>>();
    seen.answer_headers = json_text(&answer_headers);
    seen.answer_bytes = u64::try_from(reply.body.len()).unwrap_or(u64::MAX);
    if accepted {
        seen.reference = reference(of.outputs, &reply.body, header("location"))
            .map(|reference| authorized.scrubber.scrub(&reference).into_owned());
    } else if seen.message.is_none() {
        let found = answer::message(header("content-type"), &reply.body);
        let said =
            found.map(|text| authorized.scrubber.scrub(&text).chars().take(MESSAGE_CHARS_MAX).collect());
        seen.message = said;
    }
    if !reply.body.is_empty() {
        // The whole of what was read is scrubbed before it is cut, so that no secret is cut in half and kept.
        let text = String::from_utf8_lossy(&reply.body);
        let text = authorized.scrubber.scrub(&text);
        let cut = text.floor_char_boundary(EXCERPT_BYTES_MAX);
        seen.excerpt = Some(payload_key.encrypt(of.record, text[..cut].as_bytes()));
    }
    seen.outcome = outcome;
    seen
}

/// The reference of the new record: the outputs asked for, else what tools usually call it.
fn reference(outputs: &[(String, String)], body: &Bytes, location: Option<&str>) -> Option<String> {
    const OUTPUT_CHARS_MAX: usize = 1_024;
    if outputs.is_empty() {
        return answer::reference(body, location);
    }
    let answer: Value = serde_json::from_slice(body).ok()?;
    let found = outputs.iter().filter_map(|(name, pointer)| {
        let value = answer.pointer(pointer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(format!("{name}: {}", text.chars().take(OUTPUT_CHARS_MAX).collect::<String>()))
    });
    let all: Vec<_> = found.collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// A header as it is kept with an attempt.
#[derive(Serialize)]
struct KeptHeader<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

/// The parts of the duration, in milliseconds with three places.
#[derive(Serialize)]
struct KeptTiming {
    dns: Option<f64>,
    connect: Option<f64>,
    tls: Option<f64>,
    first_byte: Option<f64>,
    body: Option<f64>,
    total: f64,
    reused: bool,
}

impl KeptTiming {
    fn of(timing: &Timing) -> Self {
        let ms = |part: Duration| (part.as_secs_f64() * 1e6).round() / 1e3;
        Self {
            dns: timing.dns.map(ms),
            connect: timing.connect.map(ms),
            tls: timing.tls.map(ms),
            first_byte: timing.first_byte.map(ms),
            body: timing.body.map(ms),
            total: ms(timing.total),
            reused: timing.reused,
        }
    }
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists and structures of texts and numbers are JSON")
}

/// Whether the value of a header may be shown.
pub(in crate::engine) fn shown(name: &str) -> bool {
    SHOWN_HEADERS.contains(&name) || SHOWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
