//! Recovery codes: their form, and that they are known however they are typed.

use super::*;

#[test]
fn recovery_codes_are_ten_in_groups_and_known_by_their_hash() {
    let (codes, hashes) = new_recovery_codes();
    assert_eq!((codes.len(), hashes.len()), (10, 10));
    for (code, hash) in codes.iter().zip(&hashes) {
        let code = code.expose();
        let groups: Vec<_> = code.split('-').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 4), "{code}");
        assert!(!hash.contains(&code.replace('-', "")));
        for typed in [code.to_owned(), code.to_uppercase(), code.replace('-', " "), code.replace('-', "")] {
            assert_eq!(recovery_hash(&typed), *hash, "{typed}");
        }
    }
    let different: std::collections::HashSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), 10);
}
