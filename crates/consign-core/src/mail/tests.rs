use super::*;

#[test]
fn addresses_are_read_strictly() {
    for (text, address) in [
        ("ana@acme.example", "ana@acme.example"),
        (" Ana.Silva+x@ACME.example ", "Ana.Silva+x@acme.example"),
        ("Ana Silva <ana@acme.example>", "ana@acme.example"),
        ("o'neil@bücher.example", "o'neil@xn--bcher-kva.example"),
    ] {
        assert_eq!(
            Mailbox::parse(text).map(|one| one.address().to_owned()),
            Ok(address.to_owned()),
            "{text}"
        );
    }
    for text in [
        "",
        "ana",
        "@acme.example",
        "ana@",
        "a b@acme.example",
        "ana@acme.example, eve@evil.example",
        "ana@acme.example\r\nRCPT TO:<eve@evil.example>",
        "ana\r\nBcc: eve@evil.example@acme.example",
        "<ana>@acme.example",
        "ana>@acme.example",
        "\"ana\"@acme.example",
        ".ana@acme.example",
        "ana..x@acme.example",
        "ana@[127.0.0.1]",
        "ana@127.0.0.1",
        "Ana\nBcc: x <ana@acme.example>",
        "änä@acme.example",
    ] {
        assert_eq!(Mailbox::parse(text), Err(NoMailbox), "{text}");
    }
    assert_eq!(Mailbox::parse(&format!("{}@acme.example", "a".repeat(65))), Err(NoMailbox));
}

fn mail(subject: &str, text: &str) -> String {
    let mail = Mail {
        from: Mailbox::parse("Consign <consign@acme.example>").unwrap(),
        to: Mailbox::parse("ana@acme.example").unwrap(),
        subject: subject.to_owned(),
        text: text.to_owned(),
        at: Timestamp::from_millis(1_795_716_000_000),
        id: "req_1".to_owned(),
    };
    String::from_utf8(mail.to_bytes()).expect("a message is ASCII")
}

#[test]
fn a_message_is_made_of_lines_that_nobody_can_add_to() {
    assert_eq!(
        mail("You are invited to Consign", "Hello Ana,\nhttps://consign.acme.example\n"),
        "Date: Thu, 26 Nov 2026 18:00:00 +0000\r\n\
         From: Consign <consign@acme.example>\r\n\
         To: ana@acme.example\r\n\
         Subject: You are invited to Consign\r\n\
         Message-ID: <req1@acme.example>\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: base64\r\n\
         \r\n\
         SGVsbG8gQW5hLA0KaHR0cHM6Ly9jb25zaWduLmFjbWUuZXhhbXBsZQ0K\r\n"
    );
    for hostile in
        ["x\r\nBcc: eve@evil.example", "x\n\nbody", "x\r.\r\nMAIL FROM:<e@evil.example>", "=?UTF-8?B?eA?="]
    {
        let whole = mail(hostile, ".\r\n.\n");
        let (head, _) = whole.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = head.split("\r\n").filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(names.len(), 9, "{whole}");
        assert!(whole.lines().all(|line| line != "." && line.len() <= 78), "{whole}");
        assert!(!whole.contains("\nBcc") && !whole.contains("\nMAIL"), "{whole}");
    }
    let long = mail(&"Grüße – ".repeat(30), &"x".repeat(1_000));
    assert!(long.is_ascii() && long.lines().all(|line| line.len() <= 78), "{long}");
}

#[test]
fn a_name_that_is_more_than_atoms_is_encoded() {
    let header = |text: &str| Mailbox::parse(text).unwrap().header();
    for plain in ["Consign <c@acme.example>", "Ana O'Neil-Silva <c@acme.example>", "c@acme.example"] {
        assert_eq!(header(plain), plain);
    }
    for name in ["Acme, Inc", "Consign v1.2", "Ops (night)", "\"Ops\"", "a: b", "Zoë", "Two  blanks", "=?x?="]
    {
        let encoded = format!("=?UTF-8?B?{}?= <c@acme.example>", BASE64_STANDARD.encode(name));
        assert_eq!(header(&format!("{name} <c@acme.example>")), encoded);
    }
}

#[test]
fn a_server_is_read_from_its_address() {
    let parse = |text: &str| MailServer::parse(&Secret::new(text.to_owned()));
    let check = |text: &str, host: &str, port: u16, implicit: bool, login: Option<(&str, &str)>| {
        let server = parse(text).unwrap();
        assert_eq!(
            (server.host.to_string().as_str(), server.port, server.implicit_tls),
            (host, port, implicit)
        );
        let found = server.login.as_ref().map(|login| (login.name.as_str(), login.password.expose()));
        assert_eq!(found, login, "{text}");
        assert!(!format!("{server:?}").contains("p@ss"), "{server:?}");
    };
    check("smtps://mail.acme.example", "mail.acme.example", 465, true, None);
    check("smtp://mail.acme.example/", "mail.acme.example", 587, false, None);
    check(
        "smtp://ana%40acme.example:p%40ss+w@mail.acme.example:2525",
        "mail.acme.example",
        2525,
        false,
        Some(("ana@acme.example", "p@ss+w")),
    );
    for bad in [
        "",
        "mail.acme.example",
        "http://mail.acme.example",
        "smtp://",
        "smtp://ana@mail.acme.example",
        "smtp://a:%0d%0a@mail.acme.example",
        "smtp://a:%4@mail.acme.example",
        "smtp://mail.acme.example:x",
        "smtp://mail.acme.example/x",
    ] {
        parse(bad).unwrap_err();
    }
}
