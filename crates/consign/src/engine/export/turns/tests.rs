use consign_core::time::Timestamp;

use super::*;

/// `"a2 b1"`: one exporter of each letter a place behind the other, two of server a.
fn due(servers: &str) -> Vec<(ConnectorId, String)> {
    let ids = (0..).map(|n| ConnectorId::new(Timestamp::from_millis(n)));
    ids.zip(servers.split_whitespace().map(str::to_owned)).collect()
}

/// The servers of those that begin, in their order.
#[track_caller]
fn check(servers: &str, under_way: &[(&str, usize)], expected: &str) {
    let due = due(servers);
    let under_way = under_way.iter().map(|(server, count)| ((*server).to_owned(), *count)).collect();
    let next = next(&due, under_way);
    let of = |id: &ConnectorId| due.iter().find(|(other, _)| other == id).unwrap().1.clone();
    assert_eq!(next.iter().map(of).collect::<Vec<_>>().join(" "), expected, "{servers}");
}

#[test]
fn servers_take_turns() {
    check("", &[], "");
    check("a a b", &[], "a b a");
    check("a a a a a a b", &[], "a b a a a");
    check("a b", &[("a", 2)], "b a");
    check("a a", &[("a", 4)], "");
}

#[test]
fn the_oldest_of_a_server_comes_first() {
    let due = due("a b a");
    let next = next(&due, HashMap::new());
    assert_eq!(next, [due[0].0, due[1].0, due[2].0]);
}

#[test]
fn servers_that_hang_leave_places_for_others() {
    let hang = [("a", 2), ("b", 2), ("c", 2), ("d", 2)];
    check("a b c d e a", &hang, "e");
    // One alone never has more than its share, and all of them together leave some.
    check("e e e e e e", &[("a", 4)], "e e e e");
    check("e e f g", &[("a", 4), ("b", 4)], "e f g");
    let many: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"]
        .map(|server| (server, 1))
        .into();
    check("a p q", &many, "p");
    let full: HashMap<_, _> = many.iter().map(|(server, count)| ((*server).to_owned(), *count)).collect();
    assert!(is_room(&full));
    assert!(!is_room(&full.into_iter().chain([("p".to_owned(), 1)]).collect()));
}
