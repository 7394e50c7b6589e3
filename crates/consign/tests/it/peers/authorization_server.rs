//! The certified authorization server oidc-provider: clients, consent, rotation with reuse detection.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::authority;
use crate::harness::{Client, Folder, Reply, form, percent, variable};

/// A running server. Each has its own issuer, clients and grants.
pub(crate) struct AuthorizationServer {
    child: Child,
    /// The server ends when it is closed.
    _input: ChildStdin,
    _folder: Folder,
    port: u16,
    control: Client,
}

/// How a server behaves; it can be told more later.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setup {
    pub(crate) clients: Vec<Registered>,
    pub(crate) access_token_seconds: u32,
    /// Whether a refresh token is good for one renewal; coming again, it ends its whole family.
    pub(crate) rotation: bool,
    /// How long a rotated refresh token still works.
    pub(crate) refresh_token_overlap_seconds: u32,
    /// Whether what is known of a person stands in the ID token, or elsewhere.
    pub(crate) claims_in_id_token: bool,
}

/// A client as the server knows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Registered {
    client_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_secret: String,
    token_endpoint_auth_method: &'static str,
    grant_types: Vec<&'static str>,
    response_types: Vec<&'static str>,
    redirect_uris: Vec<String>,
}

/// Where the client's secret was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Authentication {
    Header,
    Body,
    None,
}

/// One request of a token, as the server saw it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TokenRequest {
    /// When it came, in milliseconds since 1970 by this machine's clock.
    pub(crate) at_ms: i64,
    /// Unknown when the server was down.
    pub(crate) grant_type: Option<String>,
    pub(crate) authentication: Authentication,
    pub(crate) client_id: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) status: u16,
    /// The code of OAuth.
    pub(crate) error: Option<String>,
}

/// What the person presses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decision {
    Approve,
    Deny,
}

impl Setup {
    /// Tokens for an hour, and strict rotation.
    pub(crate) fn with(clients: Vec<Registered>) -> Self {
        Self {
            clients,
            access_token_seconds: 3600,
            rotation: true,
            refresh_token_overlap_seconds: 0,
            claims_in_id_token: false,
        }
    }
}

impl Registered {
    /// One that acts for itself, its secret in the header.
    pub(crate) fn machine(id: &str, secret: &str) -> Self {
        Self {
            client_id: id.to_owned(),
            client_secret: secret.to_owned(),
            token_endpoint_auth_method: "client_secret_basic",
            grant_types: vec!["client_credentials"],
            response_types: Vec::new(),
            redirect_uris: Vec::new(),
        }
    }

    /// One that acts for a person, its secret in the header.
    pub(crate) fn for_person(id: &str, secret: &str, redirect_url: &str) -> Self {
        Self {
            grant_types: vec!["authorization_code", "refresh_token"],
            response_types: vec!["code"],
            redirect_uris: vec![redirect_url.to_owned()],
            ..Self::machine(id, secret)
        }
    }

    /// One that signs assertions, and is known without a secret.
    pub(crate) fn signer(id: &str) -> Self {
        Self {
            token_endpoint_auth_method: "none",
            client_secret: String::new(),
            ..Self::signer_with_secret(id, "")
        }
    }

    /// One that signs assertions and has a secret, in the header.
    pub(crate) fn signer_with_secret(id: &str, secret: &str) -> Self {
        Self {
            grant_types: vec!["urn:ietf:params:oauth:grant-type:saml2-bearer"],
            ..Self::machine(id, secret)
        }
    }

    /// The same, its secret in the body.
    pub(crate) fn by_body(self) -> Self {
        Self { token_endpoint_auth_method: "client_secret_post", ..self }
    }
}

