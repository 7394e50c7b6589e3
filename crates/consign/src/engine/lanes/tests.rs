use std::sync::Arc;

use bytes::Bytes;
use consign_core::connector::{ConnectorState, GatewayDraft, Kind, WebhookDraft};
use consign_core::credential::{Draft, Mode, Save};
use consign_core::event::Event;
use consign_core::id::{CredentialId, EventId};
use consign_core::vault::{KeyRing, Vault};
use serde_json::{Map, Value, json};

use super::*;
use crate::engine::work::Content;

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_000);

fn at(millis: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(millis))
}

fn with(base: Value, changes: &Value) -> Map<String, Value> {
    let mut whole = base.as_object().unwrap().clone();
    whole.extend(changes.as_object().unwrap().clone());
    whole
}

fn credential(limits: &Value) -> Credential {
    let sent = json!({
        "name": "Tool", "protocol": "https", "url_address": "https://acme.example/",
        "authorization_type": "bearer", "token": "abc",
    });
    let draft = Draft::parse(with(sent, limits), Mode::Create, NOW).unwrap();
    let save = Save { now: NOW, by: "Ana" };
    draft.seal(&Vault::new(&KeyRing::generate(), "i"), &save, CredentialId::new(NOW), None)
}

fn connector(settings: &Value) -> Connector {
    let sent = json!({ "name": "Incidents", "path": "/x", "event_types": ["*"] });
    let draft = WebhookDraft::parse(with(sent, settings), Some(&credential(&json!({})))).unwrap();
    Connector {
        id: ConnectorId::new(NOW),
        name: draft.name,
        description: draft.description,
        credential: None,
        lost_credential: None,
        kind: Kind::Webhook(draft.webhook),
        managed_by: None,
        state: ConnectorState::Active,
        state_reason: String::new(),
        state_since: NOW,
        closed_until: None,
        failing_since: None,
        created_at: NOW,
        updated_at: NOW,
        revision: 1,
    }
}

fn rules(connector: &Connector) -> Rules<'_> {
    Rules { connector, webhook: connector.webhook().unwrap(), credential: None, attempts_max: 1_000 }
}

fn work(connector: &Connector) -> Work {
    let delivery = DeliveryId::new(NOW);
    let event = Event {
        id: EventId::new(NOW),
        event_type: "a".to_owned(),
        source: "s".to_owned(),
        source_id: "1".to_owned(),
        subject: None,
        time: NOW,
        content_type: "application/json".to_owned(),
        data: Bytes::new(),
        extensions: Vec::new(),
        received_at: NOW,
        received_from: "key".to_owned(),
        test: false,
    };
    Work {
        delivery,
        connector: connector.id,
        event: Content::Here(Arc::new(event)),
        attempts: 0,
        crashes: 0,
        abandoned: false,
        fence: 1,
        lease_until: NOW.plus(Duration::from_secs(120)),
        idempotency_key: delivery,
        created_at: NOW,
        due_at: NOW,
        alone: None,
        test: false,
        sent_as: None,
    }
}

/// Lanes where one connector has so much leased work.
fn lanes_with(connector: &Connector, count: usize) -> (Lanes, Vec<DeliveryId>) {
    let lanes = Lanes::default();
    let claimed: Vec<_> = (0..count).map(|_| work(connector)).collect();
    let ids = claimed.iter().map(|work| work.delivery).collect();
    lanes.take_in(connector.id, claimed, u32::MAX);
    (lanes, ids)
}

/// Starts all that may start now.
fn start_all(lanes: &Lanes, rules: &Rules<'_>, now: Timestamp) -> Vec<DeliveryId> {
    let mut started = Vec::new();
    while let Turn::Start(work) = lanes.next(rules, now) {
        started.push(work.delivery);
    }
    started
}

fn fail(lanes: &Lanes, connector: &Connector, times: u32) {
    for _ in 0..times {
        lanes.finish(DeliveryId::new(NOW), connector.id, None, Some(true));
    }
}

