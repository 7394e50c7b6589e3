use super::*;

fn bytes(parts: &[&[u8]]) -> Bytes {
    Bytes::from(parts.concat())
}

#[test]
fn requests_are_as_the_draft_says() {
    let write = Request::Write { handle: b"h1", offset: 1 << 32 };
    let expected: &[&[u8]] =
        &[&[0, 0, 0, 26, 6, 0, 0, 0, 7, 0, 0, 0, 2], b"h1", &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3]];
    assert_eq!(encode(7, &write, 3), bytes(expected));
    // Write, create, and only where nothing is: 2 + 8 + 32.
    let expected: &[&[u8]] = &[&[0, 0, 0, 19, 3, 0, 0, 0, 1, 0, 0, 0, 2], b"/a", &[0, 0, 0, 42, 0, 0, 0, 0]];
    assert_eq!(encode(1, &Request::Create("/a"), 0), bytes(expected));
    let posix = encode(2, &Request::PosixRename("a", "b"), 0);
    assert_eq!(posix[4], 200);
    assert!(posix.windows(24).any(|window| window == b"posix-rename@openssh.com"));
    assert_eq!(init(), bytes(&[&[0, 0, 0, 5, 1, 0, 0, 0, 3]]));
}

#[test]
fn replies_are_read_or_refused() {
    let read = |packet: &[u8]| decode(&Bytes::copy_from_slice(packet));
    let status = [&[101, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 2][..], b"no", &[0, 0, 0, 0]].concat();
    assert_eq!(read(&status), Some((9, Reply::Status { code: 3, message: "no".to_owned() })));
    let short = [101, 0, 0, 0, 9, 0, 0, 0, 0];
    assert_eq!(read(&short), Some((9, Reply::Status { code: 0, message: String::new() })));
    let attributes =
        [&[105, 0, 0, 0, 1, 0, 0, 0, 13][..], &7_u64.to_be_bytes(), &[0, 0, 0x41, 0xed], &[0; 8]].concat();
    let Some((1, Reply::Attributes(found))) = read(&attributes) else { panic!("no attributes") };
    assert!(found.is_folder() && found.size == Some(7) && found.modified_seconds == Some(0));
    let names = [&[104, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1][..], b"a", &[0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let Some((1, Reply::Names(found))) = read(&names) else { panic!("no names") };
    assert_eq!(found[0].name, "a");
    for nonsense in [
        &[][..],
        &[101],
        &[101, 0, 0, 0, 1],
        &[102, 0, 0, 0, 1, 0, 0, 1, 1],
        &[1, 0, 0, 0, 1],
        &[104, 0, 0, 0, 1, 255, 255, 255, 255],
    ] {
        assert_eq!(read(nonsense), None, "{nonsense:?}");
    }
}

#[test]
fn a_server_introduces_itself() {
    let hello = [&[2, 0, 0, 0, 3, 0, 0, 0, 17][..], b"fsync@openssh.com", &[0, 0, 0, 1], b"1"].concat();
    assert_eq!(version(&hello), Some((3, vec![("fsync@openssh.com".to_owned(), "1".to_owned())])));
    assert_eq!(version(&[2, 0, 0, 0, 3]), Some((3, Vec::new())));
    assert_eq!(version(&[2, 0, 0, 0, 3, 0, 0, 0, 9]), None);
    assert_eq!(version(&[101, 0, 0, 0, 3]), None);
    assert_eq!(numbers::<2>(&[0; 16]), Some([0, 0]));
    assert_eq!(numbers::<2>(&[0; 15]), None);
}
