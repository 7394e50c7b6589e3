//! Canaries: every planted secret carries a marker, which must be found nowhere but at the tool it was meant for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use consign_core::id::RequestId;

/// Planted secrets of one test.
#[derive(Default)]
pub(crate) struct Canaries(Mutex<Vec<Canary>>);

struct Canary {
    name: String,
    marker: String,
    /// An API key: its text is in the one answer that made it.
    shown_once: bool,
}

/// Where bytes were found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// An answer of the API, or a page.
    Reply,
    /// Anything else.
    Elsewhere,
}

impl Canaries {
    /// A new secret of visible ASCII, recognisable by its marker.
    pub(crate) fn plant(&self, name: &str) -> String {
        let marker = marker();
        self.remember(name, &marker, false);
        format!("{name}-{marker}")
    }

    /// A new secret with a difficult beginning and end around its marker.
    pub(crate) fn plant_within(&self, name: &str, before: &str, after: &str) -> String {
        let marker = marker();
        self.remember(name, &marker, false);
        format!("{before}{marker}{after}")
    }

    /// A secret that the product made; its text is in the answer that shows it once.
    pub(crate) fn shown_once(&self, name: &str, text: &str) {
        self.remember(name, text, true);
    }

    /// A secret that the product made and never shows in a body.
    pub(crate) fn never_shown(&self, name: &str, text: &str) {
        self.remember(name, text, false);
    }

    fn remember(&self, name: &str, marker: &str, shown_once: bool) {
        let canary = Canary { name: name.to_owned(), marker: marker.to_owned(), shown_once };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(canary);
    }

    /// What looks for all of them at once.
    pub(crate) fn search(&self, place: Place) -> Search {
        let mut search = Search::default();
        for canary in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if place == Place::Reply && canary.shown_once {
                continue;
            }
            for (encoding, needle) in encodings(canary.marker.as_bytes()) {
                search.add(format!("{} ({encoding})", canary.name), needle);
            }
        }
        search
    }
}

/// Sixteen letters and digits that stand nowhere else.
fn marker() -> String {
    // The last characters of an id are random.
    let id = RequestId::new(consign_core::time::Timestamp::from_millis(0)).to_string();
    format!("Zq{}", &id[id.len() - 14..])
}

/// A marker raw and encoded. Base64 has three alignments; what its neighbours can change is cut away.
fn encodings(marker: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = marker.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = marker.iter().map(|byte| format!("%{byte:02X}")).collect();
    let mut all = vec![
        ("raw", marker.to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("hex", hex.to_uppercase().into_bytes()),
        ("percent", percent.to_lowercase().into_bytes()),
        ("percent", percent.into_bytes()),
    ];
    for shift in 0..3 {
        let shifted = [&b"\0\0"[..shift], marker].concat();
        let whole = shifted.len() / 3 * 4;
        let start = if shift == 0 { 0 } else { 4 };
        all.push(("Base64", BASE64_STANDARD.encode(&shifted).as_bytes()[start..whole].to_vec()));
        all.push(("Base64url", BASE64_URL_SAFE.encode(&shifted).as_bytes()[start..whole].to_vec()));
    }
    all
}

/// Bytes that a needle is recognised by before it is compared.
const HEAD: usize = 8;

/// Looks for many needles in one pass.
#[derive(Default)]
pub(crate) struct Search {
    by_head: HashMap<u64, Vec<(String, Vec<u8>)>>,
    /// Last byte of a head → whether any head ends so. Most positions are dismissed by it.
    ends: Vec<bool>,
}

impl Search {
    fn add(&mut self, what: String, needle: Vec<u8>) {
        let head = u64::from_be_bytes(needle[..HEAD].try_into().expect("needles are longer"));
        self.ends.resize(256, false);
        self.ends[usize::from(needle[HEAD - 1])] = true;
        let known = self.by_head.entry(head).or_default();
        if !known.iter().any(|(_, other)| *other == needle) {
            known.push((what, needle));
        }
    }

    /// The names of what was found, with the way it was encoded.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        if self.by_head.is_empty() {
            return found;
        }
        let mut head = 0_u64;
        for (index, &byte) in bytes.iter().enumerate() {
            head = head << 8 | u64::from(byte);
            if !self.ends[usize::from(byte)] || index + 1 < HEAD {
                continue;
            }
            let Some(candidates) = self.by_head.get(&head) else { continue };
            let start = index + 1 - HEAD;
            let hits = candidates.iter().filter(|(_, needle)| bytes[start..].starts_with(needle));
            found.extend(hits.map(|(what, _)| what.clone()));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The alarm must ring: a check of the check.
#[test]
fn a_canary_is_found_raw_and_encoded() {
    let canaries = Canaries::default();
    let secret = canaries.plant_within("password", "p\u{e4}ss $", "'\"");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut places = vec![secret.clone(), hex, percent];
    for user in ["", "a", "ab", "abc"] {
        places.push(BASE64_STANDARD.encode(format!("{user}:{secret}")));
        places.push(BASE64_URL_SAFE.encode(format!("{user}:{secret}")));
    }
    let search = canaries.search(Place::Elsewhere);
    for place in places {
        assert!(!search.found_in(format!("before {place} after").as_bytes()).is_empty(), "{place}");
    }
    assert!(search.found_in(b"nothing of the kind").is_empty());
}
