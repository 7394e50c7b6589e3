use super::*;
use crate::schedule::TimeZone;
use crate::time::Timestamp;

#[test]
fn a_label_is_what_its_forms_write() {
    let at = Timestamp::parse_rfc3339("2026-11-03T14:02:03Z").unwrap();
    let utc = TimeZone::parse("").unwrap();
    for locale in Locale::ALL {
        assert_eq!(utc.format(at, locale.exact()), format!("{} UTC", locale.label()));
        assert!(locale.label().starts_with(&utc.format(at, locale.day())));
        assert_eq!(Locale::find(locale.name()), Some(locale));
    }
    assert_eq!(Locale::find("en-gb"), None);
}