impl AuthorizationServer {
    pub(crate) async fn start(setup: &Setup) -> Self {
        let folder = Folder::new("authorization-server");
        let identity = authority().identity();
        let mut config = serde_json::to_value(setup).unwrap();
        config["certificate"] = json!(folder.write("certificate.pem", identity.certificate.pem()));
        config["key"] = json!(folder.write("key.pem", identity.key.serialize_pem()));
        let mut command = Command::new(variable("CONSIGN_TEST_NODE"));
        command.arg(variable("CONSIGN_TEST_AUTHORIZATION_SERVER"));
        let errors = folder.join("errors.log");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut child = command.spawn().expect("Node.js starts");
        let mut input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        writeln!(input, "{config}").unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let said = read.await.unwrap().unwrap();
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| {
            let errors = std::fs::read_to_string(&errors).unwrap_or_default();
            panic!("the authorization server says {said:?} and complains:\n{errors}")
        });
        let port = |name: &str| u16::try_from(said[name].as_u64().expect("a port")).unwrap();
        let control = Client::new(address(port("control_port")), crate::harness::http::Served::default());
        Self { child, _input: input, _folder: folder, port: port("port"), control }
    }

    pub(crate) fn issuer(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub(crate) fn token_url(&self) -> String {
        format!("{}/token", self.issuer())
    }

    pub(crate) fn authorization_url(&self) -> String {
        format!("{}/auth", self.issuer())
    }

    /// Speaks to the server as a client of it does.
    pub(crate) fn client(&self) -> Client {
        Client::secure(address(self.port))
    }

    /// A client that is new, or one that is known in a new way: redirect URLs are known late.
    pub(crate) async fn register(&self, client: &Registered) {
        self.tell("/clients", &serde_json::to_value(client).unwrap()).await;
    }

    /// Every token request that was done, oldest first; its answer may still be kept back.
    pub(crate) async fn token_requests(&self) -> Vec<TokenRequest> {
        serde_json::from_value(self.ask("/log").await).unwrap()
    }

    /// How many grants the server revoked by itself, because a refresh token or a code came twice.
    pub(crate) async fn families_revoked(&self) -> u64 {
        self.ask("/families").await["revoked"].as_u64().expect("a number")
    }

    /// Whether a resource server should let this access token in now.
    pub(crate) async fn is_valid(&self, access_token: &str) -> bool {
        self.ask(&format!("/introspect?token={}", percent(access_token))).await["valid"] == true
    }

    /// As if every person took back their consent: no grant, no refresh token, none of their access tokens.
    pub(crate) async fn revoke_all(&self) {
        self.tell("/revoke-grants", &Value::Null).await;
    }

    /// Ends every access token there is. Grants stay.
    pub(crate) async fn expire_access_tokens(&self) {
        self.tell("/expire", &Value::Null).await;
    }

    /// Whose assertions are taken from now on, and how: what is named is replaced.
    pub(crate) async fn trust_signer(&self, signer: &Value) {
        self.tell("/signer", signer).await;
    }

    /// Every assertion that was taken, oldest first, as the server read it.
    pub(crate) async fn assertions(&self) -> Vec<Value> {
        self.ask("/assertions").await.as_array().cloned().expect("a list")
    }

    /// Who approves from now on, and what is known of them.
    pub(crate) async fn is_asked_by(&self, person: &Value) {
        self.tell("/person", person).await;
    }

    /// For so many questions the keys are not those that sign.
    pub(crate) async fn keep_keys_back(&self, times: u32) {
        self.tell("/keys-late", &json!(times)).await;
    }

    /// Whether the token endpoint answers 503, and nothing else.
    pub(crate) async fn set_down(&self, down: bool) {
        self.tell("/weather", &json!({ "down": down })).await;
    }

    /// From now on does what is asked, and keeps the answer back so long. The log has it at once.
    pub(crate) async fn delay(&self, delay: Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap();
        self.tell("/weather", &json!({ "delay_ms": delay_ms })).await;
    }

    /// Whether the token endpoint does what is asked, and then hangs up without an answer.
    pub(crate) async fn lose_answers(&self, lose: bool) {
        self.tell("/weather", &json!({ "lose": lose })).await;
    }

    /// Takes its time away: connections are made, and nothing is read.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Gives it back.
    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// A person at an authorization request, without a browser: where the server sends them back to.
    pub(crate) async fn decide(&self, authorization_request: &str, decision: Decision) -> String {
        let mut person = Person { server: self, cookies: BTreeMap::new() };
        let page = person.go("GET", self.path(authorization_request), "").await.expect(303).location();
        person.go("GET", self.path(&page), "").await.expect(200);
        let decision = match decision {
            Decision::Approve => "approve",
            Decision::Deny => "deny",
        };
        let posted = person.go("POST", self.path(&page), &form(&[("decision", decision)])).await.expect(303);
        person.go("GET", self.path(&posted.location()), "").await.expect(303).location()
    }

    /// Path and query of an address here.
    fn path<'a>(&self, address: &'a str) -> &'a str {
        address.strip_prefix(&self.issuer()).unwrap_or(address)
    }

    async fn ask(&self, path: &str) -> Value {
        self.control.send("GET", path, &[], "").await.expect(200).json()
    }

    async fn tell(&self, path: &str, what: &Value) {
        self.control.send("POST", path, &[], what.to_string()).await.expect(200);
    }
}

impl Drop for AuthorizationServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Follows pages with cookies.
struct Person<'a> {
    server: &'a AuthorizationServer,
    cookies: BTreeMap<String, String>,
}

impl Person<'_> {
    async fn go(&mut self, method: &str, path: &str, body: &str) -> Reply {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let headers = [("cookie", cookies.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let reply = self.server.client().send(method, path, &headers, body.to_owned()).await;
        for cookie in reply.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap_or_default();
            let (name, value) = cookie.split_once('=').expect("a cookie has a name");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        reply
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
