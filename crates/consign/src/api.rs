//! The REST API under `/api/v1`: one table says method, address, right and query parameters of every route.
//! It routes, and tests hold it against `openapi.yaml`, both ways.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, get, on};
use consign_core::id::RequestId;
use consign_core::rights::Right;
use http::header::ALLOW;
use http::{HeaderValue, Method};

use crate::App;
use crate::server::RouteName;

pub use gateway::router_alone as gateways_alone;
pub(crate) use problem::{KINDS as PROBLEMS, Kind as ProblemKind};

use answer::Answer;
use call::Call;
use problem::{Problem, kinds};

mod about;
mod answer;
mod api_keys;
mod audit;
mod backups;
mod body;
mod call;
mod certificates;
mod connector;
mod credentials;
mod deliveries;
mod description;
mod encryption;
mod events;
mod exporters;
mod gateway;
mod gateways;
mod host_keys;
mod me;
mod notifications;
mod operations;
mod overview;
mod problem;
mod settings;
mod sign_in;
mod uploads;
mod users;
mod webhooks;

/// Where every address of the API begins.
pub const BASE: &str = "/api/v1";

/// An operation under way.
type Doing = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// One operation of the API.
pub struct Route {
    /// Its method; GET answers HEAD too.
    pub method: Method,
    /// Its address below [`BASE`], with `{…}` for what varies.
    pub path: &'static str,
    /// The right it needs; `None`: everyone who is signed in.
    pub right: Option<Right>,
    /// A person does it to their own account, and may sign in with email and password for this one request.
    own: bool,
    /// The query parameters it knows; all others are refused.
    pub query: &'static [&'static str],
    /// The whole address, as metrics and the log name it.
    name: &'static str,
    act: fn(Call) -> Doing,
}

macro_rules! routes {
    ($($method:ident $path:literal $right:ident [$($query:literal)*] => $act:path;)*) => {
        /// Every operation of the API.
        pub static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            right: routes!(@ $right),
            own: routes!(@own $right),
            query: &[$($query),*],
            name: concat!("/api/v1", $path),
            act: |call| Box::pin($act(call)),
        },)*];
    };
    (@own Person) => { true };
    (@own $right:ident) => { false };
    (@ SignedIn) => { None };
    (@ Person) => { None };
    (@ $right:ident) => { Some(Right::$right) };
}

