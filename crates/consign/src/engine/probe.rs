//! The connection test: each step of the way on its own, with what was seen. It asks with GET, keeps nothing of the
//! tool and goes through the same dialler as everything else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consign_core::answer;
use consign_core::auth::{Ask, Step};
use consign_core::catalog::{Choice, Input, Tokens};
use consign_core::connection_test::{
    Offer, RequestSeen, StepCode, StepState, TestOutcome, TestResult, TestStep, of_clocks, of_offer,
    of_request, of_token_error,
};
use consign_core::connector::Message;
use consign_core::credential::Credential;
use consign_core::delivery::{CredentialLesson, Outcome, Refusal, Unreached};
use consign_core::secret::Secret;
use consign_core::target::{Origin, RemotePath, Target};
use consign_core::time::Timestamp;
use consign_core::token::{Exchange, Grant, OAuthError, Token, TokenError, TokenFacts};
use consign_transport::{Answer, Limits, Probe};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderValue, Method};

use super::Engine;
use super::authorize::{Authorized, Opened};
use super::deliver::shown;
use super::token_request::{AskError, Asked};

mod file_server;

/// The signed-in request of a test.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Of its answer no more than this is read, and less is shown.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const DETAILS_BYTES_MAX: usize = 2 << 10;
/// The field whose other choices a test tries when the client was not accepted.
const PLACEMENT: &str = "authentication_information";
/// A code that no tool ever gave: what it says of the client is the answer.
const MADE_UP_CODE: &str = "consign-connection-test";

impl Engine {
    /// Tests a credential.
    pub async fn test(self: &Arc<Self>, credential: &Arc<Credential>, how: TestHow) -> TestResult {
        let mut test = Test { engine: self, credential, how, steps: Vec::new(), warnings: Vec::new() };
        let ended = test.run().await;
        let End { outcome, message, details, offer, lesson } = ended.unwrap_or_else(|failed| failed);
        TestResult { outcome, message, steps: test.steps, details, offer, warnings: test.warnings, lesson }
    }
}

/// What a test may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestHow {
    /// The credential is stored as it is, and its own tokens may be used.
    pub saved: bool,
    /// On a file server a small file is written, renamed and deleted.
    pub write: bool,
}

/// How a test ended.
struct End {
    outcome: TestOutcome,
    message: String,
    details: Option<String>,
    offer: Option<Offer>,
    lesson: Option<CredentialLesson>,
}

impl End {
    fn failed(message: impl Into<String>) -> Self {
        Self::of(TestOutcome::Failed, message.into(), None)
    }

    fn of(outcome: TestOutcome, message: String, lesson: Option<CredentialLesson>) -> Self {
        Self { outcome, message, details: None, offer: None, lesson }
    }
}

/// What a way that ended early teaches: nothing, where we ourselves did not go on.
fn lesson_of(outcome: &Outcome) -> Option<CredentialLesson> {
    match outcome {
        Outcome::Unreachable { reason } => Some(CredentialLesson::Unreachable(*reason)),
        Outcome::Accepted { .. }
        | Outcome::Rejected { .. }
        | Outcome::Unanswered { .. }
        | Outcome::Refused { .. } => None,
    }
}

struct Test<'a> {
    engine: &'a Arc<Engine>,
    credential: &'a Arc<Credential>,
    how: TestHow,
    steps: Vec<TestStep>,
    warnings: Vec<String>,
}

