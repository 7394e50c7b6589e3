//! Links: when they fit, and that each serves once.

use super::super::proof::tests::derived_key;
use super::*;

#[test]
fn a_link_fits_once_made_and_not_after_its_time() {
    let now = Timestamp::from_millis(1_000);
    let key = derived_key();
    let until = Timestamp::from_millis(2_000);
    let stored = format!("2000 {}", proof::of_link(&key, Kind::SetupLink, "token", until));
    assert!(link_fits(&key, Some(&stored), "token", now));
    assert!(!link_fits(&key, Some(&stored), "other", now));
    assert!(!link_fits(&key, Some(&stored), "token", until));
    assert!(!link_fits(&key, None, "token", now));
    let longer = stored.replace("2000", "3000");
    assert!(!link_fits(&key, Some(&longer), "token", now), "its end belongs to it");
    assert!(
        !link_fits(&key, Some(&format!("2000 {}", hash("token"))), "token", now),
        "anybody can make a hash"
    );
}

#[test]
fn the_link_of_the_demo_serves_once_and_only_where_it_was_made() {
    let link = DemoLink::default();
    let (now, until) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
    assert!(!link.is_demo() && !link.waits(now) && !link.spend("", now));
    let token = link.make(until);
    assert!(link.is_demo() && link.waits(now));
    assert!(!link.waits(until) && !link.spend(token.expose(), until));
    assert!(!link.spend("other", now));
    assert!(link.spend(token.expose(), now));
    assert!(!link.spend(token.expose(), now) && !link.waits(now));
    assert!(link.is_demo(), "its person goes on");
}
