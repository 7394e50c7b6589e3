//! The test of a file server: name, network, host key, sign-in, and the folder where one is named.

use consign_core::catalog::Tokens;
use consign_core::connection_test::{StepCode, StepState, TestOutcome, TestStep, of_session};
use consign_core::credential::{NextAction, Refuser, StatusCode};
use consign_core::delivery::CredentialLesson;
use consign_core::target::{Folder, SftpHost};
use consign_transport::sftp::{ProbeFolder, SftpFault, SftpProbe, SftpWhy, SignInWhy};

use super::{End, Opened, Test, ended, refused, step};

impl Test<'_> {
    /// All of it, over a connection of its own.
    pub(super) async fn file_server(&mut self, host: &SftpHost) -> Result<End, End> {
        let engine = self.engine;
        let credential = self.credential.clone();
        let opened = Opened::open(&engine.vault, &credential).map_err(|refusal| refused(&refusal))?;
        let access = opened.enter_session(engine.now()).map_err(|refusal| refused(&refusal))?;
        let folder = credential.test_path.as_deref().and_then(|path| Folder::parse("Test path", path).ok());
        let wanted = ProbeFolder { folder: folder.as_ref(), write: self.how.write };
        let (teller, proxy) = (&self.teller, engine.network.proxy_to(host.address.host()));
        let seen = |probe: &SftpProbe| {
            let (steps, passed) = way(host, probe, wanted, proxy.as_deref());
            teller.tell(0, &steps[..passed]);
        };
        let probe = engine.network.probe_sftp(&access, wanted, &seen).await;
        let (steps, _) = way(host, &probe, wanted, proxy.as_deref());
        self.add(steps);
        let Some(fault) = &probe.failure else {
            let message = "Working. The server accepted the sign-in.".to_owned();
            return Ok(End::of(TestOutcome::Working, message, Some(CredentialLesson::Works)));
        };
        let message = opened.scrubber(None).scrub(&self.sentence(fault)).into_owned();
        let lesson = lesson_of(fault, probe.signed_in.is_some());
        let details = details(host, fault);
        let action = action_of(fault);
        Err(End { details, ..End::of(TestOutcome::Failed, message, lesson) }.with_action(action))
    }

    fn sentence(&self, fault: &SftpFault) -> String {
        let entry = self.credential.authorization_type;
        match &fault.why {
            SftpWhy::SignIn(SignInWhy::Refused) => {
                of_session(entry, |key| self.credential.secrets.contains_key(key))
            }
            _ => fault.detail.clone(),
        }
    }
}

/// The steps of a test, and how many of them were passed.
fn way(
    host: &SftpHost,
    probe: &SftpProbe,
    wanted: ProbeFolder<'_>,
    proxy: Option<&str>,
) -> (Vec<TestStep>, usize) {
    let facts = probe.facts.as_ref();
    let port = format!("port {}", host.address.port());
    let key = facts.map(|facts| format!("{} {}", facts.signature, facts.host_key.fingerprint()));
    let signed_in = probe.signed_in.as_ref().zip(facts);
    let signed_in =
        signed_in.map(|(how, facts)| format!("{how} · {} · {}", facts.cipher, facts.key_exchange));
    let listed = probe.listed.map(|listed| match (listed.names, listed.more) {
        (_, true) => "more than 1,000 names".to_owned(),
        (1, _) => "1 name".to_owned(),
        (names, _) => format!("{} names", consign_core::catalog::with_commas(names)),
    });
    let timing = &probe.timing;
    let (found, connected) = (probe.address.is_some(), timing.network.connect.is_some());
    let at = proxy.map(|proxy| format!("through the proxy {proxy}"));
    let at = at.or_else(|| probe.address.map(|ip| ip.to_string()));
    let mut steps = vec![
        (StepCode::Name, timing.network.dns, at, found),
        (StepCode::Connect, timing.network.connect, Some(port), connected),
        (StepCode::HostKey, timing.host_key, key, facts.is_some()),
        (StepCode::SignIn, timing.sign_in, signed_in, probe.signed_in.is_some()),
    ];
    if wanted.folder.is_some() {
        steps.push((StepCode::Folder, timing.folder, listed, probe.listed.is_some()));
    }
    if wanted.write {
        steps.push((StepCode::Write, timing.write, None, probe.written));
    }
    let passed = match &probe.failure {
        Some(fault) => failed_at(probe, fault),
        None => steps.iter().take_while(|(.., passed)| *passed).count(),
    };
    let steps = steps.into_iter().enumerate().map(|(place, (code, took, fact, _))| {
        let (state, fact) = ended(place, passed, fact.unwrap_or_default());
        step(code, state, took.filter(|_| state != StepState::Skipped), fact, None)
    });
    (steps.collect(), passed)
}

/// Which step a fault belongs to: the first that has nothing to show.
fn failed_at(probe: &SftpProbe, fault: &SftpFault) -> usize {
    match (&fault.why, probe.address) {
        _ if probe.listed.is_some() => 5,
        _ if probe.signed_in.is_some() => 4,
        _ if probe.facts.is_some() => 3,
        (SftpWhy::Blocked, _) => 0,
        (_, None) if probe.timing.network.connect.is_none() => 0,
        (_, None) => 1,
        (_, Some(_)) => 2,
    }
}

/// What a test that failed teaches: nothing, where the sign-in was not in doubt.
fn lesson_of(fault: &SftpFault, signed_in: bool) -> Option<CredentialLesson> {
    match &fault.why {
        SftpWhy::HostKey { .. } => Some(CredentialLesson::HostKeyChanged),
        SftpWhy::SignIn(_) => Some(CredentialLesson::Refused(0)),
        SftpWhy::Unreachable(reason) => Some(CredentialLesson::Unreachable(*reason)),
        // What came after the sign-in proves it.
        SftpWhy::Refused(_) | SftpWhy::NoSpace | SftpWhy::Exists if signed_in => {
            Some(CredentialLesson::Works)
        }
        SftpWhy::Blocked
        | SftpWhy::Key(_)
        | SftpWhy::Refused(_)
        | SftpWhy::NoSpace
        | SftpWhy::Exists
        | SftpWhy::Lost
        | SftpWhy::Misbehaved
        | SftpWhy::NewKeys
        | SftpWhy::SourceEnded => None,
    }
}

/// What a person can do about it, where that is known.
const fn action_of(fault: &SftpFault) -> Option<NextAction> {
    let code = match &fault.why {
        SftpWhy::HostKey { .. } => StatusCode::HostKeyChanged,
        SftpWhy::SignIn(_) => StatusCode::SignInRefused,
        _ => return None,
    };
    code.action(Tokens::None, Refuser::Tool)
}

/// What to compare, where the host key differs.
fn details(host: &SftpHost, fault: &SftpFault) -> Option<String> {
    let SftpWhy::HostKey { shown: Some(shown) } = &fault.why else { return None };
    let mut lines = vec![format!("The server showed {} {}", shown.key_type.kind(), shown.fingerprint())];
    let pinned = host.pins.iter().map(|pin| match pin.key_type {
        Some(family) => format!("Pinned is {} {}", family.kind(), pin.fingerprint),
        None => format!("Pinned is {}", pin.fingerprint),
    });
    lines.extend(pinned);
    Some(lines.join("\n"))
}
