//! Plaintext that must not leak: it cannot be printed, compared, cloned or serialized, and is wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A secret in memory. There is no `Display`, no `Serialize` and no `Clone`; `Debug` shows nothing.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a text; the caller's copy is gone.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one line that puts it on the wire or seals it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests;
