use super::*;

#[test]
fn tail_tells_what_is_new_or_changed_oldest_first() {
    let row = |id: &str, state: &str| json!({ "id": id, "shown_state": state, "attempts": 1 });
    let mut seen = HashMap::new();
    let ids = |rows: Vec<&Value>| rows.into_iter().map(|row| text(row, "id")).collect::<Vec<_>>();
    let first = [row("b", "sending"), row("a", "delivered")];
    assert_eq!(ids(news(&mut seen, &first)), ["a", "b"]);
    assert!(news(&mut seen, &first).is_empty());
    let second = [row("c", "waiting"), row("b", "delivered"), row("a", "delivered")];
    assert_eq!(ids(news(&mut seen, &second)), ["b", "c"]);
}
