use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn contexts_are_kept_for_their_owner_alone() {
    let folder = std::env::temp_dir().join(format!("consign-context-{}", std::process::id()));
    let path = folder.join("consign/contexts.json");
    let mut contexts = Contexts::load_from(&path).unwrap();
    assert!(contexts.contexts.is_empty());
    let context = Context { server: "https://consign.example".to_owned(), token: "csg_x".to_owned() };
    contexts.contexts.insert("main".to_owned(), context);
    contexts.current = Some("main".to_owned());
    contexts.save_to(&path).unwrap();
    contexts.save_to(&path).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    let read = Contexts::load_from(&path).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert_eq!(read.chosen(&Global::default()).unwrap().unwrap().1.token, "csg_x");
    let asked = Global { context: Some("other".to_owned()), ..Global::default() };
    assert_eq!(read.chosen(&asked).err().map(|failure| failure.code), Some(Code::NotFound));
    std::fs::write(&path, "{").unwrap();
    assert!(Contexts::load_from(&path).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
