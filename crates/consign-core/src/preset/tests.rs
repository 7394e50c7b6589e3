use serde_json::{Map, Value, json};

use super::*;
use crate::auth;
use crate::catalog::Input;
use crate::credential::{Draft, Mode};
use crate::target::RemotePath;
use crate::time::Timestamp;

/// What a person replaces.
pub(super) fn filled(text: &str) -> String {
    let braces = [
        ("{instance}", "acme"),
        ("{site}", "acme"),
        ("{cloudId}", "1324a887"),
        ("{api-host}", "api.hxm.example"),
        ("{tenant}", "my300000"),
        ("{domain}", "acme"),
        ("{company id}", "acme"),
        ("{API key}", "NWQ5"),
        ("{resource}", "urn:sap:identity:application"),
        ("{scope}", "API_BUSINESS_PARTNER_0001"),
        ("{communication user}", "CONSIGN"),
        ("{identity provider}", "CONSIGN_IDP"),
        ("{entity ID of the tenant}", "https://my300000.crm.ondemand.com"),
        ("{consumer key}", "3MVG9"),
    ];
    braces.iter().fold(text.to_owned(), |text, (brace, value)| text.replace(brace, value))
}

/// A credential as a person completes it: what only they know is typed.
pub(super) fn completed(preset: &Preset, filling: &Filling) -> Map<String, Value> {
    let at = format!("{} {}", preset.kind, filling.authorization_type);
    let entry = auth::find(filling.authorization_type).unwrap_or_else(|| panic!("{at} is no type"));
    let mut sent = Map::new();
    let mut put =
        |key: &str, value: Value| assert!(sent.insert(key.to_owned(), value).is_none(), "{at} {key}");
    put("name", preset.label.into());
    put("protocol", "https".into());
    put("authorization_type", entry.kind.into());
    put("url_address", filled(filling.url_address).into());
    put("test_path", filled(filling.test_path).into());
    for (key, value) in filling.values {
        put(key, filled(value).into());
    }
    for (key, rows) in filling.rows {
        let row = |(name, value): &(&str, &str)| json!({ "name": name, "value": filled(value) });
        put(key, rows.iter().map(row).collect());
    }
    let headers = filling.custom_headers.iter().map(|(name, _)| json!({ "name": name, "value": "x" }));
    put("custom_headers", headers.collect());
    for field in
        entry.fields.iter().filter(|field| field.missing.is_some() && field.default_text().is_empty())
    {
        let given = filling.values.iter().any(|(key, _)| *key == field.key);
        let typed = match field.input {
            Input::Certificate(_) => include_str!("../sign/tests/rsa.certificate.pem"),
            Input::CertificateKey => include_str!("../sign/tests/rsa.pkcs8.pem"),
            _ if field.key == "issuer" => "https://consign.acme.example",
            _ if field.key == "name_id" => "ana.silva@acme.example",
            _ => "typed",
        };
        if !given {
            put(field.key, typed.into());
        }
    }
    sent
}

#[test]
fn every_filling_is_accepted_once_secrets_and_braces_are_filled_in() {
    for (preset, filling) in
        PRESETS.iter().flat_map(|preset| preset.types.iter().map(move |one| (preset, one)))
    {
        let at = format!("{} {}", preset.kind, filling.authorization_type);
        let sent = completed(preset, filling);
        let entry = auth::find(filling.authorization_type).unwrap();
        let draft = Draft::parse(sent, Mode::Create, Timestamp::from_millis(1_795_000_000_000));
        assert!(draft.is_ok(), "{at}: {draft:?}");
        for (key, hint) in filling.hints {
            assert!(entry.fields.iter().any(|field| field.key == *key) && hint.ends_with('.'), "{at} {key}");
        }
        assert!(RemotePath::parse(&filled(filling.webhook_path)).is_ok(), "{at}");
        assert_eq!(filling.webhook_method, "POST");
    }
}

#[test]
fn presets_and_their_types_are_told_apart() {
    for (place, preset) in PRESETS.iter().enumerate() {
        assert!(PRESETS[..place].iter().all(|other| other.kind != preset.kind), "{}", preset.kind);
        for (place, filling) in preset.types.iter().enumerate() {
            let twice = |other: &Filling| other.authorization_type == filling.authorization_type;
            assert!(
                !preset.types[..place].iter().any(twice),
                "{} {}",
                preset.kind,
                filling.authorization_type
            );
        }
    }
}

#[test]
fn a_tool_is_known_by_its_address() {
    let check = |address: &str, kind: &str, test_path: &str, expected: Option<&str>| {
        let path = of_address(address, kind).map(|filling| filling.webhook_path_beside(test_path));
        assert_eq!(path.as_deref(), expected, "{address} {kind}");
    };
    let code = "oauth2_authorization_code";
    check("https://acme.service-now.com/", "basic", "", Some("/api/now/table/incident"));
    check("https://acme.atlassian.net/", "basic", "", Some("/rest/servicedeskapi/request"));
    check("https://api.4me.com/", "bearer", "", Some("/v1/requests"));
    let with_site = Some("/ex/jira/1324a887/rest/servicedeskapi/request");
    check("https://api.atlassian.com/", code, "/ex/jira/1324a887/rest/api/3/myself", with_site);
    let without = Some("/ex/jira/{cloudId}/rest/servicedeskapi/request");
    check("https://api.atlassian.com/", code, "/other", without);
    check("https://api.atlassian.com/", code, "/ex/jira/a/b/rest/api/3/myself", without);
    for (address, kind) in [
        ("https://api.atlassian.com/", "basic"),
        ("https://acme.service-now.com/", "none"),
        ("https://.service-now.com/", "basic"),
        ("https://service-now.com.evil.example/", "basic"),
        ("https://evil.example/x.service-now.com/", "basic"),
        ("", ""),
    ] {
        check(address, kind, "", None);
    }
    assert!(find("jira").is_some() && find("").is_none());
}