impl Test<'_> {
    async fn run(&mut self) -> Result<End, End> {
        let engine = self.engine;
        let credential = self.credential.clone();
        let origin = match &credential.target {
            Target::Https(origin) => origin,
            Target::Sftp(host) => return self.file_server(host).await,
        };
        self.look(origin, None).await?;
        let opened = Opened::open(&engine.vault, &credential).map_err(|refusal| refused(&refusal))?;
        let authorized = match credential.authorization_type.tokens {
            Tokens::None => match opened.step(None, engine.now()) {
                Step::Apply(proof) => {
                    opened.enter(proof, None, engine.now()).map_err(|refusal| refused(&refusal))?
                }
                Step::Fetch { .. } | Step::AskConsent | Step::SignIn(_) => {
                    return Err(End::failed("The sign-in needs a token."));
                }
            },
            Tokens::Fetched => self.fetched(&opened).await?,
            Tokens::Granted => match self.granted(&opened).await? {
                Some(authorized) => authorized,
                None => {
                    self.skip(StepCode::Request);
                    let message = "The client ID and secret are accepted. Authorize to finish.".to_owned();
                    return Ok(End::of(TestOutcome::Reached, message, None));
                }
            },
        };
        self.request(&authorized).await
    }

    /// Name, network and TLS of one host.
    async fn look(&mut self, origin: &Origin, host: Option<String>) -> Result<(), End> {
        let probe = self.engine.network.probe(origin).await;
        let Probe { address, tls, timing, failure } = probe;
        let at = match (&failure, address, &tls) {
            (None, _, _) => 3,
            (Some((Outcome::Refused { .. }, _)), _, _) => 0,
            (Some(_), None, _) if timing.connect.is_none() => 0,
            (Some(_), None, _) => 1,
            (Some(_), Some(_), _) => 2,
        };
        let facts = [
            address.map(|address| address.to_string()).unwrap_or_default(),
            format!("port {}", origin.port()),
            tls.as_ref()
                .map(|tls| {
                    let end = tls.certificate_ends.as_ref().map(|day| format!(", certificate until {day}"));
                    format!("{}{}", tls.version, end.unwrap_or_default())
                })
                .unwrap_or_default(),
        ];
        let codes = [StepCode::Name, StepCode::Connect, StepCode::Tls];
        let times = [timing.dns, timing.connect, timing.tls];
        for (place, (code, fact)) in codes.into_iter().zip(facts).enumerate() {
            let state = match place.cmp(&at) {
                std::cmp::Ordering::Less => StepState::Done,
                std::cmp::Ordering::Equal => StepState::Failed,
                std::cmp::Ordering::Greater => StepState::Skipped,
            };
            let fact = if state == StepState::Done { fact } else { String::new() };
            self.push(code, state, times[place], fact, host.clone());
        }
        let Some((outcome, detail)) = failure else { return Ok(()) };
        if self.credential.authorization_type.tokens != Tokens::None {
            self.skip(StepCode::Token);
        }
        self.skip(StepCode::Request);
        Err(End::of(TestOutcome::Failed, detail, lesson_of(&outcome)))
    }

    /// A fresh token for a client of its own.
    async fn fetched(&mut self, opened: &Opened<'_>) -> Result<Authorized, End> {
        let Step::Fetch { exchange, .. } = opened.step(None, self.engine.now()) else {
            return Err(End::failed("The sign-in needs no token."));
        };
        self.look_at_token_host(&exchange).await?;
        let asked = self.engine.ask(opened, &exchange, None, None, self.engine.now()).await;
        let token = self.token(opened, &exchange, asked).await?;
        self.enter(opened, &token)
    }

    /// What a person granted; `None` when nobody did, and the client itself is fine.
    async fn granted(&mut self, opened: &Opened<'_>) -> Result<Option<Authorized>, End> {
        let Some(consent) = opened.authorizer().consent() else {
            return Err(End::failed("The sign-in needs no approval."));
        };
        let ask = Ask::new(String::from("https://consign.invalid/oauth/callback"));
        let made_up = consent.redeem(&Secret::new(MADE_UP_CODE.to_owned()), &ask);
        self.look_at_token_host(&made_up).await?;
        let row =
            if self.how.saved { self.engine.token_row(self.credential).await.ok().flatten() } else { None };
        if row.as_ref().is_some_and(|row| row.token.is_some()) {
            let authorized = self.engine.authorize(self.credential, self.engine.now()).await;
            let row = self.engine.token_row(self.credential).await.ok().flatten();
            let facts = row.and_then(|row| row.token.as_ref().map(|token| token.facts.clone()));
            return match authorized {
                Ok(authorized) => {
                    let fact = facts.map(|facts| token_fact(&facts, self.engine.now())).unwrap_or_default();
                    self.push(StepCode::Token, StepState::Done, None, fact, None);
                    Ok(Some(authorized))
                }
                Err(refusal) => {
                    self.push(StepCode::Token, StepState::Failed, None, reason_of(&refusal), None);
                    self.skip(StepCode::Request);
                    Err(refused(&refusal))
                }
            };
        }
        let asked = self.engine.ask(opened, &made_up, None, None, self.engine.now()).await;
        match &asked.result {
            Err(AskError::Token(TokenError::GrantEnded { .. })) => {
                let fact = "the client is accepted, and nobody has approved yet".to_owned();
                self.push(StepCode::Token, StepState::Skipped, Some(asked.timing.total), fact, None);
                Ok(None)
            }
            // A tool that takes any code would be no proof either.
            _ => self.token(opened, &made_up, asked).await.map(|_| None),
        }
    }

    async fn look_at_token_host(&mut self, exchange: &Exchange) -> Result<(), End> {
        let origin = exchange.to.origin().clone();
        if Some(&origin) == self.credential.target.origin() {
            return Ok(());
        }
        let host = origin.host().to_string();
        let headers = self.credential.custom_headers.iter();
        let with_token =
            headers.filter(|header| header.sent_with != consign_core::credential::SentWith::ApiRequest);
        let names: Vec<_> = with_token.map(|header| header.name.as_str()).collect();
        if !names.is_empty() {
            self.warnings.push(format!("{} also goes to {host}, with the token request.", names.join(", ")));
        }
        self.look(&origin, Some(host)).await
    }

    /// Notes the step of a token request; when the client was not accepted, finds out where the tool wants it.
    async fn token(&mut self, opened: &Opened<'_>, exchange: &Exchange, asked: Asked) -> Result<Token, End> {
        if let Some(seconds) =
            asked.seen.as_ref().and_then(|seen| seconds_ahead(seen.date.as_deref(), self.engine.now()))
        {
            // Only what is dated by us can be refused for it; a client secret is not.
            let dated =
                exchange.grant != Grant::ClientCredentials && exchange.grant != Grant::AuthorizationCode;
            self.warnings.extend(of_clocks(seconds).filter(|_| dated));
        }
        let took = Some(asked.timing.total);
        let error = match asked.result {
            Ok(token) => {
                let missing = missing_scope(&exchange.scope, token.facts.scope.as_deref());
                self.warnings.extend(missing);
                self.push(
                    StepCode::Token,
                    StepState::Done,
                    took,
                    token_fact(&token.facts, self.engine.now()),
                    None,
                );
                return Ok(token);
            }
            Err(error) => error,
        };
        self.push(StepCode::Token, StepState::Failed, took, fact_of(&error), None);
        self.skip(StepCode::Request);
        let status = asked.seen.as_ref().map(|seen| seen.status);
        let in_doubt = matches!(&error, AskError::Token(TokenError::Refused { .. }))
            && (matches!(status, Some(400 | 401)) || code_of(&error) == Some("invalid_client"));
        if in_doubt && let Some(end) = self.try_other_placements(exchange).await {
            return Err(end);
        }
        let message = match &error {
            AskError::Token(error @ (TokenError::Refused { .. } | TokenError::GrantEnded { .. })) => {
                let entry = self.credential.authorization_type;
                let scrubber = opened.scrubber(None);
                scrubber
                    .scrub(&of_token_error(entry, exchange.grant.kind(), &exchange.scope, error))
                    .into_owned()
            }
            AskError::Token(TokenError::Transient { reason, .. }) => {
                format!("The tool gave no token: {reason}.")
            }
            AskError::Unreached { reason, .. } => format!("{reason}."),
            AskError::Refused(refusal) => refused(refusal).message,
        };
        // A grant draws the consequences itself, when it is next used.
        let granted = self.credential.authorization_type.tokens == Tokens::Granted;
        let lesson = match &error {
            _ if granted => None,
            AskError::Token(TokenError::Refused { .. } | TokenError::GrantEnded { .. }) => {
                Some(CredentialLesson::Refused(status.unwrap_or_default()))
            }
            AskError::Unreached { trust: true, .. } => Some(CredentialLesson::Unreachable(Unreached::Tls)),
            AskError::Unreached { .. } => Some(CredentialLesson::Unreachable(Unreached::Connect)),
            AskError::Token(TokenError::Transient { .. }) | AskError::Refused(_) => None,
        };
        let details = status.map(|status| format!("HTTP status {status}"));
        Err(End { details, ..End::of(TestOutcome::Failed, message, lesson) })
    }

    /// Asks again with each other placement of the client; `Some` when one of them is accepted.
    async fn try_other_placements(&self, refused: &Exchange) -> Option<End> {
        let entry = self.credential.authorization_type;
        let Input::Choice(choices) = entry.fields.iter().find(|field| field.key == PLACEMENT)?.input else {
            return None;
        };
        let chosen = self.credential.plain.get(PLACEMENT)?;
        let mut tried = vec![(refused.headers.clone(), Secret::new(refused.body.expose().to_owned()))];
        for choice in choices.iter().filter(|choice| choice.kind != chosen) {
            let opened = Opened::open(&self.engine.vault, self.credential).ok()?;
            let opened = opened.with_choice(PLACEMENT, choice.kind).ok()?;
            let exchange = same_grant(&opened, refused.grant, self.engine.now())?;
            // Not encoded is the same as encoded where nothing needs it.
            let known = |(headers, body): &(Vec<_>, Secret)| {
                *headers == exchange.headers && body.expose() == exchange.body.expose()
            };
            if tried.iter().any(known) {
                continue;
            }
            let asked = self.engine.ask(&opened, &exchange, None, None, self.engine.now()).await;
            tried.push((exchange.headers.clone(), Secret::new(exchange.body.expose().to_owned())));
            let accepted = match &asked.result {
                Ok(_) => true,
                // The made-up code was looked at, so the client was let in.
                Err(AskError::Token(TokenError::GrantEnded { .. })) => {
                    refused.grant == Grant::AuthorizationCode
                }
                Err(_) => false,
            };
            if accepted {
                // A grant draws the consequences itself, when it is next used.
                let lesson = (entry.tokens != Tokens::Granted).then_some(CredentialLesson::Refused(401));
                return Some(offer(choice, choices, chosen, lesson));
            }
        }
        None
    }

    #[expect(clippy::result_large_err, reason = "tests are rare, and their end is what is wanted")]
    fn enter(&self, opened: &Opened<'_>, token: &Token) -> Result<Authorized, End> {
        let now = self.engine.now();
        let proof = match opened.step(Some(token), now) {
            Step::Apply(proof) | Step::Fetch { meanwhile: Some(proof), .. } => proof,
            Step::Fetch { .. } | Step::AskConsent | Step::SignIn(_) => {
                return Err(End::failed("The token ended at once."));
            }
        };
        let mut authorized = opened.enter(proof, None, now).map_err(|refusal| refused(&refusal))?;
        authorized.scrubber = opened.scrubber(Some(token));
        Ok(authorized)
    }

    /// The request that proves the sign-in, where a test path is set.
    async fn request(&mut self, authorized: &Authorized) -> Result<End, End> {
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
        let details = Some(details(reply, authorized));
        Ok(End { details, ..End::of(outcome, message, Some(lesson)) })
    }

    fn push(
        &mut self,
        code: StepCode,
        state: StepState,
        took: Option<Duration>,
        fact: String,
        host: Option<String>,
    ) {
        let duration_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.steps.push(TestStep { code, label: code.label().to_owned(), state, host, duration_ms, fact });
    }

    fn skip(&mut self, code: StepCode) {
        self.push(code, StepState::Skipped, None, String::new(), None);
    }
}

