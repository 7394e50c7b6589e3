//! The one block of a key file (RFC 7468, and RFC 1421 for the lines before an encrypted one). Line breaks that were
//! lost in pasting are put back where there is only one way to.

use zeroize::Zeroizing;

use super::decoded;

/// A block between its BEGIN and END lines.
pub(super) struct Block {
    pub(super) label: String,
    /// `DEK-Info`, of an encrypted PKCS#1 or SEC1 file.
    pub(super) cipher: Option<String>,
    pub(super) content: Zeroizing<Vec<u8>>,
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Reads a text that is one block and no more.
pub(super) fn read(text: &str) -> Option<Block> {
    let rest = text.trim().strip_prefix(BEGIN)?;
    let (label, rest) = rest.split_once(DASHES)?;
    let (body, end) = rest.split_once(END)?;
    if end.trim_end() != format!("{label}{DASHES}") {
        return None;
    }
    let (cipher, base64) = split_headers(body)?;
    // Spaces stand where line breaks were.
    let base64: Zeroizing<String> = Zeroizing::new(base64.chars().filter(|c| !c.is_whitespace()).collect());
    let content = decoded(&base64)?;
    (!content.is_empty()).then(|| Block { label: label.to_owned(), cipher, content })
}

/// `Proc-Type: 4,ENCRYPTED` and `DEK-Info: AES-128-CBC,…` in front of the Base64; each ends with its line, or with the
/// space that took the place of the line's end.
fn split_headers(body: &str) -> Option<(Option<String>, &str)> {
    let Some((_, rest)) = body.split_once("DEK-Info:") else {
        return if body.contains(':') { None } else { Some((None, body)) };
    };
    let rest = rest.trim_start();
    let (cipher, base64) = rest.split_once(char::is_whitespace)?;
    (!base64.contains(':')).then(|| (Some(cipher.to_owned()), base64))
}
