//! Tokens as they are stored: sealed to the destination of their credential, with what may be shown beside them.

use std::time::Duration;

use super::{Token, TokenFacts};
use crate::secret::Secret;
use crate::target::Binding;
use crate::vault::{Place, Sealed, Vault};

/// The table name in the place of every token.
const TABLE: &str = "token";

/// A sealed token and the generation it was sealed in, which is part of its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedToken {
    /// The ciphertext.
    pub sealed: Sealed,
    /// The generation.
    pub generation: i64,
}

/// The stored tokens of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// Rises whenever a token is stored or dropped.
    pub generation: i64,
    /// The access token; absent once it was dropped.
    pub access: Option<SealedToken>,
    /// The refresh token.
    pub refresh: Option<SealedToken>,
    /// What may be shown.
    pub facts: TokenFacts,
    /// Who granted it, as the tool said (RFC 9207).
    pub issuer: Option<String>,
    /// How long the access token lives, when the tool or the credential says it.
    pub life: Option<Duration>,
}

/// Which of the two tokens of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The access token.
    Access,
    /// The refresh token.
    Refresh,
}

impl Which {
    const fn field(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Refresh => "refresh_token",
        }
    }
}

/// The place of a token of the credential with this id.
pub fn place<'a>(credential: &'a str, which: Which, generation: i64, binding: &'a Binding) -> Place<'a> {
    Place { table: TABLE, record: credential, field: which.field(), generation, binding }
}

impl StoredToken {
    /// Seals new tokens as this generation. `before` keeps its refresh token when the new ones have the same.
    pub fn seal(
        vault: &Vault,
        credential: &str,
        binding: &Binding,
        generation: i64,
        (token, kept): (&Token, Option<SealedToken>),
    ) -> Self {
        let seal = |which, secret: &Secret| SealedToken {
            sealed: vault.seal(&place(credential, which, generation, binding), secret),
            generation,
        };
        let life = token.facts.ends_at.map(|end| end.since(token.facts.obtained_at));
        Self {
            generation,
            access: token.access.as_ref().map(|access| seal(Which::Access, access)),
            refresh: kept.or_else(|| token.refresh.as_ref().map(|refresh| seal(Which::Refresh, refresh))),
            facts: token.facts.clone(),
            issuer: None,
            life,
        }
    }
}
