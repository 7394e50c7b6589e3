//! The table of routes against `openapi.yaml`, both ways; problems; and a whole Consign behind the router.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::to_bytes;
use consign_core::auth::AUTHORIZATION_TYPES;
use consign_core::catalog::{Fault, Input};
use consign_core::connector::ConnectorState;
use consign_core::credential::{Draft, Mode, StatusCode};
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::event::read_batch;
use consign_core::field_manager::FieldManager;
use consign_core::operation::{OperationKind, OperationState};
use consign_core::time::Timestamp;
use consign_store::StoreError;
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::ops::idempotency::IdempotencyFault;
use crate::ops::{OpError, Usage};

mod once;
mod served;
mod shapes;

fn description() -> Value {
    description::whole()
}

/// What a reference stands for; everything else stands for itself.
fn resolve<'a>(whole: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => whole.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} is nowhere")),
        None => value,
    }
}

type Operations = BTreeMap<(String, String), Value>;

/// Every operation by path and method, with the parameters of its path.
fn operations(whole: &Value) -> Operations {
    let mut operations = Operations::new();
    for (path, item) in whole["paths"].as_object().unwrap() {
        let shared = item.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let mut operation = operation.clone();
            let own = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
            let all: Vec<Value> = shared.iter().chain(&own).map(|one| resolve(whole, one).clone()).collect();
            operation["parameters"] = Value::Array(all);
            operations.insert((path.clone(), method.to_ascii_uppercase()), operation);
        }
    }
    operations
}

fn parameters(operation: &Value, place: &str) -> BTreeSet<String> {
    let all = operation["parameters"].as_array().unwrap().iter();
    all.filter(|one| one["in"] == place).map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_route_is_described_and_every_description_is_routed() {
    let described: BTreeSet<_> = operations(&description()).into_keys().collect();
    let routed: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_string())).collect();
    assert_eq!(described, routed);
    assert_eq!(routed.len(), ROUTES.len(), "no route stands in the table twice");
}

#[test]
fn rights_and_parameters_are_described_as_they_are() {
    let whole = description();
    let operations = operations(&whole);
    for route in ROUTES {
        let operation = &operations[&(route.path.to_owned(), route.method.to_string())];
        let at = format!("{} {}", route.method, route.path);

        let right = operation.pointer("/security/0/apiKey/0").and_then(Value::as_str);
        assert_eq!(right, route.right.map(Right::kind), "{at}");
        let session = operation.pointer("/security/1/session/0").and_then(Value::as_str);
        assert_eq!(session, right, "{at}");

        let query: BTreeSet<_> = route.query.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(parameters(operation, "query"), query, "{at}");
        let places = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(parameters(operation, "path"), places.map(str::to_owned).collect(), "{at}");
    }
}

#[test]
fn answers_and_headers_are_described_for_every_operation() {
    let whole = description();
    let mut names = BTreeSet::new();
    for ((path, method), operation) in operations(&whole) {
        let at = format!("{method} {path}");
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}");
        assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{at}");
        let answers: BTreeSet<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
        let has = |status: &str| answers.contains(status);
        assert!(answers.iter().any(|status| status.starts_with('2')) && has("default"), "{at}");
        assert!(has("400") && has("401"), "{at}");
        let needs_right = operation.get("security").is_some();
        assert_eq!(has("403"), needs_right, "{at}");
        assert!(!path.contains('{') || has("404"), "{at}");
        let headers = parameters(&operation, "header");
        let guarded = headers.contains("If-Match");
        assert_eq!((has("412"), has("428")), (guarded, guarded), "{at}");
        assert_eq!(has("304"), headers.contains("If-None-Match"), "{at}");
        let body = operation.get("requestBody").is_some();
        assert_eq!((has("413"), has("415")), (body, body), "{at}");
        assert!(!headers.contains("Idempotency-Key") || has("409") && has("422"), "{at}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_over() {
    let whole = description();
    let text = whole.to_string();
    let mut used = BTreeSet::new();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(whole.pointer(pointer).is_some(), "{pointer} is nowhere");
        used.insert(pointer.to_owned());
    }
    for kind in ["parameters", "headers", "responses", "schemas"] {
        for name in whole["components"][kind].as_object().unwrap().keys() {
            let pointer = format!("/components/{kind}/{name}");
            assert!(used.contains(&pointer), "nobody uses {pointer}");
        }
    }
}

#[track_caller]
fn check_words<'a>(pointer: &str, known: impl Iterator<Item = &'a str>) {
    let whole = description();
    let described = whole.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is nowhere"));
    let described: BTreeSet<_> =
        described.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(described, known.collect(), "{pointer}");
}

