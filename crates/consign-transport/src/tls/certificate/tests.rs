//! Names from certificates, and certificates that are none.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::*;

fn issued_by(names: &[(DnType, &str)]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind.clone(), *name);
    }
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn common_name_before_organization() {
    let both = [(DnType::OrganizationName, "Acme"), (DnType::CommonName, "Acme Root 1")];
    assert_eq!(issuer(&issued_by(&both)).unwrap(), "Acme Root 1");
    assert_eq!(
        issuer(&issued_by(&[(DnType::CountryName, "CH"), (DnType::OrganizationName, "Zürich")])).unwrap(),
        "Zürich"
    );
    assert_eq!(issuer(&issued_by(&[(DnType::CountryName, "CH")])), None);
    let long = "x".repeat(300);
    assert_eq!(issuer(&issued_by(&[(DnType::CommonName, &long)])).unwrap().len(), CHARACTERS_MAX);
    assert_eq!(issuer(&issued_by(&[(DnType::CommonName, "a\u{202e}\nb")])).unwrap(), "ab");
}

#[test]
fn broken_certificates_have_no_name_and_do_no_harm() {
    let certificate = issued_by(&[(DnType::CommonName, "Acme")]);
    for end in 0..certificate.len() {
        assert_eq!(issuer(&certificate[..end]), None, "{end}");
    }
    for at in 0..certificate.len().min(200) {
        for value in [0, 1, 0x7f, 0x80, 0x83, 0xff] {
            let mut bent = certificate.clone();
            bent[at] = value;
            drop(issuer(&bent));
        }
    }
}
