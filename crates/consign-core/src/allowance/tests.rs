use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_000);

/// Asks at these milliseconds and tells which requests were let through.
#[track_caller]
fn check(per_second: u32, at: &[u64], through: &str) {
    let mut allowance = Allowance::full(per_second, NOW);
    let asked = at.iter().map(|at| allowance.take(per_second, NOW.plus(Duration::from_millis(*at))).is_ok());
    let found: String = asked.map(|ok| if ok { '+' } else { '-' }).collect();
    assert_eq!(found, through, "{per_second} a second at {at:?}");
}

#[test]
fn a_burst_and_then_so_many_a_second() {
    check(1, &[0, 0, 0, 0], "++--");
    check(1, &[0, 0, 999, 1_000, 1_001, 2_000], "++-+-+");
    check(5, &[0; 12], "++++++++++--");
    check(5, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 201], "+++++++++++-");
    // However long it was quiet, no more than the burst.
    check(1, &[3_600_000, 3_600_000, 3_600_000], "++-");
    // No rate at all is read as one a second: a limit that lets nothing through is none that anybody wants.
    check(0, &[0, 0, 0], "++-");
}

#[test]
fn the_wait_is_until_the_next_request() {
    let mut allowance = Allowance::full(4, NOW);
    while allowance.take(4, NOW).is_ok() {}
    assert_eq!(allowance.take(4, NOW), Err(Duration::from_millis(250)));
    assert_eq!(allowance.take(4, NOW.plus(Duration::from_millis(100))), Err(Duration::from_millis(150)));
    assert_eq!(allowance.take(4, NOW.plus(Duration::from_millis(250))), Ok(()));
    // The clock went back.
    assert!(allowance.take(4, NOW).is_err());
    assert!(!allowance.is_full(4, NOW) && allowance.is_full(4, NOW.plus(Duration::from_secs(3))));
}
