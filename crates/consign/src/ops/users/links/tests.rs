use super::*;

#[test]
fn a_link_fits_once_made_and_not_after_its_time() {
    let now = Timestamp::from_millis(1_000);
    let stored = format!("2000 {}", hash("token"));
    assert!(link_fits(Some(&stored), "token", now));
    assert!(!link_fits(Some(&stored), "other", now));
    assert!(!link_fits(Some(&stored), "token", Timestamp::from_millis(2_000)));
    assert!(!link_fits(None, "token", now));
}
