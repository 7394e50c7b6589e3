//! The cookie that a session begins with: what a browser is told about it by TLS, and by plain http on this machine.

use consign::config::Config;
use consign::ops;

use crate::harness::{Client, Database, EMAIL, Folder, Replica, Reply, TestConsign, form};
use crate::people::invite;

/// What a browser sends to a page of this server.
const FORM: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];

/// What is chosen where nobody signs in again.
const PASSWORD: &str = "vellum-otter-93-quartz";

/// How a browser comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By plain http to a loopback address.
    Local,
    /// By TLS to another machine.
    Tls,
}

impl Way {
    const ALL: [Self; 2] = [Self::Local, Self::Tls];

    fn name(self) -> &'static str {
        match self {
            Self::Local => "consign-local",
            Self::Tls => "__Host-consign",
        }
    }

    /// Whatever else stood there, such as a domain, would be wrong for a cookie whose name begins with `__Host-`.
    fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Local => &["HttpOnly", "Path=/", "SameSite=Lax"],
            Self::Tls => &["HttpOnly", "Path=/", "SameSite=Lax", "Secure"],
        }
    }

    async fn post(self, client: &Client, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut headers = FORM.to_vec();
        if matches!(self, Self::Tls) {
            headers.push(("host", "consign.acme.example"));
        }
        client.send("POST", path, &headers, form(fields)).await
    }
}

/// The only cookie that an answer sets: its name, its value and its attributes in the order of the alphabet.
#[track_caller]
fn only_cookie(reply: &Reply) -> (String, String, Vec<String>) {
    let set: Vec<_> = reply.headers.get_all("set-cookie").iter().map(|it| it.to_str().unwrap()).collect();
    let [cookie] = set[..] else { panic!("{}: {} cookies", reply.asked, set.len()) };
    let mut parts = cookie.split("; ");
    let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a name and a value");
    let mut attributes: Vec<_> = parts.map(str::to_owned).collect();
    attributes.sort();
    (name.to_owned(), value.to_owned(), attributes)
}

#[track_caller]
fn begins_a_session(way: Way, reply: Reply) -> String {
    let reply = reply.expect(303);
    let (name, value, attributes) = only_cookie(&reply);
    assert_eq!(name, way.name(), "{way:?}: {}", reply.asked);
    assert_eq!(attributes, way.attributes(), "{way:?}: {}", reply.asked);
    assert!(value.len() >= 32, "{way:?}: {}: a token", reply.asked);
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_up_begins_with_a_cookie_that_only_the_browser_has() {
    for way in Way::ALL {
        let folder = Folder::new("cookies");
        let database = Database::sqlite(&folder);
        let replica = Replica::start(&folder, &database, &|_| {}).await.unwrap();
        let client = Client::new(replica.address, Default::default());
        let token = ops::users::new_setup_link(&replica.app).await.unwrap();
        let path = format!("/setup/{}", token.expose());
        let fields = [("name", "Ana Silva"), ("email", EMAIL), ("password", PASSWORD)];
        begins_a_session(way, way.post(&client, &path, &fields).await);
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_and_an_invitation_begin_with_such_a_cookie_and_signing_out_ends_it() {
    let consign = TestConsign::start().await;
    let (client, password) = (&consign.client, consign.password.as_str());
    for way in Way::ALL {
        let fields = [("email", EMAIL), ("password", password), ("next", "/")];
        let first = begins_a_session(way, way.post(client, "/sign-in", &fields).await);
        let second = begins_a_session(way, way.post(client, "/sign-in", &fields).await);
        assert_ne!(first, second, "{way:?}: another session, another token");

        let (_, path) = invite(&consign, &format!("{way:?}@acme.example"), "viewer").await;
        let chosen = consign.canary("the password of somebody invited");
        let fields = [("name", "Bo"), ("password", chosen.as_str())];
        begins_a_session(way, way.post(client, &path, &fields).await);
    }
    // As long as the browser runs, it has no end of its own; a session that ends takes it away under the same name.
    let out = consign.submit("/sign-out", &[]).await.expect(303);
    let set: Vec<_> = out.headers.get_all("set-cookie").iter().map(|it| it.to_str().unwrap()).collect();
    assert!(set.contains(&"consign-local=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"), "{set:?}");
    consign.finish().await;
}

/// A proxy on the same machine ends TLS: it is the public URL that tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_public_url_of_https_the_cookie_is_secure_whatever_the_host() {
    let folder = Folder::new("cookies");
    let database = Database::sqlite(&folder);
    let edit = |config: &mut Config| {
        config.server.public_url = Some("https://consign.acme.example".to_owned());
    };
    let replica = Replica::start(&folder, &database, &edit).await.unwrap();
    let client = Client::new(replica.address, Default::default());
    let token = ops::users::new_setup_link(&replica.app).await.unwrap();
    let path = format!("/setup/{}", token.expose());
    let fields = [("name", "Ana Silva"), ("email", EMAIL), ("password", PASSWORD)];
    let reply = Way::Local.post(&client, &path, &fields).await;
    begins_a_session(Way::Tls, reply);
    replica.stop().await;
}