routes! {
    GET "/credentials" CredentialsRead
        ["q" "status" "needs_attention" "protocol" "authorization_type" "label" "ends_before" "managed_by" "order" "count" "limit"
         "cursor"] => credentials::list;
    POST "/credentials" CredentialsWrite ["field_manager" "force" "dry_run"] => credentials::create;
    GET "/credentials/{id}" CredentialsRead [] => credentials::find;
    PUT "/credentials/{id}" CredentialsWrite ["field_manager" "force" "dry_run"] => credentials::replace;
    PATCH "/credentials/{id}" CredentialsWrite ["field_manager" "force" "dry_run"] => credentials::patch;
    DELETE "/credentials/{id}" CredentialsWrite ["linked" "field_manager" "force"] => credentials::delete;
    PUT "/credentials/{id}/secrets/{field}" CredentialsWrite ["field_manager" "force" "dry_run"] => credentials::replace_secret;
    GET "/credentials/{id}/usage" CredentialsRead [] => credentials::usage;
    GET "/credentials/{id}/history" CredentialsRead [] => credentials::history;
    GET "/credentials/{id}/tests" CredentialsRead [] => credentials::tests;
    POST "/credentials/{id}/tests" CredentialsTest ["write"] => credentials::test;
    POST "/credential-tests" CredentialsTest ["write"] => credentials::test_values;
    POST "/host-key-scans" CredentialsTest [] => host_keys::scan;
    GET "/credentials/{id}/authorizations" CredentialsRead [] => credentials::authorization;
    POST "/credentials/{id}/authorizations" CredentialsWrite [] => credentials::authorize;
    DELETE "/credentials/{id}/authorizations" CredentialsWrite [] => credentials::forget_tokens;
    GET "/credentials/{id}/certificate" CredentialsRead ["which"] => certificates::find;
    POST "/credentials/{id}/certificate" CredentialsWrite [] => certificates::create_next;
    POST "/credentials/{id}/certificate/next" CredentialsWrite [] => certificates::use_next;
    DELETE "/credentials/{id}/certificate/next" CredentialsWrite [] => certificates::drop_next;
    POST "/credentials/{id}/certificate/previous" CredentialsWrite [] => certificates::use_previous;
    GET "/credentials/{id}/assertion-preview" CredentialsRead [] => certificates::preview;
    GET "/authorization-types" CredentialsRead [] => credentials::types;
    GET "/presets" CredentialsRead [] => credentials::presets;

    GET "/connectors" ConnectorsRead
        ["kind" "q" "state" "credential" "managed_by" "order" "count" "limit" "cursor"] => connector::list;
    GET "/webhooks" ConnectorsRead ["q" "state" "credential" "managed_by" "order" "count" "limit" "cursor"] => webhooks::list;
    POST "/webhooks" ConnectorsWrite ["field_manager" "force" "dry_run"] => webhooks::create;
    POST "/webhooks/preview" ConnectorsRead [] => webhooks::preview;
    GET "/webhooks/{id}" ConnectorsRead [] => webhooks::find;
    PUT "/webhooks/{id}" ConnectorsWrite ["field_manager" "force" "dry_run"] => webhooks::replace;
    PATCH "/webhooks/{id}" ConnectorsWrite ["field_manager" "force" "dry_run"] => webhooks::patch;
    DELETE "/webhooks/{id}" ConnectorsWrite ["field_manager" "force"] => webhooks::delete;
    GET "/webhooks/{id}/history" ConnectorsRead [] => webhooks::history;
    GET "/webhooks/{id}/signing-keys" ConnectorsRead [] => webhooks::signing_keys;
    POST "/webhooks/{id}/signing-keys" ConnectorsWrite [] => webhooks::change_signing_key;
    POST "/webhooks/{id}/signature-checks" ConnectorsRead [] => webhooks::check_signature;
    POST "/webhooks/{id}/tests" DeliveriesOperate [] => webhooks::test;
    POST "/webhooks/{id}/pauses" DeliveriesOperate [] => webhooks::pause;
    DELETE "/webhooks/{id}/pauses" DeliveriesOperate [] => webhooks::resume;

    GET "/exporters" ConnectorsRead ["q" "state" "credential" "managed_by" "order" "count" "limit" "cursor"] => exporters::list;
    POST "/exporters" ConnectorsWrite ["field_manager" "force" "dry_run"] => exporters::create;
    POST "/exporters/preview" ConnectorsRead [] => exporters::preview;
    GET "/exporters/{id}" ConnectorsRead [] => exporters::find;
    PUT "/exporters/{id}" ConnectorsWrite ["field_manager" "force" "dry_run"] => exporters::replace;
    PATCH "/exporters/{id}" ConnectorsWrite ["field_manager" "force" "dry_run"] => exporters::patch;
    DELETE "/exporters/{id}" ConnectorsWrite ["field_manager" "force"] => exporters::delete;
    GET "/exporters/{id}/history" ConnectorsRead [] => exporters::history;
    POST "/exporters/{id}/pauses" DeliveriesOperate [] => exporters::pause;
    DELETE "/exporters/{id}/pauses" DeliveriesOperate [] => exporters::resume;
    GET "/exporters/{id}/unsent" ConnectorsRead [] => exporters::unsent;
    GET "/exporters/{id}/runs" DeliveriesRead ["state" "sort" "count" "limit" "cursor"] => exporters::runs_of;
    POST "/exporters/{id}/runs" DeliveriesOperate [] => exporters::start;
    POST "/exporters/{id}/records" EventsWrite [] => exporters::push_records;
    POST "/exporters/{id}/files" EventsWrite ["file_name"] => uploads::push_file;
    GET "/exporters/{id}/uploads" EventsWrite [] => uploads::list;
    POST "/exporters/{id}/uploads" EventsWrite [] => uploads::create;
    GET "/uploads/{id}" EventsWrite [] => uploads::find;
    PATCH "/uploads/{id}" EventsWrite [] => uploads::append;
    DELETE "/uploads/{id}" EventsWrite [] => uploads::delete;
    GET "/runs/{id}" DeliveriesRead [] => exporters::run;
    POST "/runs/{id}/cancellation" DeliveriesOperate [] => exporters::cancel;
    POST "/runs/{id}/repetitions" DeliveriesOperate [] => exporters::repeat;
    POST "/runs/{id}/resolution" DeliveriesOperate [] => exporters::resolve;

    GET "/gateways" ConnectorsRead ["q" "state" "credential" "managed_by" "order" "count" "limit" "cursor"] => gateways::list;
    POST "/gateways" ConnectorsWrite ["field_manager" "force" "dry_run"] => gateways::create;
    GET "/gateways/{id}" ConnectorsRead [] => gateways::find;
    PUT "/gateways/{id}" ConnectorsWrite ["field_manager" "force" "dry_run"] => gateways::replace;
    PATCH "/gateways/{id}" ConnectorsWrite ["field_manager" "force" "dry_run"] => gateways::patch;
    DELETE "/gateways/{id}" ConnectorsWrite ["field_manager" "force"] => gateways::delete;
    GET "/gateways/{id}/history" ConnectorsRead [] => gateways::history;
    POST "/gateways/{id}/pauses" DeliveriesOperate [] => gateways::pause;
    DELETE "/gateways/{id}/pauses" DeliveriesOperate [] => gateways::resume;
    GET "/gateways/{id}/calls" DeliveriesRead
        ["api_key" "method" "errors" "count" "limit" "cursor"] => gateways::calls;
    POST "/gateways/{id}/trials" GatewayCall [] => gateways::trial;
    GET "/gateway-callers" ConnectorsRead [] => gateways::callers;

    POST "/events" EventsWrite [] => events::send;
    GET "/events" EventsRead
        ["event_type" "q" "unmatched" "created_after" "created_before" "sort" "count" "limit" "cursor"]
        => events::list;
    GET "/events/{id}" EventsRead [] => events::find;

    GET "/deliveries" DeliveriesRead
        ["state" "hold_reason" "connector" "event_type" "created_after" "created_before" "q" "needs_attention"
         "operation" "sort" "count" "limit" "cursor"] => deliveries::list;
    GET "/deliveries/{id}" DeliveriesRead [] => deliveries::find;
    GET "/deliveries/{id}/attempts" DeliveriesRead [] => deliveries::attempts;
    GET "/deliveries/{id}/commands" DeliveriesRead [] => deliveries::commands;
    POST "/deliveries/{id}/attempts" DeliveriesOperate [] => deliveries::try_now;
    POST "/deliveries/{id}/replays" DeliveriesOperate [] => deliveries::replay;
    POST "/deliveries/{id}/cancellation" DeliveriesOperate [] => deliveries::cancel;
    POST "/deliveries/{id}/resolution" DeliveriesOperate [] => deliveries::resolve;
    GET "/deliveries/{id}/payload" PayloadsRead [] => deliveries::payload;
    GET "/deliveries/{id}/request-body" PayloadsRead [] => deliveries::request_body;

    GET "/replays" DeliveriesRead ["sort" "count" "limit" "cursor"] => operations::replays;
    POST "/replays" DeliveriesOperate [] => operations::replay;
    DELETE "/replays/{id}" DeliveriesOperate [] => operations::stop;
    GET "/operations" DeliveriesRead ["kind" "sort" "count" "limit" "cursor"] => operations::list;
    GET "/operations/{id}" DeliveriesRead [] => operations::find;
    DELETE "/operations/{id}" DeliveriesOperate [] => operations::stop;

    GET "/api-keys" Admin [] => api_keys::list;
    POST "/api-keys" Admin [] => api_keys::create;
    DELETE "/api-keys/{id}" Admin [] => api_keys::delete;
    GET "/users" Admin ["sort" "count" "limit" "cursor"] => users::list;
    POST "/users" Admin [] => users::invite;
    GET "/users/{id}" Admin [] => users::find;
    PATCH "/users/{id}" Admin [] => users::change;
    DELETE "/users/{id}" Admin [] => users::delete;
    POST "/users/{id}/invitations" Admin [] => users::invite_again;
    POST "/users/{id}/suspension" Admin [] => users::suspend;
    DELETE "/users/{id}/suspension" Admin [] => users::reactivate;
    DELETE "/users/{id}/sessions" Admin [] => users::sign_out;
    DELETE "/users/{id}/two-step" Admin [] => users::reset_two_step;

    GET "/audit-entries" AuditRead
        ["object" "actor" "action" "from" "result" "created_after" "created_before" "sort" "count" "limit"
         "cursor"] => audit::list;
    GET "/audit-entries/export" AuditRead
        ["format" "object" "actor" "action" "from" "result" "created_after" "created_before"]
        => audit::export;
    POST "/audit-entries/verification" AuditRead [] => audit::verify;
    GET "/audit-entries/{sequence}" AuditRead [] => audit::find;

    GET "/settings" Admin [] => settings::find;
    PATCH "/settings" Admin [] => settings::change;
    GET "/settings/sign-in" Admin [] => settings::find_sign_in;
    PATCH "/settings/sign-in" Admin [] => settings::change_sign_in;
    GET "/settings/delivery" Admin [] => settings::find_delivery;
    PATCH "/settings/delivery" Admin [] => settings::change_delivery;
    GET "/settings/egress" Admin [] => settings::find_egress;
    PATCH "/settings/egress" Admin [] => settings::change_egress;
    GET "/notifications" Admin [] => notifications::find;
    PATCH "/notifications" Admin [] => notifications::change;
    POST "/mail-tests" Admin [] => notifications::test_mail;
    POST "/egress-checks" Admin [] => settings::check_egress;
    GET "/sending-pauses" Admin [] => settings::sending;
    POST "/sending-pauses" Admin [] => settings::pause_sending;
    DELETE "/sending-pauses" Admin [] => settings::resume_sending;
    GET "/replicas" Admin [] => settings::replicas;
    GET "/support-bundle" Admin [] => settings::support_preview;
    POST "/support-bundle" Admin [] => settings::support_take;
    POST "/public-url-checks" Admin [] => settings::check_public_url;
    GET "/storage" Admin [] => settings::storage;
    GET "/backups" Admin [] => backups::list;
    POST "/backups" Admin [] => backups::create;
    POST "/backups/checks" Admin [] => backups::check;
    DELETE "/backups/{name}" Admin [] => backups::delete;
    POST "/backups/{name}/downloads" Admin [] => backups::download;
    GET "/encryption-keys" Admin [] => encryption::list;
    POST "/encryption-keys/rotations" Admin [] => encryption::rotate;
    POST "/encryption-keys/recovery-files" Admin [] => encryption::recovery_file;
    POST "/encryption-keys/checks" Admin [] => encryption::check;

    GET "/overview" DeliveriesRead [] => overview::show;
    GET "/about" Admin [] => about::find;
    GET "/about/licences" Admin [] => about::licences;
    GET "/me" Person [] => me::me;
    PATCH "/me" Person [] => me::change;
    PUT "/me/password" Person [] => me::change_password;
    GET "/meta" SignedIn [] => me::meta;
}

