//! What a browser loads first, in bytes as they arrive; and which answers are compressed.

use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::TestConsign;
use crate::harness::http::connect;

/// What browsers send.
const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// An answer as it came over the wire: its head, and the body behind it.
struct Arrived {
    bytes: usize,
    head: String,
    body: Vec<u8>,
}

impl Arrived {
    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|had| had.eq_ignore_ascii_case(line))
    }

    fn is_compressed(&self) -> bool {
        self.head.to_ascii_lowercase().contains("content-encoding")
    }
}

async fn load(consign: &TestConsign, path: &str, cookie: Option<&str>) -> Arrived {
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: {ACCEPTED}\r\n{cookie}Connection: close\r\n\r\n",
        consign.address()
    );
    let mut stream = connect(consign.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "the body is all that follows: {head}");
    Arrived { bytes: all.len(), head, body: all[end + 4..].to_vec() }
}

/// The addresses of what a page loads besides itself.
fn assets(page: &[u8]) -> BTreeSet<String> {
    let page = String::from_utf8_lossy(page).replace("&#x2f;", "/");
    let quoted = page.split('"').filter(|text| text.starts_with("/assets/"));
    quoted.map(|path| path.split('#').next().unwrap_or(path).to_owned()).collect()
}

fn expanded(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_load_stays_below_60_kb() {
    let consign = TestConsign::start().await;
    let page = load(&consign, "/", Some(&consign.session.cookie)).await;
    assert!(!page.is_compressed(), "a page holds the token of its forms: {}", page.head);
    let paths = assets(&page.body);
    consign.shown_elsewhere("the first page", page.body);
    let mut total = page.bytes;
    let mut seen = Vec::new();
    for path in &paths {
        let asset = load(&consign, path, Some(&consign.session.cookie)).await;
        assert!(asset.has("content-encoding: gzip"), "{path}: {}", asset.head);
        assert!(asset.has(&format!("content-length: {}", asset.body.len())), "{path}: {}", asset.head);
        let most = match path.rsplit('/').next().unwrap() {
            "consign.js" => 8_000,
            "consign.css" => 20_000,
            _ => 60_000,
        };
        assert!(asset.bytes <= most, "{path} has {} bytes, of {most}", asset.bytes);
        total += asset.bytes;
        seen.push(path.rsplit('/').next().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, ["consign.css", "consign.js", "icons.svg"]);
    assert!(total <= 60_000, "the first load has {total} bytes");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assets_are_gzip_for_whoever_accepts_it() {
    let consign = TestConsign::start().await;
    let paths = assets(&consign.page("/").await.expect(200).body);
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in &paths {
        let plain = consign.client.send("GET", path, &[], "").await.expect(200);
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        for (accepted, compressed) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("br", false),
        ] {
            let sent = [("accept-encoding", accepted)];
            let reply = consign.client.send("GET", path, &sent, "").await.expect(200);
            assert_eq!(reply.header("content-encoding"), compressed.then_some("gzip"), "{path}: {accepted}");
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"), "{path}: {accepted}");
            assert_eq!(reply.header("content-type"), plain.header("content-type"), "{path}: {accepted}");
            assert_eq!(reply.header("cache-control"), plain.header("cache-control"), "{path}: {accepted}");
            let length = reply.body.len().to_string();
            assert_eq!(reply.header("content-length"), Some(length.as_str()), "{path}: {accepted}");
            let content = if compressed { expanded(&reply.body) } else { reply.body.to_vec() };
            assert!(content == plain.body, "{path}: {accepted}");
            let head = consign.client.send("HEAD", path, &sent, "").await.expect(200);
            assert_eq!(head.header("content-encoding"), compressed.then_some("gzip"), "{path}: {accepted}");
            assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}: {accepted}");
        }
    }
    for path in ["/", "/credentials", "/account", "/docs", "/docs/api"] {
        let sent = [("cookie", consign.session.cookie.as_str()), ("accept-encoding", ACCEPTED)];
        let page = consign.client.send("GET", path, &sent, "").await.expect(200);
        assert_eq!(page.header("content-encoding"), None, "{path}");
    }
    let page = consign.client.send("GET", "/sign-in", &[("accept-encoding", ACCEPTED)], "").await.expect(200);
    assert_eq!(page.header("content-encoding"), None);
    consign.finish().await;
}
