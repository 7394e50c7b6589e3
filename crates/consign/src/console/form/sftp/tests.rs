use consign_core::credential::{Draft, Mode};
use consign_core::time::Timestamp;

use super::super::Kept;
use super::*;

const P256: &str = include_str!("../../../../../consign-core/src/ssh_key/keys/p256.pub");
const P384: &str = include_str!("../../../../../consign-core/src/ssh_key/keys/p384.pub");
const OTHER: &str = "ecdsa-sha2-nistp256 SHA256:i3fgDrGL8ULtmkX/ljk7xuyOF44ADwPCbxOp8WUemOo";

const SERVER: &[(&str, &str)] = &[
    ("name", "Payroll"),
    ("protocol", "sftp"),
    ("hostname", "sftp://sftp.example.org:22/"),
    ("authorization_type", "password"),
    ("username", "ana"),
    ("password", "open sesame"),
    ("labels", ""),
];

fn read(more: &[(&str, &str)]) -> (CredentialForm, Kept, Form) {
    let form = Form::from(&[SERVER, more].concat()[..]);
    let mut kept = Kept::default();
    (CredentialForm::typed(&form, &mut kept), kept, form)
}

#[test]
fn a_form_of_a_file_server_says_the_same_as_a_body_of_the_api() {
    let pins = format!("{P256}\r\n{P384}");
    let (form, kept, _) = read(&[("sftp_server_fingerprint", &pins), ("host_keys_compared_with", "ticket")]);
    let draft = Draft::parse(form.sent(&kept, None), Mode::Create, Timestamp::from_millis(0)).unwrap();
    assert_eq!(draft.target.sftp().unwrap().pins.lines(), [P256.trim(), P384.trim()]);
    assert_eq!(draft.compared_with, "ticket");
    let fields = form.fields(&kept, None, &[], "/fields");
    let types: Vec<_> = fields["authorization_type"]["options"].as_array().unwrap().iter().collect();
    assert_eq!(types.len(), 2);
    assert_eq!(fields["sftp"]["hostname"]["value"], "sftp://sftp.example.org:22/");
    assert_eq!(form.scan()["sftp_server_fingerprint"].as_array().unwrap().len(), 2);
}

#[test]
fn a_type_of_the_other_protocol_is_not_chosen() {
    let (form, _, _) = read(&[]);
    let web = Form::from(&[("protocol", "https"), ("authorization_type", "password")][..]);
    let web = CredentialForm::typed(&web, &mut Kept::default());
    assert_eq!((form.text("authorization_type"), web.text("authorization_type")), ("password", ""));
}

#[test]
fn a_key_is_used_once_it_was_compared() {
    let (mut form, _, sent) = read(&[("sftp_server_fingerprint", OTHER)]);
    let missing = form.use_key(&sent).unwrap_err();
    let fields: Vec<_> = missing.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["scanned_key", "compared", "scan_compared_with"]);
    let weak = include_str!("../../../../../consign-core/src/ssh_key/keys/rsa1024.pub").trim();
    let (mut form, _, sent) =
        read(&[("scanned_key", weak), ("compared", "on"), ("scan_compared_with", "Ana")]);
    let refused = form.use_key(&sent).unwrap_err();
    let found: Vec<_> = refused.iter().map(|one| (one.field.as_str(), one.message.as_str())).collect();
    assert_eq!(found, [("scanned_key", "RSA 1024-bit keys are not supported")]);
    let whole = [
        ("sftp_server_fingerprint", OTHER),
        ("scanned_key", P256.trim()),
        ("compared", "on"),
        ("scan_compared_with", " Ana "),
    ];
    let (mut form, kept, sent) = read(&whole);
    form.use_key(&sent).unwrap();
    assert_eq!(form.text("sftp_server_fingerprint"), P256.trim(), "it takes the place of its family");
    assert_eq!(form.sent(&kept, None)["host_keys_compared_with"], "Ana");
    let stored = json!({ "sftp_server_fingerprint": [OTHER] });
    assert!(form.has_other_pins(Some(&stored)));
    let beside = [
        ("sftp_server_fingerprint", OTHER),
        ("scanned_key", P384.trim()),
        ("compared", "on"),
        ("scan_compared_with", "Ana"),
    ];
    let (mut form, _, sent) = read(&beside);
    assert!(!form.has_other_pins(Some(&stored)));
    form.use_key(&sent).unwrap();
    assert_eq!(form.text("sftp_server_fingerprint"), format!("{OTHER}\n{}", P384.trim()));
}

#[test]
fn a_panel_comes_again_with_what_was_chosen() {
    let scanned = format!("differs {}", P256.trim());
    let sent = [("scanned", scanned.as_str()), ("scanned", "nonsense"), ("scanned_key", P256.trim())];
    let form = Form::from(&sent[..]);
    let panel = panel_again(&form, &[]);
    let keys = panel["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["compared_label"], "differs from the pinned key");
    assert_eq!(keys[0]["chosen"], true);
}
