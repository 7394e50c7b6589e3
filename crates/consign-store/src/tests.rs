//! The conformance suite: written once over [`Store`], run on SQLite and on PostgreSQL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consign_core::connector::{Connector, ConnectorState, Kind, WebhookDraft};
use consign_core::credential::{Credential, CustomHeader, SentWith, Status, StoredSecret};
use consign_core::delivery::DeliveryState;
use consign_core::event::Event;
use consign_core::id::{AttemptId, ConnectorId, CredentialId, DeliveryId, EventId, UserId};
use consign_core::name::Name;
use consign_core::role::Role;
use consign_core::target::{Origin, Target};
use consign_core::time::Timestamp;
use consign_core::vault::Sealed;
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::attempts::Attempt;
use crate::deliveries::{Claimed, Recording};
use crate::events::{Accepted, NewDelivery, NewRow};
use crate::users::User;
use crate::{DatabaseUrl, Store, connectors, events};

mod again;
mod audit;
mod backup;
mod collecting;
mod decisions;
mod events_of;
mod exporters;
mod gateway_calls;
mod gateways;
mod long_past;
mod notices;
mod open;
mod overview;
mod people;
mod protected;
mod queue;
mod records;
mod replicas;
mod retention;
mod run_decisions;
mod run_files;
mod runs;
mod tokens;

/// A store of a test's own.
struct Fresh {
    store: Store,
    url: DatabaseUrl,
}

/// Runs each test on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { crate::tests::on_sqlite(super::$name).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { crate::tests::on_postgres(super::$name).await; })*
        }
    };
}
use on_both;

fn user(name: &str, role: Role, now: Timestamp) -> User {
    User {
        id: UserId::new(now),
        name: name.to_owned(),
        email: format!("{}@acme.example", name.to_lowercase()),
        password_hash: "$argon2id$x".to_owned(),
        role,
        suspended_at: None,
        invitation: None,
        two_step: None,
        identity: None,
        theme: String::new(),
        time_zone: String::new(),
        created_at: now,
        last_seen_at: None,
        revision: 1,
    }
}

/// A word that no other test has.
fn unique() -> String {
    EventId::new(Timestamp::from_millis(0)).to_string().to_lowercase()
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("consign-store-{}", unique()));
    std::fs::create_dir(&folder).unwrap();
    folder
}

async fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(Fresh) -> F) {
    let folder = folder();
    let url = DatabaseUrl::sqlite(&folder.join("a b%.db"));
    let store = Store::open(&url, 8).await.unwrap();
    test(Fresh { store: store.clone(), url }).await;
    store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}

async fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(Fresh) -> F) {
    let server = postgres_server();
    let name = format!("consign_{}", unique());
    administer(&server, format!("create database {name}")).await;
    let url = DatabaseUrl::parse(&format!("{server}/{name}")).unwrap();
    let store = Store::open(&url, 8).await.unwrap();
    test(Fresh { store: store.clone(), url }).await;
    store.close().await;
    administer(&server, format!("drop database {name} with (force)")).await;
}

#[expect(clippy::disallowed_methods, reason = "the gate tells where its PostgreSQL is")]
fn postgres_server() -> String {
    let Ok(url) = std::env::var("CONSIGN_TEST_POSTGRES") else {
        panic!("no PostgreSQL: run `cargo xtask test`, which starts one and sets CONSIGN_TEST_POSTGRES");
    };
    let (scheme, rest) =
        url.split_once("://").expect("CONSIGN_TEST_POSTGRES looks like postgres://user@host:port/");
    format!("{scheme}://{}", rest.split('/').next().unwrap())
}

