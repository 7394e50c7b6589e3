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
    for n in 0..BRAKED_MAX {
        for _ in 0..2 {
            assert_eq!(brake.try_once(&format!("{n}"), START), None);
        }
    }
    let _ = brake.try_once(&long, START);
    assert_eq!(brake.lock().tries.len(), BRAKED_MAX);
    assert_eq!(brake.try_once("somebody new", START), None, "who is new is not kept out by others");
    let mut tries = 1;
    for n in 0..100 {
        let _ = brake.try_once(&format!("another {n}"), START);
        tries += u32::from(brake.try_once("somebody new", START).is_none());
    }
    assert!(tries <= ONE.free, "nobody is let off by being pushed out: {tries}");
}

#[test]
fn places_that_are_known_are_bounded_too() {
    let brake = SignInBrake::default();
    let place = |n: usize| guess("ana@acme.example", &format!("10.0.{}.{}", n / 256, n % 256));
    for n in 0..=KNOWN_MAX {
        brake.lock().remember(place(n).both, START.plus(Duration::from_millis(n as u64)));
    }
    let table = brake.lock();
    assert_eq!(table.known.len(), KNOWN_MAX);
    let now = START.plus(Duration::from_secs(60));
    assert!(!table.knows(&place(0).both, now) && table.knows(&place(1).both, now), "the oldest goes");
    assert!(!table.knows(&place(1).both, START.plus(KNOWN + Duration::from_secs(60))));
}

#[test]
fn guesses_from_everywhere_keep_nobody_out() {
    let brake = SignInBrake::default();
    let (known, new) = (guess("ana@acme.example", "198.51.100.7"), guess("bo@acme.example", "2001:db8:9::7"));
    assert_eq!(try_both(&brake, &known, START), None);
    brake.guessed(&known, START);
    // Each at another account from another network: until there is no room, and beyond.
    let now = START;
    for n in 0..BRAKED_MAX / 3 + 700 {
        let from = format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
        let _ = try_both(&brake, &guess(&format!("x{n}@a.b"), &from), now);
    }
    assert_eq!(try_both(&brake, &known, now), None);
    assert_eq!(try_both(&brake, &new, now), None);
    assert_eq!(brake.try_once("again ana", now), None);
    assert_eq!(brake.lock().tries.len(), BRAKED_MAX);
    // Whoever guesses at one account is slowed in the midst of it.
    let one = guess("ana@acme.example", "203.0.113.9");
    let mut guesses = 0;
    for n in 0..40 {
        guesses += u32::from(try_both(&brake, &one, now).is_none());
        let _ = try_both(&brake, &guess(&format!("y{n}@a.b"), &format!("11.0.0.{n}")), now);
    }
    assert!(guesses <= ONE.free, "{guesses}");
}

#[test]
fn who_has_many_networks_of_ipv6_is_slowed_as_one() {
    let brake = SignInBrake::default();
    let mut guesses = 0;
    for n in 0..1_000 {
        let from = format!("2001:db8:0:{n:x}::1");
        guesses += u32::from(try_both(&brake, &guess(&format!("x{n}@a.b"), &from), START).is_none());
    }
    assert_eq!(guesses, SITE.free);
    assert!(brake.lock().tries.len() < 4 * SITE.free as usize, "what has to wait is not kept");
    let (known, other) = (guess("ana@acme.example", "2001:db8:0:1::2"), guess("a@b.c", "2001:db8:1:1::1"));
    assert!(try_both(&brake, &known, START).is_some());
    assert_eq!(try_both(&brake, &other, START), None, "another site");
    brake.lock().remember(known.both, START);
    assert_eq!(try_both(&brake, &known, START), None, "whoever came in from there before comes in");
}

#[test]
fn a_code_is_not_kept_from_its_owner_by_one_who_knows_the_password() {
    let brake = SignInBrake::default();
    let id = UserId::new(START);
    let at = |from: &str| Guess::of_code(id, Some(from.parse().unwrap()));
    let (theirs, own) = (at("203.0.113.9"), at("198.51.100.7"));
    let mut now = START;
    for _ in 0..2 * 24 * 60 {
        let _ = try_both(&brake, &theirs, now);
        now = now.plus(Duration::from_secs(60));
    }
    assert_eq!(try_both(&brake, &own, now), None);
    brake.guessed(&own, now);
    // Many networks together get no further, and do not keep the owner out where the code was right before.
    let mut guesses = 0;
    for n in 0..=255 {
        guesses += u32::from(try_both(&brake, &at(&format!("203.0.113.{n}")), now).is_none());
    }
    assert!(guesses <= CODES.free, "{guesses}");
    assert_eq!(try_both(&brake, &own, now), None);
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
    brake.guessed(&own, now);
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
            brake.guessed(&own, now);
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
