use super::*;
use crate::target::Binding;
use crate::vault::{KeyRing, Place, Vault};

fn key() -> DerivedKey {
    let binding = Binding::of(&[]);
    let place =
        Place { table: "installation", record: "1", field: "audit", generation: 1, binding: &binding };
    Vault::new(&KeyRing::generate(), "i").create_key(&place).0
}

#[test]
fn every_part_of_a_record_is_in_its_link() {
    let key = key();
    let entry = AuditEntry {
        id: AuditId::new(Timestamp::from_millis(1)),
        at: Timestamp::from_millis(1),
        actor_kind: "user",
        actor_id: "usr_1".to_owned(),
        actor: "Ana Silva".to_owned(),
        action: "Created credential".to_owned(),
        object_kind: "credential",
        object_id: "crd_1".to_owned(),
        object: "ServiceNow".to_owned(),
        changes: Value::Null,
        from: "127.0.0.1".to_owned(),
        request_id: "req_1".to_owned(),
        result: "done",
        rows: Rows::default(),
    };
    let link = entry.link(&key, 1, "before");
    assert_eq!(link, entry.link(&key, 1, "before"));
    assert_ne!(link, entry.link(&key, 2, "before"));
    assert_ne!(link, entry.link(&key, 1, "other"));
    let changed = AuditEntry { action: "Deleted credential".to_owned(), ..entry.clone() };
    assert_ne!(link, changed.link(&key, 1, "before"));
    let rows = Rows::Changed(vec![Imprint::of(&key, Table::Credential, "crd_1", Some("a"))]);
    let other = AuditEntry { rows, ..entry.clone() };
    assert_ne!(link, other.link(&key, 1, "before"));
    let shifted = AuditEntry { actor: "Ana".to_owned(), actor_id: "usr_1 Silva".to_owned(), ..entry };
    assert_ne!(link, shifted.link(&key, 1, "before"));
}

#[test]
fn an_imprint_tells_every_part_of_a_row() {
    let key = key();
    let of = |table, id, row| Imprint::of(&key, table, id, row);
    let one = of(Table::Credential, "crd_1", Some("a"));
    assert_eq!(one, of(Table::Credential, "crd_1", Some("a")));
    for other in [
        of(Table::Connector, "crd_1", Some("a")),
        of(Table::Credential, "crd_2", Some("a")),
        of(Table::Credential, "crd_1", Some("b")),
        of(Table::Credential, "crd_1", None),
        Imprint::of(&self::key(), Table::Credential, "crd_1", Some("a")),
    ] {
        assert_ne!(one.2, other.2, "{other:?}");
    }
}

/// A log of records about one row each: "old", then "new", then of another table.
fn log(key: &DerivedKey) -> Vec<(i64, String, String, Rows)> {
    let rows = [
        Rows::Changed(vec![Imprint::of(key, Table::Credential, "crd_1", Some("old"))]),
        Rows::Changed(vec![Imprint::of(key, Table::Credential, "crd_1", Some("new"))]),
        Rows::Changed(vec![Imprint::of(key, Table::User, "usr_1", Some("user"))]),
        Rows::default(),
        Rows::Changed(vec![Imprint::of(key, Table::User, "usr_1", None)]),
    ];
    let mut link = String::new();
    let records = (1..).zip(rows).map(|(sequence, rows)| {
        let stored = format!("record {sequence}");
        link = chain(key, sequence, &link, &stored);
        (sequence, stored, link.clone(), rows)
    });
    records.collect()
}

fn read(key: &DerivedKey, log: &[(i64, String, String, Rows)]) -> Ledger {
    let mut ledger = Ledger::default();
    for (sequence, stored, link, rows) in log {
        ledger.follow(key, *sequence, stored, link.clone(), Some(rows.clone()));
    }
    ledger
}

#[test]
fn a_row_must_look_as_its_newest_record_says() {
    let key = key();
    let log = log(&key);
    let credential = |text: Option<&str>| Imprint::of(&key, Table::Credential, "crd_1", text);
    let user = |text: Option<&str>| Imprint::of(&key, Table::User, "usr_1", text);
    let check = |records: usize, row: &Imprint, known: bool| {
        let ledger = read(&key, &log[..records]);
        assert_eq!(ledger.knows(row), known, "{records}: {row:?}");
        assert_eq!((ledger.broken(), ledger.sequence()), (None, i64::try_from(records).unwrap()));
    };
    check(0, &credential(Some("old")), false);
    check(0, &credential(None), true);
    check(1, &credential(Some("old")), true);
    check(2, &credential(Some("old")), false);
    check(2, &credential(Some("new")), true);
    check(2, &credential(None), false);
    check(3, &user(Some("user")), true);
    check(4, &user(Some("other")), false);
    check(5, &user(Some("user")), false);
    check(5, &user(None), true);
    assert_eq!(read(&key, &log).ids(Table::Credential).collect::<Vec<_>>(), ["crd_1"]);
    assert_eq!(read(&key, &log).ids(Table::User).count(), 0);
}

