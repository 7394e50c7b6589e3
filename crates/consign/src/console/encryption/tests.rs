use super::*;

#[track_caller]
fn check(items: &Value, expected: &Value) {
    assert_eq!(resealed(&json!({ "items": items })), *expected);
}

#[test]
fn what_is_done_is_counted_by_key() {
    let key = |values: u64, removable: bool| json!({ "values": values, "removable": removable });
    let one = json!([key(24, false)]);
    check(&one, &json!({ "done": 24, "total": 24, "others": 0, "removable": true }));
    let moving = json!([key(12, false), key(10, false), key(2, false)]);
    check(&moving, &json!({ "done": 12, "total": 24, "others": 2, "removable": false }));
    let done = json!([key(24, false), key(0, true)]);
    check(&done, &json!({ "done": 24, "total": 24, "others": 1, "removable": true }));
    let kept = json!([key(24, false), key(0, true), key(0, false)]);
    check(&kept, &json!({ "done": 24, "total": 24, "others": 2, "removable": false }));
    check(&json!([]), &json!({ "done": 0, "total": 0, "others": 0, "removable": true }));
}
