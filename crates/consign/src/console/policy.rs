//! Who may open which page: one table, and whatever is not in it is for administrators. The operations behind the pages
//! ask for their rights again; here it is decided before anything is read.

use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;
use consign_core::rights::Right;
use serde_json::{Map, Value};

use super::errors::Failure;
use super::visit::Visit;
use crate::ops::OpError;

/// What a page needs of whoever opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// A session.
    Session,
    /// A session with this right.
    Right(Right),
}

macro_rules! pages {
    ($($method:ident $path:literal $needs:ident;)*) => {
        /// Method, address and need of every page.
        pub(super) static PAGES: &[(Method, &str, Needs)] =
            &[$((Method::$method, $path, pages!(@ $needs)),)*];
    };
    (@ Nothing) => { Needs::Nothing };
    (@ Session) => { Needs::Session };
    (@ $right:ident) => { Needs::Right(Right::$right) };
}

pages! {
    GET "/" DeliveriesRead;
    GET "/design" Session;

    GET "/docs" Nothing;
    GET "/docs/{name}" Nothing;
    GET "/docs/api/{subject}" Nothing;
    GET "/docs/api/schemas/{name}" Nothing;
    GET "/docs/problems" Nothing;
    GET "/docs/problems/{name}" Nothing;

    GET "/sign-in" Nothing;
    POST "/sign-in" Nothing;
    GET "/sign-in/code" Nothing;
    POST "/sign-in/code" Nothing;
    GET "/sign-in/oidc" Nothing;
    GET "/sign-in/oidc/callback" Nothing;
    POST "/sign-out" Session;
    POST "/theme" Session;
    GET "/setup/{token}" Nothing;
    POST "/setup/{token}" Nothing;
    GET "/demo/{token}" Nothing;
    POST "/demo/{token}" Nothing;
    GET "/invitation/{token}" Nothing;
    POST "/invitation/{token}" Nothing;

    GET "/account" Session;
    GET "/account/password" Session;
    POST "/account/password" Session;
    POST "/account/time-zone" Session;
    GET "/account/two-step/on" Session;
    POST "/account/two-step/on" Session;
    GET "/account/two-step/off" Session;
    POST "/account/two-step/off" Session;
    GET "/account/recovery-codes" Session;
    POST "/account/recovery-codes" Session;

    GET "/credentials" CredentialsRead;
    GET "/credentials/new" CredentialsWrite;
    POST "/credentials/new" CredentialsWrite;
    POST "/credentials/new/fields" CredentialsWrite;
    GET "/credentials/{id}" CredentialsRead;
    // Its form also tests.
    POST "/credentials/{id}" CredentialsTest;
    POST "/credentials/{id}/fields" CredentialsTest;
    POST "/credentials/{id}/test" CredentialsTest;
    POST "/credentials/{id}/connectors" ConnectorsWrite;
    GET "/credentials/{id}/delete" CredentialsWrite;
    POST "/credentials/{id}/delete" CredentialsWrite;
    GET "/credentials/{id}/authorize" CredentialsWrite;
    GET "/credentials/{id}/forget-tokens" CredentialsWrite;
    POST "/credentials/{id}/forget-tokens" CredentialsWrite;
    GET "/credentials/{id}/certificate.pem" CredentialsRead;
    POST "/credentials/{id}/certificate" CredentialsWrite;
    GET "/credentials/{id}/certificate/next" CredentialsWrite;
    POST "/credentials/{id}/certificate/next" CredentialsWrite;
    GET "/credentials/{id}/assertion" CredentialsRead;
    GET "/oauth/callback/{id}" CredentialsWrite;

    GET "/webhooks" ConnectorsRead;
    GET "/webhooks/new" ConnectorsWrite;
    POST "/webhooks/new" ConnectorsWrite;
    POST "/webhooks/new/fields" ConnectorsWrite;
    GET "/webhooks/{id}" ConnectorsRead;
    GET "/webhooks/{id}/set-up" ConnectorsRead;
    // Its form also shows previews, and who saves is asked again.
    POST "/webhooks/{id}/set-up" ConnectorsRead;
    POST "/webhooks/{id}/set-up/fields" ConnectorsRead;
    GET "/webhooks/{id}/test" DeliveriesOperate;
    POST "/webhooks/{id}/test" DeliveriesOperate;
    GET "/webhooks/{id}/signature" ConnectorsRead;
    // What was received is checked.
    POST "/webhooks/{id}/signature" ConnectorsRead;
    GET "/webhooks/{id}/signature/change" ConnectorsWrite;
    POST "/webhooks/{id}/signature/change" ConnectorsWrite;
    GET "/webhooks/{id}/activity" ConnectorsRead;
    POST "/webhooks/{id}/pause" DeliveriesOperate;
    POST "/webhooks/{id}/resume" DeliveriesOperate;
    GET "/webhooks/{id}/delete" ConnectorsWrite;
    POST "/webhooks/{id}/delete" ConnectorsWrite;

    GET "/exporters" ConnectorsRead;
    GET "/exporters/new" ConnectorsWrite;
    POST "/exporters/new" ConnectorsWrite;
    POST "/exporters/new/fields" ConnectorsWrite;
    // Its runs stand on it.
    GET "/exporters/{id}" DeliveriesRead;
    GET "/exporters/{id}/set-up" ConnectorsRead;
    // As with webhooks.
    POST "/exporters/{id}/set-up" ConnectorsRead;
    POST "/exporters/{id}/set-up/fields" ConnectorsRead;
    GET "/exporters/{id}/activity" ConnectorsRead;
    POST "/exporters/{id}/run" DeliveriesOperate;
    POST "/exporters/{id}/pause" DeliveriesOperate;
    POST "/exporters/{id}/resume" DeliveriesOperate;
    GET "/exporters/{id}/delete" ConnectorsWrite;
    POST "/exporters/{id}/delete" ConnectorsWrite;
    GET "/gateways" ConnectorsRead;
    GET "/gateways/new" ConnectorsWrite;
    POST "/gateways/new" ConnectorsWrite;
    POST "/gateways/new/fields" ConnectorsWrite;
    GET "/gateways/{id}" ConnectorsRead;
    GET "/gateways/{id}/set-up" ConnectorsRead;
    POST "/gateways/{id}/set-up" ConnectorsWrite;
    POST "/gateways/{id}/set-up/fields" ConnectorsWrite;
    GET "/gateways/{id}/try" GatewayCall;
    POST "/gateways/{id}/try" GatewayCall;
    GET "/gateways/{id}/activity" ConnectorsRead;
    POST "/gateways/{id}/pause" DeliveriesOperate;
    POST "/gateways/{id}/resume" DeliveriesOperate;
    GET "/gateways/{id}/delete" ConnectorsWrite;
    POST "/gateways/{id}/delete" ConnectorsWrite;
    GET "/runs/{id}" DeliveriesRead;
    GET "/runs/{id}/cancel" DeliveriesOperate;
    POST "/runs/{id}/cancel" DeliveriesOperate;
    POST "/runs/{id}/repeat" DeliveriesOperate;
    POST "/runs/{id}/send-again" DeliveriesOperate;
    POST "/runs/{id}/mark-delivered" DeliveriesOperate;

    GET "/deliveries" DeliveriesRead;
    GET "/deliveries/news" DeliveriesRead;
    GET "/deliveries/replay" DeliveriesOperate;
    POST "/deliveries/replay" DeliveriesOperate;
    POST "/deliveries/selected" DeliveriesOperate;
    GET "/deliveries/{id}" DeliveriesRead;
    POST "/deliveries/{id}/payload" PayloadsRead;
    POST "/deliveries/{id}/request-body" PayloadsRead;
    GET "/deliveries/{id}/replay" DeliveriesOperate;
    POST "/deliveries/{id}/replay" DeliveriesOperate;
    POST "/deliveries/{id}/cancel" DeliveriesOperate;
    POST "/deliveries/{id}/try-now" DeliveriesOperate;
    POST "/deliveries/{id}/send-again" DeliveriesOperate;
    POST "/deliveries/{id}/mark-delivered" DeliveriesOperate;
    GET "/operations" DeliveriesRead;
    GET "/operations/{id}" DeliveriesRead;
    POST "/operations/{id}/stop" DeliveriesOperate;
    GET "/events" EventsRead;
    GET "/events/{id}" EventsRead;
    POST "/events/{id}/payload" PayloadsRead;

    GET "/audit" AuditRead;
    POST "/audit/verification" AuditRead;
    GET "/audit/export" AuditRead;
    GET "/audit/{sequence}" AuditRead;

    GET "/api-keys" Admin;
    GET "/api-keys/new" Admin;
    POST "/api-keys/new" Admin;
    GET "/api-keys/{id}/revoke" Admin;
    POST "/api-keys/{id}/revoke" Admin;
    GET "/settings" Admin;
    POST "/settings" Admin;
    GET "/settings/sign-in" Admin;
    POST "/settings/sign-in" Admin;
    GET "/settings/egress" Admin;
    POST "/settings/egress" Admin;
    GET "/settings/notifications" Admin;
    POST "/settings/notifications" Admin;
    POST "/settings/notifications/test" Admin;
    GET "/settings/encryption" Admin;
    POST "/settings/encryption/rotation" Admin;
    POST "/settings/encryption/check" Admin;
    POST "/settings/encryption/recovery-file" Admin;
    GET "/settings/delivery" Admin;
    POST "/settings/delivery" Admin;
    GET "/settings/delivery/pause" Admin;
    POST "/settings/delivery/pause" Admin;
    POST "/settings/delivery/resume" Admin;
    GET "/settings/backup" Admin;
    POST "/settings/backup" Admin;
    POST "/settings/backup/check" Admin;
    GET "/settings/backup/{id}/{deed}" Admin;
    POST "/settings/backup/{id}/{deed}" Admin;
    GET "/settings/replicas" Admin;
    GET "/settings/about" Admin;
    GET "/settings/about/licences" Admin;
    GET "/settings/about/support-bundle" Admin;
    POST "/settings/about/support-bundle" Admin;
    GET "/welcome" Admin;
    POST "/welcome" Admin;
    GET "/welcome/key" Admin;
    POST "/welcome/key" Admin;
    GET "/users" Admin;
    GET "/users/new" Admin;
    POST "/users/new" Admin;
    GET "/users/{id}" Admin;
    POST "/users/{id}" Admin;
    GET "/users/{id}/{deed}" Admin;
    POST "/users/{id}/{deed}" Admin;
}