#[test]
fn closed_sets_of_words_are_those_of_the_program() {
    let schema = |name: &str| format!("/components/schemas/{name}/enum");
    check_words(&schema("Right"), Right::ALL.iter().map(|right| right.kind()));
    check_words(&schema("CredentialStatusCode"), StatusCode::ALL.iter().map(|code| code.kind()));
    check_words(&schema("ConnectorState"), ConnectorState::ALL.iter().map(|state| state.kind()));
    check_words(&schema("DeliveryState"), DeliveryState::ALL.iter().map(|state| state.kind()));
    check_words(&schema("OperationKind"), OperationKind::ALL.iter().map(|kind| kind.kind()));
    check_words(&schema("OperationState"), OperationState::ALL.iter().map(|state| state.kind()));
    check_words(&schema("HoldReason"), HoldReason::ALL.iter().map(|reason| reason.kind()));
}

#[test]
fn each_authorization_type_has_its_schemas() {
    let whole = description();
    let schemas = &whole["components"]["schemas"];
    for entry in AUTHORIZATION_TYPES {
        let of = |usage: &str| &schemas[format!("{usage}_{}", entry.kind)];
        for usage in ["CredentialNew", "CredentialReplace", "Credential"] {
            assert_eq!(of(usage)["properties"]["authorization_type"]["const"], entry.kind);
            let mapped = &schemas[usage]["discriminator"]["mapping"][entry.kind];
            assert_eq!(mapped, &json!(format!("#/components/schemas/{usage}_{}", entry.kind)));
        }
        for field in entry.fields {
            let new = &of("CredentialNew")["properties"][field.key];
            match field.input {
                Input::Text
                | Input::Secret
                | Input::Address
                | Input::Suggested(_)
                | Input::Certificate(_)
                | Input::CertificateKey
                | Input::ClientCertificate
                | Input::ClientKey
                | Input::PrivateKey(_) => {
                    assert_eq!(new["maxLength"], field.max_chars, "{}", field.key);
                }
                Input::Choice(choices) => {
                    let kinds: Vec<_> = choices.iter().map(|choice| choice.kind).collect();
                    assert_eq!(new["enum"], json!(kinds), "{}", field.key);
                }
                Input::Rows(rules) => assert_eq!(new["maxItems"], rules.rows_max, "{}", field.key),
            }
            assert_eq!(new["writeOnly"] == true, field.is_secret(), "{}", field.key);
            let required = of("CredentialNew")["required"].as_array().unwrap().contains(&json!(field.key));
            let pair = matches!(field.input, Input::Certificate(_) | Input::CertificateKey);
            let always = field.missing.is_some() && field.when.is_none() && field.default_text().is_empty();
            assert_eq!(required, always && !pair, "{}", field.key);
            let read = &of("Credential")["properties"][field.key];
            assert_eq!(read.get("$ref").is_some(), field.is_secret(), "a secret is read as set or not set");
            assert!(schemas["CredentialPatch"]["properties"].get(field.key).is_some(), "{}", field.key);
        }
    }
}

#[test]
fn examples_are_accepted_by_the_program() {
    let whole = description();
    let post = &whole["paths"]["/credentials"]["post"]["requestBody"]["content"]["application/json"];
    let examples = post["examples"].as_object().unwrap();
    assert_eq!(examples.len(), AUTHORIZATION_TYPES.len(), "one for each authorization type");
    for (name, example) in examples {
        let sent = example["value"].as_object().unwrap().clone();
        let draft = Draft::parse(sent, Mode::Create, Timestamp::from_millis(1_795_000_000_000));
        assert_eq!(draft.unwrap().authorization_type.kind, name);
    }
    let events = &whole["paths"]["/events"]["post"]["requestBody"]["content"];
    for (media_type, content) in events.as_object().unwrap() {
        let named =
            content.get("examples").and_then(Value::as_object).into_iter().flat_map(|all| all.values());
        let examples = named.map(|one| &one["value"]).chain(content.get("example"));
        for example in examples {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", media_type.parse().unwrap());
            read_batch(&headers, &example.to_string().into()).unwrap();
        }
    }
}

#[test]
fn each_kind_of_problem_is_described_once() {
    let text = description::WRITTEN;
    let mut codes = BTreeSet::new();
    for kind in problem::KINDS {
        assert!(codes.insert(kind.code), "{} stands there twice", kind.code);
        assert!(http::StatusCode::from_u16(kind.status).is_ok_and(|status| status.as_u16() >= 400));
        assert_eq!(kind.address(), format!("/docs/problems/{}", kind.code.replace('_', "-")));
        let answered_to_an_operation = kind.code != "method_not_allowed";
        assert_eq!(text.contains(&format!("`{}`", kind.code)), answered_to_an_operation, "{}", kind.code);
    }
}

