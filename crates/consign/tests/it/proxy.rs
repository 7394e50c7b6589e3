//! A company's proxy: everything that leaves goes through it, and nothing is lost while it does not let us in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use consign_core::secret::Secret;
use serde_json::json;

use crate::exporter_servers::Place;
use crate::exporters::{numbers, push, start, until};
use crate::harness::database::Kind;
use crate::harness::page::unescape;
use crate::harness::{TestConsign, bearer};
use crate::peers::authorization_server::{AuthorizationServer, Registered, Setup};
use crate::peers::company_proxy::CompanyProxy;
use crate::peers::{Answer, Tool};

const LOGIN: &str = "consign:pass of the proxy";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_leaves_goes_through_it() {
    let proxy = CompanyProxy::start(LOGIN).await;
    let (address, lets_in) = (proxy.address(), Arc::new(AtomicBool::new(false)));
    let knows = lets_in.clone();
    let mut consign = TestConsign::on(Kind::Sqlite, move |config| {
        let login = if knows.load(Ordering::Relaxed) { LOGIN } else { "consign:an old one" };
        config.egress.proxy = Some(address.clone());
        config.egress.proxy_login = Some(Secret::new(login.to_owned()));
        config.egress.no_proxy = vec!["192.0.2.0/24".to_owned()];
    })
    .await;
    let tool = Tool::start().await;
    let webhook = json!({ "retry_schedule_seconds": [3600], "event_types": ["*"] });
    let webhook = consign.bearer_webhook("Desk", &tool.origin(), &webhook).await;
    let credential = consign.get("/credentials/Desk").await.json();

    // It does not let us in: said where it is looked for, and the event waits.
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "retrying").await;
    let path = format!("/credentials/{}/tests", credential["id"].as_str().unwrap());
    let tested = consign.act(&path).await.expect(201).json();
    assert_eq!(tested["message"], "The company proxy asks for sign-in (407). See Settings > Egress.");
    assert_eq!(tested["steps"][1]["state"], "failed", "{tested}");
    assert_eq!((tool.count(), proxy.led().len()), (0, 0));
    let page = unescape(&consign.page("/settings/egress").await.expect(200).text());
    assert!(page.contains(&proxy.address()) && page.contains("192.0.2.0/24"), "{page}");
    for hidden in ["an old one", LOGIN] {
        assert!(!page.contains(hidden), "{page}");
        let options = consign.get("/settings").await.expect(200).text();
        assert!(!options.contains(hidden), "{options}");
    }

    lets_in.store(true, Ordering::Relaxed);
    consign.restart().await;
    consign.act(&format!("/deliveries/{}/attempts", sent.delivery())).await.expect(202);
    consign.until(sent.delivery(), "delivered").await;
    let tested = consign.act(&path).await.expect(201).json();
    let through = format!("through the proxy {}", proxy.address().trim_start_matches("http://"));
    assert_eq!(tested["steps"][0]["fact"], through, "{tested}");
    let at = |origin: &str| origin.trim_start_matches("https://").trim_end_matches('/').to_owned();
    assert!(proxy.led().contains(&at(&tool.origin())), "{:?}", proxy.led());

    // Token requests, calls of gateways, and files.
    let secret = consign.canary("client secret");
    let server =
        AuthorizationServer::start(&Setup::with(vec![Registered::machine("machine", &secret)])).await;
    let machine = json!({
        "name": "Machine", "protocol": "https", "url_address": tool.origin(), "client_id": "machine",
        "authorization_type": "oauth2_client_credentials", "client_secret": secret, "access_token_url": server.token_url(),
        "authentication_information": "header",
    });
    let machine = consign.credential(&machine).await;
    let tested = consign.act(&format!("/credentials/{machine}/tests")).await.expect(201).json();
    assert_ne!(tested["outcome"], "failed", "{tested}");
    let token_host = at(server.token_url().rsplit_once("/token").map_or("", |(origin, _)| origin));
    assert!(proxy.led().contains(&token_host), "{token_host} in {:?}", proxy.led());
    tool.answer_next(Answer::status(200));
    let gateway = json!({ "name": "Calls", "credential": "Desk", "slug": "calls", "path_prefixes": ["/"] });
    consign.post("/gateways", &gateway).await.expect(201);
    let tried = consign.post("/gateways/Calls/trials", &json!({ "path": "/x" })).await.expect(200).json();
    assert_eq!(tried["status"], 200, "{tried}");
    let place = Place::new(&consign, &json!({})).await;
    push(&consign, &place.exporter, &numbers(0..3)).await;
    let run = start(&consign, &place.exporter).await;
    until(&consign, &run, "done").await;
    let files = place.sshd.hostname();
    let files = files.trim_start_matches("sftp://").trim_end_matches('/');
    assert!(proxy.led().iter().any(|led| led == files), "{files} in {:?}", proxy.led());

    // What the rules close is closed here as well.
    let blocked = bearer("Meta", "https://169.254.169.254/", &consign.canary("token"));
    consign.post("/credentials", &blocked).await.expect(422);
    let checked =
        consign.submit("/settings/egress", &[("address", "https://tool.example.com/")]).await.text();
    let checked = unescape(&checked);
    for said in [
        "Yes. tool.example.com is reached through the proxy 127.0.0.1:",
        "Rules about networks were not asked: the proxy finds its addresses.",
    ] {
        assert!(checked.contains(said), "{checked}");
    }
    let shown = consign.get(&format!("/webhooks/{webhook}")).await.json();
    assert_eq!(shown["state"], "active");
    consign.finish().await;
}