/// The same token request with another placement.
fn same_grant(opened: &Opened<'_>, grant: Grant, now: Timestamp) -> Option<Exchange> {
    if grant == Grant::AuthorizationCode {
        let ask = Ask::new(String::from("https://consign.invalid/oauth/callback"));
        return Some(opened.authorizer().consent()?.redeem(&Secret::new(MADE_UP_CODE.to_owned()), &ask));
    }
    match opened.step(None, now) {
        Step::Fetch { exchange, .. } => Some(*exchange),
        Step::Apply(_) | Step::AskConsent | Step::SignIn(_) => None,
    }
}

fn offer(works: &Choice, choices: &[Choice], chosen: &str, lesson: Option<CredentialLesson>) -> End {
    let fails = choices.iter().find(|choice| choice.kind == chosen).map_or(chosen, |choice| choice.label);
    let offer =
        Offer { field: PLACEMENT.to_owned(), value: works.kind.to_owned(), label: works.label.to_owned() };
    let message = of_offer(works.label, fails);
    End { offer: Some(offer), ..End::of(TestOutcome::Failed, message, lesson) }
}

fn refused(refusal: &Refusal) -> End {
    End::failed(match refusal {
        Refusal::CredentialLocked => {
            "A secret does not open with the loaded keys, or its destination was changed.".to_owned()
        }
        Refusal::NotAsSaved => "The credential was changed in the database, outside Consign.".to_owned(),
        Refusal::CredentialMissing => "There is no credential.".to_owned(),
        Refusal::DestinationBlocked(words) | Refusal::NotRendered(words) => format!("{words}."),
        Refusal::TokenAway { reason, .. } => format!("The tool gave no token: {reason}."),
        Refusal::TokenRefused(reason) => format!("The tool gave no token: {reason}."),
        Refusal::NoGrant(reason) if reason.contains("refresh token was refused") => {
            "The tool no longer accepts the refresh token. Someone must approve access again.".to_owned()
        }
        Refusal::NoGrant(reason) if reason.is_empty() => "Nobody has approved access yet.".to_owned(),
        Refusal::NoGrant(reason) => format!("Someone must approve access again: {reason}."),
        Refusal::Stopping => "This server could not finish the test. Try again.".to_owned(),
    })
}

