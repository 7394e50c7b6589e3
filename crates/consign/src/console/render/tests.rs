use samples::*;

use super::*;
use crate::console::form::{Around, CredentialForm, ExporterForm, GatewayForm, Kept, WebhookForm, errors};
use consign_core::catalog::Fault;

mod connectors;
mod deliveries;
mod runs;
mod samples;

const NOW: &str = "2026-11-22T14:02:00Z";

fn frame() -> serde_json::Value {
    json!({
        "title": "Title", "page": "credentials", "nav": { "deliveries": 3, "credentials": 2 },
        "user": { "name": "Ana Silva", "role": "Administrator" }, "may": may(),
        "theme": "", "csrf": "token", "banners": [], "flash": null, "instance": "", "docs": "/docs",
        "path": "/x",
        "once": "req_1", "now": NOW, "signed_in": true,
    })
}

/// An administrator may do everything.
fn may() -> serde_json::Value {
    let all = consign_core::rights::Right::ALL.iter();
    all.map(|right| (right.kind().replace(':', "_"), json!(true))).collect::<serde_json::Map<_, _>>().into()
}

fn check(template: &str, context: serde_json::Value) -> String {
    let mut whole = frame();
    whole.as_object_mut().unwrap().extend(context.as_object().unwrap().clone());
    let page = Views::new().render(template, whole).unwrap_or_else(|error| panic!("{template}: {error:#}"));
    assert!(page.contains("<!doctype html>"), "{template}");
    assert!(!page.contains(" style="), "{template} has an inline style");
    page
}

fn secret() -> serde_json::Value {
    json!({ "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana Silva" })
}

