use super::*;

#[test]
fn the_eleventh_test_of_a_minute_waits() {
    let brake = TestBrake::default();
    let at = |seconds: u64| Timestamp::from_millis(1_000_000).plus(Duration::from_secs(seconds));
    for second in 0..10 {
        assert!(brake.take("crd_a".to_owned(), at(second)).is_ok(), "{second}");
    }
    assert!(matches!(brake.take("crd_a".to_owned(), at(10)), Err(OpError::TooMany { seconds: 50 })));
    assert!(brake.take("crd_b".to_owned(), at(10)).is_ok(), "each is counted for itself");
    assert!(brake.take("crd_a".to_owned(), at(60)).is_ok(), "the first one is a minute ago");
}
