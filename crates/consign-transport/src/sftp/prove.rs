//! From pins to a session whose server proved itself. A bare fingerprint does not tell which family of keys to ask for, and
//! a server shows one key at a time: so each family is asked for once, and what matched is remembered.

use std::net::IpAddr;
use std::sync::PoisonError;

use consign_core::pin::{KeyType, Pins};

use super::session::{Expect, Session, Shaken, Way};
use super::{SftpFault, SftpWhy};
use crate::Timing;

/// Opens a session, and tells the address that answered where it is known.
pub(super) async fn prove(
    way: &Way<'_>,
    pins: &Pins,
    timing: &mut Timing,
) -> Result<(Session, IpAddr), (SftpFault, Option<IpAddr>)> {
    let mut families = families(way, pins);
    let mut first: Option<(SftpFault, Option<IpAddr>)> = None;
    loop {
        match Session::open(way, &families, Expect::Pins(pins), timing).await {
            Ok((session, address)) => {
                learn(way, pins, &session);
                return Ok((session, address));
            }
            Err(Shaken { fault, shown, address }) => {
                let other = matches!(fault.why, SftpWhy::HostKey { .. });
                let family = shown.as_ref().map(|key| key.key_type);
                let failed = (with_key(fault, shown), address);
                // The first key that was shown is the one to compare with.
                let failed = first.take().unwrap_or(failed);
                let Some(family) = family.filter(|_| other && pins.has_unknown_type()) else {
                    return Err(failed);
                };
                families.retain(|other| *other != family);
                if families.is_empty() {
                    return Err(failed);
                }
                first = Some(failed);
            }
        }
    }
}

fn with_key(fault: SftpFault, shown: Option<consign_core::pin::HostKey>) -> SftpFault {
    match fault.why {
        SftpWhy::HostKey { .. } => SftpFault { why: SftpWhy::HostKey { shown }, ..fault },
        _ => fault,
    }
}

/// The families to ask for: those of the pins, with what was learned of bare ones.
fn families(way: &Way<'_>, pins: &Pins) -> Vec<KeyType> {
    let mut pins = pins.clone();
    let learned = way.network.learned.lock().unwrap_or_else(PoisonError::into_inner);
    let known: Vec<_> = pins.iter().map(|pin| pin.fingerprint).collect();
    for fingerprint in known {
        if let Some(family) = learned.get(&fingerprint) {
            pins.learn(fingerprint, *family);
        }
    }
    pins.key_types()
}

/// Remembers the family of a key that matched a bare fingerprint.
fn learn(way: &Way<'_>, pins: &Pins, session: &Session) {
    /// More servers than that are searched for again.
    const LEARNED_MAX: usize = 10_000;
    let Some(facts) = session.facts().filter(|_| pins.has_unknown_type()) else { return };
    let mut learned = way.network.learned.lock().unwrap_or_else(PoisonError::into_inner);
    if learned.len() < LEARNED_MAX {
        learned.insert(facts.host_key.fingerprint(), facts.host_key.key_type);
    }
}
