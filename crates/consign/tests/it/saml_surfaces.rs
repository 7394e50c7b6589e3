//! OAuth 2.0 – SAML on the pages and on the command line.

use serde_json::json;

use crate::harness::TestConsign;
use crate::harness::page::{form_with, forms, unescape};
use crate::peers::Tool;
use crate::saml::{CERTIFICATE, CLIENT, PRIVATE_KEY, credential, hide_key, own, server, signer, test};

/// Without a script: two steps to a credential, its certificate, the next one, and what would be signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_do_it_without_a_script() {
    let consign = TestConsign::start().await;
    let (tool, server) = (Tool::start().await, server().await);
    let page = consign.page("/credentials/new").await.expect(200).text();
    let form = form_with(&page, "/credentials/new", "authorization_type");
    let form = form.set("authorization_type", "oauth2_saml_bearer").with("show_fields", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    for words in [
        "Create a key pair here",
        "Use my own",
        "More SAML settings",
        "SAML Attributes",
        "WindowsDomainQualifiedName",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let form = form_with(&page, "/credentials/new", "name_id");
    assert_eq!(form.value("issuer"), Some(format!("http://{}", consign.address()).as_str()), "prefilled");
    assert!(!form.has("client_id") || form.value("client_id") == Some(""), "no client while it is None");
    let form = form.set("name", "By hand").set("url_address", &tool.origin()).set("name_id", "ana.silva");
    let form = form.set("recipient", &server.token_url()).set("audience", "www.successfactors.com");
    let form =
        form.set("issuer", "https://consign.example").set("key_pair_bits", "2048").set("key_pair_years", "2");
    let form = form.set_row("oauth_token_requests.name", 0, "client_id").set_row(
        "oauth_token_requests.value",
        0,
        CLIENT,
    );
    let at = consign.send_form(&form).await.expect(303).location();
    let at = at.split('?').next().unwrap().to_owned();
    let id = at.rsplit('/').next().unwrap().to_owned();
    let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    let page = unescape(&consign.page(&at).await.expect(200).text());
    let fingerprint = shown["certificates"]["present"]["fingerprint"].as_str().unwrap();
    for words in [
        fingerprint,
        "Download certificate",
        "Copy without BEGIN/END lines",
        "Preview assertion",
        "Create next certificate",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let file = consign.page(&format!("{at}/certificate.pem")).await.expect(200);
    assert_eq!(json!(file.text()), shown["certificate"]);
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"By-hand.pem\""));
    let preview = unescape(&consign.page(&format!("{at}/assertion")).await.expect(200).text());
    assert!(preview.contains(">ana.silva</saml:NameID>") && !preview.contains("<ds:Signature"), "{preview}");
    server.trust_signer(&signer(&shown["certificate"])).await;
    assert_ne!(test(&consign, &id).await["outcome"], "failed");

    // Saved without a change, the pair stays.
    let form = form_with(&consign.page(&at).await.text(), &at, "recipient");
    assert_eq!(form.value("key_pair"), Some("keep"));
    consign.send_form(&form.set("name", "Renamed")).await.expect(303);
    let renamed = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!((&renamed["name"], &renamed["certificates"]), (&json!("Renamed"), &shown["certificates"]));

    next_pairs_are_created_or_brought(&consign, &at, &id).await;
    for (act, words) in [
        ("use_next", "Go back to the certificate before"),
        ("use_previous", "Drop the next certificate"),
        ("drop_next", "Create next certificate"),
    ] {
        let page = consign.page(&at).await.expect(200).text();
        let form = forms(&page, &at)
            .into_iter()
            .find(|form| form.action.ends_with("/certificate"))
            .expect("the panel has a form");
        consign.send_form(&form.with("act", act)).await.expect(303);
        let page = consign.page(&at).await.expect(200).text();
        assert!(page.contains(words), "{act}: {words}");
    }
    // A choice asks for its fields.
    let form = form_with(&consign.page(&at).await.text(), &at, "recipient");
    let form = form.set("authentication_information", "header").with("show_fields", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    assert!(form_with(&page, &at, "client_id").has("client_secret"));
    // One's own pair, with an error beside it and then without.
    let form = form_with(&consign.page(&at).await.text(), &at, "recipient");
    let form = form.set("key_pair", "own").set("certificate", CERTIFICATE);
    let page = consign.send_form(&form).await.expect(422).text();
    assert!(page.contains("Add the private key that belongs to this certificate"));
    hide_key(&consign);
    // A file that holds both is taken apart, whatever else is wrong.
    let both = form.set("certificate", &format!("{CERTIFICATE}{PRIVATE_KEY}"));
    let page = consign.send_form(&both.clone().set("name", "")).await.expect(422).text();
    assert!(page.contains("The private key in this text was put into its own field."), "{page}");
    consign.send_form(&both).await.expect(303);
    let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!(shown["certificate"], CERTIFICATE);
    consign.finish().await;
}

/// The form of the next certificate; one that is created waits in the end.
async fn next_pairs_are_created_or_brought(consign: &TestConsign, at: &str, id: &str) {
    let next = format!("{at}/certificate/next");
    let of =
        async || consign.get(&format!("/credentials/{id}")).await.expect(200).json()["certificates"].clone();
    let empty = consign.form(&next, "key_pair").await;
    let own = empty.clone().set("key_pair", "own").set("certificate", CERTIFICATE);
    let page = consign.send_form(&own).await.expect(422).text();
    assert!(page.contains("Add the private key that belongs to this certificate"), "{page}");
    assert!(of().await["next"].is_null(), "nothing is stored");
    // A wrong certificate beside the right key: the key stays in the form, and is not in the page.
    hide_key(consign);
    let wrong = own
        .clone()
        .set("certificate", "no certificate")
        .set("private_key", &PRIVATE_KEY.replace('\n', "\r\n"));
    let page = consign.send_form(&wrong).await.expect(422).text();
    let among = own.clone().set("certificate", &format!("no certificate\n{PRIVATE_KEY}"));
    let taken = consign.send_form(&among).await.expect(422).text();
    assert!(taken.contains("The private key in this text"), "{taken}");
    let again = form_with(&page, &next, "key_pair");
    consign.send_form(&again.set("certificate", CERTIFICATE)).await.expect(303);
    let brought = of().await;
    assert!(brought["next"]["key"].is_string(), "{brought}");
    let pem = consign.page(&format!("{at}/certificate.pem?which=next")).await.expect(200).text();
    assert_eq!(pem, CERTIFICATE);
    // A form from before that change is a conflict, not a second pair.
    consign.send_form(&empty).await.expect(409);
    assert_eq!(of().await, brought);
    let form = consign.form(&next, "key_pair").await;
    assert_eq!(form.value("key_pair"), Some("generate"));
    consign.send_form(&form.set("key_pair_bits", "2048").set("key_pair_years", "2")).await.expect(303);
    let created = of().await;
    assert_ne!(created["next"]["fingerprint"], brought["next"]["fingerprint"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_do_it_with_files() {
    let consign = TestConsign::start().await;
    hide_key(&consign);
    let (tool, server) = (Tool::start().await, server().await);
    let (certificate, key) =
        (consign.folder.write("c.pem", CERTIFICATE), consign.folder.write("k.pem", PRIVATE_KEY));
    let (origin, token_url, row) = (tool.origin(), server.token_url(), format!("client_id={CLIENT}"));
    let common = [
        "--authorization-type",
        "oauth2_saml_bearer",
        "--url-address",
        &origin,
        "--recipient",
        &token_url,
        "--name-id",
        "ana.silva",
        "--issuer",
        "https://consign.example",
        "--audience",
        "www.successfactors.com",
        "--oauth-token-request",
        &row,
        "--saml-attribute",
        "api key=a & b",
    ];
    let (certificate, secret) = (format!("@{certificate}"), format!("private_key=@{key}"));
    let mut words =
        vec!["credential", "create", "--name", "Own", "--certificate", &certificate, "--secret", &secret];
    words.extend(common);
    let made = consign.run(&words).await.expect(0);
    assert!(
        format!("{}{}", made.stdout, made.stderr).contains("Certificate, to be added in the tool: SHA256 ")
    );
    let shown = consign.get("/credentials/Own").await.expect(200).json();
    assert_eq!(shown["saml_attributes"][0]["value"], "a & b");
    let pem = consign.run(&["credential", "certificate", "get", "Own"]).await.expect(0);
    assert_eq!(pem.stdout.trim(), CERTIFICATE.trim());
    server.trust_signer(&signer(&json!(CERTIFICATE))).await;
    tool.answer(crate::peers::Answer::json(200, &json!({})));
    consign.run(&["credential", "edit", "Own", "--test-path", "/me"]).await.expect(0);
    let tested = consign.run(&["credential", "test", "Own"]).await.expect(0);
    assert!(format!("{}{}", tested.stdout, tested.stderr).contains("Working"));
    let preview = consign.run(&["credential", "preview-assertion", "Own"]).await.expect(0);
    assert!(
        preview.stdout.contains("<saml:AttributeValue") && preview.stdout.contains("a &amp; b"),
        "{}",
        preview.stdout
    );

    let mut words =
        vec!["credential", "create", "--name", "Created", "--generate-key-pair", "--key-pair-bits", "2048"];
    words.extend(common);
    consign.run(&words).await.expect(0);
    for (words, said) in [
        (
            &[
                "credential",
                "certificate",
                "create-next",
                "Created",
                "--key-pair-bits",
                "2048",
                "--key-pair-years",
                "1",
            ][..],
            "The next certificate waits",
        ),
        (&["credential", "certificate", "use-next", "Created"], "The next certificate signs from now on"),
        (&["credential", "certificate", "use-previous", "Created"], "The certificate before signs again"),
        (&["credential", "certificate", "drop-next", "Created"], "The next certificate is destroyed"),
        (
            &[
                "credential",
                "certificate",
                "create-next",
                "Created",
                "--certificate",
                &certificate,
                "--secret",
                &secret,
            ],
            "The next certificate waits",
        ),
    ] {
        let ran = consign.run(words).await.expect(0);
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains(said),
            "{said}\n{}{}",
            ran.stdout,
            ran.stderr
        );
    }
    consign.run(&["credential", "certificate", "get", "Created", "--which", "previous"]).await.expect(3);
    // Files in DER.
    let der = |text: &str| {
        let text: String = text.lines().filter(|line| !line.contains("-----")).collect();
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).unwrap()
    };
    let (certificate, key) =
        (consign.folder.write("c.der", der(CERTIFICATE)), consign.folder.write("k.der", der(PRIVATE_KEY)));
    let (certificate, secret) = (format!("@{certificate}"), format!("private_key=@{key}"));
    let mut words =
        vec!["credential", "create", "--name", "Der", "--certificate", &certificate, "--secret", &secret];
    words.extend(common);
    consign.run(&words).await.expect(0);
    consign.finish().await;
}

/// Who may read the credential reads the same in the preview.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_shows_what_the_credential_shows() {
    let consign = TestConsign::start().await;
    let (tool, server) = (Tool::start().await, server().await);
    let mut body = credential("preview", &tool, &server, &own());
    body["saml_attributes"] = json!([{ "name": "api_key", "value": "NWQ5" }]);
    let id = consign.credential(&body).await;
    let at = format!("/credentials/{id}/assertion-preview");
    let reader = consign.make_key(&["credentials:read"]).await;
    let shown =
        consign.call_as(&reader, "GET", &format!("/credentials/{id}"), &[], "").await.expect(200).json();
    assert_eq!(
        (&shown["name_id"], &shown["saml_attributes"][0]["value"]),
        (&json!("ana.silva"), &json!("NWQ5"))
    );
    let preview = consign.call_as(&reader, "GET", &at, &[], "").await.expect(200).json();
    let text = preview["assertion"].as_str().unwrap();
    assert!(text.contains(">ana.silva<") && text.contains(">NWQ5<") && !text.contains("Signature"), "{text}");
    let token = consign.canary("token");
    let bearer = consign.credential(&crate::harness::bearer("other", &tool.origin(), &token)).await;
    consign.get(&format!("/credentials/{bearer}/assertion-preview")).await.expect(409);
    consign.get(&format!("/credentials/{bearer}/certificate")).await.expect(404);
    consign.finish().await;
}
