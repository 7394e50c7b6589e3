use super::*;

#[test]
fn a_line_of_a_credential_leads_to_what_repairs_it() {
    for (action, place) in [
        ("compare_keys", "#host-keys"),
        ("add_test_path", "#f-test_path"),
        ("authorize_again", "/authorize"),
        ("test_connection", "#tested"),
        ("what_to_do", ""),
        ("replace_secret", "#tool"),
    ] {
        let line = json!({ "kind": "credential", "id": "crd_1", "code": "x", "action_code": action });
        assert_eq!(with_address(&line, |_| true)["repair"], format!("/credentials/crd_1{place}"), "{action}");
        assert_eq!(with_address(&line, |_| false)["repair"], Value::Null, "{action}");
    }
}
