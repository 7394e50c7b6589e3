use super::*;
use crate::target::Binding;
use crate::vault::{KeyRing, Place, Vault};

#[test]
fn every_part_of_a_record_is_in_its_link() {
    let vault = Vault::new(&KeyRing::generate(), "i");
    let binding = Binding::of(&[]);
    let place =
        Place { table: "installation", record: "1", field: "audit", generation: 1, binding: &binding };
    let (key, _) = vault.create_key(&place);
    let entry = AuditEntry {
        id: AuditId::new(Timestamp::from_millis(1)),
        at: Timestamp::from_millis(1),
        actor_kind: "user",
        actor_id: "usr_1".to_owned(),
        actor: "Ana Silva".to_owned(),
        action: "Created credential".to_owned(),
        object_kind: "credential",
        object_id: "crd_1".to_owned(),
        object: "ServiceNow".to_owned(),
        changes: Value::Null,
        from: "127.0.0.1".to_owned(),
        request_id: "req_1".to_owned(),
        result: "done",
    };
    let link = entry.link(&key, 1, "before");
    assert_eq!(link, entry.link(&key, 1, "before"));
    assert_ne!(link, entry.link(&key, 2, "before"));
    assert_ne!(link, entry.link(&key, 1, "other"));
    let changed = AuditEntry { action: "Deleted credential".to_owned(), ..entry.clone() };
    assert_ne!(link, changed.link(&key, 1, "before"));
    let shifted = AuditEntry { actor: "Ana".to_owned(), actor_id: "usr_1 Silva".to_owned(), ..entry };
    assert_ne!(link, shifted.link(&key, 1, "before"));
}
