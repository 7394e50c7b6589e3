//! The step *Signed-in request*: what proves the sign-in, and what is shown of its answer.

use std::time::Duration;

use bytes::Bytes;
use consign_core::answer;
use consign_core::connection_test::{RequestSeen, StepCode, StepState, TestOutcome, of_request};
use consign_core::connector::Message;
use consign_core::credential::{Refuser, StatusCode};
use consign_core::delivery::CredentialLesson;
use consign_core::target::{Origin, RemotePath};
use consign_transport::{Answer, Limits};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderValue, Method};

use super::super::authorize::Authorized;
use super::super::deliver::shown;
use super::{End, Test, lesson_of};

/// The signed-in request of a test.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Of its answer no more than this is read, and less is shown.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const DETAILS_BYTES_MAX: usize = 2 << 10;

impl Test<'_> {
    /// The request that proves the sign-in, where a test path is set.
    pub(super) async fn request(&mut self, authorized: &Authorized) -> Result<End, End> {
        let credential = self.credential;
        let test_path = credential.test_path.as_deref();
        let path = test_path.and_then(|path| RemotePath::parse(path).ok()).unwrap_or_else(RemotePath::root);
        let headers = [
            (ACCEPT, "application/json, */*;q=0.5"),
            (USER_AGENT, concat!("Consign/", env!("CARGO_PKG_VERSION"))),
        ];
        let message = Message {
            method: Method::GET,
            path: path.clone(),
            headers: headers.map(|(name, value)| (name, HeaderValue::from_static(value))).into(),
        };
        let limits =
            Limits { timeout: REQUEST_TIMEOUT, head_timeout: None, answer_bytes_max: ANSWER_BYTES_MAX };
        let now = self.engine.now();
        let sent = self.engine.network.send(&authorized.access, &message, Bytes::new(), &limits, now).await;
        let shown_path =
            if credential.authorization_type.address_is_secret { "" } else { path.without_query() };
        let took = Some(sent.timing.total);
        let Some(reply) = &sent.answer else {
            let what = format!("GET {shown_path}");
            self.push(StepCode::Request, StepState::Failed, took, what.trim().to_owned(), None);
            let message = authorized.scrubber.scrub(&sent.detail).into_owned();
            return Err(End::of(TestOutcome::Failed, message, lesson_of(&sent.outcome)));
        };
        let content_type = header(reply, CONTENT_TYPE.as_str());
        let said = answer::message(content_type.as_deref(), &reply.body)
            .map(|text| authorized.scrubber.scrub(&text).into_owned());
        let reason = header(reply, WWW_AUTHENTICATE.as_str()).as_deref().and_then(reason_in);
        let reason = reason.map(|text| authorized.scrubber.scrub(&text).into_owned());
        let leads_to = header(reply, LOCATION.as_str()).and_then(|location| host_in(&location));
        let (outcome, message) = of_request(
            credential.authorization_type,
            RequestSeen {
                status: reply.status,
                is_html: answer::is_web_page(content_type.as_deref(), &reply.body),
                message: said.as_deref(),
                reason: reason.as_deref(),
                leads_to: leads_to.as_deref(),
                has_test_path: test_path.is_some(),
            },
        );
        let state = if outcome == TestOutcome::Failed { StepState::Failed } else { StepState::Done };
        let fact = format!("GET {shown_path} · {}", reply.status);
        self.push(StepCode::Request, state, took, fact.replace("GET  ·", "GET ·"), None);
        let lesson = match (outcome, reply.status) {
            (TestOutcome::Working, _) => CredentialLesson::Works,
            (_, 401) => CredentialLesson::Refused(401),
            _ => CredentialLesson::Answered,
        };
        let tokens = credential.authorization_type.tokens;
        let action = StatusCode::SignInRefused.action(tokens, Refuser::Tool).filter(|_| reply.status == 401);
        let details = Some(details(reply, authorized));
        Ok(End { details, ..End::of(outcome, message, Some(lesson)) }.with_action(action))
    }
}

fn header(reply: &Answer, name: &str) -> Option<String> {
    reply.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The words behind `error_description=` or `realm=` (RFC 6750 section 3, RFC 9110 section 11.6.1).
fn reason_in(challenge: &str) -> Option<String> {
    ["error_description=\"", "realm=\""].into_iter().find_map(|key| {
        let (_, rest) = challenge.split_once(key)?;
        let (text, _) = rest.split_once('"')?;
        Some(text.chars().filter(|c| !c.is_control()).take(300).collect())
    })
}

fn host_in(location: &str) -> Option<String> {
    Origin::parse_whole("Location", location).ok().map(|(origin, _)| origin.host().to_string())
}

/// Status line, headers that may be shown, the start of the body: scrubbed as a whole before it is cut.
fn details(reply: &Answer, authorized: &Authorized) -> String {
    let mut text = format!("HTTP status {}\n", reply.status);
    for (name, value) in &reply.headers {
        let value = value.to_str().ok().filter(|_| shown(name.as_str())).unwrap_or("hidden");
        text.push_str(&format!("{name}: {}\n", authorized.scrubber.scrub(value)));
    }
    text.push('\n');
    let body = String::from_utf8_lossy(&reply.body);
    let body = authorized.scrubber.scrub(&body);
    text.push_str(&body[..body.floor_char_boundary(DETAILS_BYTES_MAX)]);
    text
}
