use super::*;

fn folder() -> PathBuf {
    let id = RequestId::new(consign_store::local_now());
    let folder = std::env::temp_dir().join(format!("consign-anchor-{id}"));
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[tokio::test]
async fn the_anchor_moves_forward_and_belongs_to_one_installation() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder().join("data");
    let file = AnchorFile::of(&folder, "req_1");
    assert_eq!(file.read().unwrap(), None);
    let check = |sequence: i64, link: &str| {
        let found = AnchorFile::of(&folder, "req_1").read().unwrap().unwrap();
        assert_eq!((found.sequence, found.link.as_str()), (sequence, link));
    };
    file.write(3, "03").await;
    check(3, "03");
    file.write(2, "02").await;
    check(3, "03");
    file.write(4, "04").await;
    check(4, "04");
    assert_eq!(std::fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [ANCHOR_FILE], "nothing else is left there");
    // What another installation wrote into this folder says nothing about this one.
    assert_eq!(AnchorFile::of(&folder, "req_2").read().unwrap(), None);
    std::fs::write(&file.path, "damaged").unwrap();
    let refused = file.read().unwrap_err();
    assert!(matches!(refused, RecordsError::Anchor { .. }), "{refused}");
    std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
}