#[test]
fn the_list_holds_every_file() {
    let check = |folder: &str, files: &[File]| {
        let path = format!("{}/src/console/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut found: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let mut listed: Vec<_> = files.iter().map(|file| file.name.to_owned()).collect();
        listed.sort();
        assert_eq!(listed, found, "{folder}");
    };
    check("templates", TEMPLATES);
    check("assets", ASSETS);
    check("samples", SAMPLES);
}

#[test]
fn every_template_compiles() {
    let views = Views::new();
    for file in TEMPLATES {
        views.environment.get_template(file.name).unwrap_or_else(|error| panic!("{}: {error:#}", file.name));
    }
}

#[test]
fn addresses_of_assets_change_with_their_content() {
    let address = asset_url("consign.css").unwrap();
    let parts: Vec<_> = address.split('/').collect();
    assert_eq!((parts[1], parts[2].len(), parts[3]), ("assets", 16, "consign.css"));
    assert_ne!(hash("a"), hash("b"));
    assert!(asset_url("other.css").is_err());
}

#[test]
fn pages_of_credentials_render_empty_full_and_failing() {
    let by = json!({ "url": "/credentials?sort=name", "direction": "descending" });
    let empty = json!({
        "items": [], "filtered": false, "q": "", "status": "", "type": "", "ends": "", "statuses": [],
        "protocol": "", "protocols": [], "label": "", "labels": [{ "value": "team=a", "label": "team=a" }], "orders": orders(), "managed_by": "", "managers": [{ "value": "<p>", "label": "<p>" }],
        "by": { "name": by, "status": by, "used": by }, "types": [], "total": 1_284, "pages": { "previous": null, "next": null },
    });
    assert!(check("credentials.html", empty.clone()).contains("No credentials yet"));
    let mut filtered = empty.clone();
    filtered["filtered"] = json!(true);
    filtered["q"] = json!("<b>");
    assert!(check("credentials.html", filtered).contains("“&lt;b&gt;”"));
    let mut full = empty;
    full["items"] = json!([credential(), { "url_path": { "set": true } }]);
    let mut hidden = credential();
    hidden["url_path"] = secret();
    full["items"] = json!([credential(), hidden]);
    let page = check("credentials.html", full);
    assert!(page.contains("&lt;Tool&gt; &amp; “more”"));
    assert!(page.contains("2 days ago") && page.contains("aria-sort=\"descending\""), "{page}");
    assert!(page.contains("Test &lt;Tool&gt;") && page.contains("name=\"label\""), "{page}");
    assert!(page.contains("<option value=\"&lt;p&gt;\">&lt;p&gt;</option>"), "{page}");
    assert!(page.contains("1,284 credentials · 2 need attention"), "{page}");
    let order = "<option value=\"\">Name, A to Z</option><option value=\"-name\" selected>Name, &lt;Z&gt; to A</option>";
    assert!(page.contains("<label for=\"sort\">Sort by</label>") && page.contains(order), "{page}");
}

#[test]
fn the_form_of_a_credential_renders_for_every_type() {
    let kept = Kept::default();
    let invalid = [
        Fault::new("missing", "Enter a name").at("name"),
        Fault::new("missing", "Enter a value for X_Key").at("custom_headers/0/value"),
        Fault::new("out_of_range", "Enter a number from 1 to 64").at("max_concurrency"),
    ];
    let new = |form: &CredentialForm, invalid: &[_]| {
        json!({
            "errors": errors(invalid), "fields": form.fields(&kept, None, invalid, "/x"), "draft": "d",
            "back": "", "current": null, "reserved": "crd_1", "redirect_url": "https://c.example/oauth/callback/crd_1",
            "public_url": "https://c.example", "public_url_set_by": null, "other_origin": "http://localhost", "test": null,
            "fresh": false,
            "testing": "",
        })
    };
    check("credential.html", new(&CredentialForm::empty(), &[]));
    assert!(check("credential.html", new(&CredentialForm::empty(), &invalid)).contains("There is a problem"));
    for kind in consign_core::auth::AUTHORIZATION_TYPES.iter().map(|entry| entry.kind) {
        let mut stored = credential();
        stored["authorization_type"] = json!(kind);
        let facts = json!({
            "type": "Bearer", "obtained_at": NOW, "ends_at": NOW, "renewable": true, "refresh_ends_at": NOW,
            "scope": "read write",
        });
        // A secret of the same name is none of the facts.
        stored["token"] = if kind.starts_with("oauth2") { facts } else { secret() };
        if kind == "oauth2_saml_bearer" {
            let facts = json!({
                "subject": "CN=Consign crd_1", "key": "RSA 3072", "fingerprint": "AB:CD:EF:01:23", "ends_at": NOW,
                "begins_at": NOW,
            });
            stored["certificates"] =
                json!({ "present": facts, "next": facts, "previous": facts, "step_back_until": NOW });
        }
        let form = CredentialForm::stored(&stored);
        let current = json!({
            "certificate_base64": "MIIC",
            "errors": errors(&invalid), "fields": form.fields(&kept, Some(&stored), &invalid, "/x"),
            "draft": "d", "back": "", "redirect_url": "https://c.example/oauth/callback/crd_1",
            "public_url": "https://c.example", "public_url_set_by": null, "other_origin": "http://localhost",
            "test": test(), "fresh": true, "testing": "", "lost": null, "moved": null,
            "current": stored, "etag": "\"7\"", "seen_at": NOW,
            "users": [
                {
                    "id": "con_1", "kind": "webhook", "name": "Incidents", "state": "active",
                    "deliveries_24h": 1, "waiting": 2, "waiting_is_capped": false, "next_run_at": null,
                },
                {
                    "id": "con_2", "kind": "exporter", "name": "List", "state": "active",
                    "deliveries_24h": 0, "waiting": 0, "waiting_is_capped": false, "next_run_at": NOW,
                },
            ],
            "history": [{ "at": NOW, "actor": "Ana", "action": "Replaced token" }],
            "first_webhook": "/webhooks/new?credential=crd_1",
        });
        let page = check("credential.html", current.clone());
        assert!(page.contains("/credentials/crd_1/delete"));
        assert!(page.contains("Failed at Signed-in request") && page.contains("Copy for support"));
        let granted = kind == "oauth2_authorization_code";
        assert_eq!(page.contains("Add this address in the other tool before you authorize."), granted);
        assert_eq!(page.contains("/credentials/crd_1/forget-tokens"), granted);
        for (set_by, admin, words) in [
            (json!(null), true, "change it in <a href=\"/settings\">Settings &gt; General</a>."),
            (json!(null), false, "change it in Settings &gt; General."),
            (json!("the configuration file"), true, "can change it with server.public_url."),
        ] {
            let mut context = current.clone();
            context["public_url_set_by"] = set_by;
            context["may"] = may();
            context["may"]["admin"] = json!(admin);
            assert_eq!(check("credential.html", context).contains(words), granted, "{words}");
        }
    }
}

#[test]
fn the_page_of_a_credential_offers_it_to_those_that_lost_one_and_says_that_it_moved() {
    let stored = credential();
    let form = CredentialForm::stored(&stored);
    let page = |lost: serde_json::Value, moved: serde_json::Value| {
        check(
            "credential.html",
            json!({
                "certificate_base64": "", "errors": [],
                "fields": form.fields(&Kept::default(), Some(&stored), &[], "/x"), "draft": "d", "back": "",
                "redirect_url": "", "public_url": "https://c.example", "public_url_set_by": null,
                "other_origin": null, "test": null, "fresh": false, "testing": "", "current": stored,
                "etag": "\"7\"", "seen_at": NOW, "users": [], "history": [], "first_webhook": "/webhooks/new",
                "lost": lost, "moved": moved,
            }),
        )
    };
    let button = "action=\"/credentials/crd_1/connectors\"";
    let named = |managed_by: serde_json::Value| json!({ "id": "con_1", "kind": "webhook", "name": "<b>", "managed_by": managed_by });
    let plain = page(json!(null), json!(null));
    assert!(!plain.contains(button) && !plain.contains("You changed the address"), "{plain}");
    let lost = json!({ "all": 22, "named": [named(json!(null))], "more": 21, "takes": 22 });
    let offered = page(lost, json!(null));
    for words in [
        "22 connectors that lost “&lt;Tool&gt; &amp; “more””",
        button,
        "Use it for 22 connectors</button>",
        "and 21 more",
        ">&lt;b&gt;</a>",
    ] {
        assert!(offered.contains(words), "{words}: {offered}");
    }
    let managed = json!({ "all": 1, "named": [named(json!("platform"))], "more": 0, "takes": 0 });
    let managed = page(managed, json!(null));
    assert!(managed.contains("1 connector that lost") && managed.contains("platform"), "{managed}");
    assert!(!managed.contains(button), "its file says which one it uses: {managed}");
    let moved = page(json!(null), json!({ "from": "https://old.example/", "to": "https://<new>/" }));
    let words = "You changed the address from https:&#x2f;&#x2f;old.example&#x2f; to https:&#x2f;&#x2f;&lt;new&gt;&#x2f;. \
                 Saved secrets belong to the old address";
    assert!(moved.contains(words), "{moved}");
}

#[test]
fn a_message_leads_on_and_has_the_focus_where_it_is_asked_for() {
    let page = |focused: bool| {
        let actions = json!([
            { "url": "/webhooks?state=x", "action": "Show webhooks" },
            { "url": "/exporters?state=x", "action": "Show data exporters" },
        ]);
        let flash =
            json!({ "kind": "success", "text": "Deleted <b>.", "actions": actions, "focused": focused });
        check(
            "authorize.html",
            json!({ "id": "crd_1", "name": "Tool", "url": "/x", "scopes": [], "flash": flash }),
        )
    };
    let links = "Deleted &lt;b&gt;. <a href=\"&#x2f;webhooks?state=x\">Show webhooks</a> · \
                 <a href=\"&#x2f;exporters?state=x\">Show data exporters</a></p>";
    let focus = "role=\"status\" tabindex=\"-1\" autofocus>";
    for focused in [true, false] {
        let page = page(focused);
        assert!(page.contains(links), "{page}");
        assert_eq!(page.contains(focus), focused, "{page}");
    }
}

#[test]
fn a_long_word_breaks_behind_its_dots_first() {
    assert_eq!(breakable("device.score_low"), "device.<wbr>score_<wbr>low");
    assert_eq!(breakable("a, <b>.c"), "a, &lt;b&gt;.<wbr>c");
    assert_eq!(breakable(""), "");
}

#[test]
fn pages_of_an_approval_render_for_every_outcome() {
    let mut current = credential();
    current["redirect_url"] = json!("https://c.example/oauth/callback/crd_1");
    current["token"] = json!({ "ends_at": NOW, "renewable": true });
    for signed_in in [true, false] {
        for outcome in [
            "connected",
            "connected_will_stop",
            "access_denied",
            "redirect_mismatch",
            "link_used_or_old",
            "other_session",
            "code_refused",
        ] {
            for ends_at in [json!(NOW), json!(null)] {
                current["token"]["ends_at"] = ends_at;
                let page = check(
                    "consented.html",
                    json!({
                        "outcome": outcome, "said": "invalid_grant: <b>", "current": current, "reference": "req_1",
                        "signed_in": signed_in, "first_webhook": "/webhooks/new?credential=crd_1",
                    }),
                );
                assert_eq!(page.matches("<h1").count(), 1, "{outcome}");
                assert_eq!(page.contains("invalid_grant: &lt;b&gt;"), outcome == "code_refused");
                assert!(page.contains("req_1"));
            }
        }
    }
    for scopes in [json!([]), json!(["read", "write"])] {
        let url = "https://login.example/authorize?state=x&scope=a";
        let page =
            check("authorize.html", json!({ "id": "crd_1", "name": "Tool", "url": url, "scopes": scopes }));
        assert!(
            page.contains("rel=\"noreferrer\"")
                && page.contains("You will approve as whoever is signed in there.")
        );
    }
    check("credential_forget.html", json!({ "current": credential(), "users": [] }));
}

#[test]
fn the_deletion_and_the_conflict_of_a_credential_render() {
    let delete = |users: serde_json::Value| {
        json!({
            "errors": [], "current": credential(), "users": users, "confirm_error": "",
        })
    };
    assert!(!check("credential_delete.html", delete(json!([]))).contains("confirm_name"));
    let used = json!([
        {
            "id": "con_1", "kind": "webhook", "name": "Incidents", "state": "active", "deliveries_24h": 412,
            "waiting": 0, "waiting_is_capped": false, "next_run_at": null,
        },
    ]);
    assert!(
        check("credential_delete.html", delete(used)).contains("1 connector uses it and will stop sending:")
    );
    let user = |kind: &str| json!({ "id": "con_1", "kind": kind, "name": "x", "deliveries_24h": 0, "waiting": 0, "waiting_is_capped": false, "next_run_at": null });
    let both = check("credential_delete.html", delete(json!([user("webhook"), user("gateway")])));
    assert!(both.contains(
        "Their events are kept on hold until you choose another credential. Calls through gateways"
    ));
    let gateways = check("credential_delete.html", delete(json!([user("gateway")])));
    assert!(
        gateways.contains("Calls through gateways are refused until") && !gateways.contains("Their events")
    );
    let conflict = json!({
        "what": "this credential", "address": "/credentials/crd_1", "name": "Tool", "etag": "\"8\"",
        "seen_at": NOW, "who": "Ana", "at": NOW,
        "rows": [{ "field": "Name", "theirs": "a", "mine": "b" }],
        "hidden": [{ "name": "name", "value": "b" }],
    });
    let page = check("conflict.html", conflict);
    assert!(page.contains("Save mine over it") && page.contains("Ana changed this credential at "), "{page}");
    let settings = json!({
        "what": "these settings", "address": "/settings/sign-in", "name": "Sign-in", "etag": "\"2\"",
        "seen_at": "", "who": "Someone", "at": null, "rows": [], "hidden": [],
        "password": { "key": "password", "label": "Your password, again", "error": "" },
    });
    let page = check("conflict.html", settings);
    assert!(page.contains("Someone changed these settings, while") && page.contains("f-password"), "{page}");
}

#[test]
fn a_rotation_shows_how_far_it_is() {
    let page = |moving: bool, done: u64, removable: bool| {
        let key = |id: &str, role: &str, values: u64| {
            json!({
                "id": id, "role": role, "values": values, "first_seen_at": NOW, "removable": removable && role == "opens",
                "not_removable_because": "Its values are being re-sealed",
            })
        };
        let keys = json!({
            "source": "/data/keys", "missing_key_values": 0, "moving": moving, "new_key_refused": null,
            "recovery_file_at": null, "items": [key("k-2", "seals", done), key("k-1", "opens", 2_400 - done)],
        });
        let resealed = json!({ "done": done, "total": 2_400, "others": 1, "removable": removable });
        let passphrase = json!({ "key": "passphrase", "label": "Passphrase" });
        check(
            "settings_encryption.html",
            json!({
                "errors": [], "keys": keys, "resealed": resealed, "password": null, "passphrase": passphrase,
                "checked": null,
            }),
        )
    };
    let moving = page(true, 1_200, false);
    for words in ["data-poll=\"/settings/encryption\"", "Re-sealing 1,200 of 2,400 …", "value=\"1200\""] {
        assert!(moving.contains(words), "{words}: {moving}");
    }
    let done = page(false, 2_400, true);
    assert!(done.contains("2,400 of 2,400 done.") && done.contains("The old key can be removed."), "{done}");
    assert!(!done.contains("data-poll") && !done.contains("Re-sealing 2"), "{done}");
    // What a backup needs stays, and the table says so.
    assert!(!page(false, 2_400, false).contains("can be removed."));
    assert!(!page(false, 1_200, false).contains(" done."), "it was given up, or never begun");
}

#[test]
fn the_other_pages_render() {
    let key = |last: serde_json::Value| {
        json!({
            "id": "key_1", "name": "nxt-in", "key": "csg_01", "role_label": "Operator", "scopes": ["events:write"], "ends_at": NOW,
            "gateways": [{ "id": "con_1", "name": "Desk" }, { "id": "con_2", "name": null }],
            "ended": true, "last_used_at": last, "last_used_from": last.as_str().map(|_| "10.20.0.7"),
            "allowed_addresses": ["10.20.0.0/16"], "created_at": NOW,
        })
    };
    check("api_keys.html", json!({ "items": [], "unused_since": NOW }));
    check(
        "api_keys.html",
        json!({ "items": [key(json!(null)), key(json!("2026-01-01T00:00:00Z"))], "unused_since": NOW }),
    );
    let field = json!({ "value": "x", "error": "Enter a name" });
    let form = json!({
        "errors": [{ "field": "name", "message": "Enter a name" }], "name": field,
        "role": { "key": "role", "label": "Role", "value": "operator",
            "options": [{ "value": "", "label": "Scopes of its own" }, { "value": "operator", "label": "Operator", "hint": "h", "warning": "<much>" }] },
        "scopes": [
            { "value": "events:read", "checked": false, "hint": "h", "warning": "" },
            { "value": "admin", "checked": true, "hint": "h", "warning": "<everything>" },
        ],
        "scopes_error": "Choose",
        "allowed": { "key": "allowed_addresses", "label": "Allowed addresses", "value": "x", "error": "Enter it" },
        "ends_on": field, "never": true,
        "gateways": { "key": "gateways", "label": "Gateways", "options": [{ "value": "con_1", "label": "Desk", "checked": true }] },
        "password": { "key": "password", "label": "Your password, again", "error": "Enter your password again" },
    });
    let page = check("api_key.html", form.clone());
    for words in [
        "checked aria-describedby=\"f-role-2-warning\"",
        "id=\"f-role-2-warning\"",
        "<span>&lt;much&gt;</span></p>",
        "value=\"events:read\"><span>",
        "checked aria-describedby=\"f-scopes-2-warning\"",
        "<span>&lt;everything&gt;</span></p>",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let mut without = form;
    without["password"] = json!(null);
    without["gateways"] = json!(null);
    check("api_key.html", without);
    check("api_key_created.html", json!({ "current": key(json!(null)), "text": "csg_secret" }));
    check("api_key_revoke.html", json!({ "current": key(json!(null)) }));
    check("design.html", json!({}));
    for (signed_in, full) in [(true, true), (true, false), (false, true), (false, false)] {
        let context = json!({
            "signed_in": signed_in, "text": "What", "more": if full { "Meaning" } else { "" }, "search": full,
            "command": full.then_some("consign admin setup-link"), "reference": "req_1", "with_reference": full,
            "sign_in": full, "again": full,
        });
        let page = check("error.html", context);
        assert_eq!(page.contains("Try again") && page.contains("Search the manual"), full, "{page}");
    }
    for (commit, source) in [(json!(null), ""), (json!("85dc"), "https://example.org/x")] {
        let about = json!({
            "version": "1", "commit": commit, "build": "debug", "system": "linux x86_64", "started_at": NOW,
            "database": "sqlite", "schema": 12, "encryption_key": "k-1", "licence": "MIT",
        });
        check("settings_about.html", json!({ "about": about }));
        let one = json!({ "name": "rustls", "version": "1", "licence": "MIT", "source": source });
        check("settings_licences.html", json!({ "items": [one] }));
    }
    for set_by in [json!(null), json!("CONSIGN_X")] {
        let field =
            |key: &str| json!({ "key": key, "label": key, "value": true, "shown": "yes", "set_by": set_by });
        let provider = json!({
            "name": "Acme ID", "issuer": "https://id.example", "client_id": "c", "admin_group": null,
            "redirect_url": "https://c.example/x",
        });
        for oidc in [json!(null), provider] {
            let context = json!({
                "errors": [], "etag": "\"1\"", "current": { "password_rule": "Long", "oidc": oidc },
                "local": field("local"), "two_step": field("two_step"), "session_hours": field("session_hours"),
                "idle_minutes": field("idle_minutes"), "password": null,
            });
            let page = check("settings_sign_in.html", context);
            assert_eq!(page.contains("Set by CONSIGN_X."), !set_by.is_null());
        }
    }
    for (local, provider) in [(true, json!(null)), (true, json!("Acme ID")), (false, json!("Acme ID"))] {
        let problem = json!([{ "field": "email", "message": "No" }]);
        let context = json!({
            "errors": problem, "email": "a@b", "next": "/", "local": local, "provider": provider, "title": "Welcome",
            "role": { "label": "Viewer", "hint": "Sees lists" }, "name": { "key": "name", "label": "Your name" },
            "password": { "key": "password", "label": "Password" },
        });
        check("sign_in.html", context.clone());
        check("invitation.html", context);
    }
    let notice = |mail: &str| json!({ "title": "“Tool”: Sign-in refused", "url": "/x", "began_at": NOW, "mail": mail, "mail_problem": "No" });
    for is_set_up in [true, false] {
        let notices = ["sent", "none", "waiting", "failing", "refused"].map(notice);
        let current = json!({ "mail": { "is_set_up": is_set_up }, "notices": notices });
        let field = json!({ "key": "emails", "label": "Email addresses", "value": "a@b.example" });
        let context =
            json!({ "errors": [], "etag": "\"1\"", "current": current, "emails": field, "to": field });
        check("settings_notifications.html", context);
    }
    check(
        "setup.html",
        json!({
            "errors": [], "name": field, "email": field, "password": { "error": "" }, "keys_file": "keys",
        }),
    );
    check("demo.html", json!({ "next": "/credentials" }));
}

#[test]
fn nothing_is_inline_and_nothing_escapes_escaping() {
    for file in TEMPLATES.iter().filter(|file| file.name != "design.html") {
        let text = file.text().unwrap();
        assert!(!text.contains("|safe"), "{} leaves something unescaped", file.name);
        assert!(!text.contains("<style"), "{} has an inline style", file.name);
        assert!(
            !text.contains(" onclick") && !text.contains("javascript:"),
            "{} has an inline script",
            file.name
        );
    }
}

#[test]
fn times_are_relative_to_now() {
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    for (time, words) in [
        ("2026-11-22T14:01:55Z", "just now"),
        ("2026-11-22T14:01:50Z", "10 seconds ago"),
        ("2026-11-22T14:01:01Z", "59 seconds ago"),
        ("2026-11-22T14:01:00Z", "1 minute ago"),
        ("2026-11-22T13:03:00Z", "59 minutes ago"),
        ("2026-11-22T13:02:00Z", "1 hour ago"),
        ("2026-11-22T12:02:00Z", "2 hours ago"),
        ("2026-11-21T14:02:00Z", "1 day ago"),
        ("2026-11-19T14:02:00Z", "3 days ago"),
        ("2026-11-22T14:02:09Z", "just now"),
        ("2026-11-22T14:02:30Z", "in 30 seconds"),
        ("2026-11-22T14:03:00Z", "in 1 minute"),
        ("2026-11-22T14:06:00Z", "in 4 minutes"),
        ("2026-11-22T15:02:00Z", "in 1 hour"),
        ("2026-11-23T13:02:00Z", "in 23 hours"),
        ("2026-11-23T14:02:00Z", "in 1 day"),
        ("2026-11-25T14:02:00Z", "in 3 days"),
    ] {
        assert_eq!(relative(at(time), at(NOW)), words);
    }
    assert_eq!((took(184), took(1_234)), ("184 ms".to_owned(), "1.2 s".to_owned()));
}

#[test]
fn exact_times_are_read_in_the_zone_of_the_page() {
    let mut environment = Environment::new();
    environment.add_filter("when", when);
    environment.add_filter("day", day);
    let shown = |zone: &str, time: &str| {
        let context = Value::from(Serde(json!({ "zone": zone, "time": time, "now": NOW })));
        environment.render_str("{{ (time|when).exact }}; {{ time|day }}", context).unwrap()
    };
    for (zone, time, expected) in [
        ("", "2026-11-03T23:30:00Z", "3 November 2026, 23:30:00 UTC; 3 November 2026"),
        ("Asia/Kolkata", "2026-11-03T23:30:00Z", "4 November 2026, 05:00:00 IST; 4 November 2026"),
        ("Europe/Lisbon", "2026-07-03T10:12:00Z", "3 July 2026, 11:12:00 WEST; 3 July 2026"),
        ("America/New_York", "2026-11-03T03:00:00Z", "2 November 2026, 22:00:00 EST; 2 November 2026"),
        // A database of another release may not know it any more.
        ("Atlantis/Capital", "2026-11-03T23:30:00Z", "3 November 2026, 23:30:00 UTC; 3 November 2026"),
    ] {
        assert_eq!(shown(zone, time), expected, "{zone}");
    }
    let american =
        json!({ "zone": "America/New_York", "locale": "en-US", "time": "2026-11-03T23:30:00Z", "now": NOW });
    let american =
        environment.render_str("{{ (time|when).exact }}; {{ time|day }}", Value::from(Serde(american)));
    assert_eq!(american.unwrap(), "November 3, 2026, 6:30:00 PM EST; November 3, 2026");
    // Macros of another file read it, too.
    environment.add_template("m", "{% macro exact(time) %}{{ (time|when).exact }}{% endmacro %}").unwrap();
    let context =
        Value::from(Serde(json!({ "zone": "Asia/Kolkata", "time": "2026-11-03T23:30:00Z", "now": NOW })));
    let imported = environment.render_str("{% import 'm' as m %}{{ m.exact(time) }}", context).unwrap();
    assert_eq!(imported, "4 November 2026, 05:00:00 IST");
    // Bars of hours are read where the page is.
    environment.add_filter("hour", hour);
    let hours = |zone: &str, locale: &str| {
        let context = json!({ "zone": zone, "locale": locale, "time": "2026-11-03T23:00:00Z" });
        environment.render_str("{{ time|hour }}", Value::from(Serde(context))).unwrap()
    };
    assert_eq!(hours("", ""), "23:00");
    assert_eq!(hours("Asia/Kolkata", "en-GB"), "04:30");
    assert_eq!(hours("America/New_York", "en-US"), "6:00 PM");
    // A day is that day wherever it is read.
    let context = Value::from(Serde(json!({ "zone": "America/New_York" })));
    assert_eq!(environment.render_str("{{ '2026-11-03'|day }}", context).unwrap(), "3 November 2026");
}

#[test]
fn clocks_show_the_day_where_it_is_another_one() {
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let shown = |zone: &str, locale: Locale, time: &str| {
        clock(&TimeZone::parse(zone).unwrap(), locale, at(time), at(NOW))
    };
    assert_eq!(shown("UTC", Locale::British, "2026-11-22T03:04:05Z"), "03:04:05");
    assert_eq!(shown("UTC", Locale::British, "2026-11-21T23:59:59Z"), "21 Nov 23:59");
    assert_eq!(shown("UTC", Locale::British, "2025-11-22T14:02:00Z"), "22 Nov 2025 14:02");
    // Late there is the day after.
    assert_eq!(shown("Asia/Kolkata", Locale::British, "2026-11-21T23:59:59Z"), "05:29:59");
    assert_eq!(shown("UTC", Locale::American, "2026-11-21T23:59:59Z"), "Nov 21 11:59 PM");
}

/// Macros that the page of the design does without, and why.
const NOT_DESIGNED: [(&str, &str); 3] = [
    ("csrf", "a hidden field"),
    ("form_start", "a hidden field, and a button for the Enter key that nobody sees"),
    ("field_any", "chooses one of the fields that are there"),
];

#[test]
fn every_macro_is_on_the_page_of_the_design() {
    let file = |name: &str| {
        let path = format!("{}/src/console/templates/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let (macros, design) = (file("macros.html"), file("design.html"));
    let bodies: Vec<_> = macros.split("{% macro ").skip(1).filter_map(|part| part.split_once('(')).collect();
    assert!(bodies.len() > 60, "{} macros were found", bodies.len());
    let calls = |text: &str, name: &str| {
        let longer = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        text.match_indices(&format!("{name}(")).any(|(at, _)| !longer(&text[..at]))
    };
    let mut shown: Vec<_> = bodies.iter().filter(|(name, _)| calls(&design, name)).collect();
    // What is part of another one is shown with it.
    let mut at = 0;
    while let Some((_, body)) = shown.get(at).copied() {
        let parts = bodies.iter().filter(|(name, _)| calls(body, name));
        let parts: Vec<_> = parts.filter(|one| !shown.contains(one)).collect();
        shown.extend(parts);
        at += 1;
    }
    let is_shown = |name: &str| shown.iter().any(|(one, _)| *one == name);
    let left_out = |name: &str| NOT_DESIGNED.iter().any(|(one, _)| *one == name);
    let missing: Vec<_> =
        bodies.iter().map(|(name, _)| *name).filter(|name| !is_shown(name) && !left_out(name)).collect();
    assert!(missing.is_empty(), "design.html shows no {missing:?}");
    let needless: Vec<_> = NOT_DESIGNED
        .iter()
        .filter(|(name, _)| is_shown(name) || !bodies.iter().any(|(one, _)| one == name))
        .collect();
    assert!(needless.is_empty(), "{needless:?}");
}