async fn told(problem: Problem) -> (http::response::Parts, Value) {
    let id = RequestId::new(Timestamp::from_millis(0));
    let (parts, body) = problem.into_response("/api/v1/credentials", id).into_parts();
    let body = to_bytes(body, 1 << 16).await.unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["request_id"], json!(id));
    body["request_id"] = Value::Null;
    (parts, body)
}

async fn check(error: OpError, status: u16, code: &str) {
    let (parts, body) = told(error.into()).await;
    assert_eq!(
        (parts.status.as_u16(), &body["status"], &body["code"]),
        (status, &json!(status), &json!(code))
    );
}

#[tokio::test]
async fn errors_of_operations_become_problems() {
    let fault = |code| Fault::new(code, "No").at("name");
    check(OpError::NotAllowed(Right::Admin), 403, "not_allowed").await;
    check(OpError::PeopleOnly("This is for people"), 403, "not_allowed").await;
    check(OpError::NotFound("credential"), 404, "not_found").await;
    check(OpError::Invalid(vec![fault("missing"), fault("unknown_field")]), 422, "values_not_accepted").await;
    check(OpError::Invalid(vec![fault("unknown_field"), fault("unknown_field")]), 422, "unknown_field").await;
    check(OpError::Changed { current: 7 }, 412, "changed_by_someone_else").await;
    check(OpError::StillUsed(Vec::new()), 409, "still_used").await;
    check(OpError::ManagedElsewhere(FieldManager::parse("a").unwrap()), 409, "managed_elsewhere").await;
    check(OpError::WrongState("It has ended".to_owned()), 409, "wrong_state").await;
    check(OpError::TooMany { seconds: 7 }, 429, "too_many_requests").await;
    check(OpError::QueueFull, 503, "queue_full").await;
    check(OpError::StorageFull, 507, "storage_full").await;
    check(OpError::Draining, 503, "draining").await;
    check(OpError::Unavailable, 503, "unavailable").await;
    check(OpError::Idempotency(IdempotencyFault::Running), 409, "idempotency_in_progress").await;
    check(OpError::Idempotency(IdempotencyFault::Mismatch), 422, "idempotency_mismatch").await;
    check(OpError::from(StoreError::BadCursor), 400, "parameter_not_accepted").await;
    check(OpError::from(StoreError::Damaged("table".to_owned())), 500, "internal").await;
}

#[tokio::test]
async fn a_problem_says_what_where_and_how_to_repair_it() {
    let errors = vec![
        Fault::new("https_needed", "URL address must start with https://").at("url_address"),
        Fault::new("bad_characters", "The value of X-A must be on one line").at("custom_headers/0/value"),
    ];
    let (parts, body) = told(OpError::Invalid(errors).into()).await;
    assert_eq!(parts.headers["content-type"], "application/problem+json");
    assert_eq!(parts.headers["cache-control"], "no-store");
    let expected = json!({
        "type": "/docs/problems/values-not-accepted",
        "title": "Some values were not accepted",
        "status": 422,
        "detail": "2 fields need a change.",
        "instance": "/api/v1/credentials",
        "code": "values_not_accepted",
        "request_id": null,
        "errors": [
            {
                "pointer": "/url_address",
                "code": "https_needed",
                "message": "URL address must start with https://",
            },
            {
                "pointer": "/custom_headers/0/value",
                "code": "bad_characters",
                "message": "The value of X-A must be on one line",
            },
        ],
    });
    assert_eq!(body, expected);

    let usage = Usage {
        id: "con_1".to_owned(),
        kind: "webhook",
        name: "Hardware".to_owned(),
        state: "active",
        deliveries_24h: 3,
        waiting: 1,
        waiting_is_capped: false,
        next_run_at: None,
    };
    let (_, body) = told(OpError::StillUsed(vec![usage]).into()).await;
    assert_eq!(body["connectors"][0]["name"], "Hardware");
    let (_, body) = told(OpError::Changed { current: 7 }.into()).await;
    assert_eq!(body["current"]["etag"], "\"7\"");
    let (_, body) = told(OpError::NotAllowed(Right::EventsWrite).into()).await;
    assert_eq!(body["right"], "events:write");
    let (parts, _) = told(OpError::StorageFull.into()).await;
    assert_eq!(parts.headers["retry-after"], "30");
}

#[tokio::test]
async fn an_internal_error_tells_nothing_but_the_request() {
    let (_, body) = told(OpError::from(StoreError::Damaged("canary".to_owned())).into()).await;
    assert!(!body.to_string().contains("canary"));
    let keys: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["type", "title", "status", "detail", "instance", "code", "request_id"]);
}
