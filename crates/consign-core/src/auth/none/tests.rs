use super::*;

#[test]
fn adds_no_header_and_hands_on_the_secret_path() {
    let mut fields = Fields::default();
    fields.secrets.insert("url_path".to_owned(), Secret::new("/services/T0/B0?k=1".to_owned()));
    let Step::Apply(proof) = (TYPE.parse)(&fields).unwrap().step(None, Timestamp::from_millis(0)) else {
        panic!("no proof")
    };
    assert!(proof.headers.is_empty());
    assert_eq!(proof.path.unwrap().expose(), "/services/T0/B0?k=1");

    let Step::Apply(proof) = (TYPE.parse)(&Fields::default()).unwrap().step(None, Timestamp::from_millis(0))
    else {
        panic!("no proof")
    };
    assert!(proof.path.is_none());
}
