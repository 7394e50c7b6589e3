use super::*;

#[test]
fn debug_shows_nothing() {
    let shown = format!("{:?}", Secret::new("hunter2".to_owned()));
    assert_eq!(shown, "Secret(…)");
}
