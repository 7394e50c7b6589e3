//! What is done in the console can be done over the API: a table names the operations behind every address that takes a
//! form, or why there is none, and is held against the pages of the console and the routes of the API. That a page does
//! what its operation does is for the tests of each; both stand on the same function.

use std::collections::BTreeSet;

use consign::api::ROUTES;
use consign::console;

use crate::verbs::name_of;

use Behind::{Nothing, Operations};

/// What does the same over the API.
enum Behind {
    /// These operations.
    Operations(&'static [&'static str]),
    /// None, and why.
    Nothing(&'static str),
}

const SESSION: Behind =
    Nothing("who asks the API shows a key, or email and password, with each request: there is no session");
const LINK: Behind = Nothing("a link lets in a person who has nothing to ask the API with yet");
const PERSON: Behind =
    Nothing("a person shows their password at that moment, and a key of a program is no person");
const SHOWN_AGAIN: Behind = Nothing("it shows the same form with other fields, and keeps nothing");

static ACTIONS: &[(&str, Behind)] = &[
    ("/sign-in", SESSION),
    ("/sign-in/code", SESSION),
    ("/sign-out", SESSION),
    ("/theme", Operations(&["PATCH /me"])),
    ("/setup/{token}", LINK),
    ("/demo/{token}", LINK),
    ("/invitation/{token}", LINK),
    ("/account/password", Operations(&["PUT /me/password"])),
    ("/account/time-zone", Operations(&["PATCH /me"])),
    ("/account/two-step/on", PERSON),
    ("/account/two-step/off", PERSON),
    ("/account/recovery-codes", PERSON),
    (
        "/credentials/new",
        Operations(&["POST /credentials", "POST /credential-tests", "POST /host-key-scans"]),
    ),
    ("/credentials/new/fields", SHOWN_AGAIN),
    (
        "/credentials/{id}",
        Operations(&["PUT /credentials/{id}", "POST /credentials/{id}/tests", "POST /host-key-scans"]),
    ),
    ("/credentials/{id}/fields", SHOWN_AGAIN),
    (
        "/credentials/{id}/connectors",
        Operations(&["PATCH /webhooks/{id}", "PATCH /exporters/{id}", "PATCH /gateways/{id}"]),
    ),
    ("/credentials/{id}/test", Operations(&["POST /credentials/{id}/tests"])),
    ("/credentials/{id}/delete", Operations(&["DELETE /credentials/{id}"])),
    ("/credentials/{id}/forget-tokens", Operations(&["DELETE /credentials/{id}/authorizations"])),
    (
        "/credentials/{id}/certificate",
        Operations(&[
            "POST /credentials/{id}/certificate/next",
            "DELETE /credentials/{id}/certificate/next",
            "POST /credentials/{id}/certificate/previous",
        ]),
    ),
    ("/credentials/{id}/certificate/next", Operations(&["POST /credentials/{id}/certificate"])),
    ("/webhooks/new", Operations(&["POST /webhooks", "POST /webhooks/preview"])),
    ("/webhooks/new/fields", SHOWN_AGAIN),
    ("/webhooks/{id}/set-up", Operations(&["PUT /webhooks/{id}", "POST /webhooks/preview"])),
    ("/webhooks/{id}/set-up/fields", SHOWN_AGAIN),
    ("/webhooks/{id}/test", Operations(&["POST /webhooks/{id}/tests"])),
    ("/webhooks/{id}/signature", Operations(&["POST /webhooks/{id}/signature-checks"])),
    ("/webhooks/{id}/signature/change", Operations(&["POST /webhooks/{id}/signing-keys"])),
    ("/webhooks/{id}/pause", Operations(&["POST /webhooks/{id}/pauses"])),
    ("/webhooks/{id}/resume", Operations(&["DELETE /webhooks/{id}/pauses"])),
    ("/webhooks/{id}/delete", Operations(&["DELETE /webhooks/{id}"])),
    ("/exporters/new", Operations(&["POST /exporters", "POST /exporters/preview"])),
    ("/exporters/new/fields", SHOWN_AGAIN),
    ("/exporters/{id}/set-up", Operations(&["PUT /exporters/{id}", "POST /exporters/preview"])),
    ("/exporters/{id}/set-up/fields", SHOWN_AGAIN),
    ("/exporters/{id}/run", Operations(&["POST /exporters/{id}/runs"])),
    ("/exporters/{id}/pause", Operations(&["POST /exporters/{id}/pauses"])),
    ("/exporters/{id}/resume", Operations(&["DELETE /exporters/{id}/pauses"])),
    ("/exporters/{id}/delete", Operations(&["DELETE /exporters/{id}"])),
    ("/gateways/new", Operations(&["POST /gateways"])),
    ("/gateways/new/fields", SHOWN_AGAIN),
    ("/gateways/{id}/set-up", Operations(&["PUT /gateways/{id}"])),
    ("/gateways/{id}/set-up/fields", SHOWN_AGAIN),
    ("/gateways/{id}/try", Operations(&["POST /gateways/{id}/trials"])),
    ("/gateways/{id}/pause", Operations(&["POST /gateways/{id}/pauses"])),
    ("/gateways/{id}/resume", Operations(&["DELETE /gateways/{id}/pauses"])),
    ("/gateways/{id}/delete", Operations(&["DELETE /gateways/{id}"])),
    ("/runs/{id}/cancel", Operations(&["POST /runs/{id}/cancellation"])),
    ("/runs/{id}/repeat", Operations(&["POST /runs/{id}/repetitions"])),
    ("/runs/{id}/send-again", Operations(&["POST /runs/{id}/resolution"])),
    ("/runs/{id}/mark-delivered", Operations(&["POST /runs/{id}/resolution"])),
    ("/deliveries/replay", Operations(&["POST /replays"])),
    ("/deliveries/selected", Operations(&["POST /deliveries/{id}/cancellation", "POST /replays"])),
    ("/deliveries/{id}/request-body", Operations(&["GET /deliveries/{id}/request-body"])),
    ("/deliveries/{id}/payload", Operations(&["GET /deliveries/{id}/payload"])),
    ("/deliveries/{id}/replay", Operations(&["POST /deliveries/{id}/replays"])),
    ("/deliveries/{id}/cancel", Operations(&["POST /deliveries/{id}/cancellation"])),
    ("/deliveries/{id}/try-now", Operations(&["POST /deliveries/{id}/attempts"])),
    ("/deliveries/{id}/send-again", Operations(&["POST /deliveries/{id}/resolution"])),
    ("/deliveries/{id}/mark-delivered", Operations(&["POST /deliveries/{id}/resolution"])),
    ("/operations/{id}/stop", Operations(&["DELETE /operations/{id}"])),
    ("/events/{id}/payload", Operations(&["GET /events/{id}"])),
    ("/audit/verification", Operations(&["POST /audit-entries/verification"])),
    ("/api-keys/new", Operations(&["POST /api-keys"])),
    ("/api-keys/{id}/revoke", Operations(&["DELETE /api-keys/{id}"])),
    ("/settings", Operations(&["PATCH /settings", "POST /public-url-checks"])),
    ("/settings/sign-in", Operations(&["PATCH /settings/sign-in"])),
    ("/settings/egress", Operations(&["POST /egress-checks", "PATCH /settings/egress"])),
    ("/settings/notifications", Operations(&["PATCH /notifications"])),
    ("/settings/notifications/test", Operations(&["POST /mail-tests"])),
    ("/settings/encryption/rotation", Operations(&["POST /encryption-keys/rotations"])),
    ("/settings/encryption/check", Operations(&["POST /encryption-keys/checks"])),
    ("/settings/encryption/recovery-file", Operations(&["POST /encryption-keys/recovery-files"])),
    ("/settings/delivery", Operations(&["PATCH /settings/delivery"])),
    ("/settings/delivery/pause", Operations(&["POST /sending-pauses"])),
    ("/settings/delivery/resume", Operations(&["DELETE /sending-pauses"])),
    ("/settings/backup", Operations(&["POST /backups"])),
    ("/settings/backup/check", Operations(&["POST /backups/checks"])),
    (
        "/settings/backup/{id}/{deed}",
        Operations(&["DELETE /backups/{name}", "POST /backups/{name}/downloads"]),
    ),
    ("/settings/about/support-bundle", Operations(&["POST /support-bundle"])),
    ("/welcome", Operations(&["PATCH /settings", "POST /public-url-checks"])),
    ("/welcome/key", Nothing("it ends the walk through a new installation, and leads on to the first page")),
    ("/users/new", Operations(&["POST /users"])),
    ("/users/{id}", Operations(&["PATCH /users/{id}"])),
    (
        "/users/{id}/{deed}",
        Operations(&[
            "POST /users/{id}/invitations",
            "POST /users/{id}/suspension",
            "DELETE /users/{id}/suspension",
            "DELETE /users/{id}/sessions",
            "DELETE /users/{id}/two-step",
            "DELETE /users/{id}",
        ]),
    ),
];

#[test]
fn every_action_of_the_console_is_an_operation_of_the_api() {
    let named: BTreeSet<_> = ACTIONS.iter().map(|(address, _)| *address).collect();
    assert_eq!(named.len(), ACTIONS.len(), "no address stands in the table twice");
    // Reads are GET; whatever else there is changes something or asks for it.
    let taken = console::addresses().filter(|(method, _)| method.as_str() != "GET");
    let taken: BTreeSet<_> = taken.map(|(_, address)| address).collect();
    let missing: Vec<_> = taken.difference(&named).collect();
    assert!(missing.is_empty(), "tell which operations are behind {missing:?}");
    let gone: Vec<_> = named.difference(&taken).collect();
    assert!(gone.is_empty(), "these take no form any more: {gone:?}");

    let operations: BTreeSet<_> = ROUTES.iter().map(name_of).collect();
    for (address, behind) in ACTIONS {
        match behind {
            Operations(names) => {
                assert!(!names.is_empty(), "{address}");
                for name in *names {
                    assert!(operations.contains(*name), "{address}: {name} is no operation");
                }
            }
            Nothing(reason) => assert!(!reason.is_empty(), "{address}"),
        }
    }
}
