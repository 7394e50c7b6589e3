//! The list as it is built in.

use super::*;

#[test]
fn every_line_of_the_list_is_read() {
    let found: Vec<_> = all().collect();
    assert_eq!(found.len(), LIST.lines().count() - 1, "all but the first line");
    assert!(found.is_sorted_by_key(|one| one.name));
    let rustls = found.iter().find(|one| one.name == "rustls").expect("it is built of rustls");
    assert_eq!(rustls.licence, "Apache-2.0 OR ISC OR MIT");
    assert!(rustls.source.starts_with("https://"));
    for one in &found {
        assert!(!one.licence.is_empty() && one.version.starts_with(|c: char| c.is_ascii_digit()), "{one:?}");
        assert!(one.source.is_empty() || one.source.starts_with("http"), "{one:?}");
    }
    assert!(!found.iter().any(|one| one.name.starts_with("consign")));
}
