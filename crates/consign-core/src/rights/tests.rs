use super::*;

#[test]
fn rights_are_closed_and_admin_holds_all() {
    let some: Rights = [Right::EventsWrite, Right::CredentialsRead].into_iter().collect();
    assert!(
        some.allow(Right::EventsWrite) && !some.allow(Right::CredentialsWrite) && !some.allow(Right::Admin)
    );
    assert_eq!(Rights::from_stored(&some.to_stored()), some);
    assert_eq!(Rights::from_stored("events:write secrets:read"), [Right::EventsWrite].into_iter().collect());
    let admin: Rights = [Right::Admin].into_iter().collect();
    assert!(Right::ALL.iter().all(|right| admin.allow(*right)));
    assert!(admin.cover(some) && !some.cover(admin));
    assert!(!Rights::default().allow(Right::EventsRead));
}
