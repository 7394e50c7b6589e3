use super::*;

fn request(body: &'static [u8]) -> KeptRequest {
    let header = |name: &'static str, value: &'static str| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let message = Message {
        method: Method::PUT,
        path: RemotePath::parse("/x/%2F?a=b%20c").unwrap(),
        headers: vec![
            header("content-type", "application/json"),
            header("webhook-id", "evt_1"),
            header("webhook-timestamp", "1614265330"),
            header("webhook-signature", "v1,abc"),
            header("x-team", "one"),
            header("x-team", "two"),
        ],
    };
    KeptRequest::new("https://tool.example/".to_owned(), &message, &Bytes::from_static(body)).unwrap()
}

#[test]
fn it_is_read_as_it_was_kept() {
    let data = Bytes::from_static(b"{\"a\":1}");
    for body in [&b"{\"a\":1}"[..], b"", b"line\nline", b"\xff\x00"] {
        let kept = request(body);
        let bytes = kept.to_bytes(&data);
        let read = KeptRequest::from_bytes(&bytes, &data).unwrap();
        assert_eq!(read.body, body);
        assert_eq!(read.origin, "https://tool.example/");
        assert_eq!((&read.message.method, read.message.path.as_str()), (&Method::PUT, "/x/%2F?a=b%20c"));
        let names: Vec<_> = read.message.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "webhook-id", "x-team", "x-team"], "neither time nor signature");
        assert_eq!(read.message.headers[3].1, "two");
    }
}

#[test]
fn the_data_of_the_event_is_not_kept_twice() {
    let data = Bytes::from(vec![b'a'; 10_000]);
    let message = request(b"").message;
    let kept = KeptRequest::new("https://tool.example/".to_owned(), &message, &data).unwrap();
    let bytes = kept.to_bytes(&data);
    assert!(bytes.len() < 500, "{}", bytes.len());
    assert_eq!(KeptRequest::from_bytes(&bytes, &data).unwrap().body, data);
    assert!(kept.to_bytes(b"other").len() > 10_000);
}

#[test]
fn what_is_damaged_or_newer_is_not_read() {
    let data = Bytes::new();
    let bytes = request(b"x").to_bytes(&data);
    for broken in [&b""[..], b"\n", b"{}\n", &bytes[..20], b"{\"form\":2}\n"] {
        assert!(KeptRequest::from_bytes(broken, &data).is_none());
    }
}

#[test]
fn a_header_that_is_no_text_is_not_kept() {
    let mut message = request(b"").message;
    message.headers.push((HeaderName::from_static("x"), HeaderValue::from_bytes(b"\xe9").unwrap()));
    assert!(KeptRequest::new("https://tool.example/".to_owned(), &message, &Bytes::new()).is_none());
}