#[test]
fn a_lane_fills_its_places_oldest_first() {
    let connector = connector(&json!({ "max_concurrency": 3 }));
    let (lanes, ids) = lanes_with(&connector, 5);
    let started = start_all(&lanes, &rules(&connector), NOW);
    assert_eq!(started, ids[..3]);
    assert!(lanes.is_under_way(connector.id, ids[0]) && !lanes.is_under_way(connector.id, ids[3]));
    lanes.finish(ids[1], connector.id, None, Some(false));
    assert_eq!((lanes.under_way(), lanes.is_under_way(connector.id, ids[1])), (2, false));
    assert_eq!(start_all(&lanes, &rules(&connector), NOW), ids[3..4]);
}

#[track_caller]
fn check_window(settings: Value, failures: u32, window: u32) {
    let connector = connector(&settings);
    let lanes = Lanes::default();
    fail(&lanes, &connector, failures);
    assert_eq!(lanes.claimable(&rules(&connector), NOW), 0, "nothing was said to be due");
    lanes.note_behind(connector.id);
    assert_eq!(lanes.claimable(&rules(&connector), NOW), window, "{settings} after {failures} failures");
}

#[test]
fn a_window_is_sixteen_for_each_place_unless_care_is_needed() {
    for (places, window) in [(1, 16), (4, 64), (32, 512), (64, 512)] {
        check_window(json!({ "max_concurrency": places }), 0, window);
        check_window(json!({ "max_concurrency": places, "when_no_answer": "hold" }), 0, places);
        check_window(json!({ "max_concurrency": places }), 1, places);
        check_window(json!({ "max_concurrency": places }), 4, places);
        check_window(json!({ "max_concurrency": places }), 5, 1);
        check_window(json!({ "max_concurrency": places, "when_no_answer": "hold" }), 5, 1);
    }
}

#[test]
fn after_five_failures_a_lane_goes_one_at_a_time_until_one_succeeds() {
    let connector = connector(&json!({ "max_concurrency": 3 }));
    let (lanes, ids) = lanes_with(&connector, 8);
    fail(&lanes, &connector, 4);
    assert_eq!(start_all(&lanes, &rules(&connector), NOW).len(), 3);
    for id in &ids[..3] {
        lanes.finish(*id, connector.id, None, Some(true));
    }
    assert_eq!(start_all(&lanes, &rules(&connector), NOW), ids[3..4]);
    // What is no verdict on the tool changes nothing.
    lanes.finish(ids[3], connector.id, None, None);
    assert_eq!(start_all(&lanes, &rules(&connector), NOW), ids[4..5]);
    lanes.finish(ids[4], connector.id, None, Some(false));
    assert_eq!(start_all(&lanes, &rules(&connector), NOW), ids[5..8]);
}

#[test]
fn a_place_is_promised_only_while_nothing_older_waits() {
    let connector = connector(&json!({ "max_concurrency": 1 }));
    let (lanes, rules) = (Lanes::default(), rules(&connector));
    for _ in 0..16 {
        assert!(lanes.reserve(&rules, NOW));
    }
    assert!(!lanes.reserve(&rules, NOW), "the window is full of promises");
    assert_eq!(lanes.claimable(&rules, NOW), 0, "a promise takes room");
    for _ in 0..16 {
        lanes.release(connector.id);
    }
    assert!(!lanes.reserve(&rules, NOW), "one that got no promise may be older");
    assert_eq!(lanes.claimable(&rules, NOW), 16);
    let old = work(&connector);
    let old_id = old.delivery;
    lanes.take_in(connector.id, vec![old], 16);
    assert!(lanes.reserve(&rules, NOW), "fewer than asked for: nothing older is left");
    lanes.fill(work(&connector));
    assert_eq!(start_all(&lanes, &rules, NOW), [old_id]);
}

#[test]
fn a_full_claim_leaves_the_lane_behind() {
    let connector = connector(&json!({ "max_concurrency": 1 }));
    let (lanes, rules) = (Lanes::default(), rules(&connector));
    lanes.note_behind(connector.id);
    assert_eq!(lanes.claimable(&rules, NOW), 16);
    lanes.take_in(connector.id, (0..16).map(|_| work(&connector)).collect(), 16);
    assert!(!lanes.reserve(&rules, NOW));
    for left in (0..16).rev() {
        let Turn::Start(work) = lanes.next(&rules, NOW) else { panic!("{left} are left") };
        assert_eq!(lanes.wants_more(connector.id), left <= 1, "{left} are left");
        lanes.finish(work.delivery, connector.id, None, Some(false));
        let expected = if left <= 8 { 16 - left } else { 0 };
        assert_eq!(lanes.claimable(&rules, NOW), expected, "a claim waits until half of the window is free");
    }
}