async fn administer(server: &str, text: String) {
    let mut db = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

async fn now(store: &Store) -> Timestamp {
    store.now().await.unwrap()
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

fn credential(name: &str, now: Timestamp) -> Credential {
    let secret = |text: &str| StoredSecret {
        sealed: Sealed::from_stored(format!("v1.k-1.{text}.cc")),
        generation: 1,
        updated_at: now,
        updated_by: "Ada".to_owned(),
    };
    Credential {
        id: CredentialId::new(now),
        name: Name::parse(name).unwrap(),
        target: Target::Https(Origin::parse("URL address", "https://tool.example:8443").unwrap()),
        authorization_type: consign_core::auth::find("basic").unwrap(),
        plain: [("username".to_owned(), "ada".to_owned())].into(),
        custom_headers: vec![CustomHeader { name: "X-Site".to_owned(), sent_with: SentWith::ApiRequest }],
        secrets: [("password".to_owned(), secret("aa")), ("custom_headers/x-site".to_owned(), secret("bb"))]
            .into(),
        test_path: Some("/ping".to_owned()),
        ends_on: None,
        labels: [("team".to_owned(), "it \"ops\"".to_owned())].into(),
        max_concurrency: Some(3),
        max_per_second: None,
        managed_by: None,
        seen: Status::not_tested(now),
        last_used_at: None,
        created_at: now,
        updated_at: now,
        revision: 1,
    }
}

fn connector(name: &str, credential: Option<CredentialId>, now: Timestamp) -> Connector {
    let settings = json!({ "path": "/hook", "event_types": ["*"], "max_concurrency": 50 });
    Connector {
        id: ConnectorId::new(now),
        name: Name::parse(name).unwrap(),
        description: "Sends Tickets".to_owned(),
        credential,
        lost_credential: None,
        kind: Kind::Webhook(WebhookDraft::parse_stored(object(settings)).unwrap()),
        managed_by: None,
        state: ConnectorState::Active,
        state_reason: String::new(),
        state_since: now,
        closed_until: None,
        failing_since: None,
        created_at: now,
        updated_at: now,
        revision: 1,
    }
}

async fn add_connector(store: &Store, name: &str) -> Connector {
    let mut tx = store.begin().await.unwrap();
    let connector = connector(name, None, tx.now());
    connectors::insert(&mut tx, &connector).await.unwrap();
    tx.commit().await.unwrap();
    connector
}

fn event(source_id: &str, now: Timestamp) -> Event {
    Event {
        id: EventId::new(now),
        event_type: "device.score.low".to_owned(),
        source: "urn:test".to_owned(),
        source_id: source_id.to_owned(),
        subject: Some("Laptop 100%".to_owned()),
        time: now,
        content_type: "application/json".to_owned(),
        data: Default::default(),
        extensions: vec![("traceid".to_owned(), json!("abc"))],
        received_at: now,
        received_from: "key_1".to_owned(),
        test: false,
    }
}

fn delivery(connector: ConnectorId, now: Timestamp) -> NewDelivery {
    let id = DeliveryId::new(now);
    NewDelivery {
        id,
        connector,
        due_at: now,
        lease: None,
        idempotency_key: id,
        replay_of: None,
        sent_as: None,
        test: false,
    }
}

/// Accepts one event with these deliveries.
async fn accept(store: &Store, source_id: &str, deliveries: &[NewDelivery]) -> EventId {
    let mut tx = store.begin().await.unwrap();
    let event = event(source_id, tx.now());
    let row = NewRow { event: &event, sealed_data: b"sealed", payload_key: 7, deliveries, exporters: &[] };
    assert_eq!(events::accept(&mut tx, &[row]).await.unwrap(), [Accepted::New]);
    tx.commit().await.unwrap();
    event.id
}

fn attempt(delivery: DeliveryId, connector: ConnectorId, now: Timestamp) -> Attempt {
    Attempt {
        id: AttemptId::new(now),
        delivery,
        connector,
        number: 1,
        started_at: now,
        duration_ms: 12,
        outcome: "ok".to_owned(),
        status: Some(201),
        message: None,
        wait_ms: None,
        request_line: "POST /hook HTTP/1.1".to_owned(),
        request_headers: "[]".to_owned(),
        answer_headers: "[]".to_owned(),
        answer_excerpt: Some(b"excerpt".to_vec()),
        payload_key: 7,
        timing: "{}".to_owned(),
        request_bytes: 2,
        answer_bytes: 3,
        request: None,
    }
}

fn recording(claimed: &Claimed, state: DeliveryState, now: Timestamp) -> Recording {
    let ended = !matches!(state, DeliveryState::Pending | DeliveryState::Held);
    Recording {
        delivery: claimed.id,
        fence: claimed.fence,
        state,
        hold_reason: None,
        due_at: now,
        attempts: claimed.attempts + 1,
        outcome: "ok",
        status: Some(201),
        message: Some("created".to_owned()),
        reference: Some("INC0001".to_owned()),
        ended_at: ended.then_some(now),
        attempt: attempt(claimed.id, claimed.connector, now),
    }
}

fn by(run: &str) -> Arc<str> {
    Arc::from(run)
}
