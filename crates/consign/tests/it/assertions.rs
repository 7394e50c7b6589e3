//! SAML assertions before strangers: every one is accepted by three verifiers that share no code, each value is read back
//! as it was, and whatever is changed afterwards is refused.

use std::collections::HashSet;
use std::time::Duration;

use consign_core::assertion::{Assertion, Ids};
use consign_core::secret::Secret;
use consign_core::sign::{Certificate, KeySize, SigningKey, create, private_key};
use consign_core::time::Timestamp;

use crate::peers::assertion_verifiers::{Reading, Verifiers};

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_123);
const MINUTE: Duration = Duration::from_secs(60);

/// Texts that break careless writers. None holds what XML 1.0 cannot.
const HOSTILE: &[&str] = &[
    "</saml:NameID><saml:NameID>admin",
    "]]>",
    "<!-- --><!DOCTYPE x [<!ENTITY y \"z\">]>",
    "&#0;",
    "&x;&amp;lt;",
    "\" onclick=\"'>",
    "<?xml version=\"1.0\"?><![CDATA[x]]>",
    "line\u{2028}and paragraph\u{2029}separators",
    "\u{202e}right to left\u{202c} \u{200f}\u{200e}",
    "e\u{301} is not \u{e9}",
    "\u{a0}no\u{a0}break\u{a0}",
    "{{ event.id }} ${jndi:ldap://x} %s %n",
    "\u{e000}\u{f8ff}private\u{10ffff}\u{1fffe}\u{2ffff}",
    "a  b   c",
    "\u{feff}zero width",
    "𝒜 😀 𐍈 漢字 עברית العربية ไทย",
];

struct Pair {
    certificate: Certificate,
    key: SigningKey,
}

fn pairs() -> Vec<Pair> {
    let created = |size| {
        let (certificate, key) = create("Consign crd_1", size, 3, NOW).unwrap();
        Pair { certificate, key: SigningKey::stored(&key).unwrap() }
    };
    let curve = |algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let certificate = Certificate::parse(&certificate.pem()).unwrap();
        Pair { certificate, key: private_key(&key.serialize_pem(), None).unwrap() }
    };
    vec![
        created(KeySize::Rsa3072),
        created(KeySize::Rsa2048),
        curve(&rcgen::PKCS_ECDSA_P256_SHA256),
        curve(&rcgen::PKCS_ECDSA_P384_SHA384),
    ]
}

/// One of many, all knobs turned by its number.
fn assertion(number: usize, pair: &Pair) -> Assertion {
    let hostile = |shift: usize| HOSTILE[(number + shift) % HOSTILE.len()];
    let formats =
        ["1.1:nameid-format:unspecified", "1.1:nameid-format:emailAddress", "2.0:nameid-format:persistent"];
    // A code point of every plane, and those at the edges of what XML takes.
    let plane = u32::try_from(number % 17).unwrap();
    let point = char::from_u32(plane * 0x1_0000 + 0x0fff).unwrap_or('x');
    let attributes = match number % 5 {
        0 => Vec::new(),
        1 => vec![("api_key".to_owned(), vec!["a&b".to_owned()])],
        2 => vec![(hostile(3).to_owned(), vec![hostile(4).to_owned(), String::new(), point.to_string()])],
        3 => vec![("long".to_owned(), vec![String::from(point).repeat(1_024)])],
        _ => (0..50)
            .map(|row| (format!("{row} {}", hostile(row)), vec![hostile(row + 1).to_owned()]))
            .collect(),
    };
    let qualifier = if number.is_multiple_of(3) { String::new() } else { hostile(7).to_owned() };
    Assertion {
        issuer: format!("{}{point}", hostile(0)),
        name_id: if number.is_multiple_of(11) { "ana.silva".to_owned() } else { hostile(1).to_owned() },
        name_id_format: format!("urn:oasis:names:tc:SAML:{}", formats[number % 3]),
        name_qualifier: qualifier,
        recipient: format!("https://tool.example/oauth/token?tenant={number}&x=1"),
        audience: if number.is_multiple_of(7) {
            "www.successfactors.com".to_owned()
        } else {
            hostile(2).to_owned()
        },
        authn_context: "urn:oasis:names:tc:SAML:2.0:ac:classes:X509".to_owned(),
        attributes,
        lifetime: Duration::from_secs(60 + u64::try_from(number % 10).unwrap() * 60),
        certificate: number.is_multiple_of(2).then(|| pair.certificate.base64()),
    }
}

#[test]
fn two_hundred_assertions_are_accepted_and_read_back_by_strangers() {
    let mut verifiers = Verifiers::start();
    let pairs = pairs();
    let mut by_xml_crypto = 0;
    for number in 0..200 {
        let pair = &pairs[number % pairs.len()];
        let said = assertion(number, pair);
        let ids = Ids::random();
        let signed = said.signed(&ids, NOW, &pair.key).unwrap();
        let verified = verifiers.verify(&signed, &pair.certificate.pem());
        let xmlsec1 = verified.xmlsec1.unwrap_or_else(|error| panic!("{number}: {error}"));
        // What was printed is what they digested, byte for byte: our form is the canonical one.
        assert_eq!(xmlsec1, said.unsigned(&ids, NOW), "{number}");
        // xmldom takes U+2028 for a line break, as XML 1.1 does and XML 1.0 does not.
        if !xmlsec1.contains('\u{2028}') {
            assert_eq!(verified.xml_crypto.as_ref(), Ok(&xmlsec1), "{number}");
            by_xml_crypto += 1;
        }
        let read = verified.signxml.unwrap_or_else(|error| panic!("{number}: {error}\n{signed}"));
        same(&said, &read);
        assert_eq!(verifiers.read(&xmlsec1), read, "{number}");
        // The certificate of another key does not do.
        let other = &pairs[(number + 1) % pairs.len()].certificate;
        assert!(verifiers.verify(&signed, &other.pem()).is_refused_by_all(), "{number}");
    }
    assert!(by_xml_crypto > 100, "{by_xml_crypto}");
}

