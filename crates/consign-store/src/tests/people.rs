//! People: roles, invitations, the second step, and who is left.

use consign_core::id::UserId;
use consign_core::role::Role;
use consign_core::time::Timestamp;
use consign_core::vault::Sealed;

use super::{Fresh, hours, on_both, user};
use crate::second_steps::{self, SecondStep};
use crate::sessions::{self, Session};
use crate::users::{self, Identity, Invitation, TwoStep, User};
use crate::{Page, StoreError};

on_both!(
    a_person_comes_back_as_saved,
    a_person_is_found_by_who_they_are_at_a_provider,
    a_save_over_another_save_of_a_person_changes_nothing,
    a_person_is_held_only_as_they_were_read,
    people_are_listed_and_counted,
    a_time_zone_is_kept_without_a_new_revision,
    a_code_is_used_once,
    a_person_leaves_with_their_sessions,
);

async fn a_person_comes_back_as_saved(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let invited = Invitation { hash: "i-1".to_owned(), until: now.plus(hours(72)) };
    let mut bo = User { invitation: Some(invited.clone()), ..user("Bo", Role::Operator, now) };
    users::insert(&mut tx, &bo).await.unwrap();
    let found = users::find_by_invitation(&mut tx, "i-1").await.unwrap().unwrap();
    assert_eq!((found.id, found.role, found.invitation.as_ref()), (bo.id, Role::Operator, Some(&invited)));
    assert!(!found.is_active());
    assert!(users::find_by_invitation(&mut tx, "i-2").await.unwrap().is_none());
    bo.invitation = None;
    bo.role = Role::Auditor;
    let (key, recovery) = (Sealed::from_stored("v1.k.x.y".to_owned()), vec!["a".to_owned(), "b".to_owned()]);
    bo.two_step = Some(TwoStep { key, since: now, recovery: recovery.clone() });
    assert!(users::update(&mut tx, &bo).await.unwrap());
    let found = users::find(&mut tx, bo.id).await.unwrap().unwrap();
    assert_eq!((found.role, found.revision, found.is_active()), (Role::Auditor, 2, true));
    let two_step = found.two_step.unwrap();
    assert_eq!((two_step.key.as_stored(), two_step.since, two_step.recovery), ("v1.k.x.y", now, recovery));
    bo.revision = 2;
    bo.two_step = None;
    bo.suspended_at = Some(now);
    assert!(users::update(&mut tx, &bo).await.unwrap());
    let found = users::find(&mut tx, bo.id).await.unwrap().unwrap();
    assert!(found.two_step.is_none() && !found.is_active());
    let taken = User { id: UserId::new(now), email: "BO@acme.example".to_owned(), ..bo };
    let refused = users::insert(&mut tx, &taken).await;
    assert!(matches!(refused, Err(StoreError::NotUnique("email address"))), "{refused:?}");
}

async fn a_person_is_found_by_who_they_are_at_a_provider(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let identity = |issuer: &str, subject: &str| Identity {
        issuer: format!("https://{issuer}.example"),
        subject: subject.to_owned(),
    };
    let bo = User { identity: Some(identity("a", "1")), ..user("Bo", Role::Viewer, now) };
    let mut cy = user("Cy", Role::Viewer, now);
    users::insert(&mut tx, &bo).await.unwrap();
    users::insert(&mut tx, &cy).await.unwrap();
    cy.identity = Some(identity("b", "1"));
    assert!(users::update(&mut tx, &cy).await.unwrap());
    for (issuer, subject, expected) in
        [("a", "1", Some(bo.id)), ("b", "1", Some(cy.id)), ("a", "2", None), ("b", "", None)]
    {
        let found = users::find_by_identity(&mut tx, &identity(issuer, subject)).await.unwrap();
        assert_eq!(found.map(|user| user.id), expected, "{issuer} {subject}");
    }
    let found = users::find(&mut tx, cy.id).await.unwrap().unwrap();
    assert_eq!(found.identity, cy.identity);
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let twin = User { identity: bo.identity.clone(), ..user("Di", Role::Viewer, now) };
    assert!(users::insert(&mut tx, &twin).await.is_err(), "one account for one identity");
}

async fn a_save_over_another_save_of_a_person_changes_nothing(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let bo = user("Bo", Role::Operator, now);
    users::insert(&mut tx, &bo).await.unwrap();
    assert!(users::update(&mut tx, &User { role: Role::Viewer, ..bo.clone() }).await.unwrap());
    assert!(!users::update(&mut tx, &User { role: Role::Administrator, ..bo.clone() }).await.unwrap());
    assert_eq!(users::find(&mut tx, bo.id).await.unwrap().unwrap().role, Role::Viewer);
}

async fn a_person_is_held_only_as_they_were_read(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let bo = user("Bo", Role::Operator, tx.now());
    assert!(!users::hold(&mut tx, &bo).await.unwrap(), "there is nobody yet");
    users::insert(&mut tx, &bo).await.unwrap();
    assert!(users::hold(&mut tx, &bo).await.unwrap());
    assert!(users::hold(&mut tx, &bo).await.unwrap(), "to hold somebody changes nothing");
    users::set_time_zone(&mut tx, bo.id, "Asia/Kolkata").await.unwrap();
    assert!(users::hold(&mut tx, &bo).await.unwrap(), "the look of pages is no change");
    assert!(users::update(&mut tx, &User { role: Role::Viewer, ..bo.clone() }).await.unwrap());
    assert!(!users::hold(&mut tx, &bo).await.unwrap());
}