#[test]
fn what_was_noted_during_a_claim_is_claimed_next() {
    let connector = connector(&json!({}));
    let (lanes, rules) = (Lanes::default(), rules(&connector));
    lanes.note_behind(connector.id);
    let asked = lanes.claimable(&rules, NOW);
    lanes.note_behind(connector.id);
    lanes.take_in(connector.id, Vec::new(), asked);
    assert!(lanes.wants_more(connector.id) && !lanes.reserve(&rules, NOW));
    let asked = lanes.claimable(&rules, NOW);
    lanes.take_in(connector.id, Vec::new(), asked);
    assert!(!lanes.wants_more(connector.id) && lanes.reserve(&rules, NOW));
}

/// How many start at once, how long the next one waits, and how many start within ten seconds in all.
#[track_caller]
fn check_pace(per_second: f64, at_once: usize, next_after: u64, in_ten_seconds: usize) {
    let connector = connector(&json!({ "max_concurrency": 64, "max_per_second": per_second }));
    let (lanes, _) = lanes_with(&connector, 12_000);
    let rules = rules(&connector);
    let mut starts = Vec::new();
    let mut now = NOW;
    while now < at(10_000) {
        match lanes.next(&rules, now) {
            Turn::Start(work) => {
                starts.push(now);
                lanes.finish(work.delivery, connector.id, None, Some(false));
            }
            Turn::WaitUntil(until) => {
                assert!(until > now, "a wait that is over");
                assert!(matches!(lanes.next(&rules, now), Turn::Nothing), "one timer is enough");
                lanes.timer_rang(connector.id);
                now = until;
            }
            Turn::Nothing => panic!("neither a start nor a wait"),
        }
    }
    assert_eq!(starts.iter().filter(|start| **start == NOW).count(), at_once, "{per_second} a second");
    let second = starts.get(at_once).copied().unwrap_or(now);
    assert_eq!(second.since(NOW), Duration::from_millis(next_after), "{per_second} a second");
    assert_eq!(starts.len(), in_ten_seconds, "{per_second} a second");
}

#[test]
fn a_rate_lets_one_seconds_worth_through_and_then_paces() {
    check_pace(0.1, 1, 10_000, 1);
    check_pace(0.5, 1, 2_000, 5);
    check_pace(1.0, 1, 1_000, 10);
    check_pace(5.0, 5, 200, 54);
    check_pace(1_000.0, 1_000, 1, 10_999);
}

#[test]
fn idle_time_saves_up_no_more_than_a_second() {
    let connector = connector(&json!({ "max_concurrency": 64, "max_per_second": 4 }));
    let (lanes, _) = lanes_with(&connector, 20);
    assert_eq!(start_all(&lanes, &rules(&connector), NOW).len(), 4);
    lanes.timer_rang(connector.id);
    assert_eq!(start_all(&lanes, &rules(&connector), at(3_600_000)).len(), 4);
}

#[test]
fn a_credential_limits_all_its_connectors_together() {
    let (one, two) = (connector(&json!({})), connector(&json!({})));
    let limited = credential(&json!({ "max_concurrency": 2 }));
    let lanes = Lanes::default();
    for connector in [&one, &two] {
        lanes.take_in(connector.id, (0..4).map(|_| work(connector)).collect(), 5);
    }
    let with = |connector| Rules { credential: Some(&limited), ..rules(connector) };
    let first = start_all(&lanes, &with(&one), NOW);
    assert_eq!((first.len(), start_all(&lanes, &with(&two), NOW).len()), (2, 0));
    lanes.finish(first[0], one.id, Some(limited.id), Some(false));
    assert_eq!(start_all(&lanes, &with(&two), NOW).len(), 1);
    assert_eq!(start_all(&lanes, &with(&one), NOW).len(), 0);
    // Another credential is another gate.
    let free = credential(&json!({}));
    let other = Rules { credential: Some(&free), ..rules(&one) };
    assert_eq!(start_all(&lanes, &other, NOW).len(), 2);
}

