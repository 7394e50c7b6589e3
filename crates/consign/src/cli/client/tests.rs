use super::*;

#[test]
fn servers_are_origins() {
    let check = |text: &str, origin: Option<&str>| {
        assert_eq!(Server::parse(text).ok().map(|server| server.origin()).as_deref(), origin, "{text}");
    };
    check("https://consign.example", Some("https://consign.example"));
    check("http://127.0.0.1:8420/", Some("http://127.0.0.1:8420"));
    for text in
        ["consign.example", "ftp://consign.example", "https://a@b", "https://consign.example/path", ""]
    {
        check(text, None);
    }
}

#[test]
fn plain_http_is_exposed_unless_it_stays_on_this_machine() {
    let exposed = |text: &str| Server::parse(text).unwrap().is_exposed();
    assert!(exposed("http://consign.example") && exposed("http://10.0.0.1"));
    assert!(
        !exposed("https://consign.example")
            && !exposed("http://localhost:1")
            && !exposed("http://[::1]:8420")
    );
}

#[test]
fn names_become_one_segment() {
    let call = Call::get(&["credentials", "A/B ü?"])
        .query("q", Some("a&b"))
        .query("state", None)
        .query("x", Some("1"));
    assert_eq!(call.path, "/api/v1/credentials/A%2FB%20%C3%BC%3F?q=a%26b&x=1");
}
