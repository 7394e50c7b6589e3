//! Finding programs and versions.

use super::*;

#[test]
fn programs_are_found_by_their_first_known_name() {
    assert!(program(&["no-such-program-here", "sh"]).is_some_and(|path| path.ends_with("sh")));
    assert_eq!(program(&["no-such-program-here"]), None);
}

#[test]
fn versions_are_read_from_what_programs_say() {
    for (said, version) in [
        ("nginx version: nginx/1.26.3\n", Some("1.26.3")),
        ("ChromeDriver 140.0.1 (abc)\n", Some("140.0.1")),
        ("v20.19.2\n", Some("20.19.2")),
        ("OpenSSH_9.2, OpenSSL 3.0.19 27 Jan 2026\n", Some("9.2")),
        ("ProFTPD Version 1.3.8\n", Some("1.3.8")),
        ("nothing\n", None),
    ] {
        assert_eq!(version_in(said), version, "{said}");
    }
}

#[test]
fn strings_are_read_after_their_key() {
    let text = r#"{ "name": "a", "axe-core": "4.1.2" }"#;
    assert_eq!(string_after(text, "\"axe-core\":").as_deref(), Some("4.1.2"));
    assert_eq!(string_after(text, "\"version\":"), None);
}

#[test]
fn what_is_missing_is_named() {
    let text = absent(&PEERS);
    for name in ["PostgreSQL", "nginx", "Chromium", "ChromeDriver", "Node.js", "npm", "xmlsec1", "Python"] {
        assert!(text.contains(name), "{name} is not in: {text}");
    }
}

#[test]
fn packages_of_npm_have_one_exact_version_and_the_same_in_the_lock() {
    let lock = std::fs::read_to_string(npm_folder().join("package-lock.json")).unwrap();
    for package in NPM_PACKAGES {
        let wanted = package.wanted().unwrap();
        assert!(wanted.starts_with(|c: char| c.is_ascii_digit()), "{}: {wanted}", package.name);
        let (_, locked) = lock.split_once(&format!("\"node_modules/{}\": {{", package.name)).unwrap();
        assert_eq!(string_after(locked, "\"version\":"), Some(wanted), "{}", package.name);
    }
    assert!(!lock.contains("\"resolved\":"), "where packages come from is the business of each machine");
}

#[test]
fn packages_of_python_have_one_version_and_hashes() {
    let text = std::fs::read_to_string(npm_folder().join("requirements.txt")).unwrap();
    assert!(text.lines().all(|line| line.contains("==") || line.trim_start().starts_with("--hash=sha256:")));
    assert!(text.starts_with(|c: char| c.is_ascii_lowercase()) && text.contains("\nsignxml=="));
}
