//! The brake, tried by a clock of its own.

use super::*;

#[test]
fn guesses_are_slowed_and_forgotten_on_success() {
    let brake = SignInBrake::default();
    let now = Timestamp::from_millis(0);
    for _ in 0..FREE_TRIES {
        assert_eq!(brake.try_once("account a", now), None);
    }
    assert_eq!(brake.try_once("account a", now), Some(Duration::from_secs(30)));
    assert_eq!(brake.try_once("account b", now), None);
    let later = now.plus(Duration::from_secs(30));
    assert_eq!(brake.try_once("account a", later), None);
    assert_eq!(brake.try_once("account a", later), Some(Duration::from_secs(60)));
    brake.passed("account a");
    assert_eq!(brake.try_once("account a", later), None);
    assert_eq!(delay(1_000), Some(DELAY_MAX));
}
