//! The connection test: each step of the way on its own, with what was seen. It asks with GET, keeps nothing of the
//! tool and goes through the same dialler as everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use consign_core::auth::Step;
use consign_core::catalog::Tokens;
use consign_core::connection_test::{Offer, StepCode, StepState, TestOutcome, TestResult, TestStep};
use consign_core::credential::{Credential, Identity, NextAction, Refuser, SentWith, StatusCode};
use consign_core::delivery::{CredentialLesson, Outcome, Refusal};
use consign_core::target::{Origin, Target};
use consign_transport::{Probe, TlsFacts};
use tokio::sync::mpsc;

use super::Engine;
use super::authorize::Opened;

mod file_server;
mod request;
mod token;

impl Engine {
    /// Tests a credential. Each step is told to `watch` when it ends.
    pub async fn test(
        self: &Arc<Self>,
        credential: &Arc<Credential>,
        how: TestHow,
        watch: Option<StepWatch>,
    ) -> TestResult {
        let teller = Teller { watch, told: AtomicUsize::new(0) };
        let mut test =
            Test { engine: self, credential, how, teller, steps: Vec::new(), warnings: Vec::new() };
        let ended = test.run().await;
        let End { outcome, message, details, offer, action, lesson } = ended.unwrap_or_else(|failed| failed);
        let (steps, warnings) = (test.steps, test.warnings);
        TestResult { outcome, message, steps, details, offer, action, warnings, lesson }
    }
}

/// Who reads the steps of a test while it goes on.
pub type StepWatch = mpsc::UnboundedSender<TestStep>;

/// Tells each step once, in their order.
struct Teller {
    watch: Option<StepWatch>,
    told: AtomicUsize,
}

impl Teller {
    /// Tells those of these steps that are new; the first of them is in this place.
    fn tell(&self, place: usize, steps: &[TestStep]) {
        let Some(watch) = &self.watch else { return };
        for (place, step) in (place..).zip(steps) {
            if self.told.fetch_max(place + 1, Ordering::Relaxed) <= place {
                // Who does not read any more needs nothing.
                let _ = watch.send(step.clone());
            }
        }
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
    action: Option<NextAction>,
    lesson: Option<CredentialLesson>,
}

impl End {
    fn failed(message: impl Into<String>) -> Self {
        Self::of(TestOutcome::Failed, message.into(), None)
    }

    fn of(outcome: TestOutcome, message: String, lesson: Option<CredentialLesson>) -> Self {
        Self { outcome, message, details: None, offer: None, action: None, lesson }
    }

    fn with_action(self, action: Option<NextAction>) -> Self {
        Self { action, ..self }
    }
}

/// What a way that ended early teaches: nothing, where we ourselves did not go on.
fn lesson_of(outcome: &Outcome) -> Option<CredentialLesson> {
    match outcome {
        Outcome::Unreachable { reason } => Some(CredentialLesson::Unreachable(*reason)),
        Outcome::Accepted { .. }
        | Outcome::Rejected { .. }
        | Outcome::Unanswered { .. }
        | Outcome::Refused { .. }
        | Outcome::File { .. } => None,
    }
}

struct Test<'a> {
    engine: &'a Arc<Engine>,
    credential: &'a Arc<Credential>,
    how: TestHow,
    teller: Teller,
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
        let opened = Opened::open(&engine.vault, &credential).map_err(|refusal| refused(&refusal))?;
        let identity = opened.identity(SentWith::ApiRequest).map_err(|refusal| refused(&refusal))?;
        self.look(origin, identity.as_ref(), None).await?;
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
                    let action = StatusCode::NotAuthorized.action(Tokens::Granted, Refuser::Tool);
                    return Ok(End::of(TestOutcome::Reached, message, None).with_action(action));
                }
            },
        };
        self.request(&authorized).await
    }

    /// Name, network and TLS of one host.
    async fn look(
        &mut self,
        origin: &Origin,
        identity: Option<&Identity>,
        host: Option<String>,
    ) -> Result<(), End> {
        let (teller, place) = (&self.teller, self.steps.len());
        let proxy = self.engine.network.proxy_to(origin.host());
        let seen = |probe: &Probe| {
            let (steps, passed) = way(probe, origin, host.as_deref(), proxy.as_deref());
            teller.tell(place, &steps[..passed]);
        };
        let probe = self.engine.network.probe(origin, identity, &seen).await;
        let (steps, _) = way(&probe, origin, host.as_deref(), proxy.as_deref());
        self.add(steps.into());
        let failure = probe.failure;
        let Some((outcome, detail)) = failure else { return Ok(()) };
        if self.credential.authorization_type.tokens != Tokens::None {
            self.skip(StepCode::Token);
        }
        self.skip(StepCode::Request);
        Err(End::of(TestOutcome::Failed, detail, lesson_of(&outcome)))
    }

    fn push(
        &mut self,
        code: StepCode,
        state: StepState,
        took: Option<Duration>,
        fact: String,
        host: Option<String>,
    ) {
        self.add(vec![step(code, state, took, fact, host)]);
    }

    fn add(&mut self, steps: Vec<TestStep>) {
        self.teller.tell(self.steps.len(), &steps);
        self.steps.extend(steps);
    }

    fn skip(&mut self, code: StepCode) {
        self.push(code, StepState::Skipped, None, String::new(), None);
    }
}