/// What somebody else read is what was to be said, and RFC 7522 section 3 is content.
#[track_caller]
fn same(said: &Assertion, read: &Reading) {
    assert_eq!(read.version, "2.0");
    assert_eq!(read.issued_at, "2026-11-22T14:02:00Z");
    assert_eq!(read.issuer, said.issuer);
    assert_eq!(read.name_id, said.name_id);
    assert_eq!(read.name_id_format, said.name_id_format);
    assert_eq!(read.name_qualifier, said.name_qualifier);
    assert_eq!(read.method, "urn:oasis:names:tc:SAML:2.0:cm:bearer");
    assert_eq!(read.recipient, said.recipient);
    assert_eq!(read.audiences, [said.audience.as_str()]);
    assert_eq!(read.authn_context, said.authn_context);
    assert_eq!(read.attributes, said.attributes);
    let at = |time: &str| Timestamp::parse_rfc3339(time).unwrap();
    assert_eq!(at(&read.ends).since(at(&read.issued_at)), said.lifetime);
    assert_eq!(read.confirmed_until, read.ends);
    // The browser profile knows no such time, and RFC 7522 asks for none.
    assert_eq!(read.confirmed_from, None);
    assert_eq!(at(&read.issued_at).since(at(&read.begins)), MINUTE);
    assert!(read.id.len() == 33 && read.id.starts_with('_'), "{}", read.id);
}

#[test]
fn any_changed_byte_of_what_is_signed_is_refused() {
    refuse_changes(2, &pairs()[1], 1);
}

/// Every third byte of another form: a signature is a signature.
#[test]
fn a_changed_byte_of_another_form_is_refused() {
    refuse_changes(4, &pairs()[2], 3);
}

fn refuse_changes(number: usize, pair: &Pair, step: usize) {
    let mut verifiers = Verifiers::start();
    let certificate = pair.certificate.pem();
    let mut said = assertion(number, pair);
    said.attributes.truncate(2);
    let signed = said.signed(&Ids::random(), NOW, &pair.key).unwrap();
    let unchanged = verifiers.verify(&signed, &certificate).xml_crypto.unwrap();
    // The certificate inside is a hint, not signed; the last characters of the signature hold no bits of it.
    let value = signed.find("</ds:SignatureValue>").unwrap();
    let unsigned = value - 4..signed.find("</ds:Signature>").unwrap();
    let ascii = signed.bytes().enumerate().filter(|(at, byte)| byte.is_ascii() && !unsigned.contains(at));
    let mut refused = 0;
    for (at, byte) in ascii.step_by(step) {
        let mut changed = signed.clone().into_bytes();
        changed[at] = if byte == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifiers.signxml(&changed, &certificate).is_err(), "signxml takes {changed}");
        // Its parser forgives a wrong end tag; what it then verified must be what was signed.
        let content = verifiers.xml_crypto(&changed, &certificate);
        assert!(content.is_err() || content.as_ref() == Ok(&unchanged), "xml-crypto takes {changed}");
        // A process for each: every third place.
        if at % 3 == 0 {
            assert!(verifiers.xmlsec1(&changed, &certificate).is_err(), "xmlsec1 takes {changed}");
        }
        refused += 1;
    }
    assert!(refused * step > 1_500, "{refused}");
}

#[test]
fn a_hundred_thousand_assertions_share_no_id() {
    let pair = pairs().remove(2);
    let said = assertion(0, &pair);
    let mut seen = HashSet::new();
    for _ in 0..100_000 {
        let xml = said.unsigned(&Ids::random(), NOW);
        for name in [" ID=\"", " SessionIndex=\""] {
            let (_, rest) = xml.split_once(name).unwrap();
            let (id, _) = rest.split_once('"').unwrap();
            assert!(id.len() == 33 && seen.insert(id.to_owned()), "{id}");
        }
    }
    // A second of one request and a retry of it are as different as any others.
    let sign = || said.signed(&Ids::random(), NOW, &pair.key).unwrap();
    assert_ne!(sign(), sign());
}

#[test]
fn a_stored_key_is_not_shown() {
    let (_, key) = create("Consign crd_1", KeySize::Rsa2048, 1, NOW).unwrap();
    let signing = SigningKey::stored(&key).unwrap();
    assert_eq!(format!("{signing:?} {key:?}"), "SigningKey(RsaSha256, …) Secret(…)");
    assert!(SigningKey::stored(&Secret::new("-----BEGIN PRIVATE KEY-----".to_owned())).is_err());
}