#[test]
fn a_log_that_is_not_whole_is_noticed_and_says_nothing_where_it_is_not() {
    let key = key();
    let whole = log(&key);
    let new = Imprint::of(&key, Table::Credential, "crd_1", Some("new"));
    let check = |log: Vec<(i64, String, String, Rows)>, broken: i64, known: bool| {
        let mut ledger = read(&key, &log);
        ledger.end_at(5, &whole[4].2);
        assert_eq!((ledger.broken(), ledger.knows(&new)), (Some(broken), known));
    };
    let without = |at: usize| {
        let mut log = whole.clone();
        log.remove(at);
        log
    };
    check(without(1), 2, false);
    check(without(4), 5, true);
    check(without(0), 1, false);
    let mut changed = whole.clone();
    changed[1].1.push('x');
    check(changed, 2, false);
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    check(swapped, 2, false);
    let mut forged = whole.clone();
    forged[4].2 = "00".to_owned();
    check(forged, 5, true);
    let mut longer = read(&key, &whole);
    longer.end_at(4, &whole[3].2);
    assert_eq!(longer.broken(), Some(5));
    let mut other_key = read(&self::key(), &whole);
    other_key.end_at(5, &whole[4].2);
    assert_eq!(other_key.broken(), Some(1));

    // What the operator accepts is what there is from then on.
    let mut ledger = read(&key, &without(1));
    let (sequence, stored) = (6, "accepted");
    let link = chain(&key, sequence, ledger.link(), stored);
    ledger.follow(&key, sequence, stored, link, Some(Rows::Accepted(vec![new.clone()])));
    assert_eq!((ledger.broken(), ledger.knows(&new)), (None, true));
    let user = Imprint::of(&key, Table::User, "usr_1", Some("user"));
    assert!(!ledger.knows(&user));
}

#[test]
fn a_row_is_proven_only_by_a_record_behind_the_last_hole() {
    let key = key();
    let of = |id: &str, text: &str| Imprint::of(&key, Table::Credential, id, Some(text));
    let records = [
        vec![of("one", "a"), of("two", "a"), of("three", "a")],
        vec![of("one", "b")],
        vec![],
        vec![of("four", "a")],
        vec![of("two", "a")],
        vec![],
        vec![],
        vec![of("three", "a")],
    ];
    let mut link = String::new();
    let records = (1..).zip(records).map(|(sequence, rows)| {
        let stored = format!("record {sequence}");
        link = chain(&key, sequence, &link, &stored);
        (sequence, stored, link.clone(), Rows::Changed(rows))
    });
    let whole: Vec<_> = records.collect();
    let without = |gone: &[i64]| -> Vec<_> {
        whole.iter().filter(|record| !gone.contains(&record.0)).cloned().collect()
    };
    let check = |gone: &[i64], broken: &[i64], standings: [Standing; 4]| {
        let ledger = read(&key, &without(gone));
        assert_eq!(ledger.broken_places(), broken);
        let rows = [of("one", "a"), of("two", "a"), of("three", "a"), of("four", "a")];
        assert_eq!(rows.map(|row| ledger.standing(&row)), standings, "without {gone:?}");
    };
    use Standing::{Misfit, Proven, Unproven};
    check(&[], &[], [Misfit, Proven, Proven, Proven]);
    // The record that changed it is gone, and somebody put the row back: it fits, and nothing proves it.
    check(&[2], &[2], [Unproven, Proven, Proven, Proven]);
    // The record behind a hole does not count either: no record knows its row.
    check(&[3], &[3], [Misfit, Proven, Proven, Misfit]);
    check(&[2, 6], &[2, 6], [Unproven, Unproven, Proven, Unproven]);
    let mut ledger = read(&key, &without(&[8]));
    ledger.end_at(8, &whole[7].2);
    assert_eq!(ledger.broken_places(), [8]);
    assert_eq!(ledger.standing(&of("two", "a")), Unproven, "what is missing at the end may speak of it");
}

#[test]
fn an_anchor_holds_where_the_log_was() {
    let key = key();
    let log = log(&key);
    let at = |sequence: i64, link: &str| Anchor {
        installation: "req_1".to_owned(),
        sequence,
        link: link.to_owned(),
    };
    let check = |anchor: Anchor, records: usize, kept: bool| {
        let ledger = read(&key, &log[..records]);
        let there = log[..records].iter().find(|record| record.0 == anchor.sequence);
        assert_eq!(anchor.is_kept(&ledger, there.map(|record| record.2.as_str())), kept, "{anchor:?}");
    };
    check(at(0, ""), 0, true);
    check(at(3, &log[2].2), 3, true);
    // The program ended between the commit and the anchor, or another replica wrote.
    check(at(3, &log[2].2), 5, true);
    // An older database, one that went another way, and none.
    check(at(3, &log[2].2), 2, false);
    check(at(3, "00"), 5, false);
    check(at(3, &log[2].2), 0, false);

    let anchor = at(7, "0f");
    assert_eq!(Anchor::parse(&anchor.text()), Some(anchor.clone()));
    for bad in ["", "consign audit anchor 1\nreq_1\n7\n", "consign audit anchor 2\nreq_1\n7\n0f\n"] {
        assert_eq!(Anchor::parse(bad), None, "{bad:?}");
    }
    assert_eq!(Anchor::parse(&format!("{}more\n", anchor.text())), None);
    assert_eq!(Anchor::parse(&at(-1, "0f").text()), None);
}
