//! Credentials, connectors, people, sessions, API keys, idempotency keys.

use consign_core::api_key::ApiKey;
use consign_core::catalog::Protocol;
use consign_core::connector::ConnectorState;
use consign_core::credential::{Credential, Status, StatusCode};
use consign_core::field_manager::FieldManager;
use consign_core::id::{ConnectorId, KeyId, UserId};
use consign_core::name::Name;
use consign_core::rights::{Right, Rights};
use consign_core::role::Role;

use super::{Fresh, connector, credential, hours, on_both};
use crate::connectors::{self, ConnectorFilter, ConnectorSort};
use crate::credentials::{self, CredentialFilter, CredentialSort};
use crate::db::query;
use crate::idempotency::{self, Reserved};
use crate::sessions::{self, Session};
use crate::users::{self, User};
use crate::{Db, Page, StoreError, api_keys, installation};

on_both!(
    a_credential_comes_back_as_it_was,
    names_are_unique_without_regard_to_case,
    a_save_over_another_save_changes_nothing,
    unknown_words_are_damage,
    credentials_are_listed_by_need_and_name,
    connectors_come_back_and_are_listed,
    people_and_sessions,
    keys_of_the_api,
    keys_of_requests,
);

fn manager(name: &str) -> FieldManager {
    FieldManager::parse(name).unwrap()
}

async fn a_credential_comes_back_as_it_was(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let before = installation::revision(&mut tx).await.unwrap();
    let tool = credential("Tool", now);
    credentials::insert(&mut tx, &tool).await.unwrap();
    assert_eq!(installation::revision(&mut tx).await.unwrap(), before + 1);
    let stored = credentials::find(&mut tx, tool.id).await.unwrap().unwrap();
    assert_eq!(format!("{stored:?}"), format!("{tool:?}"));
    assert_eq!(stored.binding().as_bytes(), tool.binding().as_bytes());
    let found = credentials::find_by_name(&mut tx, &Name::parse("tOOL").unwrap()).await.unwrap().unwrap();
    assert_eq!(found.id, tool.id);
    let mut edited = stored.clone();
    edited.secrets.remove("password");
    edited.revision = 2;
    assert!(credentials::update(&mut tx, &edited, 1).await.unwrap());
    let stored = credentials::find(&mut tx, tool.id).await.unwrap().unwrap();
    assert_eq!(stored.secrets.keys().collect::<Vec<_>>(), ["custom_headers/x-site"]);
    let seen = Status { code: StatusCode::SignInRefused, reason: "401".to_owned(), since: now };
    assert!(!credentials::set_seen(&mut tx, tool.id, edited.revision - 1, &seen).await.unwrap());
    assert!(credentials::set_seen(&mut tx, tool.id, edited.revision, &seen).await.unwrap());
    let works = Status { code: StatusCode::Working, reason: String::new(), since: now };
    assert!(!credentials::learn(&mut tx, &edited, &works).await.unwrap(), "it covers a refusal it never saw");
    assert!(credentials::learn(&mut tx, &edited, &seen).await.unwrap(), "a refusal always counts");
    let refused = credentials::find(&mut tx, tool.id).await.unwrap().unwrap();
    assert_eq!(refused.seen, seen);
    assert!(credentials::learn(&mut tx, &refused, &works).await.unwrap());
    assert!(credentials::set_seen(&mut tx, tool.id, edited.revision, &seen).await.unwrap());
    credentials::mark_used(&mut tx, tool.id, now).await.unwrap();
    credentials::mark_used(&mut tx, tool.id, now.minus(hours(1))).await.unwrap();
    let stored = credentials::find(&mut tx, tool.id).await.unwrap().unwrap();
    assert_eq!((stored.seen, stored.last_used_at, stored.revision), (seen, Some(now), 2));
    assert!(credentials::delete(&mut tx, tool.id).await.unwrap());
    assert!(!credentials::delete(&mut tx, tool.id).await.unwrap());
    let left = query("select field from credential_secret").all(&mut tx).await.unwrap();
    assert!(left.is_empty(), "sealed secrets were left");
}