/// The API, and its description at `/openapi.json`.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, routes) in by_path() {
        let mut methods = MethodRouter::new();
        for route in &routes {
            let app = app.clone();
            let filter =
                MethodFilter::try_from(route.method.clone()).expect("the table holds methods of HTTP");
            let route = *route;
            methods = methods.merge(on(filter, move |request: Request| run(app.clone(), route, request)));
        }
        let (app, allowed) = (app.clone(), allow(&routes));
        let refuse = move |request: Request| {
            let refused = Problem::new(&kinds::METHOD_NOT_ALLOWED, format!("Use one of {allowed}."));
            let allow = HeaderValue::from_str(&allowed).expect("methods are visible ASCII");
            std::future::ready(refusal(&app, &request, refused.header(ALLOW, allow)))
        };
        router = router.route(&format!("{BASE}{path}"), methods.fallback(refuse));
    }
    let gateways = app.clone();
    let nowhere = move |request: Request| {
        std::future::ready(refusal(&app, &request, Problem::not_found("address in this API")))
    };
    router
        .route("/api", any(nowhere.clone()))
        .route("/api/{*rest}", any(nowhere))
        .route("/openapi.json", get(description::serve))
        .merge(gateway::router(gateways))
}

/// The description (OpenAPI 3.1), as it is served.
pub(crate) fn description() -> serde_json::Value {
    description::whole()
}