#[test]
fn a_credentials_rate_counts_over_its_connectors() {
    let (one, two) = (connector(&json!({})), connector(&json!({})));
    let limited = credential(&json!({ "max_per_second": 2 }));
    let lanes = Lanes::default();
    for connector in [&one, &two] {
        lanes.take_in(connector.id, (0..4).map(|_| work(connector)).collect(), 5);
    }
    let with = |connector| Rules { credential: Some(&limited), ..rules(connector) };
    assert!(matches!(lanes.next(&with(&one), NOW), Turn::Start(_)));
    assert!(matches!(lanes.next(&with(&two), NOW), Turn::Start(_)));
    for connector in [&one, &two] {
        let Turn::WaitUntil(until) = lanes.next(&with(connector), NOW) else { panic!("not paced") };
        assert_eq!(until, at(500));
    }
}

#[test]
fn calls_keep_the_limits_of_their_gateway_and_of_its_credential() {
    let limited = credential(&json!({ "max_concurrency": 3 }));
    let gateway = |settings: Value| {
        let sent = json!({ "name": "itsm", "slug": "itsm", "path_prefixes": ["/"] });
        GatewayDraft::parse(with(sent, &settings), Some(&limited)).unwrap().gateway
    };
    let (lanes, first, second) = (Lanes::default(), ConnectorId::new(NOW), ConnectorId::new(NOW));
    let (two, many) = (gateway(json!({ "max_concurrency": 2 })), gateway(json!({})));
    assert_eq!(lanes.begin_call(first, &two, &limited, NOW), Ok(()));
    assert_eq!(lanes.begin_call(first, &two, &limited, NOW), Ok(()));
    assert_eq!(lanes.begin_call(first, &two, &limited, NOW), Err(NoPlace::Full), "two at a time");
    assert_eq!(lanes.begin_call(second, &many, &limited, NOW), Ok(()));
    assert_eq!(lanes.begin_call(second, &many, &limited, NOW), Err(NoPlace::Full), "three of the credential");
    lanes.end_call(first, limited.id);
    assert_eq!(lanes.begin_call(second, &many, &limited, NOW), Ok(()));

    let (lanes, free) = (Lanes::default(), credential(&json!({})));
    let paced = gateway(json!({ "max_per_second": 2 }));
    for _ in 0..2 {
        assert_eq!(lanes.begin_call(first, &paced, &free, NOW), Ok(()));
    }
    assert_eq!(lanes.begin_call(first, &paced, &free, NOW), Err(NoPlace::WaitUntil(at(500))));
    assert_eq!(lanes.begin_call(first, &paced, &free, at(500)), Ok(()), "what was refused does not count");
}

#[test]
fn the_process_has_a_limit_over_all_lanes() {
    let (one, two) = (connector(&json!({})), connector(&json!({})));
    let lanes = Lanes::default();
    for connector in [&one, &two] {
        lanes.take_in(connector.id, (0..4).map(|_| work(connector)).collect(), 5);
    }
    let with = |connector| Rules { attempts_max: 5, ..rules(connector) };
    let started = start_all(&lanes, &with(&one), NOW);
    assert_eq!((started.len(), start_all(&lanes, &with(&two), NOW).len()), (4, 1));
    lanes.finish(started[0], one.id, None, Some(false));
    assert_eq!((lanes.under_way(), start_all(&lanes, &with(&two), NOW).len()), (4, 1));
}

#[test]
fn a_closed_lane_neither_starts_nor_takes_and_gives_everything_back() {
    let open = connector(&json!({}));
    let paused = Connector { state: ConnectorState::Paused, ..open.clone() };
    let asked_to_wait = Connector { closed_until: Some(at(1)), ..open.clone() };
    for closed in [paused, asked_to_wait] {
        let (lanes, ids) = lanes_with(&closed, 3);
        lanes.note_behind(closed.id);
        assert!(matches!(lanes.next(&rules(&closed), NOW), Turn::Nothing));
        assert!(!lanes.reserve(&rules(&closed), NOW));
        assert_eq!(lanes.claimable(&rules(&closed), NOW), 0);
        let back: Vec<_> = lanes.surplus(&rules(&closed), NOW).iter().map(|work| work.delivery).collect();
        assert_eq!(back, ids);
        assert_eq!(lanes.claimable(&rules(&open), NOW), 64, "open again, it claims them anew");
    }
    let over = Connector { closed_until: Some(NOW), ..open };
    let (lanes, _) = lanes_with(&over, 1);
    assert_eq!(start_all(&lanes, &rules(&over), NOW).len(), 1);
}

