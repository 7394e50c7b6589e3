//! Texts of keys and certificates: blocks between BEGIN and END lines (RFC 7468), or the bare Base64 of one.

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use crate::catalog::Fault;
use crate::secret::Secret;

const BEGIN: &str = "-----BEGIN ";
/// Characters of a line between BEGIN and END.
const LINE: usize = 64;
/// Some tools leave the padding away.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One block.
pub(super) struct Block<'a> {
    /// What BEGIN says; empty for bare Base64.
    pub(super) label: &'a str,
    /// Between BEGIN and END stand lines such as `Proc-Type: 4,ENCRYPTED` (RFC 1421 section 4.6).
    pub(super) headers: bool,
    /// All of it, BEGIN and END included.
    pub(super) text: &'a str,
    /// What is encoded.
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// Every block of a text; what stands around them says nothing. `None` when one of them does not end, or is no Base64.
pub(super) fn blocks(text: &str) -> Option<Vec<Block<'_>>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        rest = &rest[begin..];
        let (label, body) = rest[BEGIN.len()..].split_once("-----")?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(&end)?;
        let text = &rest[..rest.len() - after.len()];
        // Lines of a header hold a colon, which Base64 has not; an empty line ends them.
        let (headers, body) = match body.rfind(':') {
            Some(colon) => (true, body.get(colon..)?.split_once('\n').map_or("", |(_, rest)| rest)),
            None => (false, body),
        };
        blocks.push(Block { label, headers, text, content: decoded(body)? });
        rest = after;
    }
    Some(blocks)
}

/// The only block of a text, or the text as bare Base64.
pub(super) fn one(text: &str) -> Option<Block<'_>> {
    if !text.contains("-----") {
        return Some(Block { label: "", headers: false, text, content: decoded(text)? });
    }
    let mut blocks = blocks(text)?;
    if blocks.len() == 1 { blocks.pop() } else { None }
}

/// Base64 with line breaks and spaces in it.
pub(super) fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let joined: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    if joined.is_empty() {
        return None;
    }
    LENIENT.decode(joined.as_bytes()).ok().map(Zeroizing::new)
}

/// Whether this is a PFX (RFC 7292 section 4): a sequence that begins with version 3 and a sequence. Neither keys nor
/// certificates do.
pub(super) fn is_pkcs12(content: &[u8]) -> bool {
    const BEGINS_WITHIN: usize = 12;
    let head = &content[..content.len().min(BEGINS_WITHIN)];
    head.first() == Some(&0x30) && head.windows(4).any(|bytes| bytes == [0x02, 0x01, 0x03, 0x30])
}

/// The sentence for one.
pub(super) fn pkcs12() -> Fault {
    let sentence = "This is a PKCS#12 file (.p12, .pfx), which holds a certificate and its key. Turn it into PEM and \
                    give each on its own: openssl pkcs12 -in file.p12 -out file.pem -nodes";
    Fault::new("unsupported", sentence)
}

/// A certificate as a block.
pub(super) fn certificate(der: &[u8]) -> String {
    block("CERTIFICATE", der).as_str().to_owned()
}

/// A private key as a block.
pub(super) fn private_key(der: &[u8]) -> Secret {
    Secret::new(std::mem::take(&mut *block("PRIVATE KEY", der)))
}

fn block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / LINE + 64));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
