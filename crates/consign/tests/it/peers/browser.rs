//! Headless Chromium behind ChromeDriver, with a profile of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use super::free_port;
use crate::harness::{EMAIL, Folder, Session, TestConsign, eventually, http, variable};

pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Child,
    address: SocketAddr,
    _profile: Folder,
}

impl Browser {
    /// Starts one; `scripts`: whether pages may run any.
    pub(crate) async fn start(scripts: bool) -> Self {
        let profile = Folder::new("browser");
        let port = free_port();
        let mut command = Command::new(variable("CONSIGN_TEST_CHROMEDRIVER"));
        command.arg(format!("--port={port}")).arg("--allowed-ips=127.0.0.1");
        command.env("TMPDIR", profile.path()).env("HOME", profile.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of their own, so that the browser ends with its driver, however a test ends.
        let driver = command.process_group(0).spawn().expect("ChromeDriver starts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually("ChromeDriver to listen", async || http::connect(address).await.ok()).await;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&profile, scripts))
            .connect(&format!("http://{address}"))
            .await
            .expect("Chromium starts");
        Self { client, driver, address, _profile: profile }
    }

    /// Ends the browser and its driver.
    pub(crate) async fn close(self) {
        // Whatever is left of it ends with the driver.
        let _ = self.client.clone().close().await;
    }

    pub(crate) async fn goto(&self, address: &str) {
        self.client.goto(address).await.unwrap();
    }

    /// Opens a page of Consign whose reader has to sign in first.
    pub(crate) async fn sign_in(&self, consign: &TestConsign, base: &str, path: &str) {
        self.goto(&format!("{base}{path}")).await;
        self.until_at("/sign-in").await;
        self.fill("email", EMAIL).await;
        self.fill("password", &consign.password).await;
        self.press_words("Sign in").await;
        self.until_at(path).await;
    }

    /// The path of the page that is shown.
    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// What is to be read; nothing while one page takes the place of another.
    pub(crate) async fn text(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Types into the field of a name, over what stands there.
    pub(crate) async fn fill(&self, name: &str, text: &str) {
        eventually(&format!("the field {name} to take its text"), async || {
            let field = self.client.find(Locator::Css(&format!("[name='{name}']"))).await.ok()?;
            field.clear().await.ok()?;
            field.send_keys(text).await.ok()
        })
        .await;
    }

    pub(crate) async fn choose(&self, name: &str, value: &str) {
        let field = self.client.find(Locator::Css(&format!("select[name='{name}']"))).await;
        let field = field.unwrap_or_else(|error| panic!("no drop-down {name}: {error}"));
        field.select_by_value(value).await.unwrap();
    }

    /// Presses what a selector finds.
    pub(crate) async fn press(&self, selector: &str) {
        let button = self.client.find(Locator::Css(selector)).await;
        let button = button.unwrap_or_else(|error| panic!("nothing to press at {selector}: {error}"));
        button.click().await.unwrap();
    }

    /// Presses the first button or link that shows these words.
    pub(crate) async fn press_words(&self, words: &str) {
        self.press_within("//main|//body", words).await;
    }

    /// Presses the first button or link within a part of the page that shows these words.
    pub(crate) async fn press_within(&self, part: &str, words: &str) {
        let parts = part.split('|').flat_map(|part| {
            ["button", "a"].map(|tag| format!("{part}//{tag}[normalize-space()='{words}']"))
        });
        for path in parts {
            for found in self.client.find_all(Locator::XPath(&path)).await.unwrap() {
                // A form's invisible first button is for the Enter key.
                let hidden = found.attr("aria-hidden").await.unwrap().is_some();
                if !hidden && found.is_displayed().await.unwrap() {
                    return found.click().await.unwrap();
                }
            }
        }
        panic!("no “{words}” to press\n{}", self.text().await);
    }

    /// A command of the browser's developer tools: what WebDriver has no word for.
    async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let session = self.client.session_id().await.unwrap().unwrap();
        let path = format!("/session/{session}/goog/cdp/execute");
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let driver = http::Client::new(self.address, http::Served::default());
        let reply = driver.send("POST", &path, &[("content-type", "application/json")], body).await;
        reply.expect(200).json()["value"].clone()
    }

    /// Runs a script at the beginning of each page, before anything of the page itself.
    pub(crate) async fn before_each_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script })).await;
    }

    /// The page from top to bottom, at most so high, as WebP. The window is made as high as the page and stands at its
    /// top: what sticks to an edge of the window, such as the rail, is where a person sees it.
    pub(crate) async fn picture(&self, width: u32, height_max: u32) -> Vec<u8> {
        let height = self.run("return document.documentElement.scrollHeight", vec![]).await;
        let height = u32::try_from(height.as_u64().unwrap_or(0)).unwrap_or(u32::MAX).min(height_max);
        self.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": true })).await;
        self.size(width, height).await;
        self.run("window.scrollTo(0, 0)", vec![]).await;
        let asked = json!({ "format": "webp", "quality": 84 });
        let taken = self.devtools("Page.captureScreenshot", &asked).await;
        self.resize(width).await;
        self.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": false })).await;
        BASE64_STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("Base64")
    }

    /// As on a system that prefers dark or light pages, or `forced` its own colours on all of them.
    pub(crate) async fn prefer(&self, scheme: &str, forced: bool) {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "forced-colors", "value": if forced { "active" } else { "none" } },
            // Colours that fade from one scheme to the other are none that stay.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", &features).await;
    }

    /// A window of this width.
    pub(crate) async fn resize(&self, width: u32) {
        self.size(width, 800).await;
    }

    async fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics).await;
    }

    /// From now on this person at this server, or nobody.
    pub(crate) async fn be(&self, base: &str, session: Option<&Session>) {
        self.devtools("Network.clearBrowserCookies", &json!({})).await;
        if let Some((name, value)) = session.and_then(|session| session.cookie.split_once('=')) {
            let cookie = json!({ "name": name, "value": value, "url": base, "httpOnly": true });
            self.devtools("Network.setCookie", &cookie).await;
        }
    }

    pub(crate) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap()
    }

    /// Waits until the path of the page starts so, and tells the whole of it.
    pub(crate) async fn until_at(&self, start: &str) -> String {
        eventually(&format!("the page {start}"), async || {
            let path = self.path().await;
            path.starts_with(start).then_some(path)
        })
        .await
    }

    /// As [`Browser::until_at`], for a page that is not the one with this in its path.
    pub(crate) async fn until_elsewhere(&self, start: &str, not: &str) -> String {
        eventually(&format!("another page {start}"), async || {
            let path = self.path().await;
            (path.starts_with(start) && !path.contains(not)).then_some(path)
        })
        .await
    }

    /// Waits until there is something at a selector.
    pub(crate) async fn until_there(&self, selector: &str) {
        eventually(&format!("something at {selector}"), async || {
            let found = self.client.find_all(Locator::Css(selector)).await.unwrap_or_default();
            (!found.is_empty()).then_some(())
        })
        .await;
    }

    /// Waits until the page shows these words.
    pub(crate) async fn until_shows(&self, words: &str) {
        eventually(&format!("the page to show “{words}”"), async || {
            self.text().await.contains(words).then_some(())
        })
        .await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // They may have ended by themselves.
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}

fn capabilities(profile: &Folder, scripts: bool) -> Capabilities {
    let flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ];
    let mut arguments: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    arguments.push(format!("--user-data-dir={}", profile.join("profile").display()));
    let mut options = json!({ "binary": variable("CONSIGN_TEST_CHROMIUM"), "args": arguments });
    if !scripts {
        options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
    }
    let mut capabilities = Capabilities::new();
    // Peers show certificates of the tests' own authority.
    capabilities.insert("acceptInsecureCerts".to_owned(), json!(true));
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    capabilities
}
