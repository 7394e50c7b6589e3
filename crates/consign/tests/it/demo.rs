//! `consign demo --once`: a newcomer's first minute.

use consign::ops;
use rustix::process::Signal;

use crate::harness::cli::PROGRAM;
use crate::harness::process::{Process, free_address};
use crate::harness::{Cli, Client, Database, Folder, Replica, form};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_delivers_with_every_authorization_type_and_leaves_nothing() {
    let folder = Folder::new("demo");
    let tmp = folder.join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let command = Cli::new(folder.path(), &["demo", "--once"]).env("TMPDIR", &tmp.display().to_string());
    let ran = command.run().await.expect(0);
    for words in [
        "Stand-in tool",
        "Authorization server",
        "Basic",
        "Bearer token",
        "OAuth 2.0 - Client credentials",
        "OAuth 2.0 – SAML",
        "No Auth (None)",
        "Data exporter         “Demo device list”",
        "Data exporter         Sent",
        "OpenSSH file server   sftp://127.0.0.1:",
        "File over SFTP        Sent demo-device-files-",
        "time,type,device,score",
        "All 15 events arrived",
    ] {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(!ran.stdout.contains('\u{1b}'), "no colours when it is piped");
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "its data is removed");
    assert!(!folder.join("consign-data").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_takes_a_free_port_when_its_own_is_taken() {
    let folder = Folder::new("demo");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = Cli::new(folder.path(), &["demo", "--once", "--port", &port]).run().await.expect(0);
    assert!(!ran.stdout.is_empty());
}

/// However it is ended, also before everything was shown: its data holds secrets, and its file server runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_ends_the_demo_leaves_nothing() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let folder = Folder::new("demo");
        let tmp = folder.join("tmp");
        std::fs::create_dir(&tmp).unwrap();
        let address = free_address();
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["demo", "--port", &address.port().to_string()]).env("TMPDIR", &tmp);
        let mut process = Process::spawn(command, address, folder.path()).await;
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 1, "{signal:?}: its data");
        process.signal(signal);
        assert!(process.ended().await.success(), "{signal:?}");
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "{signal:?}: its data is removed");
        let tmp = tmp.display().to_string();
        let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(&tmp)
        });
        assert_eq!(left.count(), 0, "{signal:?}: a program of it runs");
    }
}

/// The pages of the demo before and after its link was opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_says_that_its_link_comes_first_and_the_link_leads_on() {
    let folder = Folder::new("demo");
    let database = Database::sqlite(&folder);
    let replica = Replica::start(&folder, &database, &|_| {}).await.unwrap();
    let client = Client::new(replica.address, Default::default());
    let approve = "/credentials/crd_00000000000000000000000000/authorize";
    // Without a demo it is the first start of a server.
    let page = client.send("GET", approve, &[], "").await.expect(503).text();
    assert!(page.contains("Not set up yet") && page.contains("consign admin setup-link"), "{page}");
    let link = ops::users::new_sign_in_link(&replica.app);
    let link = format!("/demo/{}", link.expose());
    for path in [approve, "/sign-in"] {
        let page = client.send("GET", path, &[], "").await.expect(503).text();
        assert!(page.contains("Open the console link first"), "{page}");
        assert!(!page.contains("setup-link") && !page.contains(&link), "{page}");
    }
    let to = |next: &str| format!("{link}?next={next}");
    let page = client.send("GET", &to(approve), &[], "").await.expect(200).text();
    assert!(page.contains("Open the demo"), "{page}");
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let entered = client.send("POST", &to(approve), &headers, form(&[("next", approve)])).await.expect(303);
    assert_eq!(entered.location(), approve);
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    // The other link leads on in the same browser, and nowhere else.
    let on = client.send("GET", &link, &[("cookie", &cookie)], "").await.expect(303);
    assert_eq!(on.location(), "/");
    let on = client.send("GET", &to(approve), &[("cookie", &cookie)], "").await.expect(303);
    assert_eq!(on.location(), approve);
    let away = client.send("GET", &to("//evil.example"), &[("cookie", &cookie)], "").await.expect(303);
    assert_eq!(away.location(), "/");
    let again = client.send("POST", &link, &headers, "").await.expect(404).text();
    assert!(again.contains("This link does not work any more"), "{again}");
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_verifier_the_demo_says_what_it_leaves_out() {
    let folder = Folder::new("demo");
    let ran = Cli::new(folder.path(), &["demo", "--once"]).env("PATH", "/nowhere").run().await.expect(0);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for words in [
        "“OAuth 2.0 – SAML” is left out",
        "apt-get install xmlsec1",
        "Files over SFTP are left out: no OpenSSH server here. apt-get install openssh-server",
        "All 12 events arrived",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}
