//! What is real, and that nothing of it can be changed.

use consign_core::target::Binding;
use consign_core::vault::{KeyRing, Place, Vault};

use super::*;

/// Of a ring made for this test.
pub(in crate::ops::users) fn derived_key() -> DerivedKey {
    let binding = Binding::of(&[]);
    let place = Place { table: "test", record: "own", field: "key", generation: 1, binding: &binding };
    Vault::new(&KeyRing::generate(), "inst").create_key(&place).0
}

#[test]
fn a_proof_fits_one_token_person_time_and_use() {
    let key = derived_key();
    let now = Timestamp::from_millis(1_000);
    let (ana, bo) = (UserId::new(now), UserId::new(now));
    let hash = of_token(&key, Kind::Session, "token");
    let made = of_person(&key, Kind::Session, &hash, ana, now);
    assert!(same(&made, &of_person(&key, Kind::Session, &hash, ana, now)));
    for other in [
        of_person(&key, Kind::SecondStep, &hash, ana, now),
        of_person(&key, Kind::Session, &of_token(&key, Kind::Session, "other"), ana, now),
        of_person(&key, Kind::Session, &hash, bo, now),
        of_person(&key, Kind::Session, &hash, ana, Timestamp::from_millis(1_001)),
        of_person(&derived_key(), Kind::Session, &hash, ana, now),
        hash.clone(),
        String::new(),
    ] {
        assert!(!same(&made, &other), "{other}");
    }
    assert_ne!(hash, of_token(&key, Kind::SecondStep, "token"));
    assert_ne!(of_link(&key, Kind::SetupLink, "t", now), of_token(&key, Kind::SetupLink, "t"));
}
