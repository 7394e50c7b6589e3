//! Which pages of the console are measured, and which are not, for a reason. The benchmark and a test hold both lists
//! against the addresses of the console, so that a new page is in one of them.

/// The pages, each with what it is called, the first one first; what stands in braces is the id of such a thing.
pub(crate) const PAGES: &[(&str, &str)] = &[
    ("Overview", "/"),
    ("Connector credentials", "/credentials"),
    ("Connector credentials, searched", "/credentials?q=tool+99"),
    ("New credential", "/credentials/new"),
    ("A credential", "/credentials/{credential}"),
    ("Delete a credential", "/credentials/{credential}/delete"),
    ("Before the tool is asked to approve", "/credentials/{approved}/authorize"),
    ("Forget tokens", "/credentials/{approved}/forget-tokens"),
    ("A credential that signs", "/credentials/{signed}"),
    ("Its certificate as a file", "/credentials/{signed}/certificate.pem"),
    ("Create its next certificate", "/credentials/{signed}/certificate/next"),
    ("Preview of its assertion", "/credentials/{signed}/assertion"),
    ("Webhooks", "/webhooks"),
    ("Webhooks, last delivery first", "/webhooks?sort=-last_at"),
    ("New webhook", "/webhooks/new"),
    ("A webhook", "/webhooks/{webhook}"),
    ("Set-up of a webhook", "/webhooks/{webhook}/set-up"),
    ("Test event of a webhook", "/webhooks/{webhook}/test"),
    ("Signature of a webhook", "/webhooks/{webhook}/signature"),
    ("Change its signing secret", "/webhooks/{webhook}/signature/change"),
    ("Activity of a webhook", "/webhooks/{webhook}/activity"),
    ("Delete a webhook", "/webhooks/{webhook}/delete"),
    ("Data exporters", "/exporters"),
    ("New exporter", "/exporters/new"),
    ("An exporter", "/exporters/{exporter}"),
    ("Set-up of an exporter", "/exporters/{exporter}/set-up"),
    ("Activity of an exporter", "/exporters/{exporter}/activity"),
    ("Delete an exporter", "/exporters/{exporter}/delete"),
    ("A run", "/runs/{run}"),
    ("Cancel a run", "/runs/{run}/cancel"),
    ("Gateways", "/gateways"),
    ("New gateway", "/gateways/new"),
    ("A gateway", "/gateways/{gateway}"),
    ("Set-up of a gateway", "/gateways/{gateway}/set-up"),
    ("Try a gateway", "/gateways/{gateway}/try"),
    ("Activity of a gateway", "/gateways/{gateway}/activity"),
    ("Delete a gateway", "/gateways/{gateway}/delete"),
    ("Deliveries", "/deliveries"),
    ("Deliveries that need attention", "/deliveries?state=needs_attention"),
    ("Deliveries that wait", "/deliveries?state=pending"),
    ("Deliveries on hold", "/deliveries?state=held"),
    ("Deliveries that failed", "/deliveries?state=failed"),
    ("Deliveries of one webhook", "/deliveries?connector={webhook}"),
    ("Deliveries of one type", "/deliveries?type=bench.7"),
    ("A delivery by its id", "/deliveries?q={delivered}"),
    ("News of deliveries", "/deliveries/news?since={delivered}"),
    ("A delivery", "/deliveries/{failed}"),
    ("Replay of one", "/deliveries/{failed}/replay"),
    ("Replay of many", "/deliveries/replay"),
    ("Replays", "/operations"),
    ("A replay", "/operations/{operation}"),
    ("Events", "/events"),
    ("Events that matched nothing", "/events?match=none"),
    ("An event", "/events/{event}"),
    ("Audit log", "/audit"),
    ("An entry of the audit log", "/audit/1"),
    ("API keys", "/api-keys"),
    ("New API key", "/api-keys/new"),
    ("Revoke an API key", "/api-keys/{key}/revoke"),
    ("Users and roles", "/users"),
    ("A user", "/users/{user}"),
    ("Sign a user out", "/users/{user}/sign-out"),
    ("Invite", "/users/new"),
    ("Settings", "/settings"),
    ("Settings, egress", "/settings/egress"),
    ("Settings, sign-in", "/settings/sign-in"),
    ("Settings, notifications", "/settings/notifications"),
    ("Settings, delivery", "/settings/delivery"),
    ("Pause all sending", "/settings/delivery/pause"),
    ("Settings, encryption", "/settings/encryption"),
    ("Settings, backup", "/settings/backup"),
    ("Delete a backup", "/settings/backup/consign-20261127T030000007Z.tar.zst/delete"),
    ("Settings, replicas", "/settings/replicas"),
    ("Settings, about", "/settings/about"),
    ("Licences", "/settings/about/licences"),
    ("Support bundle", "/settings/about/support-bundle"),
    ("Set-up, address", "/welcome"),
    ("Set-up, encryption key", "/welcome/key"),
    ("Own account", "/account"),
    ("Own password", "/account/password"),
    ("Two-step sign-in on", "/account/two-step/on"),
    ("Two-step sign-in off", "/account/two-step/off"),
    ("New recovery codes", "/account/recovery-codes"),
    ("Help", "/docs"),
    ("Help, searched", "/docs?q=retry"),
    ("A page of the manual, the largest", "/docs/cli"),
    ("A subject of the API", "/docs/api/credentials"),
    ("Schemas of the API", "/docs/api/schemas"),
    ("A schema of the API", "/docs/api/schemas/EgressSettings"),
    ("Problems of the API", "/docs/problems"),
    ("A problem of the API", "/docs/problems/not-allowed"),
];

/// The addresses that are not measured, and why.
pub(crate) const NOT_MEASURED: &[(&str, &str)] = &[
    ("/design", "only of a program that is built for development"),
    ("/sign-in", "whoever is signed in is led on"),
    ("/sign-in/code", "whoever is signed in is led on"),
    ("/sign-in/oidc", "leads to a provider"),
    ("/sign-in/oidc/callback", "is come back to from a provider, once"),
    ("/setup/{token}", "opens once, before there is an administrator"),
    ("/demo/{token}", "opens once, in the demo"),
    ("/invitation/{token}", "is opened by somebody who has no account yet"),
    ("/oauth/callback/{id}", "is come back to from a tool, once"),
    ("/audit/export", "a file that is as long as the log"),
];

/// The addresses that are neither measured nor excepted, and the exceptions that are no addresses or measured.
pub(crate) fn left_out<'a>(addresses: &[&'a str]) -> Vec<&'a str> {
    let measured: Vec<_> = PAGES.iter().filter_map(|(_, path)| address_of(path, addresses)).collect();
    let excepted = |address: &str| NOT_MEASURED.iter().any(|(other, _)| *other == address);
    let wrong = |address: &&&str| measured.contains(*address) == excepted(address);
    let unknown = NOT_MEASURED.iter().map(|(address, _)| *address).filter(|one| !addresses.contains(one));
    addresses.iter().filter(wrong).copied().chain(unknown).collect()
}

/// The address that a page is found at: of those that fit, the one that leaves the least open.
pub(crate) fn address_of<'a>(page: &str, addresses: &[&'a str]) -> Option<&'a str> {
    let path = page.split('?').next().unwrap_or(page);
    let fits = |address: &&&str| {
        let parts = || address.split('/').zip(path.split('/'));
        address.split('/').count() == path.split('/').count()
            && parts().all(|(open, part)| open == part || open.starts_with('{'))
    };
    addresses.iter().filter(fits).min_by_key(|address| address.matches('{').count()).copied()
}
