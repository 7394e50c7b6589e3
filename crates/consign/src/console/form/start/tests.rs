use super::*;

const CLIENT: &str = "oauth2_client_credentials";
const CODE: &str = "oauth2_authorization_code";

/// The form after "Show fields", and its fields.
fn started(pairs: &[(&str, &str)]) -> (CredentialForm, Value) {
    let mut kept = Kept::default();
    let mut form = CredentialForm::typed(&Form::from(pairs), &mut kept);
    form.start(&kept, "https://consign.example");
    let fields = form.fields(&kept, None, &[], "/x");
    (form, fields)
}

fn of_type<'a>(fields: &'a Value, key: &str) -> &'a Value {
    let found = fields["of_type"].as_array().unwrap().iter().find(|field| field["key"] == key);
    found.unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn a_preset_fills_in_type_fields_rows_headers_test_path_and_hints() {
    let (_, fields) = started(&[("protocol", "https"), ("start_from", "servicenow")]);
    assert_eq!(fields["authorization_type"]["value"], CLIENT);
    assert_eq!(fields["url_address"]["value"], "https://{instance}.service-now.com/");
    assert!(fields["url_address"]["hint"].as_str().unwrap().ends_with("Replace {instance} with yours."));
    let token = of_type(&fields, "access_token_url");
    assert_eq!(token["value"], "https://{instance}.service-now.com/oauth_token.do");
    assert_eq!(token["follows"], "https://{instance}.service-now.com/");
    assert!(of_type(&fields, "client_id")["hint"].as_str().unwrap().contains("Application User"));
    assert_eq!(fields["test_path"]["value"], "/api/now/table/sys_user?sysparm_limit=1");
    assert_eq!(
        (&fields["more_open"], &fields["start_from"]["filled"]),
        (&json!(true), &json!("servicenow/oauth2_client_credentials"))
    );

    let (_, fields) = started(&[("start_from", "jira"), ("authorization_type", CODE)]);
    assert_eq!(fields["url_address"]["value"], "https://api.atlassian.com/");
    assert_eq!(of_type(&fields, "authorization_parameters")["rows"][0]["value"], "api.atlassian.com");
    let placement = of_type(&fields, "authentication_information");
    assert_eq!((&placement["value"], &placement["warning"]), (&json!("body"), &json!("")));
    assert!(fields["test_path"]["hint"].as_str().unwrap().ends_with("Replace {cloudId} with yours."));

    let (_, fields) = started(&[("start_from", "4me")]);
    let header = &fields["custom_headers"]["rows"][0];
    assert_eq!((&header["name"], &header["entered"]), (&json!("X-4me-Account"), &json!(false)));
    assert_eq!(header["hint"], "The id of the account that the requests are for.");
}

#[test]
fn what_was_typed_stays() {
    let (form, fields) = started(&[
        ("start_from", "jira"),
        ("authorization_type", CODE),
        ("url_address", "https://jira.acme.example/"),
        ("scope", "read:jira-user"),
        ("test_path", "/me"),
        ("authorization_parameters.id", "new:1"),
        ("authorization_parameters.name", "Audience"),
        ("authorization_parameters.value", "other"),
    ]);
    assert_eq!(form.text(ADDRESS), "https://jira.acme.example/");
    assert_eq!(
        (form.text(TEST_PATH), of_type(&fields, "scope")["value"].as_str()),
        ("/me", Some("read:jira-user"))
    );
    let rows = of_type(&fields, "authorization_parameters")["rows"].as_array().unwrap();
    let named: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!((named, &rows[0]["value"]), (vec!["Audience", "prompt"], &json!("other")));
    assert!(form.left_open().is_empty());
}

#[test]
fn a_field_that_was_emptied_is_not_filled_again_and_another_choice_makes_room() {
    let jira: Vec<(&str, &str)> = vec![
        ("start_from", "jira"),
        ("started_from", "jira/oauth2_authorization_code"),
        ("authorization_type", CODE),
        ("url_address", "https://api.atlassian.com/"),
        ("access_token_url", "https://auth.atlassian.com/oauth/token"),
        ("scope", ""),
        ("test_path", "/ex/jira/{cloudId}/rest/api/3/myself"),
    ];
    let (form, fields) = started(&jira);
    assert_eq!(of_type(&fields, "scope")["value"], "");
    assert_eq!(form.left_open()[0].message, "Replace {cloudId} in the test path with yours");

    let with = |key: &str, value: &'static str| -> Vec<(&str, &str)> {
        jira.iter().map(|(known, old)| if *known == key { (*known, value) } else { (*known, *old) }).collect()
    };
    // Another way in, at another address.
    let (form, _) = started(&with(TYPE, "basic"));
    assert_eq!(
        (form.text(ADDRESS), form.text(TEST_PATH)),
        ("https://{site}.atlassian.net/", "/rest/api/3/myself")
    );
    // Another tool, which does not offer that way in.
    let (form, fields) = started(&with(CHOSEN, "4me"));
    assert_eq!((form.text(TYPE), form.text(ADDRESS)), ("bearer", "https://api.4me.com/"));
    assert_eq!(
        fields["others"].as_array().unwrap().iter().find(|one| one["name"] == "access_token_url"),
        None
    );
    // None.
    let (form, fields) = started(&with(CHOSEN, ""));
    assert_eq!((form.text(TYPE), form.text(ADDRESS), form.text(TEST_PATH)), (CODE, "", ""));
    assert_eq!(fields["start_from"]["filled"], Value::Null);
}

#[test]
fn addresses_follow_the_own_one() {
    let mut kept = Kept::default();
    let typed = [
        ("start_from", "servicenow"),
        ("started_from", "servicenow/oauth2_client_credentials"),
        ("authorization_type", CLIENT),
        ("url_address", "https://acme.service-now.com"),
        ("access_token_url", "https://{instance}.service-now.com/oauth_token.do"),
    ];
    let form = CredentialForm::typed(&Form::from(&typed[..]), &mut kept);
    assert_eq!(form.sent(&kept, None)["access_token_url"], "https://acme.service-now.com/oauth_token.do");
    assert_eq!(form.preset().unwrap().webhook_path, "/api/now/table/incident");
}

#[test]
fn what_only_a_person_knows_is_asked_for_in_rows_and_texts_too() {
    let (form, fields) =
        started(&[("start_from", "successfactors"), ("url_address", "https://api4.hxm.example/")]);
    assert_eq!(of_type(&fields, "recipient")["value"], "https://api4.hxm.example/oauth/token");
    assert_eq!(of_type(&fields, "assertion_encoding")["value"], "base64");
    let open: Vec<_> = form.left_open().into_iter().map(|one| (one.field, one.message)).collect();
    let row = |at: &str, message: &str| (at.to_owned(), message.to_owned());
    assert_eq!(
        open,
        [
            row("oauth_token_requests/0/value", "Replace {company id} in the company_id with yours"),
            row("oauth_token_requests/1/value", "Replace {API key} in the client_id with yours"),
            row("saml_attributes/0/value", "Replace {API key} in the api_key with yours"),
        ]
    );
    let (form, _) =
        started(&[("start_from", "salesforce"), ("url_address", "https://acme.my.salesforce.com/")]);
    let open: Vec<_> = form.left_open().into_iter().map(|one| one.message).collect();
    assert_eq!(open, ["Replace {consumer key} in the Issuer with yours"]);
}