#[test]
fn surplus_is_what_a_failing_lane_or_a_short_lease_cannot_send() {
    let connector = connector(&json!({ "max_concurrency": 2, "timeout_seconds": 20 }));
    let (lanes, ids) = lanes_with(&connector, 6);
    assert!(lanes.surplus(&rules(&connector), NOW).is_empty());
    fail(&lanes, &connector, 1);
    let back: Vec<_> = lanes.surplus(&rules(&connector), NOW).iter().map(|work| work.delivery).collect();
    assert_eq!(back, ids[2..]);
    fail(&lanes, &connector, 4);
    let back: Vec<_> = lanes.surplus(&rules(&connector), NOW).iter().map(|work| work.delivery).collect();
    assert_eq!(back, ids[1..2]);
    // The attempt and ten seconds more must fit into the lease of 120 seconds.
    assert!(lanes.surplus(&rules(&connector), at(89_999)).is_empty());
    assert_eq!(lanes.surplus(&rules(&connector), at(90_000))[0].delivery, ids[0]);
}

#[test]
fn stopping_hands_back_what_waits_and_starts_nothing_more() {
    let connector = connector(&json!({ "max_concurrency": 1 }));
    let (lanes, ids) = lanes_with(&connector, 3);
    let rules = rules(&connector);
    lanes.take_in(connector.id, Vec::new(), 1);
    assert!(lanes.reserve(&rules, NOW));
    assert_eq!(start_all(&lanes, &rules, NOW), ids[..1]);
    assert!(!lanes.is_stopping());
    let back: Vec<_> = lanes.stop().iter().map(|work| work.delivery).collect();
    assert_eq!((back.as_slice(), lanes.under_way(), lanes.is_stopping()), (&ids[1..], 1, true));
    lanes.note_behind(connector.id);
    assert!(!lanes.reserve(&rules, NOW) && lanes.claimable(&rules, NOW) == 0);
    // An event whose commit was under way.
    let late = work(&connector);
    let late_id = late.delivery;
    assert_eq!(lanes.fill(late).map(|work| work.delivery), Some(late_id));
    assert_eq!(lanes.take_in(connector.id, vec![work(&connector)], 1).len(), 1);
    lanes.finish(ids[0], connector.id, None, Some(false));
    assert!(matches!(lanes.next(&rules, NOW), Turn::Nothing));
    assert_eq!((lanes.under_way(), lanes.stop().len()), (0, 0));
}

#[test]
fn a_forgotten_lane_gives_back_its_window_and_its_attempts_still_end() {
    let connector = connector(&json!({ "max_concurrency": 1 }));
    let (lanes, ids) = lanes_with(&connector, 2);
    assert_eq!(
        (start_all(&lanes, &rules(&connector), NOW), lanes.known()),
        (vec![ids[0]], vec![connector.id])
    );
    assert_eq!(lanes.forget(connector.id)[0].delivery, ids[1]);
    assert!(lanes.known().is_empty() && lanes.forget(connector.id).is_empty());
    lanes.finish(ids[0], connector.id, None, Some(false));
    assert_eq!(lanes.under_way(), 0);
}

/// Events can be accepted while their lane is being closed; after the repair the oldest goes first all the same.
#[test]
fn what_a_claim_brings_goes_before_what_became_due_later() {
    let connector = connector(&json!({}));
    let rules = rules(&connector);
    let lanes = Lanes::default();
    let due = |second| Work { due_at: at(second), ..work(&connector) };
    let (young, older, oldest) = (due(3), due(2), due(1));
    let expected = [oldest.delivery, older.delivery, young.delivery];
    assert!(lanes.reserve(&rules, NOW));
    assert!(lanes.fill(young).is_none());
    lanes.note_behind(connector.id);
    lanes.take_in(connector.id, vec![oldest, older], 2);
    assert_eq!(start_all(&lanes, &rules, at(4)), expected);
}