fn reason_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::TokenAway { reason, .. } | Refusal::TokenRefused(reason) | Refusal::NoGrant(reason) => {
            reason.clone()
        }
        Refusal::CredentialLocked
        | Refusal::NotAsSaved
        | Refusal::CredentialMissing
        | Refusal::DestinationBlocked(_)
        | Refusal::NotRendered(_)
        | Refusal::Stopping => String::new(),
    }
}

fn fact_of(error: &AskError) -> String {
    match error {
        AskError::Token(error) => error.reason().to_owned(),
        AskError::Unreached { .. } | AskError::Refused(_) => String::new(),
    }
}

fn code_of(error: &AskError) -> Option<&str> {
    match error {
        AskError::Token(error) => error.code(),
        AskError::Unreached { .. } | AskError::Refused(_) => None,
    }
}

/// `Bearer, 1,799 s, scope useraccount`.
fn token_fact(facts: &TokenFacts, now: Timestamp) -> String {
    let mut parts = vec!["Bearer".to_owned()];
    if let Some(ends_at) = facts.ends_at {
        let left = usize::try_from(ends_at.since(now).as_secs()).unwrap_or(usize::MAX);
        parts.push(format!("{} s", consign_core::catalog::with_commas(left)));
    }
    let scope = facts.scope.as_deref().filter(|scope| !scope.is_empty());
    // Text of a stranger: shown short, and only as text.
    let scope = scope.and_then(|scope| OAuthError::of("scope", scope));
    parts.extend(scope.map(|scope| format!("scope {}", scope.description)));
    parts.join(", ")
}

/// A granted scope smaller than what was asked for is worth a look, and no error.
fn missing_scope(asked: &str, granted: Option<&str>) -> Option<String> {
    let granted: Vec<_> = granted?.split(' ').collect();
    let missing: Vec<_> = asked.split(' ').filter(|one| !one.is_empty() && !granted.contains(one)).collect();
    (!missing.is_empty()).then(|| format!("The tool did not grant the scope {}.", missing.join(" ")))
}

fn seconds_ahead(date: Option<&str>, now: Timestamp) -> Option<i64> {
    let there = httpdate::parse_http_date(date?).ok()?;
    let there = there.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(i64::try_from(there.as_secs()).ok()? - now.seconds())
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
