use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn read_text(text: &str, inline_secrets: bool) -> (Vec<Document>, Vec<String>) {
    let source =
        Source { shown: "it".to_owned(), folder: PathBuf::new(), text: Secret::new(text.to_owned()) };
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    for value in source.values().unwrap() {
        let mut reading = Reading { faults: Vec::new(), inline_secrets, folder: Path::new(""), now: NOW };
        documents.extend(reading.document(value));
        faults.extend(reading.faults);
    }
    (documents, faults)
}

const WEBHOOK: &str = "
apiVersion: consign/v1
kind: Webhook
metadata: { name: Hardware requests }
spec:
  credential: ServiceNow production
  path: /api/now/table/incident
  event_types: [ \"device.score.*\" ]
";

#[test]
fn documents_become_bodies_of_the_api() {
    let text = format!(
        "{WEBHOOK}---\napiVersion: consign/v1\nkind: Credential\n\
         metadata: {{ name: Tool, labels: {{ team: itsm }} }}\n\
         spec: {{ protocol: https, url_address: https://a.example/, authorization_type: bearer, max_concurrency: 3 }}\n"
    );
    let (documents, faults) = read_text(&text, false);
    assert_eq!(faults, Vec::<String>::new());
    let bodies: Vec<_> = documents.iter().map(|one| (one.kind, Value::Object(one.body.clone()))).collect();
    let webhook = json!({
        "credential": "ServiceNow production", "path": "/api/now/table/incident",
        "event_types": ["device.score.*"], "name": "Hardware requests",
    });
    let credential = json!({
        "protocol": "https", "url_address": "https://a.example/", "authorization_type": "bearer",
        "max_concurrency": 3, "name": "Tool", "labels": { "team": "itsm" },
    });
    assert_eq!(bodies, [(Kind::Webhook, webhook), (Kind::Credential, credential)]);
}

#[test]
fn json_is_a_document_too() {
    let text = json!({
        "apiVersion": "consign/v1", "kind": "Gateway", "metadata": { "name": "Desk" },
        "spec": { "credential": "Tool", "slug": "desk", "path_prefixes": ["/a"] },
    });
    let (documents, faults) = read_text(&text.to_string(), false);
    assert_eq!((documents.len(), faults.len()), (1, 0), "{faults:?}");
}

#[test]
fn a_key_stands_once() {
    let text = "{ \"kind\": \"Webhook\", \"spec\": { \"path\": \"/a\", \"path\": \"/b\" } }";
    let yaml = WEBHOOK.replace("  path:", "  path: /other\n  path:");
    for (text, sentence) in [
        (text, "it: “path” stands twice in one object. Send it once"),
        (yaml.as_str(), "it is not YAML or JSON: line 8, column 3"),
    ] {
        let source =
            Source { shown: "it".to_owned(), folder: PathBuf::new(), text: Secret::new(text.to_owned()) };
        assert_eq!(source.values().unwrap_err().lines, [sentence]);
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (documents, faults) = read_text(text, false);
    assert_eq!(faults, expected, "{text}");
    assert!(documents.is_empty(), "{text}");
}

#[test]
fn texts_stay_as_they_are_written_or_need_quotes() {
    let of = |username: &str| {
        format!(
            "apiVersion: consign/v1\nkind: Credential\nmetadata: {{ name: Tool }}\n\
             spec: {{ protocol: https, url_address: https://a.example/, authorization_type: basic, username: {username} }}\n"
        )
    };
    for text in ["0042", "no", "y", "on", "1_000", "\"12e4\"", "'0x1F'", "\"true\""] {
        let (documents, faults) = read_text(&of(text), false);
        assert_eq!(faults, Vec::<String>::new(), "{text}");
        assert_eq!(documents[0].body["username"], text.trim_matches(['"', '\'']), "{text}");
    }
    for text in ["12e4", "0x1F", "42", "1.0", "true"] {
        check(
            &of(text),
            &["spec.username is a text, and is read as a number or as yes or no. Put it in quotes"],
        );
    }
    check(&of("a").replace("name: Tool", "name: 2024"), &["metadata.name must be a text. Put it in quotes"]);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_sent() {
    check("just text", &["A document is an object with apiVersion, kind, metadata and spec"]);
    check(
        &WEBHOOK.replace("consign/v1", "consign/v9"),
        &["apiVersion “consign/v9” is not known. This program reads consign/v1"],
    );
    check(
        &WEBHOOK.replace("kind: Webhook", "kind: Webhok"),
        &["kind “Webhok” is not known. Use one of Credential, Webhook, Exporter, Gateway"],
    );
    check(&WEBHOOK.replace("  path:", "  pth:"), &["spec: “pth” is not known. Did you mean path?"]);
    check(
        &WEBHOOK.replace("{ name:", "{ labels: {}, name:"),
        &["metadata.labels: only credentials have labels"],
    );
    check(&WEBHOOK.replace("name: Hardware requests", ""), &["metadata.name is missing"]);
    for name in ["preview", "..", "."] {
        check(
            &WEBHOOK.replace("Hardware requests", name),
            &[&format!("metadata.name: “{name}” cannot be applied. Choose another name")],
        );
    }
    check(&format!("{WEBHOOK}  name: Other\n"), &["spec.name: the name stands in metadata"]);
    check(&format!("{WEBHOOK}status: fine\n"), &["status: “status” is not known"]);
}

#[test]
fn a_literal_secret_is_refused_unless_it_is_allowed() {
    let text = "{ apiVersion: consign/v1, kind: Credential, metadata: { name: Tool }, spec: { protocol: https, \
                url_address: 'https://a.example/', authorization_type: bearer, token: canary } }";
    let sentence = "spec.token is a secret that stands in the file. Use value_from with env or file, or \
                    --allow-inline-secrets";
    check(text, &[sentence]);
    let (documents, faults) = read_text(text, true);
    assert_eq!((documents.len(), faults.len()), (1, 0));
}
