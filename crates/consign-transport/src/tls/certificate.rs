//! What a certificate says of itself: its issuer's name and its end (RFC 5280 sections 4.1.2.4 and 4.1.2.5), for a
//! sentence to people; nothing is decided by it.

/// Longer names are cut.
const CHARACTERS_MAX: usize = 100;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `id-at-commonName` and `id-at-organizationName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// The common name of the issuer, else its organization.
pub(super) fn issuer(certificate: &[u8]) -> Option<String> {
    let (_, issuer, _) = element(from_issuer(certificate)?)?;
    attribute(issuer, COMMON_NAME).or_else(|| attribute(issuer, ORGANIZATION))
}

/// The last day (UTC) on which it is good, `2027-02-12`.
pub(super) fn ends(certificate: &[u8]) -> Option<String> {
    let after_issuer = element(from_issuer(certificate)?)?.2;
    let (_, validity, _) = element(after_issuer)?;
    let after_start = element(validity)?.2;
    let (tag, time, _) = element(after_start)?;
    let digits = std::str::from_utf8(time).ok().filter(|text| text.is_ascii())?;
    let (year, rest) = match tag {
        // UTCTime: years of two digits are those from 1950 to 2049.
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let century = if year < "50" { "20" } else { "19" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => digits.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    Some(format!("{year}-{}-{}", rest.get(..2)?, rest.get(2..4)?))
}

/// What follows the algorithm of the signature: the issuer, the validity, and the rest.
fn from_issuer(certificate: &[u8]) -> Option<&[u8]> {
    let (_, outer, _) = element(certificate)?;
    let (_, mut rest, _) = element(outer)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    let after_serial = element(rest)?.2;
    Some(element(after_serial)?.2)
}

/// What can be shown of a text that a stranger wrote.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !is_invisible(*c)).take(CHARACTERS_MAX).collect()
}

/// Characters that reorder or hide text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The value of the first attribute of this kind in a name.
fn attribute(name: &[u8], kind: &[u8]) -> Option<String> {
    let mut sets = name;
    while let Some((SET, mut members, rest)) = element(sets) {
        while let Some((SEQUENCE, member, others)) = element(members) {
            let (tag, identifier, value) = element(member)?;
            if tag == OBJECT_IDENTIFIER && identifier == kind {
                let (_, value, _) = element(value)?;
                return Some(printable(&String::from_utf8_lossy(value))).filter(|text| !text.is_empty());
            }
            members = others;
        }
        sets = rest;
    }
    None
}

/// The first element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests;
