//! A Consign for other load programs: started, set up, and described in a small JSON file.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::ground::Ground;
use crate::product::{self, Home};

const EVENT_TYPE: &str = "bench.peer";

/// Serves until Ctrl-C. The load program puts its number, time and padding in place of `@ID@`, `@TS@` and
/// `@PAD@`.
pub(crate) async fn serve(
    ground: &Ground,
    file: &Path,
    url: &str,
    authority: &Path,
    token: &str,
) -> anyhow::Result<()> {
    let rest = url.strip_prefix("https://").context("--sink must be an https:// address")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let rule = if host.contains(':') { host.to_owned() } else { format!("{host}:443") };
    let authority = authority.canonicalize().context("--ca-file cannot be read")?;
    let home = Home::trusting(ground, &authority, &rule, None)?;
    let client = home.client()?;
    let product = home.serve()?;
    let settings = json!({ "path": format!("/{path}"), "max_concurrency": 64 });
    product::connect(&client, &format!("https://{host}/"), token, EVENT_TYPE, settings).await?;
    let data = r#"{"bench_id":@ID@,"bench_ts":@TS@,"pad":"@PAD@"}"#;
    let peer = json!({
        "name": "consign",
        "url": format!("http://{}/api/v1/events", client.address),
        "headers": { "authorization": client.bearer()?, "content-type": "application/json" },
        "ok": 202,
        "body": format!(r#"{{"type":"{EVENT_TYPE}","data":{data}}}"#),
        "expect_auth": format!("Bearer {token}"),
        "pids": { "server": product.id.to_string() },
    });
    // It holds an API key: nobody else reads it.
    let mut open = std::fs::OpenOptions::new();
    let mut written = open.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(written, "{peer:#}")?;
    println!("{} describes process {}. Ctrl-C ends it.", file.display(), product.id);
    tokio::signal::ctrl_c().await?;
    product.stop()
}
