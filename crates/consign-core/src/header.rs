//! Header names and values that may be sent, and the names that Consign sets itself.

use http::{HeaderName, HeaderValue};

use crate::catalog::{Fault, too_long};
use crate::secret::Secret;

/// The most rows of custom headers.
pub const HEADER_ROWS_MAX: usize = 20;
/// The most bytes of all names and values together.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
const NAME_CHARS_MAX: usize = 100;
const VALUE_CHARS_MAX: usize = 4_096;

/// Names that a person may not set, because Consign or the protocol sets them.
const RESERVED: &[&str] = &[
    "authorization",
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "content-transfer-encoding",
    "transfer-encoding",
    "te",
    "trailer",
    "connection",
    "keep-alive",
    "upgrade",
    "http2-settings",
    "expect",
    "accept-encoding",
    "range",
    "cookie",
    "cookie2",
    "set-cookie",
    "date",
    "via",
    "forwarded",
    "x-real-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "origin",
    "referer",
    "user-agent",
    "www-authenticate",
    "idempotency-key",
    "traceparent",
    "tracestate",
];

const RESERVED_PREFIXES: &[&str] = &["x-forwarded-", "proxy-", "sec-", "if-", "webhook-", "consign-"];

/// Reads the name of a custom header; `row` counts from 1, for the sentence. `allowed` names are not reserved here.
///
/// # Errors
/// `missing`, `bad_characters` or `reserved`.
pub fn parse_name(text: &str, row: usize, allowed: &[&str]) -> Result<HeaderName, Fault> {
    if text.is_empty() {
        return Err(Fault::new("missing", format!("Enter a name for custom header {row} or remove it")));
    }
    let plain = text.len() <= NAME_CHARS_MAX && text.bytes().all(is_token_byte);
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| plain);
    let Some(name) = name else {
        let shown: String = text.chars().take(NAME_CHARS_MAX).collect();
        return Err(Fault::new(
            "bad_characters",
            format!("{shown} must use letters, digits and hyphens only"),
        ));
    };
    if is_reserved(name.as_str()) && !allowed.contains(&name.as_str()) {
        return Err(Fault::new("reserved", format!("{text} is set automatically")));
    }
    Ok(name)
}

/// Whether Consign or the protocol sets this name (lower case).
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The bytes of a token, RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+.^_|~`-".contains(&byte)
}

/// Judges the value of the header `name`: 1–4,096 visible ASCII characters with inner spaces.
///
/// # Errors
/// `missing`, `bad_characters` or `too_long`.
pub fn judge_value(name: &str, value: &str) -> Result<(), Fault> {
    if value.is_empty() {
        return Err(Fault::new("missing", format!("Enter a value for {name}")));
    }
    let edges = value.starts_with(' ') || value.ends_with(' ');
    let plain = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if edges || !plain {
        let sentence = format!("The value of {name} must use plain characters on one line");
        return Err(Fault::new("bad_characters", sentence));
    }
    if value.len() > VALUE_CHARS_MAX {
        return Err(too_long(&format!("The value of {name}"), VALUE_CHARS_MAX));
    }
    Ok(())
}

/// A secret as a header value, marked so that no log or `Debug` shows it. `None` when it holds a byte that no
/// header may carry, which the rules at save time exclude.
pub fn sensitive(value: &Secret) -> Option<HeaderValue> {
    let text = value.expose();
    if !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return None;
    }
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
