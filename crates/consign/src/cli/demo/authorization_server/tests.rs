use super::*;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:8420/oauth/callback/crd_1";

async fn server() -> AuthorizationServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    AuthorizationServer::start(listener, &Identity::create().unwrap(), None).unwrap()
}

fn form(pairs: &[(&str, &str)]) -> Form {
    Form(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn basic(client: &Client) -> HeaderMap {
    let pair = BASE64_STANDARD.encode(format!("{}:{}", client.id, client.secret));
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Basic {pair}").parse().unwrap());
    headers
}

async fn text(reply: Reply) -> String {
    String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn json_of(reply: Reply) -> Value {
    serde_json::from_str(&text(reply).await).unwrap()
}

/// A person at the approval page: what they are sent back with.
async fn decide(server: &AuthorizationServer, decision: &str) -> Form {
    let page = server.ask(&form(&[
        ("response_type", "code"),
        ("client_id", "demo-person"),
        ("redirect_uri", BACK),
        ("state", "a state"),
        ("scope", "<b>"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]));
    let page = text(page).await;
    assert!(page.contains("&lt;b&gt;"), "{page}");
    let number = page.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let reply = server.decide(&form(&[("request", number), ("decision", decision)]));
    assert_eq!(reply.status(), 303);
    let location = reply.headers()[header::LOCATION].to_str().unwrap().to_owned();
    assert_eq!(server.decide(&form(&[("request", number), ("decision", decision)])).status(), 400);
    Form::read(location.strip_prefix(&format!("{BACK}?")).unwrap().as_bytes())
}

fn redeem(server: &AuthorizationServer, code: &str, verifier: &str) -> Reply {
    let asked = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", verifier),
    ];
    server.token(&basic(&server.0.person), &form(&asked))
}

fn renew(server: &AuthorizationServer, refresh: &str) -> Reply {
    let asked = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    server.token(&basic(&server.0.person), &form(&asked))
}

#[tokio::test]
async fn a_machine_gets_a_token_of_its_own_and_nobody_else_does() {
    let server = server().await;
    let asked = form(&[("grant_type", "client_credentials")]);
    let token = json_of(server.token(&basic(&server.0.machine), &asked)).await;
    let access = token["access_token"].as_str().unwrap();
    assert!(server.accepts(access, false) && !server.accepts(access, true) && !server.accepts("x", false));
    assert!(token.get("refresh_token").is_none());
    let stranger = Client { id: "demo-machine", secret: "guessed".to_owned() };
    assert_eq!(server.token(&basic(&stranger), &asked).status(), 401);
    assert_eq!(server.token(&HeaderMap::new(), &asked).status(), 401);
    assert_eq!(server.token(&basic(&server.0.person), &asked).status(), 400);
}

#[tokio::test]
async fn a_person_approves_and_each_refresh_token_works_once() {
    let server = server().await;
    server.register(BACK);
    let denied = decide(&server, "deny").await;
    assert_eq!((denied.text("error"), denied.text("state")), ("access_denied", "a state"));
    let code = decide(&server, "approve").await;
    assert_eq!((code.text("state"), code.text("iss")), ("a state", server.issuer().as_str()));
    assert_eq!(redeem(&server, code.text("code"), CHALLENGE).status(), 400, "another proof key");
    assert_eq!(redeem(&server, code.text("code"), VERIFIER).status(), 400, "a code is good for one try");
    let code = decide(&server, "approve").await;
    let first = json_of(redeem(&server, code.text("code"), VERIFIER)).await;
    let refresh = first["refresh_token"].as_str().unwrap();
    let second = json_of(renew(&server, refresh)).await;
    let access = second["access_token"].as_str().unwrap();
    assert!(server.accepts(access, true) && !server.accepts(access, false));
    assert_eq!(renew(&server, refresh).status(), 400, "it was replaced");
    assert!(!server.accepts(access, true), "and with it the whole family ended");
    assert_eq!(renew(&server, second["refresh_token"].as_str().unwrap()).status(), 400);
}

#[tokio::test]
async fn whoever_is_not_registered_is_sent_nowhere() {
    let server = server().await;
    server.register(BACK);
    let asked =
        [("response_type", "code"), ("client_id", "demo-person"), ("redirect_uri", "http://evil.example/")];
    let page = server.ask(&form(&asked));
    assert!(page.status() == 400 && page.headers().get(header::LOCATION).is_none());
}
