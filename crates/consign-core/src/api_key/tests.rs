use super::*;

#[test]
fn a_key_reads_back_and_a_cut_one_is_named() {
    let id = KeyId::new(Timestamp::from_millis(7));
    let key = generate(id);
    assert!(key.expose().starts_with(&shown(id)));
    assert_eq!(parse(key.expose()), Ok((id, hash(key.expose()))));
    assert_eq!(parse("Bearer x"), Err(NotAKey::Form));
    assert_eq!(parse("csg_x_y"), Err(NotAKey::Form));
    let text = key.expose();
    assert_eq!(parse(&text[..text.len() - 1]), Err(NotAKey::Checksum));
    let last = if text.ends_with('0') { '1' } else { '0' };
    assert_eq!(parse(&format!("{}{last}", &text[..text.len() - 1])), Err(NotAKey::Checksum));
}
