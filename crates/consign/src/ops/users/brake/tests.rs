//! The brake, tried by a clock of its own.

use super::*;

const START: Timestamp = Timestamp::from_millis(0);

fn guess(email: &str, from: &str) -> Guess {
    Guess::of(email, Some(from.parse().unwrap()))
}

/// As a sign-in asks.
fn try_both(brake: &SignInBrake, guess: &Guess, now: Timestamp) -> Option<Duration> {
    brake.try_network(guess, now).or_else(|| brake.try_account(guess, now))
}

#[test]
fn guesses_are_slowed_and_forgotten_on_success() {
    let (brake, now) = (SignInBrake::default(), START);
    for _ in 0..ONE.free {
        assert_eq!(brake.try_once("code a", now), None);
    }
    assert_eq!(brake.try_once("code a", now), Some(Duration::from_secs(30)));
    assert_eq!(brake.try_once("code b", now), None);
    let later = now.plus(Duration::from_secs(30));
    assert_eq!(brake.try_once("code a", later), None);
    assert_eq!(brake.try_once("code a", later), Some(Duration::from_secs(60)));
    brake.passed("code a");
    assert_eq!(brake.try_once("code a", later), None);
    assert_eq!(delay(1_000, ONE.free), Some(DELAY_MAX));
}

#[test]
fn a_try_is_forgotten_after_a_while_and_not_all_at_once() {
    let brake = SignInBrake::default();
    let mut now = START;
    for _ in 0..ONE.free {
        assert_eq!(brake.try_once("a", now), None);
    }
    now = now.plus(ONE.decay);
    assert_eq!(brake.try_once("a", now), None, "one was forgotten");
    assert!(brake.try_once("a", now).is_some(), "and only one");
}

#[test]
fn names_at_will_fill_a_bounded_table_and_are_braked_all_the_same() {
    let brake = SignInBrake::default();
    let long = "x".repeat(1 << 20);
    for n in 0..20_000 {
        let _ = brake.try_once(&format!("{n}"), START);
    }
    let _ = brake.try_once(&long, START);
    assert!(brake.lock().tries.len() <= BRAKED_MAX, "{}", brake.lock().tries.len());
    let mut braked = false;
    for _ in 0..=ONE.free {
        braked |= brake.try_once("somebody new", START).is_some();
    }
    assert!(braked, "who comes late is slowed too");
    // What was forgotten gives its place back.
    let later = START.plus(DELAY_MAX);
    assert_eq!(brake.try_once("somebody later", later), None);
    assert!(brake.lock().tries.len() < 300, "{}", brake.lock().tries.len());
}

#[test]
fn an_outsider_keeps_nobody_out() {
    let brake = SignInBrake::default();
    let (theirs, own) = (guess("ana@acme.example", "203.0.113.9"), guess("ana@acme.example", "198.51.100.7"));
    let mut now = START;
    // Two days of one guess whenever one is taken.
    for _ in 0..2 * 24 * 60 {
        let _ = try_both(&brake, &theirs, now);
        now = now.plus(Duration::from_secs(60));
    }
    let _ = try_both(&brake, &theirs, now);
    assert!(try_both(&brake, &theirs, now).is_some());
    assert_eq!(try_both(&brake, &own, now), None);
    brake.guessed(&own);
    // Nor do many of them, where the person came in before.
    for n in 0..=255 {
        for _ in 0..ONE.free {
            let _ = try_both(&brake, &guess("ana@acme.example", &format!("203.0.113.{n}")), now);
        }
    }
    let elsewhere = guess("ana@acme.example", "198.51.100.8");
    assert!(try_both(&brake, &elsewhere, now).is_some(), "guesses from everywhere are slowed");
    assert_eq!(try_both(&brake, &own, now), None);
}

#[test]
fn ones_own_sign_in_forgives_no_guesses_at_others() {
    let brake = SignInBrake::default();
    let (own, now) = (guess("own@acme.example", "203.0.113.9"), START);
    let mut guesses = 0;
    for n in 0..1_000 {
        if try_both(&brake, &guess(&format!("p{n}@acme.example"), "203.0.113.9"), now).is_none() {
            guesses += 1;
        }
        if n % 4 == 3 && try_both(&brake, &own, now).is_none() {
            brake.guessed(&own);
        }
    }
    assert!(guesses <= NETWORK.free, "{guesses}");
}

#[test]
fn a_network_is_an_address_or_64_bits_of_one() {
    let check = |one: &str, other: &str, same: bool| {
        let (one, other) = (network(one.parse().ok()), network(other.parse().ok()));
        assert_eq!(one == other, same, "{one} {other}");
    };
    check("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true);
    check("2001:db8:0:1::1", "2001:db8:0:2::1", false);
    check("203.0.113.9", "203.0.113.10", false);
    check("203.0.113.9", "::ffff:203.0.113.9", true);
}
