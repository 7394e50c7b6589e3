//! Roles of people: each stands for a set of rights. Whoever has no role may do nothing.

use serde::{Serialize, Serializer};

use crate::rights::{Right, Rights};

/// What a person is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything, people, API keys and settings too.
    Administrator,
    /// Credentials and connectors.
    CredentialManager,
    /// Tests, pauses and replays.
    Operator,
    /// The audit log.
    Auditor,
    /// Lists and states.
    Viewer,
}

/// What everyone who is signed in may see.
const READS: &[Right] =
    &[Right::CredentialsRead, Right::ConnectorsRead, Right::EventsRead, Right::DeliveriesRead];
/// What keeps deliveries going.
const OPERATES: &[Right] = &[Right::CredentialsTest, Right::DeliveriesOperate, Right::PayloadsRead];
/// Whoever may set a connector up may also try it.
const WRITES: &[Right] = &[Right::CredentialsWrite, Right::ConnectorsWrite, Right::GatewayCall];

impl Role {
    /// All roles, the one with the most rights first.
    pub const ALL: &'static [Self] =
        &[Self::Administrator, Self::CredentialManager, Self::Operator, Self::Auditor, Self::Viewer];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::CredentialManager => "credential_manager",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Viewer => "viewer",
        }
    }

    /// The word on pages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::CredentialManager => "Credential manager",
            Self::Operator => "Operator",
            Self::Auditor => "Auditor",
            Self::Viewer => "Viewer",
        }
    }

    /// What it may do, in a sentence.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Administrator => "Everything, people, API keys and settings too",
            Self::CredentialManager => {
                "Create, edit and delete credentials and connectors, and all that an operator may do"
            }
            Self::Operator => "Test credentials, pause, resume and replay, open payloads",
            Self::Auditor => "See lists and the audit log",
            Self::Viewer => "See lists and states",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.kind() == kind)
    }

    /// The rights that it stands for.
    pub fn rights(self) -> Rights {
        let sets: &[&[Right]] = match self {
            Self::Administrator => &[&[Right::Admin]],
            Self::CredentialManager => &[READS, OPERATES, WRITES],
            Self::Operator => &[READS, OPERATES],
            Self::Auditor => &[READS, &[Right::AuditRead]],
            Self::Viewer => &[READS],
        };
        sets.iter().flat_map(|set| set.iter().copied()).collect()
    }

    /// The role with the fewest rights that holds this one.
    pub fn least_with(right: Right) -> Self {
        let holds = |role: &&Self| role.rights().allow(right);
        Self::ALL.iter().rev().find(holds).copied().unwrap_or(Self::Administrator)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.kind())
    }
}

#[cfg(test)]
mod tests;
