use std::os::unix::fs::PermissionsExt as _;

use consign_core::secret::Secret;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("consign-keys-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.data.dir = self.0.join("data");
        config
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn line() -> String {
    KeyRing::generate().sealing().line().to_string()
}

#[test]
fn created_once_over_an_empty_database_for_the_owner_alone() {
    let folder = Folder::new("create");
    let config = folder.config();
    let created = load_with(&config, None, true).unwrap();
    let path = config.own_keys_file();
    assert_eq!(created.place, Place::Created(path.clone()));
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&config.data.dir).unwrap().mode() & 0o777, 0o700);
    let again = load_with(&config, None, false).unwrap();
    assert_eq!(again.place, Place::File(path));
    assert_eq!(again.ring.sealing().id(), created.ring.sealing().id());
}

#[test]
fn never_created_over_a_filled_database_or_at_a_configured_place() {
    let folder = Folder::new("filled");
    let mut config = folder.config();
    assert!(matches!(load_with(&config, None, false), Err(KeysError::Missing(_))));
    config.encryption.keys_file = Some(folder.0.join("absent"));
    assert!(matches!(load_with(&config, None, true), Err(KeysError::Missing(_))));
    assert!(!folder.0.join("absent").exists() && !config.own_keys_file().exists());
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = Folder::new("mode");
    for mode in [0o644, 0o640, 0o602] {
        let mut config = folder.config();
        let path = folder.write("keys", &line(), mode);
        config.encryption.keys_file = Some(path.clone());
        let error = load_with(&config, None, true).unwrap_err();
        let sentence = format!(
            "other users of this machine can read the encryption key {0} \
             (mode {mode:04o}); run: chmod 600 {0}",
            path.display()
        );
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn credential_of_the_service_manager_comes_before_the_data_folder() {
    let folder = Folder::new("credential");
    let path = folder.write(CREDENTIAL, &line(), 0o440);
    let found = load_with(&folder.config(), Some(&folder.0), true).unwrap();
    assert_eq!(found.place, Place::Credential(path));
}

#[test]
fn the_environment_may_hold_several_keys() {
    let mut config = Config::default();
    config.encryption.keys = Some(Secret::new(format!("{},{}", line(), line())));
    let found = load_with(&config, None, false).unwrap();
    assert_eq!((found.place, found.ring.keys().len()), (Place::Environment, 2));
}

#[test]
fn a_new_key_comes_first_and_the_files_beside_the_ring_stay() {
    let folder = Folder::new("beside");
    let path = folder.write("ring.txt", &line(), 0o600);
    let foreign = ["ring.new", "ring.txt.new", "ring.txt.bak"];
    for name in foreign {
        folder.write(name, "not ours", 0o600);
    }
    let before = read_file(&path).unwrap();
    let loaded = vec![before.ring.sealing().id().to_owned()];
    let new = NewFirst::prepare(&before.place, &loaded).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    new.put().unwrap();
    let ring = new.ring();
    let ids: Vec<_> = ring.keys().iter().map(|key| key.id().to_owned()).collect();
    assert_eq!((ids.len(), &ids[1]), (2, &loaded[0]));
    let after = read_file(&path).unwrap().ring;
    assert!(after.keys().iter().map(RingKey::id).eq(ids.iter().map(String::as_str)));
    for name in foreign {
        assert_eq!(std::fs::read_to_string(folder.0.join(name)).unwrap(), "not ours", "{name}");
    }
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), foreign.len() + 1, "nothing is left over");
    assert!(matches!(NewFirst::prepare(&before.place, &loaded), Err(KeysError::Changed(_))));
    new.take_back().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_ring_that_the_disk_did_not_confirm_is_not_taken() {
    let folder = Folder::new("unconfirmed");
    let path = folder.write("keys", &line(), 0o600);
    let before = read_file(&path).unwrap();
    let loaded = vec![before.ring.sealing().id().to_owned()];
    let new = NewFirst::prepare(&before.place, &loaded).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let broken = || io::Error::other("the disk is broken");
    let fault = new.put_with(|_| Err(broken())).unwrap_err();
    assert!(matches!(fault, KeysError::NotOnDisk { .. }), "{fault}");
    assert!(fault.to_string().contains("nothing is sealed with the new key"), "{fault}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "the ring before is in its place again");

    // When the disk confirms that, it is known that all is as it was.
    let calls = std::cell::Cell::new(0);
    let first_fails = |_: &Path| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 { Err(broken()) } else { Ok(()) }
    };
    let fault = new.put_with(first_fails).unwrap_err();
    assert!(matches!(fault, KeysError::Io { .. }), "{fault}");
    assert_eq!((calls.get(), std::fs::read_to_string(&path).unwrap()), (2, text));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn a_ring_seals_only_when_the_disk_has_confirmed_it() {
    let folder = Folder::new("confirmed");
    let path = folder.write("keys", &line(), 0o600);
    let asked = std::cell::RefCell::new(Vec::new());
    read_confirmed(&path, |path| {
        asked.borrow_mut().push(path.to_owned());
        Ok(())
    })
    .unwrap();
    assert_eq!(asked.into_inner(), [path.clone(), folder.0.clone()]);
    for broken in [&path, &folder.0] {
        let refused = read_confirmed(&path, |path| match path == broken {
            true => Err(io::Error::other("the disk is broken")),
            false => Ok(()),
        });
        assert!(matches!(refused, Err(KeysError::Io { .. })), "{refused:?}");
    }
    // A file of the operator, in a folder that this program cannot change.
    let foreign = |path: &Path| match path == folder.0 {
        true => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        false => Ok(()),
    };
    read_confirmed(&path, foreign).unwrap();
}

#[test]
fn what_a_rotation_left_is_removed_and_nothing_else() {
    let folder = Folder::new("left");
    let path = folder.write("keys", &line(), 0o600);
    let foreign =
        ["keys.new", "keys.k-1.new", "keys.k-0123456g.new", "other.k-01234567.new", "keys.k-01234567"];
    for name in foreign {
        folder.write(name, "not ours", 0o600);
    }
    let left = folder.write("keys.k-01234567.new", &line(), 0o600);
    std::fs::create_dir(folder.0.join("keys.k-76543210.new")).unwrap();
    remove_left(&Place::File(path.clone()));
    assert!(!left.exists() && path.exists());
    assert!(foreign.iter().all(|name| folder.0.join(name).exists()));
    remove_left(&Place::Environment);
}

#[test]
fn a_damaged_line_is_named_and_not_repeated() {
    let folder = Folder::new("damaged");
    let mut config = folder.config();
    let whole = line();
    config.encryption.keys_file = Some(folder.write("keys", &format!("{whole}\n{}", &line()[..40]), 0o600));
    let message = load_with(&config, None, true).unwrap_err().to_string();
    assert!(message.contains("line 2 of the key ring is damaged or cut"), "{message}");
    assert!(!message.contains("csgkey1_k"), "{message}");
}