fn step(
    code: StepCode,
    state: StepState,
    took: Option<Duration>,
    fact: String,
    host: Option<String>,
) -> TestStep {
    let duration_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    TestStep { code, label: code.label().to_owned(), state, host, duration_ms, fact }
}

/// The steps on the way to an origin, and how many of them were passed. Behind a proxy it finds the name.
fn way(probe: &Probe, origin: &Origin, host: Option<&str>, proxy: Option<&str>) -> ([TestStep; 3], usize) {
    let Probe { address, tls, timing, failure } = probe;
    let passed = match (failure, address, tls) {
        (None, _, Some(_)) => 3,
        (None, _, None) => 1 + usize::from(timing.connect.is_some()),
        (Some((Outcome::Refused { .. }, _)), _, _) => 0,
        (Some(_), None, _) if timing.connect.is_none() => 0,
        (Some(_), None, _) => 1,
        (Some(_), Some(_), _) => 2,
    };
    let secure = |tls: &TlsFacts| {
        let end = tls.certificate_ends.as_ref().map(|day| format!(", certificate until {day}"));
        format!("{}{}", tls.version, end.unwrap_or_default())
    };
    let found = match proxy {
        Some(proxy) => format!("through the proxy {proxy}"),
        None => address.map(|address| address.to_string()).unwrap_or_default(),
    };
    let steps = [
        (StepCode::Name, timing.dns, found),
        (StepCode::Connect, timing.connect, format!("port {}", origin.port())),
        (StepCode::Tls, timing.tls, tls.as_ref().map(secure).unwrap_or_default()),
    ];
    let mut place = 0..;
    let steps = steps.map(|(code, took, fact)| {
        let (state, fact) = ended(place.next().unwrap_or(passed), passed, fact);
        step(code, state, took, fact, host.map(str::to_owned))
    });
    (steps, passed)
}

/// How the step in this place ended, where so many were passed. Only those have facts.
fn ended(place: usize, passed: usize, fact: String) -> (StepState, String) {
    match place.cmp(&passed) {
        std::cmp::Ordering::Less => (StepState::Done, fact),
        std::cmp::Ordering::Equal => (StepState::Failed, String::new()),
        std::cmp::Ordering::Greater => (StepState::Skipped, String::new()),
    }
}

fn refused(refusal: &Refusal) -> End {
    // Only what a person granted is asked for in a way that ends so.
    let action = |code: StatusCode| code.action(Tokens::Granted, Refuser::TokenAddress);
    let action = match refusal {
        Refusal::TokenRefused(_) => action(StatusCode::SignInRefused),
        Refusal::NoGrant(reason) if reason.is_empty() => action(StatusCode::NotAuthorized),
        Refusal::NoGrant(_) => action(StatusCode::ReconnectNeeded),
        Refusal::CredentialLocked => action(StatusCode::Locked),
        Refusal::HostKeyChanged => action(StatusCode::HostKeyChanged),
        Refusal::SignInRefused => action(StatusCode::SignInRefused),
        Refusal::NotAsSaved
        | Refusal::CredentialMissing
        | Refusal::DestinationBlocked(_)
        | Refusal::NotRendered(_)
        | Refusal::NotAsFirstSent(_)
        | Refusal::TokenAway { .. }
        | Refusal::Stopping => None,
    };
    let failed = End::failed(match refusal {
        Refusal::CredentialLocked => {
            "A secret does not open with the loaded keys, or the address it belongs to was changed."
                .to_owned()
        }
        Refusal::NotAsSaved => "The credential was changed in the database, outside Consign.".to_owned(),
        Refusal::CredentialMissing => "There is no credential.".to_owned(),
        Refusal::DestinationBlocked(words) | Refusal::NotRendered(words) | Refusal::NotAsFirstSent(words) => {
            format!("{words}.")
        }
        Refusal::TokenAway { reason, .. } => format!("The tool gave no token: {reason}."),
        Refusal::TokenRefused(reason) => format!("The tool gave no token: {reason}."),
        Refusal::NoGrant(reason) if reason.contains("refresh token was refused") => {
            "The tool no longer accepts the refresh token. Someone must approve access again.".to_owned()
        }
        Refusal::NoGrant(reason) if reason.is_empty() => "Nobody has approved access yet.".to_owned(),
        Refusal::NoGrant(reason) => format!("Someone must approve access again: {reason}."),
        Refusal::HostKeyChanged => "The server showed another host key than the pinned one.".to_owned(),
        Refusal::SignInRefused => "The server refused the sign-in.".to_owned(),
        Refusal::Stopping => "This server could not finish the test. Try again.".to_owned(),
    });
    failed.with_action(action)
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
        | Refusal::NotAsFirstSent(_)
        | Refusal::HostKeyChanged
        | Refusal::SignInRefused
        | Refusal::Stopping => String::new(),
    }
}
