//! A file often holds a certificate and its private key. In a page each goes its own way: a secret never comes back.

use consign_core::secret::Secret;
use consign_core::sign::Chain;

/// In the first and last line of every private key in PEM.
const MARK: &str = "PRIVATE KEY-----";

/// Takes the private keys out of the text of a certificate. `None` when there are none; otherwise those keys, empty when
/// nobody can read them, and the sentence for who typed it.
pub(super) fn take_keys(text: &mut String) -> Option<(Secret, &'static str)> {
    if !text.contains(MARK) {
        return None;
    }
    let (rest, keys) = Chain::without_private_keys(text);
    if rest.contains(MARK) {
        text.clear();
        let sentence = "This text held a private key that cannot be read. Nothing of it was kept.";
        return Some((Secret::new(String::new()), sentence));
    }
    *text = rest;
    Some((keys, "The private key in this text was put into its own field."))
}
