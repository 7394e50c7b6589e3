//! Exceptions from the egress rules: which credential came through by which rule, for the audit log. Nothing is looked up
//! while anything is sent.

use std::collections::HashSet;

use consign_core::id::CredentialId;
use consign_core::target::Target;

use super::Engine;

/// A rule of `egress.allow` by which a credential came to what is closed without it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exception {
    /// The credential.
    pub credential: CredentialId,
    /// The rule, as the operator wrote it.
    pub rule: String,
    /// Host and port of the destination.
    pub address: String,
}

/// What is known of exceptions since the start.
#[derive(Default)]
pub(super) struct Exceptions {
    /// Credentials that were used since it was looked.
    pub(super) used: HashSet<CredentialId>,
    /// What is not in the audit log yet, as far as is known.
    new: HashSet<Exception>,
    /// What is: credential and rule.
    told: HashSet<(CredentialId, String)>,
}

impl Engine {
    /// A connection was asked for with a credential.
    pub fn note_use(&self, credential: CredentialId) {
        self.memory().exceptions.used.insert(credential);
    }

    /// The same, where it led to another place than that of the credential.
    pub(super) fn note_use_of(&self, credential: CredentialId, target: &Target) {
        let Some(rule) = self.network.exception_to(target) else { return };
        let address = format!("{}:{}", target.host(), target.port());
        let exception = Exception { credential, rule: rule.to_string(), address };
        let exceptions = &mut self.memory().exceptions;
        if !exceptions.told.contains(&(credential, exception.rule.clone())) {
            exceptions.new.insert(exception);
        }
    }

    /// The exceptions that were used and are not told yet.
    pub fn exceptions_used(&self) -> Vec<Exception> {
        let used = std::mem::take(&mut self.memory().exceptions.used);
        let snapshot = self.snapshot();
        for credential in used.into_iter().filter_map(|id| snapshot.credential(id)) {
            self.note_use_of(credential.id, &credential.target);
        }
        self.memory().exceptions.new.iter().cloned().collect()
    }

    /// One needs nothing more: it stands in the audit log, or there is no such credential, which may be saved yet.
    pub fn exception_told(&self, told: &Exception, stands: bool) {
        let exceptions = &mut self.memory().exceptions;
        exceptions.new.remove(told);
        if stands {
            exceptions.told.insert((told.credential, told.rule.clone()));
        }
    }
}
