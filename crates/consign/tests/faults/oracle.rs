//! What must hold after any number of crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::driver::{self, Posted};
use crate::sink::Arrival;

/// How the run went.
pub(crate) struct Run<'a> {
    pub(crate) posted: &'a Posted,
    pub(crate) arrivals: &'a [Arrival],
    pub(crate) kills: usize,
    /// Requests that may be under way at one time.
    pub(crate) in_flight_max: usize,
    /// The header that every request must carry.
    pub(crate) authorization: &'a str,
}

/// Everything that does not hold, in words.
pub(crate) fn judge(run: &Run<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    let mut events: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for arrival in run.arrivals {
        *times.entry(&arrival.id).or_default() += 1;
        events.entry(&arrival.id).or_default().insert(&arrival.event);
        if arrival.authorization != run.authorization {
            faults.push(format!("{}: a request with another sign-in", arrival.id));
        }
        if !is_known(&arrival.id, run.posted) {
            faults.push(format!("{}: nobody posted it", arrival.id));
        }
    }
    let lost: Vec<_> = run.posted.acknowledged.iter().filter(|id| !times.contains_key(id.as_str())).collect();
    if !lost.is_empty() {
        faults.push(format!(
            "acknowledged and lost: {} of {}: {lost:?}",
            lost.len(),
            run.posted.acknowledged.len()
        ));
    }
    for (id, events) in events.iter().filter(|(_, events)| events.len() > 1) {
        faults.push(format!("{id}: accepted as {events:?}, although it was one event"));
    }
    let repeats: usize = times.values().map(|count| count - 1).sum();
    let bound = run.kills * run.in_flight_max;
    if repeats > bound {
        faults.push(format!(
            "{repeats} repeats, more than {} kills × {} at a time",
            run.kills, run.in_flight_max
        ));
    }
    faults
}

fn is_known(id: &str, posted: &Posted) -> bool {
    let parts =
        id.split_once('-').and_then(|(thread, number)| Some((thread.parse().ok()?, number.parse().ok()?)));
    parts.is_some_and(|(thread, number): (usize, usize)| {
        posted.made.get(thread).is_some_and(|made| (1..=*made).contains(&number))
            && driver::id(thread, number) == id
    })
}

/// What SQLite says about its file.
pub(crate) fn integrity(database: &Path) -> String {
    let db = rusqlite::Connection::open(database).unwrap();
    db.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap()
}

/// The oracle must notice: a check of the check.
#[test]
fn every_promise_that_is_broken_is_noticed() {
    let posted = Posted { acknowledged: vec!["0-1".into(), "0-2".into()], made: vec![3] };
    let arrival = |id: &str, event: &str, authorization: &str| Arrival {
        id: id.to_owned(),
        event: event.to_owned(),
        authorization: authorization.to_owned(),
    };
    let check = |arrivals: &[Arrival], kills: usize| {
        judge(&Run { posted: &posted, arrivals, kills, in_flight_max: 1, authorization: "good" }).len()
    };
    let (one, two) = (arrival("0-1", "a", "good"), arrival("0-2", "b", "good"));
    assert_eq!(check(&[one.clone(), two.clone()], 0), 0);
    assert_eq!(
        check(&[one.clone(), two.clone(), arrival("0-3", "c", "good")], 0),
        0,
        "posted, not acknowledged"
    );
    assert_eq!(check(std::slice::from_ref(&one), 0), 1, "lost");
    assert_eq!(check(&[one.clone(), two.clone(), two.clone()], 0), 1, "a repeat without a crash");
    assert_eq!(check(&[one.clone(), two.clone(), two.clone()], 1), 0, "a repeat after a crash");
    assert_eq!(check(&[one.clone(), two.clone(), arrival("0-4", "d", "good")], 0), 1, "unknown");
    assert_eq!(check(&[one.clone(), arrival("0-2", "b", "bad")], 0), 1, "another sign-in");
    assert_eq!(check(&[one, two, arrival("0-2", "c", "good")], 1), 1, "two events of one");
}
