//! Tokens: one asks at a time, an overtaken one changes nothing, and what was granted is not lost on the way.

use std::time::Duration;

use consign_core::credential::Credential;
use consign_core::id::TestId;
use consign_core::time::Timestamp;
use consign_core::token::{SealedToken, StoredToken, TokenFacts};
use consign_core::vault::Sealed;

use super::{Fresh, accept, connector, credential, delivery, hours, on_both};
use crate::consents::{self, PendingConsent};
use crate::credential_tests::{self, FinishedTest};
use crate::tokens::{self, FailureKind, TokenFailure, TokenLease};
use crate::{Store, connectors, credentials, deliveries};

on_both!(
    one_asks_at_a_time,
    an_overtaken_answer_changes_nothing,
    an_answer_that_outlives_a_move_changes_nothing,
    tokens_come_back_as_they_were,
    failures_are_kept_and_forgiven,
    an_address_that_is_away_closes_until_something_is_repaired,
    a_credential_stays_as_it_is_read,
    an_intent_survives_its_program,
    a_new_secret_drops_the_access_token_alone,
    unused_grants_are_found,
    tokens_go_with_their_credential,
    a_consent_is_good_once,
    the_last_tests_are_kept,
);

const LEASE: Duration = Duration::from_secs(60);

async fn add(store: &Store) -> Credential {
    let mut tx = store.begin().await.unwrap();
    let tool = credential("Tool", tx.now());
    credentials::insert(&mut tx, &tool).await.unwrap();
    tx.commit().await.unwrap();
    tool
}

async fn lease(store: &Store, tool: &Credential, by: &str) -> Option<(TokenLease, tokens::TokenRow)> {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let leased = tokens::lease(&mut tx, tool.id, by, now, now.plus(LEASE)).await.unwrap();
    tx.commit().await.unwrap();
    leased
}

fn sealed(text: &str, generation: i64) -> Option<SealedToken> {
    Some(SealedToken { sealed: Sealed::from_stored(format!("v1.k-1.{text}.cc")), generation })
}

fn token(generation: i64, now: Timestamp) -> StoredToken {
    StoredToken {
        generation,
        access: sealed("aa", generation),
        refresh: sealed("bb", 1),
        facts: TokenFacts {
            obtained_at: now,
            ends_at: Some(now.plus(hours(1))),
            scope: Some("read \"all\"".to_owned()),
            refresh_ends_at: Some(now.plus(hours(24))),
        },
        issuer: Some("https://login.example".to_owned()),
        life: Some(hours(1)),
    }
}

async fn keep(store: &Store, lease: &TokenLease, token: &StoredToken) -> bool {
    let mut tx = store.begin().await.unwrap();
    let kept = tokens::store(&mut tx, lease, token).await.unwrap();
    tx.commit().await.unwrap();
    kept
}

async fn row(store: &Store, tool: &Credential) -> tokens::TokenRow {
    tokens::find(&mut store.read().await.unwrap(), tool.id).await.unwrap().unwrap()
}

async fn one_asks_at_a_time(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    assert!(tokens::find(&mut store.read().await.unwrap(), tool.id).await.unwrap().is_none());
    let (first, row) = lease(&store, &tool, "a").await.unwrap();
    assert_eq!((row.generation, row.token, row.failure), (0, None, None));
    assert!(lease(&store, &tool, "b").await.is_none());
    assert!(lease(&store, &tool, "a").await.is_none(), "not even the same process");
    let mut tx = store.begin().await.unwrap();
    tokens::release(&mut tx, &first).await.unwrap();
    tx.commit().await.unwrap();
    let (second, _) = lease(&store, &tool, "b").await.unwrap();
    assert!(second.fence > first.fence);
    store.advance(LEASE);
    let (third, _) = lease(&store, &tool, "c").await.unwrap();
    assert!(third.fence > second.fence, "a lease runs out");
    let mut tx = store.begin().await.unwrap();
    tokens::end_foreign_leases(&mut tx, "d").await.unwrap();
    tx.commit().await.unwrap();
    assert!(lease(&store, &tool, "d").await.is_some());
}