async fn names_are_unique_without_regard_to_case(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    credentials::insert(&mut tx, &credential("Zürich", now)).await.unwrap();
    connectors::insert(&mut tx, &connector("Zürich", None, now)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let refused = credentials::insert(&mut tx, &credential("ZÜRICH", now)).await;
    assert!(matches!(refused, Err(StoreError::NotUnique("credential name"))), "{refused:?}");
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    let refused = connectors::insert(&mut tx, &connector("zÜrich", None, now)).await;
    assert!(matches!(refused, Err(StoreError::NotUnique("connector name"))), "{refused:?}");
    let text = format!("{refused:?} {}", refused.as_ref().unwrap_err());
    assert!(!text.to_lowercase().contains("zürich"), "{text}");
}

async fn a_save_over_another_save_changes_nothing(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let (tool, hook) = (credential("Tool", now), connector("Hook", None, now));
    credentials::insert(&mut tx, &tool).await.unwrap();
    connectors::insert(&mut tx, &hook).await.unwrap();
    let renamed = Credential { name: Name::parse("Other").unwrap(), revision: 2, ..tool.clone() };
    assert!(!credentials::update(&mut tx, &renamed, 7).await.unwrap());
    assert_eq!(credentials::find(&mut tx, tool.id).await.unwrap().unwrap().name, tool.name);
    let mut edited = hook.clone();
    edited.revision = 2;
    edited.description = "New".to_owned();
    assert!(!connectors::update(&mut tx, &edited, 7).await.unwrap());
    assert!(connectors::update(&mut tx, &edited, 1).await.unwrap());
    assert!(!connectors::update(&mut tx, &edited, 1).await.unwrap());
    assert_eq!(connectors::find(&mut tx, hook.id).await.unwrap().unwrap().description, "New");
}

async fn unknown_words_are_damage(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let (tool, hook) = (credential("Tool", now), connector("Hook", None, now));
    credentials::insert(&mut tx, &tool).await.unwrap();
    connectors::insert(&mut tx, &hook).await.unwrap();
    query("update credential set authorization_type = 'psychic'").execute(&mut tx).await.unwrap();
    query("update connector set state = 'sulking'").execute(&mut tx).await.unwrap();
    let damage = credentials::find(&mut tx, tool.id).await.unwrap_err();
    assert_eq!(damage.to_string(), "the database is damaged: unknown authorization type psychic");
    let damage = connectors::all(&mut tx).await.unwrap_err();
    assert_eq!(damage.to_string(), "the database is damaged: column state");
}

async fn credentials_are_listed_by_need_and_name(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let mut make = Vec::new();
    for (name, code, ends_in) in [
        ("alpha", StatusCode::Working, None),
        ("beta", StatusCode::Locked, None),
        ("gamma", StatusCode::Working, Some(24 * 10)),
        ("delta", StatusCode::Working, Some(24 * 300)),
        ("omega", StatusCode::NotTested, Some(0)),
    ] {
        let mut credential = credential(name, now);
        credential.seen.code = code;
        credential.managed_by = (name == "beta").then(|| manager("platform"));
        if name == "alpha" {
            credential.plain.insert("client_id".to_owned(), "DESK-77".to_owned());
        }
        let used = ["gamma", "alpha", "omega"].iter().position(|used| *used == name);
        credential.last_used_at = used.map(|place| now.minus(hours(place as u64 + 1)));
        credential.ends_on = ends_in.map(|ends| now.plus(hours(ends)).day());
        credentials::insert(&mut tx, &credential).await.unwrap();
        make.push(credential);
    }
    let (all, by_need) = (CredentialFilter::default(), CredentialSort::NeedsAttention);
    let names = |listed: &crate::Listed<Credential>| -> Vec<String> {
        listed.items.iter().map(|credential| credential.name.to_string()).collect()
    };
    let first = credentials::list(&mut tx, &all, by_need, &Page::first(2), now).await.unwrap();
    assert_eq!((names(&first), first.previous.is_some()), (vec!["beta".into(), "gamma".into()], false));
    assert_eq!(first.items[0].secrets.len(), 2);
    let second = Page { after: first.next, ..Page::first(2) };
    let second = credentials::list(&mut tx, &all, by_need, &second, now).await.unwrap();
    assert_eq!(names(&second), ["omega", "alpha"]);
    let back = Page { before: second.previous, ..Page::first(2) };
    let back = credentials::list(&mut tx, &all, by_need, &back, now).await.unwrap();
    assert_eq!((names(&back), back.previous.is_some()), (vec!["beta".into(), "gamma".into()], false));
    assert_eq!(credentials::attention_count(&mut tx, now).await.unwrap(), 3);
    let five = credentials::list(&mut tx, &all, by_need, &Page::first(5), now).await.unwrap();
    let offered = credentials::choosable(&mut tx, None, 5, now).await.unwrap();
    let expected = five.items.iter().map(|credential| credentials::Choosable::of(credential, now));
    assert_eq!(offered, expected.collect::<Vec<_>>());
    let few = credentials::choosable(&mut tx, Some(Protocol::Https), 2, now).await.unwrap();
    assert_eq!(few, offered[..2]);
    assert_eq!(credentials::choosable(&mut tx, Some(Protocol::Sftp), 2, now).await.unwrap(), []);
    for (sort, expected) in [
        (CredentialSort::Name, ["alpha", "beta", "delta", "gamma", "omega"]),
        (CredentialSort::NameDown, ["omega", "gamma", "delta", "beta", "alpha"]),
        (CredentialSort::LastUsed, ["beta", "delta", "omega", "alpha", "gamma"]),
        (CredentialSort::LastUsedDown, ["gamma", "alpha", "omega", "delta", "beta"]),
    ] {
        let first = credentials::list(&mut tx, &all, sort, &Page::first(2), now).await.unwrap();
        let second = Page { after: first.next.clone(), ..Page::first(9) };
        let second = credentials::list(&mut tx, &all, sort, &second, now).await.unwrap();
        assert_eq!([names(&first), names(&second)].concat(), expected, "{sort:?}");
        let back = Page { before: second.previous, ..Page::first(2) };
        let back = credentials::list(&mut tx, &all, sort, &back, now).await.unwrap();
        assert_eq!(names(&back), expected[..2], "{sort:?}, and back");
        for other in CredentialSort::ALL.into_iter().filter(|other| *other != sort) {
            let page = Page { after: first.next.clone(), ..Page::first(2) };
            let refused = credentials::list(&mut tx, &all, other, &page, now).await;
            assert!(matches!(refused, Err(StoreError::BadCursor)), "{sort:?} in {other:?}");
        }
    }
    let counts = credentials::counts(&mut tx, now).await.unwrap();
    let of = |status: &str| {
        counts.iter().filter(|(code, ..)| code == status).map(|(.., count)| count).sum::<u64>()
    };
    assert_eq!((of("working"), of("locked"), of("ends_soon"), counts.len()), (2, 1, 2, 3), "{counts:?}");
    let kind = make[0].authorization_type.kind;
    let named = credentials::named(&mut tx, [kind, "none"].into_iter()).await.unwrap();
    let named: Vec<_> = named.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(named, ["alpha", "beta", "delta", "gamma", "omega"]);
    assert!(credentials::named(&mut tx, ["none"].into_iter()).await.unwrap().is_empty());
    let later = now.plus(hours(24 * 11));
    let check = async |db: &mut Db, filter: CredentialFilter, expected: &[&str]| {
        let listed =
            credentials::list(db, &filter, CredentialSort::Name, &Page::first(9), later).await.unwrap();
        assert_eq!(names(&listed), expected, "{filter:?}");
        for credential in &listed.items {
            assert!(filter.status.is_none_or(|code| credential.status(later).code == code));
        }
    };
    let of = |status| CredentialFilter { status: Some(status), ..CredentialFilter::default() };
    check(&mut tx, of(StatusCode::Ended), &["gamma", "omega"]).await;
    check(&mut tx, of(StatusCode::Working), &["alpha", "delta"]).await;
    check(&mut tx, of(StatusCode::Locked), &["beta"]).await;
    let q = |q: &str| CredentialFilter { q: Some(q.to_owned()), ..CredentialFilter::default() };
    check(&mut tx, q("EL"), &["delta"]).await;
    check(&mut tx, q("tool.example"), &["alpha", "beta", "delta", "gamma", "omega"]).await;
    check(&mut tx, q("OPS"), &["alpha", "beta", "delta", "gamma", "omega"]).await;
    check(&mut tx, q("Desk-7"), &["alpha"]).await;
    check(&mut tx, q("client_i"), &[]).await;
    let pressing = CredentialFilter { needs_attention: true, ..CredentialFilter::default() };
    check(&mut tx, pressing, &["beta", "gamma", "omega"]).await;
    let of = |protocol| CredentialFilter { protocol: Some(protocol), ..CredentialFilter::default() };
    check(&mut tx, of(Protocol::Sftp), &[]).await;
    check(&mut tx, of(Protocol::Https), &["alpha", "beta", "delta", "gamma", "omega"]).await;
    let label = |value: &str| Some(("team".to_owned(), value.to_owned()));
    let labelled = |value| CredentialFilter { label: label(value), ..CredentialFilter::default() };
    check(&mut tx, labelled("it \"ops\""), &["alpha", "beta", "delta", "gamma", "omega"]).await;
    check(&mut tx, labelled("it"), &[]).await;
    let labels = credentials::labels(&mut tx, 9).await.unwrap();
    assert_eq!(Vec::from_iter(labels), [("team".to_owned(), "it \"ops\"".to_owned())]);
    let kind =
        |kind: &str| CredentialFilter { authorization_type: Some(kind.to_owned()), ..Default::default() };
    check(&mut tx, kind("bearer"), &[]).await;
    let counted = Page { counted: true, ..Page::first(1) };
    let counted = credentials::list(&mut tx, &q("a"), by_need, &counted, later).await.unwrap();
    assert_eq!((counted.items.len(), counted.count), (1, Some(5)));
    let day = now.plus(hours(24)).day();
    check(&mut tx, CredentialFilter { ends_before: Some(day), ..Default::default() }, &["omega"]).await;
    let managed = |name: &str| CredentialFilter { managed_by: Some(manager(name)), ..Default::default() };
    check(&mut tx, managed("platform"), &["beta"]).await;
    check(&mut tx, managed("other"), &[]).await;
    assert_eq!(credentials::managers(&mut tx, 9).await.unwrap(), [manager("platform")]);
    assert_eq!(credentials::all(&mut tx).await.unwrap().len(), 5);
    let bad = Page { after: Some("5b5d".to_owned()), ..Page::first(2) };
    let refused = credentials::list(&mut tx, &all, by_need, &bad, now).await;
    assert!(matches!(refused, Err(StoreError::BadCursor)), "{refused:?}");
}

async fn connectors_come_back_and_are_listed(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let tool = credential("Tool", now);
    credentials::insert(&mut tx, &tool).await.unwrap();
    let mut made = Vec::new();
    for name in ["b", "a", "c"] {
        let mut connector = connector(name, (name != "c").then_some(tool.id), now);
        connector.closed_until = Some(now);
        connector.managed_by = (name == "b").then(|| manager("platform"));
        connectors::insert(&mut tx, &connector).await.unwrap();
        made.push(connector);
    }
    let stored = connectors::find(&mut tx, made[0].id).await.unwrap().unwrap();
    assert_eq!(format!("{stored:?}"), format!("{:?}", made[0]));
    let found = connectors::find_by_name(&mut tx, &Name::parse("B").unwrap()).await.unwrap().unwrap();
    assert_eq!(found.id, made[0].id);
    let named = |connectors: &[consign_core::connector::Connector]| -> String {
        connectors.iter().map(|connector| connector.name.to_string()).collect()
    };
    assert_eq!(named(&connectors::by_credential(&mut tx, tool.id).await.unwrap()), "ab");
    assert_eq!(credentials::usage_counts(&mut tx, &[tool.id]).await.unwrap()[&tool.id], 2);
    assert_eq!(connectors::all(&mut tx).await.unwrap().len(), 3);
    connectors::set_state(&mut tx, made[0].id, None, ConnectorState::Paused, "", now).await.unwrap();
    connectors::set_failing_since(&mut tx, made[0].id, Some(now)).await.unwrap();
    assert_eq!(connectors::find(&mut tx, made[0].id).await.unwrap().unwrap().failing_since, Some(now));
    connectors::close_until(&mut tx, made[0].id, now.minus(hours(1))).await.unwrap();
    assert_eq!(connectors::find(&mut tx, made[0].id).await.unwrap().unwrap().closed_until, Some(now));
    let check = async |db: &mut Db, filter: ConnectorFilter, expected: &str| {
        let listed = connectors::list(db, &filter, &Page::first(9)).await.unwrap();
        assert_eq!(named(&listed.items), expected, "{filter:?}");
    };
    let state = |word: &str| ConnectorFilter { state: Some(word.to_owned()), ..ConnectorFilter::default() };
    check(&mut tx, ConnectorFilter::default(), "abc").await;
    check(&mut tx, state("active"), "ac").await;
    check(&mut tx, state("paused"), "b").await;
    check(&mut tx, state("held"), "").await;
    check(&mut tx, ConnectorFilter { credential: Some(tool.id), ..Default::default() }, "ab").await;
    check(&mut tx, ConnectorFilter { managed_by: Some(manager("platform")), ..Default::default() }, "b")
        .await;
    check(&mut tx, ConnectorFilter { managed_by: Some(manager("other")), ..Default::default() }, "").await;
    assert_eq!(connectors::managers(&mut tx, "webhook", 9).await.unwrap(), [manager("platform")]);
    assert_eq!(connectors::managers(&mut tx, "gateway", 9).await.unwrap(), []);
    check(&mut tx, ConnectorFilter { q: Some("TICKETS".to_owned()), ..Default::default() }, "abc").await;
    let first = connectors::list(&mut tx, &ConnectorFilter::default(), &Page::first(2)).await.unwrap();
    let next = Page { after: first.next, ..Page::first(2) };
    let next = connectors::list(&mut tx, &ConnectorFilter::default(), &next).await.unwrap();
    assert_eq!((named(&first.items), named(&next.items)), ("ab".to_owned(), "c".to_owned()));
    for (sort, expected) in [
        (ConnectorSort::Name, "abc"),
        (ConnectorSort::NameDown, "cba"),
        (ConnectorSort::Last, "abc"),
        (ConnectorSort::LastDown, "cba"),
    ] {
        let filter = ConnectorFilter { sort, ..ConnectorFilter::default() };
        let first = connectors::list(&mut tx, &filter, &Page::first(2)).await.unwrap();
        let next = Page { after: first.next.clone(), ..Page::first(2) };
        let next = connectors::list(&mut tx, &filter, &next).await.unwrap();
        assert_eq!(named(&first.items) + &named(&next.items), expected, "{sort:?}");
        let back = Page { before: next.previous, ..Page::first(2) };
        let back = connectors::list(&mut tx, &filter, &back).await.unwrap();
        assert_eq!(named(&back.items), expected[..2], "{sort:?}, and back");
        for other in ConnectorSort::ALL.into_iter().filter(|other| *other != sort) {
            let (page, filter) = (
                Page { after: first.next.clone(), ..Page::first(2) },
                ConnectorFilter { sort: other, ..ConnectorFilter::default() },
            );
            let refused = connectors::list(&mut tx, &filter, &page).await;
            assert!(matches!(refused, Err(StoreError::BadCursor)), "{sort:?} in {other:?}");
        }
    }
}

async fn people_and_sessions(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let ada = User {
        email: "Ada@Example.org".to_owned(),
        theme: "system".to_owned(),
        time_zone: "Europe/Lisbon".to_owned(),
        ..super::user("Ada", Role::Administrator, now)
    };
    users::insert(&mut tx, &ada).await.unwrap();
    assert_eq!(format!("{ada:?}"), format!("User({})", ada.id), "no hash in a log");
    users::set_theme(&mut tx, ada.id, "dark").await.unwrap();
    users::set_seen(&mut tx, ada.id, now).await.unwrap();
    let found = users::find_by_email(&mut tx, " ada@example.ORG").await.unwrap().unwrap();
    assert_eq!((found.id, found.theme.as_str(), found.last_seen_at), (ada.id, "dark", Some(now)));
    assert_eq!(found.password_hash, ada.password_hash);
    assert_eq!(users::find(&mut tx, ada.id).await.unwrap().unwrap().email, ada.email);
    assert_eq!(users::count(&mut tx).await.unwrap(), 1);
    let session = |hash: &str, hours_ago| Session {
        hash: hash.to_owned(),
        user: ada.id,
        csrf: "c".to_owned(),
        created_at: now.minus(hours(hours_ago)),
        seen_at: now.minus(hours(hours_ago)),
        pending: None,
        proof: format!("proof of {hash}"),
    };
    for session in [session("new", 0), session("old", 9), session("idle", 3)] {
        sessions::insert(&mut tx, &session).await.unwrap();
    }
    sessions::touch(&mut tx, "old", now).await.unwrap();
    sessions::set_pending(&mut tx, "new", Some("v1.x")).await.unwrap();
    let found = sessions::find(&mut tx, "new").await.unwrap().unwrap();
    assert_eq!((found.pending.as_deref(), found.proof.as_str()), (Some("v1.x"), "proof of new"));
    let deleted = sessions::delete_old(&mut tx, now.minus(hours(8)), now.minus(hours(2))).await.unwrap();
    assert_eq!(deleted, 2);
    assert!(sessions::find(&mut tx, "old").await.unwrap().is_none());
    assert!(sessions::delete(&mut tx, "new").await.unwrap());
    assert!(!sessions::delete(&mut tx, "new").await.unwrap());
    let twin = User { id: UserId::new(now), email: "ADA@example.org".to_owned(), ..ada };
    let refused = users::insert(&mut tx, &twin).await;
    assert!(matches!(refused, Err(StoreError::NotUnique("email address"))), "{refused:?}");
}

async fn keys_of_the_api(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let key = ApiKey {
        id: KeyId::new(now),
        name: "Monitoring".to_owned(),
        rights: [Right::EventsWrite, Right::EventsRead].into_iter().collect::<Rights>(),
        gateways: vec![ConnectorId::new(now), ConnectorId::new(now)],
        allowed_from: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        hash: "00ff".to_owned(),
        ends_at: Some(now),
        last_used_at: None,
        last_used_from: None,
        created_at: now,
    };
    api_keys::insert(&mut tx, &key).await.unwrap();
    let from = Some("2001:db8::7".parse().unwrap());
    api_keys::mark_used(&mut tx, key.id, from, now).await.unwrap();
    let stored = api_keys::find(&mut tx, key.id).await.unwrap().unwrap();
    assert_eq!((stored.rights, stored.hash.as_str(), stored.ends_at), (key.rights, "00ff", Some(now)));
    assert_eq!((stored.last_used_at, stored.last_used_from), (Some(now), from));
    assert_eq!((&stored.gateways, &stored.allowed_from), (&key.gateways, &key.allowed_from));
    assert_eq!(api_keys::all(&mut tx).await.unwrap().len(), 1);
    assert_eq!(api_keys::list(&mut tx, &Page::first(5)).await.unwrap().items.len(), 1);
    let before = installation::revision(&mut tx).await.unwrap();
    assert!(api_keys::delete(&mut tx, key.id).await.unwrap());
    assert_eq!(installation::revision(&mut tx).await.unwrap(), before + 1);
    assert!(api_keys::find(&mut tx, key.id).await.unwrap().is_none());
}

async fn keys_of_requests(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let reserve = async |db: &mut Db, caller: &str, fingerprint: &str| {
        idempotency::reserve(db, "k", caller, fingerprint, now).await.unwrap()
    };
    assert_eq!(reserve(&mut tx, "key_1", "f").await, Reserved::New);
    assert_eq!(reserve(&mut tx, "key_2", "f").await, Reserved::New);
    assert_eq!(reserve(&mut tx, "key_1", "f").await, Reserved::Running);
    assert_eq!(reserve(&mut tx, "key_1", "g").await, Reserved::Mismatch);
    let finish = async |db: &mut Db, fingerprint: &str| {
        idempotency::finish(db, "k", "key_1", fingerprint, (201, "v1.body")).await.unwrap()
    };
    assert!(!finish(&mut tx, "other").await, "the key is somebody else's by now");
    assert!(finish(&mut tx, "f").await);
    assert!(!finish(&mut tx, "f").await, "once");
    let replay = Reserved::Replay { status: 201, body: "v1.body".to_owned() };
    assert_eq!(reserve(&mut tx, "key_1", "f").await, replay);
    assert_eq!(reserve(&mut tx, "key_1", "g").await, Reserved::Mismatch);
    idempotency::forget(&mut tx, "k", "key_1").await.unwrap();
    assert_eq!(reserve(&mut tx, "key_1", "f").await, replay, "an answer is not forgotten");
    idempotency::forget(&mut tx, "k", "key_2").await.unwrap();
    assert_eq!(reserve(&mut tx, "key_2", "g").await, Reserved::New);
    assert_eq!(idempotency::forget_running(&mut tx).await.unwrap(), 1);
    assert_eq!(idempotency::delete_old(&mut tx, now).await.unwrap(), 0);
    assert_eq!(idempotency::delete_old(&mut tx, now.plus(hours(1))).await.unwrap(), 1);
}
