//! Every page as every role: the table against the routes, and the answers against the table.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use consign_core::id::RequestId;
use consign_core::role::Role;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_core::vault::KeyRing;
use consign_store::{DatabaseUrl, Store};
use serde_json::json;
use tower_service::Service as _;

use super::*;
use crate::App;
use crate::config::Config;
use crate::ops::{Actor, people, users};

/// The addresses that the sources of the console route, with constants put in.
fn routed() -> BTreeSet<String> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("console")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(folder.join("console.rs"));
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for after in text.split(".route(").skip(1) {
            let name = after.split(',').next().unwrap().trim();
            let literal = match name.strip_prefix('"') {
                Some(rest) => rest.trim_end_matches('"').to_owned(),
                None => {
                    let constant = format!("const {name}: &str = \"");
                    let (_, value) =
                        text.split_once(&constant).unwrap_or_else(|| panic!("{name} in {file:?}"));
                    value.split('"').next().unwrap().to_owned()
                }
            };
            found.insert(literal);
        }
    }
    found.remove("/assets/{hash}/{name}");
    found
}

#[test]
fn every_route_is_in_the_table_and_every_page_of_the_table_is_routed() {
    let listed: BTreeSet<_> = PAGES.iter().map(|(_, path, _)| (*path).to_owned()).collect();
    assert_eq!(routed(), listed);
    let pairs: BTreeSet<_> = PAGES.iter().map(|(method, path, _)| (method.as_str(), *path)).collect();
    assert_eq!(pairs.len(), PAGES.len(), "no page stands in the table twice");
}

#[test]
fn what_is_not_in_the_table_is_for_administrators() {
    assert_eq!(needs(&Method::GET, "/new-page"), Needs::Right(Right::Admin));
    assert_eq!(needs(&Method::POST, "/credentials"), Needs::Right(Right::Admin));
    assert_eq!(needs(&Method::HEAD, "/credentials"), Needs::Right(Right::CredentialsRead));
}

/// An address with something that is not there.
fn filled(path: &str) -> String {
    let path = path.replace("{id}", "none").replace("{token}", "none");
    let path = path.replace("{name}", "none").replace("{subject}", "none");
    path.replace("{deed}", "suspend").replace("{sequence}", "1")
}

/// A Consign with one person of each role, and their sessions.
struct Company {
    app: Arc<App>,
    router: Router,
    folder: PathBuf,
}

impl Drop for Company {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Company {
    async fn start() -> Self {
        let id = RequestId::new(Timestamp::from_millis(0)).to_string();
        let folder = std::env::temp_dir().join(format!("consign-roles-{id}"));
        std::fs::create_dir_all(&folder).unwrap();
        let url = DatabaseUrl::parse(&format!("sqlite:{}", folder.join("consign.db").display())).unwrap();
        let store = Store::open(&url, 4).await.unwrap();
        let mut config = Config::default();
        config.data.dir.clone_from(&folder);
        let app = App::start(config, KeyRing::generate(), store).await.unwrap();
        let password = Secret::new("correct horse battery".to_owned());
        users::setup_unattended(&app, "first@acme.example", &password).await.unwrap();
        Self { router: crate::console::router(app.clone()), app, folder }
    }

    /// The cookie and form token of a new person with a role.
    async fn person(&self, role: Role) -> (String, String) {
        let system = Actor::system(self.app.now());
        let sent = json!({ "email": format!("{}@acme.example", role.kind()), "role": role });
        let made = people::invite(&self.app, &system, sent.as_object().unwrap().clone()).await.unwrap();
        let link = made["invitation"]["link"].as_str().unwrap();
        let token = link.rsplit('/').next().unwrap();
        let password = Secret::new("correct horse battery".to_owned());
        let begun = people::accept(&self.app, token, role.label(), &password, None).await.unwrap();
        let person = users::session(&self.app, begun.token.expose(), true).await.unwrap().unwrap();
        assert_eq!(person.role, role);
        (format!("consign-local={}", begun.token.expose()), person.csrf)
    }

    async fn ask(&self, method: &Method, path: &str, (cookie, csrf): &(String, String)) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1")
            .header("cookie", cookie)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        let body = if *method == Method::POST { format!("csrf={csrf}") } else { String::new() };
        let request = request.body(Body::from(body)).unwrap();
        let (parts, body) = self.router.clone().call(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 22).await.unwrap();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_as_every_role() {
    let company = Company::start().await;
    let mut asked = 0;
    for role in Role::ALL {
        let session = company.person(*role).await;
        // Signing out ends the session that the others need.
        for (method, path, needs) in PAGES.iter().filter(|(_, path, _)| *path != "/sign-out") {
            let address = filled(path);
            let (status, text) = company.ask(method, &address, &session).await;
            let at = format!("{method} {path} as {}: {status}", role.kind());
            let allowed = match needs {
                Needs::Nothing | Needs::Session => true,
                Needs::Right(right) => role.rights().allow(*right),
            };
            assert_eq!(status != 403, allowed, "{at}");
            assert!(status < 500, "{at}\n{text}");
            if let Needs::Right(right) = needs
                && !allowed
            {
                let needed = Role::least_with(*right).label();
                let words = format!("You need the role {needed} for this page. Administrator");
                assert!(text.contains(&words), "{at}: {words}\n{text}");
            }
            asked += 1;
        }
    }
    assert!(asked > 5 * 60, "{asked}");
    company.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_counts_without_its_token_or_from_another_site() {
    let company = Company::start().await;
    let (cookie, csrf) = company.person(Role::Administrator).await;
    let posts = PAGES.iter().filter(|(method, _, _)| *method == Method::POST);
    let mut asked = 0;
    for (method, path, _) in posts {
        let address = filled(path);
        for wrong in ["", "0000"] {
            let (status, text) = company.ask(method, &address, &(cookie.clone(), wrong.to_owned())).await;
            assert!(status == 403 && text.contains("from an earlier session"), "{path}: {status}");
        }
        let request = Request::builder()
            .method(method)
            .uri(&address)
            .header("host", "127.0.0.1")
            .header("cookie", &cookie)
            .header("sec-fetch-site", "cross-site")
            .header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(Body::from(format!("csrf={csrf}"))).unwrap();
        let reply = company.router.clone().call(request).await.unwrap();
        assert_eq!(reply.status(), 403, "{path}");
        asked += 1;
    }
    assert!(asked > 30, "{asked}");
    let still = company.ask(&Method::GET, "/account", &(cookie, csrf)).await;
    assert_eq!(still.0, 200, "the session lives: nothing was done");
    company.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_navigation_leads_only_to_what_may_be_opened() {
    let company = Company::start().await;
    for role in Role::ALL {
        let session = company.person(*role).await;
        let (_, text) = company.ask(&Method::GET, "/account", &session).await;
        let text = text.replace("&#x2f;", "/");
        let (_, nav) = text.split_once("<nav aria-label=\"Main\">").unwrap();
        let (nav, _) = nav.split_once("</nav>").unwrap();
        let links: Vec<_> =
            nav.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        for (_, path, needs) in PAGES.iter().filter(|(method, path, _)| {
            *method == Method::GET && path.matches('/').count() == 1 && links.contains(path)
        }) {
            let Needs::Right(right) = needs else { continue };
            assert!(role.rights().allow(*right), "{path} for {}", role.kind());
        }
        assert_eq!(
            links.contains(&"/users"),
            *role == Role::Administrator,
            "{} {links:?}\n{text}",
            role.kind()
        );
        assert!(links.contains(&"/credentials") && links.contains(&"/deliveries"), "{links:?}");
    }
    company.app.stop().await;
}
