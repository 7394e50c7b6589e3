use super::*;

const TREE: &str = "\
consign v0.1.0 (/somewhere/crates/consign)\tApache-2.0 OR MIT\t
zeta v2.0.0\tMIT/Apache-2.0\thttps://example.org/zeta

alpha v1.0.0\tISC\thttps://example.org/alpha
alpha v0.9.1\tISC\t
alpha v1.0.0\tISC\thttps://example.org/alpha
";

#[test]
fn each_third_party_stands_there_once() {
    let list = list(TREE).unwrap();
    let rows: Vec<_> = list.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "alpha\t0.9.1\tISC\t",
            "alpha\t1.0.0\tISC\thttps://example.org/alpha",
            "zeta\t2.0.0\tMIT OR Apache-2.0\thttps://example.org/zeta",
        ]
    );
}

#[test]
fn a_crate_without_a_licence_is_refused() {
    let refused = list("alpha v1.0.0\t\thttps://example.org\n").unwrap_err();
    assert!(refused.contains("alpha v1.0.0 names no licence"), "{refused}");
    assert!(list("alpha\n").is_err());
}

#[test]
fn the_list_is_that_of_the_lock_file() {
    assert_eq!(fault(&crate::root()).unwrap(), None);
}