async fn an_overtaken_answer_changes_nothing(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let (slow, _) = lease(&store, &tool, "a").await.unwrap();
    store.advance(LEASE);
    let (fast, _) = lease(&store, &tool, "b").await.unwrap();
    let now = store.now().await.unwrap();
    assert!(keep(&store, &fast, &token(1, now)).await);
    assert!(!keep(&store, &slow, &token(7, now)).await);
    let failure =
        TokenFailure { kind: FailureKind::GrantEnded, reason: "late".to_owned(), count: 1, retry_at: now };
    let mut tx = store.begin().await.unwrap();
    assert!(!tokens::fail(&mut tx, &slow, &failure, true, false).await.unwrap());
    assert!(!tokens::note_intent(&mut tx, &slow, Some(1), None).await.unwrap());
    tx.commit().await.unwrap();
    let row = row(&store, &tool).await;
    assert_eq!((row.generation, row.failure), (1, None));
    assert!(row.token.unwrap().refresh.is_some());
}

async fn an_answer_that_outlives_a_move_changes_nothing(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let (first, _) = lease(&store, &tool, "a").await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert!(tokens::forget(&mut tx, tool.id).await.unwrap());
    tx.commit().await.unwrap();
    let (second, _) = lease(&store, &tool, "b").await.unwrap();
    assert!(second.fence > first.fence, "the count goes on");
    assert!(!keep(&store, &first, &token(1, now)).await, "a token of the old address");
    assert_eq!(row(&store, &tool).await.token, None);
    let fresh = token(3, now);
    assert!(keep(&store, &second, &fresh).await);
    let mut tx = store.begin().await.unwrap();
    assert!(tokens::forget(&mut tx, tool.id).await.unwrap());
    tx.commit().await.unwrap();
    let forgotten = row(&store, &tool).await;
    assert_eq!((forgotten.token, forgotten.life, forgotten.spending), (None, None, None));
    assert!(
        forgotten.generation > fresh.generation,
        "no refusal of an old token is taken for one of a new one"
    );
}

async fn tokens_come_back_as_they_were(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let now = store.now().await.unwrap();
    let (held, _) = lease(&store, &tool, "a").await.unwrap();
    let first = token(1, now);
    assert!(keep(&store, &held, &first).await);
    let found = row(&store, &tool).await;
    assert_eq!(found.token.as_ref(), Some(&first));
    assert_eq!((found.access_generation(), found.refresh_generation()), (Some(1), Some(1)));
    assert_eq!(found.life, Some(hours(1)));
    let several = tokens::of(&mut store.read().await.unwrap(), &[tool.id]).await.unwrap();
    assert_eq!(several[&tool.id].token.as_ref(), Some(&first));
    // What an answer does not say again stays: who granted it, and how long its tokens live.
    let (held, _) = lease(&store, &tool, "a").await.unwrap();
    let next = StoredToken {
        issuer: None,
        life: None,
        facts: TokenFacts { ends_at: None, ..first.facts.clone() },
        ..token(2, now)
    };
    assert!(keep(&store, &held, &next).await);
    let found = row(&store, &tool).await;
    assert_eq!(found.life, Some(hours(1)));
    assert_eq!(found.token.unwrap().issuer, first.issuer);
}

async fn failures_are_kept_and_forgiven(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let now = store.now().await.unwrap();
    let (held, _) = lease(&store, &tool, "a").await.unwrap();
    assert!(keep(&store, &held, &token(1, now)).await);
    let failed =
        |kind, count| TokenFailure { kind, reason: "away".to_owned(), count, retry_at: now.plus(LEASE) };
    let fail = async |failure: &TokenFailure, refused, away| {
        let (held, _) = lease(&store, &tool, "a").await.unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(tokens::fail(&mut tx, &held, failure, refused, away).await.unwrap());
        tx.commit().await.unwrap();
        row(&store, &tool).await
    };
    let transient = failed(FailureKind::Transient, 2);
    let found = fail(&transient, false, false).await;
    assert_eq!(found.failure.as_ref(), Some(&transient));
    assert_eq!(
        (found.access_generation(), found.refresh_generation()),
        (Some(1), Some(1)),
        "nothing is lost"
    );
    let found = fail(&transient, true, false).await;
    assert_eq!(
        (found.access_generation(), found.refresh_generation()),
        (None, Some(1)),
        "the tool refused it"
    );
    let found = fail(&failed(FailureKind::GrantEnded, 3), false, false).await;
    assert_eq!(found.refresh_generation(), None);
    let mut tx = store.begin().await.unwrap();
    assert!(tokens::forgive(&mut tx, tool.id).await.unwrap());
    assert!(!tokens::forgive(&mut tx, tool.id).await.unwrap(), "nothing is left");
    tx.commit().await.unwrap();
    assert_eq!(row(&store, &tool).await.failure, None);
}