async fn people_are_listed_and_counted(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    for (name, role) in [("Ana", Role::Administrator), ("Bo", Role::Administrator), ("Cy", Role::Viewer)] {
        users::insert(&mut tx, &user(name, role, now)).await.unwrap();
    }
    let page = Page { counted: true, ..Page::first(2) };
    let first = users::list(&mut tx, &page).await.unwrap();
    assert_eq!((first.items.len(), first.count), (2, Some(3)));
    let rest = users::list(&mut tx, &Page { after: first.next, ..Page::first(2) }).await.unwrap();
    assert_eq!(rest.items.len(), 1);
    let names = async |tx: &mut crate::Db| {
        let found = users::active_with(tx, Role::Administrator).await.unwrap();
        found.into_iter().map(|user| user.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut tx).await, ["Ana", "Bo"]);
    let bo = users::find_by_email(&mut tx, "bo@acme.example").await.unwrap().unwrap();
    assert!(users::update(&mut tx, &User { suspended_at: Some(now), ..bo }).await.unwrap());
    assert_eq!(names(&mut tx).await, ["Ana"]);
}

fn step(hash: &str, user: &User, now: Timestamp) -> SecondStep {
    SecondStep { hash: hash.to_owned(), user: user.id, created_at: now, proof: format!("proof of {hash}") }
}

async fn a_time_zone_is_kept_without_a_new_revision(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let ana = User { time_zone: "Asia/Kolkata".to_owned(), ..user("Ana", Role::Administrator, tx.now()) };
    users::insert(&mut tx, &ana).await.unwrap();
    assert_eq!(users::find(&mut tx, ana.id).await.unwrap().unwrap().time_zone, "Asia/Kolkata");
    users::set_time_zone(&mut tx, ana.id, "Europe/Lisbon").await.unwrap();
    let found = users::find(&mut tx, ana.id).await.unwrap().unwrap();
    assert_eq!((found.time_zone.as_str(), found.revision), ("Europe/Lisbon", ana.revision));
    assert!(users::update(&mut tx, &User { name: "Ana Silva".to_owned(), ..ana }).await.unwrap());
    assert_eq!(users::find(&mut tx, found.id).await.unwrap().unwrap().time_zone, "Europe/Lisbon");
}

async fn a_code_is_used_once(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let ana = user("Ana", Role::Administrator, now);
    users::insert(&mut tx, &ana).await.unwrap();
    assert_eq!(users::last_code_step(&mut tx, ana.id).await.unwrap(), None);
    assert!(users::use_code(&mut tx, ana.id, 7).await.unwrap());
    for used in [7, 6] {
        assert!(!users::use_code(&mut tx, ana.id, used).await.unwrap(), "{used}");
    }
    assert!(users::use_code(&mut tx, ana.id, 8).await.unwrap());
    assert_eq!(users::last_code_step(&mut tx, ana.id).await.unwrap(), Some(8));
    let one = step("s-1", &ana, now);
    second_steps::insert(&mut tx, &one).await.unwrap();
    second_steps::insert(&mut tx, &step("s-2", &ana, now.minus(hours(1)))).await.unwrap();
    assert_eq!(second_steps::delete_old(&mut tx, now.minus(hours(1)).plus(hours(1))).await.unwrap(), 1);
    assert_eq!(second_steps::find(&mut tx, "s-1").await.unwrap(), Some(one));
    assert!(second_steps::delete(&mut tx, "s-1").await.unwrap());
    assert!(!second_steps::delete(&mut tx, "s-1").await.unwrap());
}

async fn a_person_leaves_with_their_sessions(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let (ana, bo) = (user("Ana", Role::Administrator, now), user("Bo", Role::Viewer, now));
    for (user, hashes) in [(&ana, ["a-1", "a-2"]), (&bo, ["b-1", "b-2"])] {
        users::insert(&mut tx, user).await.unwrap();
        second_steps::insert(&mut tx, &step(hashes[0], user, now)).await.unwrap();
        for hash in hashes {
            let session = Session {
                hash: hash.to_owned(),
                user: user.id,
                csrf: "c".to_owned(),
                created_at: now,
                seen_at: now,
                pending: None,
                proof: "p".to_owned(),
            };
            sessions::insert(&mut tx, &session).await.unwrap();
        }
    }
    assert_eq!(sessions::delete_others(&mut tx, ana.id, "a-2").await.unwrap(), 1);
    assert!(sessions::find(&mut tx, "a-1").await.unwrap().is_none());
    assert!(sessions::find(&mut tx, "b-1").await.unwrap().is_some(), "of another person");
    assert_eq!(sessions::delete_of(&mut tx, ana.id).await.unwrap(), 1);
    assert_eq!(second_steps::delete_of(&mut tx, ana.id).await.unwrap(), 1);
    assert!(users::delete(&mut tx, bo.id).await.unwrap());
    assert!(!users::delete(&mut tx, bo.id).await.unwrap());
    assert!(sessions::find(&mut tx, "b-1").await.unwrap().is_none());
    assert!(second_steps::find(&mut tx, "b-1").await.unwrap().is_none());
}
