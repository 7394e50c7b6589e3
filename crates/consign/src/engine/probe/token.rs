//! The step *Access token received*: a token of the test's own, and where the tool wants the client when it refused it.

use std::sync::Arc;

use consign_core::auth::{Ask, Step, recipient_apart};
use consign_core::catalog::{Choice, Input, Tokens};
use consign_core::connection_test::{
    AssertionSeen, Offer, StepCode, StepState, TestOutcome, of_assertion_error, of_clocks, of_offer,
    of_token_error,
};
use consign_core::credential::{Refuser, SentWith, StatusCode};
use consign_core::delivery::{CredentialLesson, Unreached};
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_core::token::{Exchange, Grant, Token, TokenError, TokenFacts};

use super::super::authorize::{Authorized, Opened};
use super::super::token_request::{AskError, Asked};
use super::{End, Test, reason_of, refused};

/// Of a granted scope no more than this is shown.
const SCOPE_CHARS_MAX: usize = 300;
/// The field whose other choices a test tries when the client was not accepted.
const PLACEMENT: &str = "authentication_information";
/// The choice in it that proves the client by the connection.
const BY_CERTIFICATE: &str = "tls_client_auth";
/// The choice in it that sends no client.
const NO_CLIENT: &str = "none";
/// A code that no tool ever gave: what it says of the client is the answer.
const MADE_UP_CODE: &str = "consign-connection-test";

impl Test<'_> {
    /// A fresh token for a client of its own.
    pub(super) async fn fetched(&mut self, opened: &Opened<'_>) -> Result<Authorized, End> {
        let Step::Fetch { exchange, .. } = opened.step(None, self.engine.now()) else {
            return Err(End::failed("The sign-in needs no token."));
        };
        let plain = |key: &str| self.credential.plain.get(key).map_or("", String::as_str);
        let signed = exchange.assertion.as_ref();
        let apart = signed.and_then(|_| recipient_apart(plain("access_token_url"), plain("recipient")));
        self.warnings.extend(apart);
        self.look_at_token_host(opened, &exchange).await?;
        let asked = self.engine.ask(opened, &exchange, None, None, self.engine.now()).await;
        let token = self.token(&exchange, asked).await?;
        self.enter(opened, &token)
    }

    /// What a person granted; `None` when nobody did, and the client itself is fine.
    pub(super) async fn granted(&mut self, opened: &Opened<'_>) -> Result<Option<Authorized>, End> {
        let Some(consent) = opened.authorizer().consent() else {
            return Err(End::failed("The sign-in needs no approval."));
        };
        let ask = Ask::new(String::from("https://consign.invalid/oauth/callback"));
        let made_up = consent.redeem(&Secret::new(MADE_UP_CODE.to_owned()), &ask);
        self.look_at_token_host(opened, &made_up).await?;
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
            _ => self.token(&made_up, asked).await.map(|_| None),
        }
    }

    async fn look_at_token_host(&mut self, opened: &Opened<'_>, exchange: &Exchange) -> Result<(), End> {
        let origin = exchange.to.origin().clone();
        if Some(&origin) == self.credential.target.origin() {
            return Ok(());
        }
        let host = origin.host().to_string();
        let headers = self.credential.custom_headers.iter();
        let with_token = headers.filter(|header| header.sent_with != SentWith::ApiRequest);
        let names: Vec<_> = with_token.map(|header| header.name.as_str()).collect();
        if !names.is_empty() {
            self.warnings.push(format!("{} also goes to {host}, with the token request.", names.join(", ")));
        }
        let identity = opened.identity(SentWith::TokenRequest).map_err(|refusal| refused(&refusal))?;
        self.look(&origin, identity.as_ref(), Some(host)).await
    }

    /// Notes the step of a token request; when the client was not accepted, finds out where the tool wants it.
    async fn token(&mut self, exchange: &Exchange, asked: Asked) -> Result<Token, End> {
        let seconds =
            asked.seen.as_ref().and_then(|seen| seconds_ahead(seen.date.as_deref(), self.engine.now()));
        if let Some(seconds) = seconds {
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
            // An assertion that is not taken says nothing about the client.
            && (exchange.assertion.is_none() || code_of(&error) == Some("invalid_client"))
            && (matches!(status, Some(400 | 401)) || code_of(&error) == Some("invalid_client"));
        if in_doubt && let Some(end) = self.try_other_placements(exchange).await {
            return Err(end);
        }
        let message = match &error {
            AskError::Token(error @ (TokenError::Refused { .. } | TokenError::GrantEnded { .. })) => {
                let entry = self.credential.authorization_type;
                let said = of_token_error(entry, exchange.grant.kind(), &exchange.scope, error);
                self.of_assertion(exchange, error, seconds).unwrap_or(said)
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
        let client_refused = matches!(&error, AskError::Token(TokenError::Refused { .. }))
            && (status == Some(401) || code_of(&error) == Some("invalid_client"));
        let tokens = self.credential.authorization_type.tokens;
        let action =
            StatusCode::SignInRefused.action(tokens, Refuser::TokenAddress).filter(|_| client_refused);
        let details = status.map(|status| format!("HTTP status {status}"));
        Err(End { details, ..End::of(TestOutcome::Failed, message, lesson) }.with_action(action))
    }

    /// What a refused assertion means, with what the tool said of it.
    fn of_assertion(&self, exchange: &Exchange, error: &TokenError, seconds: Option<i64>) -> Option<String> {
        let said = &exchange.assertion.as_ref()?.assertion;
        let certificate = self.credential.present_certificate()?;
        let placement = self.credential.plain.get(PLACEMENT);
        let seen = AssertionSeen {
            fingerprint: &certificate.fingerprint(),
            issuer: &said.issuer,
            audience: &said.audience,
            recipient: &said.recipient,
            seconds_ahead: seconds,
            without_client: placement.is_none_or(|placement| placement == NO_CLIENT),
        };
        let sentence = of_assertion_error(&seen, error)?;
        let description = error.description();
        let says = if description.is_empty() { String::new() } else { format!(" It says: {description}") };
        Some(format!("{sentence}{says}"))
    }

    /// Asks again with each other placement of the client; `Some` when one of them is accepted.
    async fn try_other_placements(&self, refused: &Exchange) -> Option<End> {
        let entry = self.credential.authorization_type;
        let Input::Choice(choices) = entry.fields.iter().find(|field| field.key == PLACEMENT)?.input else {
            return None;
        };
        let chosen = self.credential.plain.get(PLACEMENT)?;
        let mut tried = vec![(refused.headers.clone(), Secret::new(refused.body.expose().to_owned()))];
        let tried_too =
            |choice: &&Choice| choice.kind != chosen && ![NO_CLIENT, BY_CERTIFICATE].contains(&choice.kind);
        for choice in choices.iter().filter(tried_too) {
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
        authorized.scrubber = Arc::new(opened.scrubber(Some(token)));
        Ok(authorized)
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
    // Text of a stranger, free of secrets since it came: shown short, and only as text.
    let plain = |scope: &str| -> String {
        scope.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SCOPE_CHARS_MAX).collect()
    };
    parts.extend(scope.map(|scope| format!("scope {}", plain(scope))));
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