async fn an_address_that_is_away_closes_until_something_is_repaired(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let mut tx = store.begin().await.unwrap();
    let hook = connector("Hook", Some(tool.id), tx.now());
    connectors::insert(&mut tx, &hook).await.unwrap();
    tx.commit().await.unwrap();
    let now = store.now().await.unwrap();
    accept(&store, "1", &[delivery(hook.id, now)]).await;
    let later = now.plus(hours(1));
    let away =
        TokenFailure { kind: FailureKind::Transient, reason: "429".to_owned(), count: 1, retry_at: later };
    let until = async || {
        let mut db = store.read().await.unwrap();
        let open = !deliveries::lanes(&mut db, now.plus(LEASE), 64).await.unwrap().is_empty();
        let until = tokens::away(&mut db).await.unwrap().get(&tool.id).copied();
        assert_eq!(open, until.is_none(), "{until:?}");
        until
    };
    let fail = async |closes| {
        let (held, _) = lease(&store, &tool, "a").await.unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(tokens::fail(&mut tx, &held, &away, false, closes).await.unwrap());
        tx.commit().await.unwrap();
        until().await
    };
    assert_eq!(fail(false).await, None, "another token serves");
    // It ended meanwhile.
    let wait = async || {
        let (held, _) = lease(&store, &tool, "a").await.unwrap();
        let mut tx = store.begin().await.unwrap();
        tokens::wait(&mut tx, &held).await.unwrap();
        tx.commit().await.unwrap();
        until().await
    };
    assert_eq!(wait().await, Some(later));
    for repair in ["forgive", "drop", "forget", "store"] {
        assert_eq!(fail(true).await, Some(later), "{repair}");
        let mut db = store.read().await.unwrap();
        assert!(!deliveries::lanes(&mut db, later, 64).await.unwrap().is_empty(), "it may be asked again");
        drop(db);
        let (held, _) = lease(&store, &tool, "a").await.unwrap();
        let mut tx = store.begin().await.unwrap();
        match repair {
            "forgive" => assert!(tokens::forgive(&mut tx, tool.id).await.unwrap()),
            "drop" => tokens::drop_access(&mut tx, tool.id).await.unwrap(),
            "forget" => assert!(tokens::forget(&mut tx, tool.id).await.unwrap()),
            _ => assert!(tokens::store(&mut tx, &held, &token(9, now)).await.unwrap()),
        }
        tokens::release(&mut tx, &held).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(until().await, None, "{repair}");
    }
    assert_eq!(wait().await, None, "nothing is wrong with it");
}

async fn a_credential_stays_as_it_is_read(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let mut tx = store.begin().await.unwrap();
    let locked = credentials::lock(&mut tx, tool.id).await.unwrap().unwrap();
    assert_eq!((locked.revision, locked.secrets.len()), (1, 2));
    let saved = Credential { revision: 2, ..tool.clone() };
    let save = async {
        let mut tx = store.begin().await.unwrap();
        assert!(credentials::update(&mut tx, &saved, 1).await.unwrap());
        tx.commit().await.unwrap();
    };
    let mut save = std::pin::pin!(save);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut save).await;
    assert!(early.is_err(), "a save waits");
    assert_eq!(credentials::revision(&mut tx, tool.id).await.unwrap(), Some(1));
    tx.commit().await.unwrap();
    save.await;
    let mut tx = store.begin().await.unwrap();
    assert_eq!(credentials::lock(&mut tx, tool.id).await.unwrap().unwrap().revision, 2);
    assert!(credentials::delete(&mut tx, tool.id).await.unwrap());
    assert!(credentials::lock(&mut tx, tool.id).await.unwrap().is_none());
}

async fn an_intent_survives_its_program(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let (held, _) = lease(&store, &tool, "a").await.unwrap();
    let now = store.now().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    assert!(tokens::note_intent(&mut tx, &held, Some(4), Some(now)).await.unwrap());
    tokens::end_foreign_leases(&mut tx, "b").await.unwrap();
    tx.commit().await.unwrap();
    let (held, found) = lease(&store, &tool, "b").await.unwrap();
    assert_eq!((found.spending, found.forced_at), (Some(4), Some(now)));
    // No answer is stored by a failure, nor by giving the lease back.
    let kind = FailureKind::Transient;
    let failure = TokenFailure { kind, reason: "no answer".to_owned(), count: 1, retry_at: now };
    let mut tx = store.begin().await.unwrap();
    assert!(tokens::fail(&mut tx, &held, &failure, false, false).await.unwrap());
    tokens::wait(&mut tx, &held).await.unwrap();
    tokens::release(&mut tx, &held).await.unwrap();
    tx.commit().await.unwrap();
    let (held, found) = lease(&store, &tool, "b").await.unwrap();
    assert_eq!(found.spending, Some(4));
    assert!(keep(&store, &held, &token(1, now)).await);
    assert_eq!(row(&store, &tool).await.spending, None);
}

