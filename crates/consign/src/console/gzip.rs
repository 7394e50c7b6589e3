//! Assets as gzip (RFC 1952), for whoever accepts it. Pages are sent as they are: they hold the token of their forms beside
//! text that others chose.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// In thousandths, as weights have three digits at most.
const FULL_WEIGHT: u16 = 1_000;

/// Each asset by its name, with the hash of the text that it was made of: in debug builds the text can change.
static MADE: Mutex<BTreeMap<&'static str, (String, Bytes)>> = Mutex::new(BTreeMap::new());

/// An asset, compressed when it is asked for first.
pub(super) fn of(name: &'static str, hash: &str, text: &str) -> io::Result<Bytes> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, bytes)) = made.get(name).filter(|(known, _)| known == hash) {
        return Ok(bytes.clone());
    }
    let bytes = Bytes::from(compressed(text)?);
    made.insert(name, (hash.to_owned(), bytes.clone()));
    Ok(bytes)
}

/// As small as it gets: it is done once.
pub(super) fn compressed(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// Whether a request accepts gzip, and likes it at least as much as the plain form (RFC 9110, section 12.5.3).
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    let (mut gzip, mut plain, mut others) = (None, None, None);
    for (coding, weight) in fields.flat_map(|field| field.split(',')).map(member) {
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(weight);
        } else if coding.eq_ignore_ascii_case("identity") {
            plain = Some(weight);
        } else if coding == "*" {
            others = Some(weight);
        }
    }
    let gzip = gzip.or(others).unwrap_or(0);
    gzip > 0 && gzip >= plain.unwrap_or(0)
}

/// A coding and its weight.
fn member(text: &str) -> (&str, u16) {
    let mut parts = text.split(';').map(str::trim);
    let coding = parts.next().unwrap_or_default();
    let mut parameters = parts.filter_map(|part| part.split_once('='));
    let given = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    (coding, given.map_or(FULL_WEIGHT, |(_, value)| weight(value.trim())))
}

/// A weight in thousandths (RFC 9110, section 12.4.2). What is none refuses: the plain form is never wrong.
fn weight(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let thousandths = format!("{part:0<3}").parse().unwrap_or(0);
    match (whole, thousandths) {
        ("0", thousandths) => thousandths,
        ("1", 0) => FULL_WEIGHT,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
