//! Rows of gateways: found by their address part, which only one of them has.

use consign_core::connector::gateway::Slug;
use consign_core::connector::{Connector, ConnectorState, GatewayDraft, Kind};
use consign_core::time::Timestamp;
use serde_json::json;

use super::{Fresh, connector, credential, object, on_both};
use crate::connectors::{self, ConnectorFilter};
use crate::{Page, StoreError, credentials, installation};

on_both!(an_address_part_has_one_gateway, gateways_are_read_back, a_lost_credential_is_missing);

fn gateway(name: &str, slug: &str, now: Timestamp) -> Connector {
    let settings = json!({
        "slug": slug, "methods": ["GET", "POST"], "path_prefixes": ["/api/now", "/"], "max_concurrency": 7,
        "max_per_second": 0.5, "record_calls": false,
    });
    let kind = Kind::Gateway(GatewayDraft::parse_stored(object(settings)).unwrap());
    Connector { kind, ..connector(name, None, now) }
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

async fn an_address_part_has_one_gateway(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let (first, second) = (gateway("First", "tool", now), gateway("Second", "other", now));
    connectors::insert(&mut tx, &first).await.unwrap();
    connectors::insert(&mut tx, &second).await.unwrap();
    // Those that are none have no address part to share.
    connectors::insert(&mut tx, &connector("Hook", None, now)).await.unwrap();
    connectors::insert(&mut tx, &connector("Hook 2", None, now)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let refused = connectors::insert(&mut tx, &gateway("Third", "tool", now)).await;
    assert!(matches!(refused, Err(StoreError::NotUnique("address part"))), "{refused:?}");
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    let edited = Connector { id: second.id, revision: 2, ..gateway("Second", "tool", now) };
    let refused = connectors::update(&mut tx, &edited, 1).await;
    assert!(matches!(refused, Err(StoreError::NotUnique("address part"))), "{refused:?}");
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    let moved = Connector { id: first.id, revision: 2, ..gateway("First", "moved", now) };
    assert!(connectors::update(&mut tx, &moved, 1).await.unwrap());
    assert!(connectors::find_by_slug(&mut tx, &slug("tool")).await.unwrap().is_none());
    assert_eq!(connectors::find_by_slug(&mut tx, &slug("moved")).await.unwrap().unwrap().id, first.id);
    assert!(connectors::update(&mut tx, &edited, 1).await.unwrap(), "it is free again");
    connectors::delete(&mut tx, first.id).await.unwrap();
    connectors::insert(&mut tx, &gateway("Third", "moved", now)).await.unwrap();
}

async fn gateways_are_read_back(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let saved = gateway("Tool", "tool", now);
    let before = installation::revision(&mut tx).await.unwrap();
    connectors::insert(&mut tx, &saved).await.unwrap();
    assert_eq!(installation::revision(&mut tx).await.unwrap(), before + 1);
    connectors::insert(&mut tx, &connector("Hook", None, now)).await.unwrap();
    let found = connectors::find(&mut tx, saved.id).await.unwrap().unwrap();
    assert_eq!(found.kind.to_json(), saved.kind.to_json());
    let read = found.gateway().unwrap();
    assert_eq!((read.max_concurrency, read.record_calls), (7, false));
    let filter = ConnectorFilter { kind: Some("gateway"), ..ConnectorFilter::default() };
    let listed = connectors::list(&mut tx, &filter, &Page::first(5)).await.unwrap();
    assert_eq!(listed.items.iter().map(|one| one.id).collect::<Vec<_>>(), [saved.id]);
}

async fn a_lost_credential_is_missing(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let tool = credential("Tool", now);
    credentials::insert(&mut tx, &tool).await.unwrap();
    let saved = Connector { credential: Some(tool.id), ..gateway("Calls", "tool", now) };
    connectors::insert(&mut tx, &saved).await.unwrap();
    let lost = connectors::lose_credential(&mut tx, tool.id, &tool.name, now).await.unwrap();
    assert_eq!(lost, [(saved.id, "Calls".to_owned())]);
    let found = connectors::find(&mut tx, saved.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.credential), (ConnectorState::CredentialMissing, None));
    assert_eq!(found.lost_credential.as_deref(), Some("Tool"));
}
