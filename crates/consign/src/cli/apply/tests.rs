use super::*;

#[test]
fn the_exit_code_says_how_much_was_done() {
    let failed = |code| Outcome::Failed(Failure::new(code, "no"));
    let check = |outcomes: &[Outcome], dry_run: bool, code: Option<Code>, words: &str| {
        let sum = Sum::of(outcomes.iter());
        assert_eq!((sum.code(dry_run), sum.words(dry_run).as_str()), (code, words));
    };
    let done = [Outcome::Created, Outcome::Changed(Vec::new()), Outcome::Unchanged];
    check(&done, false, None, "1 created, 1 changed, 1 unchanged.");
    check(&done, true, Some(Code::Pending), "1 to create, 1 to change, 1 unchanged.");
    check(&[Outcome::Unchanged], true, None, "0 to create, 0 to change, 1 unchanged.");
    let half = [Outcome::Unchanged, failed(Code::Changed)];
    check(&half, false, Some(Code::Partly), "0 created, 0 changed, 1 unchanged, 1 failed.");
    let none = [failed(Code::Changed), failed(Code::Changed)];
    check(&none, false, Some(Code::Changed), "0 created, 0 changed, 0 unchanged, 2 failed.");
    let mixed = [failed(Code::Changed), failed(Code::NotAccepted)];
    check(&mixed, false, Some(Code::Failed), "0 created, 0 changed, 0 unchanged, 2 failed.");
}

#[test]
fn what_ends_half_way_says_what_was_not_tried() {
    let lost = || Outcome::Failed(Failure::new(Code::Unreachable, "no"));
    let check = |outcomes: &[Outcome], code: Code, words: &str| {
        let sum = Sum { not_tried: 2, ..Sum::of(outcomes.iter()) };
        assert_eq!((sum.code(false), sum.words(false).as_str()), (Some(code), words));
    };
    let words = "1 created, 0 changed, 0 unchanged, 1 failed, 2 not tried.";
    check(&[Outcome::Created, lost()], Code::Partly, words);
    check(&[lost()], Code::Unreachable, "0 created, 0 changed, 0 unchanged, 1 failed, 2 not tried.");
}

#[test]
fn a_name_that_is_taken_is_told_from_other_faults() {
    let refused = |errors: Value| {
        let problem = json!({ "title": "Values were not accepted", "errors": errors });
        Failure::answered(422, problem.to_string().as_bytes())
    };
    let taken = json!({ "pointer": "/name", "code": "not_unique", "message": "Taken" });
    let other = json!({ "pointer": "/path", "code": "bad_form", "message": "No path" });
    let of_name = refused(json!([taken]));
    assert!(is_taken(&of_name) && of_name.code == Code::NotAccepted);
    assert_eq!(late(of_name).code, Code::Changed);
    assert!(!is_taken(&refused(json!([taken, other]))));
    assert!(!is_taken(&refused(json!([{ "pointer": "/slug", "code": "not_unique" }]))));
}

#[test]
fn another_status_of_the_same_credential_is_no_change() {
    let object = |etag: &str, status: &str, path: &str| {
        json!({
            "etag": etag, "path": path, "state": status,
            "credential": { "id": "crd_1", "name": "Tool", "status": { "code": status } },
        })
    };
    let before = object("1", "working", "/a");
    assert_eq!(changed(Kind::Webhook, &before, &object("2", "locked", "/b")), ["path"]);
    assert_eq!(changed(Kind::Webhook, &before, &object("2", "locked", "/a")), Vec::<String>::new());
    let owned = |owner: &str| json!({ "etag": owner, "managed_by": owner });
    assert_eq!(changed(Kind::Webhook, &owned("a"), &owned("b")), ["managed_by"]);
}