async fn a_new_secret_drops_the_access_token_alone(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let now = store.now().await.unwrap();
    let (held, _) = lease(&store, &tool, "a").await.unwrap();
    assert!(keep(&store, &held, &token(1, now)).await);
    let mut tx = store.begin().await.unwrap();
    tokens::drop_access(&mut tx, tool.id).await.unwrap();
    tx.commit().await.unwrap();
    let found = row(&store, &tool).await;
    assert_eq!((found.access_generation(), found.refresh_generation()), (None, Some(1)));
}

async fn unused_grants_are_found(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let now = store.now().await.unwrap();
    let (held, _) = lease(&store, &tool, "a").await.unwrap();
    assert!(keep(&store, &held, &token(1, now)).await);
    let find = async |before: Timestamp| {
        let mut db = store.read().await.unwrap();
        tokens::unused_since(&mut db, before, now, 16).await.unwrap()
    };
    assert_eq!(find(now).await, []);
    assert_eq!(find(now.plus(hours(1))).await, [tool.id]);
    // After a restore each is tried soon, whenever it was used.
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tokens::use_all_soon(&mut tx).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(find(now.minus(hours(24 * 365))).await, [tool.id]);
}

async fn tokens_go_with_their_credential(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let now = store.now().await.unwrap();
    let (held, _) = lease(&store, &tool, "a").await.unwrap();
    assert!(keep(&store, &held, &token(1, now)).await);
    let mut tx = store.begin().await.unwrap();
    consents::insert(&mut tx, &pending(&tool, now)).await.unwrap();
    credential_tests::insert(&mut tx, tool.id, &finished(now)).await.unwrap();
    assert!(credentials::delete(&mut tx, tool.id).await.unwrap());
    assert!(tokens::find(&mut tx, tool.id).await.unwrap().is_none());
    assert!(consents::take(&mut tx, "hash").await.unwrap().is_none());
    assert!(credential_tests::list(&mut tx, tool.id).await.unwrap().is_empty());
    assert!(!tokens::store(&mut tx, &held, &token(2, now)).await.unwrap(), "an answer comes too late");
    tx.commit().await.unwrap();
}

fn pending(tool: &Credential, now: Timestamp) -> PendingConsent {
    PendingConsent {
        state_hash: "hash".to_owned(),
        credential: tool.id,
        revision: 3,
        session_hash: "session".to_owned(),
        redirect_url: "https://consign.example/oauth/callback/crd".to_owned(),
        sealed_verifier: "sealed".to_owned(),
        created_at: now,
    }
}

async fn a_consent_is_good_once(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let now = store.now().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    consents::insert(&mut tx, &pending(&tool, now)).await.unwrap();
    tx.commit().await.unwrap();
    let take = async || {
        let mut tx = store.begin().await.unwrap();
        let taken = consents::take(&mut tx, "hash").await.unwrap();
        tx.commit().await.unwrap();
        taken
    };
    let (one, other) = tokio::join!(take(), take());
    assert!(one.is_some() != other.is_some(), "two that come at once");
    let taken = one.or(other).unwrap();
    assert_eq!((taken.credential, taken.revision, taken.created_at), (tool.id, 3, now));
    let mut tx = store.begin().await.unwrap();
    consents::insert(&mut tx, &pending(&tool, now)).await.unwrap();
    assert_eq!(consents::delete_before(&mut tx, now).await.unwrap(), 0);
    assert_eq!(consents::delete_before(&mut tx, now.plus(LEASE)).await.unwrap(), 1);
    tx.commit().await.unwrap();
}

fn finished(now: Timestamp) -> FinishedTest {
    FinishedTest {
        id: TestId::new(now),
        at: now,
        by: "Ada".to_owned(),
        outcome: "working".to_owned(),
        result: "{}".to_owned(),
    }
}

async fn the_last_tests_are_kept(Fresh { store, .. }: Fresh) {
    let tool = add(&store).await;
    let now = store.now().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for second in 0..22 {
        let test = finished(now.plus(Duration::from_secs(second)));
        credential_tests::insert(&mut tx, tool.id, &test).await.unwrap();
    }
    let kept = credential_tests::list(&mut tx, tool.id).await.unwrap();
    assert_eq!(kept.len(), 20);
    assert_eq!(kept[0].at, now.plus(Duration::from_secs(21)), "newest first");
    tx.commit().await.unwrap();
}
