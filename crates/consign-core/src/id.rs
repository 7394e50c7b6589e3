//! Time-ordered identifiers: a prefix that names the kind, and 26 characters that sort by time of creation.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::time::Timestamp;

/// Crockford's base 32: no I, L, O or U, so that an id read aloud stays the same id.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;

/// A text that is no id of the kind asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an id that starts with `{0}`")]
pub struct NotAnId(pub &'static str);

/// 48 bits of milliseconds, then 80 random bits.
fn fresh(now: Timestamp) -> u128 {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes[6..]).expect("the system has randomness");
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    u128::from_be_bytes(bytes)
}

fn write(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0_u8; TEXT_LEN];
    for (place, character) in text.iter_mut().rev().enumerate() {
        let index = usize::try_from((value >> (5 * place)) & 31).expect("five bits");
        *character = ALPHABET[index];
    }
    f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
}

fn read(text: &str) -> Option<u128> {
    if text.len() != TEXT_LEN || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, byte| {
        let index = ALPHABET.iter().position(|&c| c == byte)?;
        Some((value << 5) | u128::try_from(index).ok()?)
    })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The text every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id; ids made later sort later, to the millisecond.
            pub fn new(now: Timestamp) -> Self {
                Self(fresh(now))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                write(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix).and_then(read).map(Self).ok_or(NotAnId($prefix))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*

        /// Whether a text is an id of any kind.
        pub fn is_id(text: &str) -> bool {
            [$($name::PREFIX),*].iter().any(|prefix| text.strip_prefix(prefix).and_then(read).is_some())
        }
    };
}

ids! {
    /// A credential.
    CredentialId = "crd_";
    /// A connector of any kind.
    ConnectorId = "con_";
    /// An event.
    EventId = "evt_";
    /// A delivery.
    DeliveryId = "dlv_";
    /// An attempt of a delivery.
    AttemptId = "att_";
    /// A run of an exporter.
    RunId = "run_";
    /// Records that were pushed together.
    PushId = "rec_";
    /// A file that is pushed piece by piece.
    UploadId = "upl_";
    /// A person.
    UserId = "usr_";
    /// An API key.
    KeyId = "key_";
    /// A connection test.
    TestId = "tst_";
    /// Long work.
    OperationId = "op_";
    /// An entry of the audit log.
    AuditId = "aud_";
    /// One request to this server, for its log line and its answer.
    RequestId = "req_";
}

#[cfg(test)]
mod tests;