/// What somebody does who has to set up a second step first.
const WITHOUT_SECOND_STEP: [&str; 3] = [SECOND_STEP, "/sign-out", "/theme"];
/// Where it is set up.
pub(super) const SECOND_STEP: &str = "/account/two-step/on";

/// Method and address of every page, for whoever looks at all of them.
pub fn addresses() -> impl Iterator<Item = (&'static Method, &'static str)> {
    PAGES.iter().map(|(method, address, _)| (method, *address))
}

/// Refuses whoever may not open this page. Those who are not signed in are told so by the page itself.
///
/// # Errors
/// The right that is missing.
pub(super) fn admit(visit: &Visit, parts: &Parts) -> Result<(), Failure> {
    let Some(person) = &visit.person else { return Ok(()) };
    let Some(path) = parts.extensions.get::<MatchedPath>() else {
        // Not found; whoever has to set up a second step is not told even that.
        return if person.must_set_up { Err(Failure::SecondStepNeeded) } else { Ok(()) };
    };
    let needs = needs(&parts.method, path.as_str());
    if person.must_set_up && needs != Needs::Nothing && !WITHOUT_SECOND_STEP.contains(&path.as_str()) {
        return Err(Failure::SecondStepNeeded);
    }
    match needs {
        Needs::Nothing | Needs::Session => Ok(()),
        Needs::Right(right) if person.role.rights().allow(right) => Ok(()),
        Needs::Right(right) => Err(OpError::NotAllowed(right).into()),
    }
}

/// What a page needs: HEAD as GET, and the unknown as what is most guarded.
pub(super) fn needs(method: &Method, path: &str) -> Needs {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let found = PAGES.iter().find(|(known, address, _)| known == method && *address == path);
    found.map_or(Needs::Right(Right::Admin), |(_, _, needs)| *needs)
}

/// What templates ask: `may.credentials_write`, and so on.
pub(super) fn may(visit: &Visit) -> Value {
    let rights = visit.person.as_ref().map(|person| person.role.rights()).unwrap_or_default();
    let all = Right::ALL.iter().map(|right| (right.kind().replace(':', "_"), rights.allow(*right).into()));
    Value::Object(all.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests;
