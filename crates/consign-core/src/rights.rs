//! What a person or API key may do: a closed set of rights, named as the scopes of API keys.

use serde::{Serialize, Serializer};

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {
        /// One right.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Right { $($(#[$doc])* $name,)* }

        impl Right {
            /// All rights, in the order of the form.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stored and public word.
            pub const fn kind(self) -> &'static str {
                match self { $(Self::$name => $kind,)* }
            }
        }
    };
}

rights! {
    /// See credentials; never their secrets, for which there is no right.
    CredentialsRead = "credentials:read";
    /// Create, edit and delete credentials.
    CredentialsWrite = "credentials:write";
    /// Test the connection of credentials.
    CredentialsTest = "credentials:test";
    /// See connectors.
    ConnectorsRead = "connectors:read";
    /// Create, edit and delete connectors.
    ConnectorsWrite = "connectors:write";
    /// Send events.
    EventsWrite = "events:write";
    /// See events.
    EventsRead = "events:read";
    /// See deliveries and their attempts.
    DeliveriesRead = "deliveries:read";
    /// Pause, resume, replay and cancel.
    DeliveriesOperate = "deliveries:operate";
    /// Open payloads.
    PayloadsRead = "payloads:read";
    /// Call tools through gateways.
    GatewayCall = "gateway:call";
    /// Read the audit log.
    AuditRead = "audit:read";
    /// Everything, and people, API keys and settings.
    Admin = "admin";
}

impl Right {
    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|right| right.kind() == kind)
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u32);

impl Rights {
    /// Every right.
    pub fn all() -> Self {
        Right::ALL.iter().copied().collect()
    }

    /// Whether it holds a right; `admin` holds all.
    pub const fn allow(self, right: Right) -> bool {
        self.0 & (right.bit() | Right::Admin.bit()) != 0
    }

    /// Whether it holds every right of another set.
    pub fn cover(self, other: Self) -> bool {
        other.iter().all(|right| self.allow(right))
    }

    /// The rights in it, `admin` as itself.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.iter().copied().filter(move |right| self.0 & right.bit() != 0)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads the stored words, separated by spaces; unknown words grant nothing.
    pub fn from_stored(text: &str) -> Self {
        text.split_whitespace().filter_map(Right::find).collect()
    }

    /// The words to store, separated by spaces.
    pub fn to_stored(self) -> String {
        self.iter().map(Right::kind).collect::<Vec<_>>().join(" ")
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | right.bit()))
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Right::kind))
    }
}

#[cfg(test)]
mod tests;
