use super::*;

#[test]
fn kinds_and_labels_are_as_published() {
    let listed: Vec<_> = AUTHORIZATION_TYPES.iter().map(|entry| (entry.kind, entry.label)).collect();
    let published = [
        ("basic", "Basic"),
        ("bearer", "Bearer token"),
        ("oauth2_client_credentials", "OAuth 2.0 - Client credentials"),
        ("oauth2_authorization_code", "OAuth 2.0 - Authorization code"),
        ("oauth2_saml_bearer", "OAuth 2.0 – SAML"),
        ("none", "No Auth (None)"),
        ("password", "Basic"),
        ("ssh_key", "SSH key"),
    ];
    assert_eq!(listed, published);
    assert!(find("basic").is_some() && find("Basic").is_none());
}

#[test]
fn keys_are_unique_and_secrets_never_bind_in_plain() {
    for entry in AUTHORIZATION_TYPES {
        for (index, field) in entry.fields.iter().enumerate() {
            assert!(entry.fields[..index].iter().all(|other| other.key != field.key), "{}", field.key);
            assert!(!(field.is_secret() && field.binds), "{}", field.key);
            assert!(field.max_chars > 0);
        }
    }
}
