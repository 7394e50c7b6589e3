use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::*;
use crate::auth::find;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const CERTIFICATE: &str = include_str!("../../sign/tests/rsa.certificate.pem");
const KEY: &str = include_str!("../../sign/tests/rsa.pkcs8.pem");

fn fields(changed: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for field in TYPE.fields {
        fields.plain.insert(field.key.to_owned(), field.default_text().to_owned());
    }
    for (key, value) in [
        ("certificate", CERTIFICATE),
        ("name_id", "ana.silva"),
        ("recipient", "https://tool.example/oauth/token"),
        ("issuer", "https://consign.example"),
        ("audience", "tool"),
    ] {
        fields.plain.insert(key.to_owned(), value.to_owned());
    }
    fields.secrets.insert("private_key".to_owned(), Secret::new(KEY.to_owned()));
    for (key, value) in changed {
        if *key == "client_secret" || key.contains('/') {
            fields.secrets.insert((*key).to_owned(), Secret::new((*value).to_owned()));
        } else {
            fields.plain.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    fields
}

fn exchange(changed: &[(&str, &str)]) -> Exchange {
    match (find("oauth2_saml_bearer").unwrap().parse)(&fields(changed)).unwrap().step(None, NOW) {
        Step::Fetch { exchange, meanwhile: None } => *exchange,
        other => panic!("{other:?}"),
    }
}

/// The parameters of a form, in order.
fn form(exchange: &Exchange) -> Vec<(String, String)> {
    let form = exchange.form(NOW).unwrap().0;
    form_urlencoded::parse(form.expose().as_bytes()).into_owned().collect()
}

#[track_caller]
fn check(changed: &[(&str, &str)], authorization: Option<&str>, others: &[(&str, &str)]) {
    let exchange = exchange(changed);
    let sent = exchange.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let expected: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    assert_eq!(sent.collect::<Vec<_>>(), expected);
    let form = form(&exchange);
    assert_eq!(
        form[0],
        ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:saml2-bearer".to_owned())
    );
    assert_eq!(form[1].0, "assertion");
    let rest: Vec<_> = form[2..].iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(rest, others);
}

/// RFC 7522 section 2.1, and section 2.2 for the client.
#[test]
fn the_request_holds_grant_assertion_client_and_rows_in_this_order() {
    check(&[], None, &[]);
    let client = [("client_id", "1PpG/Q 1"), ("client_secret", "s:e c")];
    let with = |placement| [client[0], client[1], ("authentication_information", placement)];
    let encoded = format!("Basic {}", BASE64_STANDARD.encode("1PpG%2FQ+1:s%3Ae+c"));
    check(&with("header"), Some(&encoded), &[]);
    let raw = format!("Basic {}", BASE64_STANDARD.encode("1PpG/Q 1:s:e c"));
    check(&with("header_raw"), Some(&raw), &[]);
    check(&with("body"), None, &client);
    // Without a proof of the client there is no client, whatever is stored.
    check(&with("none"), None, &[]);
    let rows = r#"[{"name":"company_id","value":"C&1","sent_in":"body"},{"name":"x","sent_in":"query","secret":true},
                   {"name":"client_id","value":"k","sent_in":"body"}]"#;
    let rows = [("oauth_token_requests", rows), ("oauth_token_requests/x/0", "y z")];
    check(&rows, None, &[("company_id", "C&1"), ("client_id", "k")]);
    assert_eq!(exchange(&rows).to.tail_with(exchange(&rows).query.expose()).expose(), "/oauth/token?x=y+z");
}

#[test]
fn the_assertion_goes_to_the_recipient_unless_the_token_address_is_another() {
    let at = |changed: &[(&str, &str)]| {
        let exchange = exchange(changed);
        format!("{}{}", exchange.to.origin(), exchange.to.tail_with("").expose())
    };
    assert_eq!(at(&[]), "https://tool.example//oauth/token");
    let other = [("access_token_url", "https://gate.example:8443/t?x=1")];
    assert_eq!(at(&other), "https://gate.example:8443//t?x=1");
    let said = exchange(&other).assertion.unwrap().assertion;
    assert_eq!(said.recipient, "https://tool.example/oauth/token");
}

#[test]
fn it_is_signed_anew_for_each_request_and_encoded_as_the_tool_wants_it() {
    let first = exchange(&[]);
    let (one, other) = (form(&first)[1].1.clone(), form(&first)[1].1.clone());
    assert_ne!(one, other);
    let xml = BASE64_URL_SAFE_NO_PAD.decode(&one).unwrap();
    assert!(xml.starts_with(b"<saml:Assertion ") && !one.contains(['+', '/', '=', '\n']));
    let base64 = exchange(&[("assertion_encoding", "base64")]);
    let sent = form(&base64)[1].1.clone();
    assert!(BASE64_STANDARD.decode(&sent).unwrap().starts_with(b"<saml:Assertion ") && !sent.contains('\n'));
    // What is compared and kept of a request is not signed yet.
    assert!(!first.body.expose().contains("assertion"));
    let shown = format!("{first:?}");
    assert!(!shown.contains("BEGIN") && shown.contains("key: Secret(…)"), "{shown}");
}

#[test]
fn every_setting_reaches_the_assertion() {
    let attributes = r#"[{"name":"a","value":"1"},{"name":"b","value":"2"},{"name":"a","value":"3"}]"#;
    let said = exchange(&[
        ("name_id_format", "emailAddress"),
        ("name_qualifier", "www.successfactors.com"),
        ("authn_context_class_ref", "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"),
        ("assertion_lifetime_seconds", "600"),
        ("embed_certificate", "off"),
        ("saml_attributes", attributes),
    ]);
    let said = said.assertion.unwrap().assertion;
    assert_eq!(said.name_id_format, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress");
    assert_eq!(said.name_qualifier, "www.successfactors.com");
    assert_eq!(said.authn_context, "urn:oasis:names:tc:SAML:2.0:ac:classes:X509");
    assert_eq!((said.lifetime, said.certificate), (Duration::from_secs(600), None));
    let value = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(said.attributes, [("a".to_owned(), value(&["1", "3"])), ("b".to_owned(), value(&["2"]))]);
    let said = exchange(&[]).assertion.unwrap().assertion;
    assert_eq!(said.name_id_format, "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified");
    assert_eq!(said.lifetime, Duration::from_secs(300));
    assert!(said.certificate.is_some_and(|text| text.starts_with("MII") && !text.contains('\n')));
}

#[test]
fn each_format_has_its_urn() {
    for (text, version) in [("unspecified", "1.1"), ("persistent", "2.0"), ("X509SubjectName", "1.1")] {
        let urn = format!("urn:oasis:names:tc:SAML:{version}:nameid-format:{text}");
        assert_eq!(format_urn(text), Ok(urn));
    }
    assert_eq!(format_urn("urn:acme:names").as_deref(), Ok("urn:acme:names"));
    for text in ["email", "urn:a b", "http://x.example/"] {
        let fault = format_urn(text).unwrap_err();
        assert_eq!(fault.code, "unknown");
        assert!(fault.message.ends_with("WindowsDomainQualifiedName, or a URN"), "{}", fault.message);
    }
}

#[test]
fn a_record_that_is_not_whole_is_no_way_in() {
    let absent = |changed: &[(&str, &str)], remove: &str| {
        let mut fields = fields(changed);
        fields.plain.remove(remove);
        fields.secrets.remove(remove);
        SamlBearer::parse(&fields).err().map(|absent| absent.0)
    };
    assert_eq!(absent(&[], ""), None);
    assert_eq!(absent(&[], "certificate"), Some("certificate"));
    assert_eq!(absent(&[], "private_key"), Some("private_key"));
    assert_eq!(absent(&[], "recipient"), Some("recipient"));
    assert_eq!(absent(&[("authentication_information", "body")], ""), Some("client_secret"));
    assert_eq!(absent(&[("assertion_lifetime_seconds", "x")], ""), Some("assertion_lifetime_seconds"));
    // A key that cannot be read sends nothing.
    let damaged =
        Fields { secrets: [("private_key".to_owned(), Secret::new("x".to_owned()))].into(), ..fields(&[]) };
    let Ok(damaged) = SamlBearer::parse(&damaged) else { panic!("it is read when it is used") };
    assert!(damaged.exchange().form(NOW).is_err());
}

#[test]
fn a_token_address_that_is_not_the_recipient_is_worth_a_warning() {
    let warnings = |url: &str| {
        let found = (find("oauth2_saml_bearer").unwrap().warn)(&fields(&[("access_token_url", url)]));
        found.into_iter().map(|warning| (warning.field, warning.message)).collect::<Vec<_>>()
    };
    assert_eq!(warnings(""), []);
    assert_eq!(warnings("https://tool.example/oauth/token"), []);
    let sentence = "The assertion is sent to https://gate.example/t and made out to https://tool.example/oauth/token. Most \
                    tools accept one only at the address that it is made out to. Leave Access Token URL empty unless the \
                    tool's documentation names both.";
    assert_eq!(warnings("https://gate.example/t"), [("access_token_url", sentence.to_owned())]);
}

#[test]
fn an_answer_may_repeat_nothing_of_what_was_signed() {
    let (form, proofs) = exchange(&[]).form(NOW).unwrap();
    let sent = form_urlencoded::parse(form.expose().as_bytes()).nth(1).unwrap().1.into_owned();
    let xml = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&sent).unwrap()).unwrap();
    let signature = assertion::signature_value(&xml).unwrap();
    assert_eq!(proofs.iter().map(Secret::expose).collect::<Vec<_>>(), [&sent, &xml, signature]);
}