/// The routes of each address.
fn by_path() -> Vec<(&'static str, Vec<&'static Route>)> {
    let mut paths: Vec<(&'static str, Vec<&'static Route>)> = Vec::new();
    for route in ROUTES {
        match paths.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, routes)) => routes.push(route),
            None => paths.push((route.path, vec![route])),
        }
    }
    paths
}

/// The methods that an address offers, for `Allow`.
fn allow(routes: &[&Route]) -> String {
    let mut methods: Vec<_> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.join(", ")
}

fn refusal(app: &App, request: &Request, problem: Problem) -> Response {
    let id = request.extensions().get().copied();
    problem.into_response(request.uri().path(), id.unwrap_or_else(|| RequestId::new(app.now())))
}

/// One request: signed in, allowed, read, done.
async fn run(app: Arc<App>, route: &'static Route, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = parts.extensions.get().copied().unwrap_or_else(|| RequestId::new(app.now()));
    let uri = parts.uri.clone();
    let result = match Call::admit(app, route, parts, body, request_id).await {
        Ok(call) => act(route, call).await,
        Err(problem) => Err(problem),
    };
    let mut response = match result {
        Ok(answer) => answer.into_response(),
        Err(problem) => problem.into_response(uri.path(), request_id),
    };
    response.extensions_mut().insert(RouteName(route.name));
    response
}

/// Reads are dropped with their client. A change goes on: what follows its commit (the first attempt of a
/// delivery, the wake-up, the answer kept for an Idempotency-Key) must not be lost when the client hangs up.
async fn act(route: &'static Route, call: Call) -> Result<Answer, Problem> {
    if route.method == Method::GET {
        return (route.act)(call).await;
    }
    match tokio::spawn((route.act)(call)).await {
        Ok(result) => result,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(crate::ops::OpError::Draining.into()),
        },
    }
}

#[cfg(test)]
mod tests;
