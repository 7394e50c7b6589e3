//! What is an address, and what of it is shown.

use super::{BadAddress, DatabaseUrl};

#[test]
fn addresses_are_read_and_shown_without_their_password() {
    let check = |text: &str, shown: &str| {
        let url = DatabaseUrl::parse(text).unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), shown);
    };
    check("sqlite:/var/lib/consign/consign.db", "sqlite:/var/lib/consign/consign.db");
    check("sqlite:///var/lib/a b.db", "sqlite:/var/lib/a b.db");
    check("sqlite:consign.db", "sqlite:consign.db");
    check("postgres://ada:hunter2@db.example:5433/consign", "postgres://ada@db.example:5433/consign");
    check("postgresql://db.example/consign?password=hunter2", "postgres://db.example/consign");
    check("postgres://ada:p%40ss@[::1]/consign", "postgres://ada@[::1]/consign");
}

#[test]
fn other_texts_are_refused() {
    for text in [
        "",
        "sqlite:",
        "sqlite:/var/lib/",
        "sqlite::memory:",
        "sqlite:/a?mode=rwc",
        "mysql://h/d",
        "postgres:///d",
        "/var/lib/x.db",
    ] {
        assert_eq!(DatabaseUrl::parse(text), Err(BadAddress), "{text}");
    }
}
