//! Signed assertions on one core beside `openssl speed rsa2048`, in turns: the signature is what a token request costs.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use consign_core::assertion::{Assertion, Ids};
use consign_core::secret::Secret;
use consign_core::sign::{KeySize, SigningKey, create};
use consign_core::target::Address;
use consign_core::time::Timestamp;
use consign_core::token::{Exchange, Grant, Life, ToSign};

use crate::figures::{Spread, Table};
use crate::ground::Ground;
use crate::report::Section;
use crate::sink::now_ns;

const ROUNDS: usize = 7;
const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_000);

pub(crate) fn run(ground: &Ground) -> anyhow::Result<Section> {
    let seconds = ground.of(3, 1);
    let exchange = exchange()?;
    let to_sign = exchange.assertion.as_ref().context("it signs")?;
    let key = SigningKey::stored(&to_sign.key)?;
    let (mut openssl, mut alone, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        openssl.push(speed(seconds)?);
        alone.push(rate(seconds, || to_sign.assertion.signed(&Ids::random(), NOW, &key).map(drop))?);
        whole.push(rate(seconds, || exchange.form(NOW).map(drop))?);
        let last = |rates: &[f64]| rates.last().copied().unwrap_or(f64::NAN).round();
        println!("sign: round {round}: {} {} {}", last(&openssl), last(&alone), last(&whole));
    }
    let ratio = |rates: &[f64]| Spread::of(rates.iter().zip(&openssl).map(|(ours, theirs)| ours / theirs));
    let rates = |rates: &[f64]| Spread::of(rates.iter().copied()).to_string();
    let mut table = Table::new(["RSA 2048, one core", "per second", "beside openssl, round by round"]);
    table.row(["`openssl speed rsa2048`, signatures".to_owned(), rates(&openssl), String::new()]);
    table.row(["assertions signed".to_owned(), rates(&alone), ratio(&alone).to_string()]);
    let form = "token requests written: key read, assertion signed, form encoded".to_owned();
    table.row([form, rates(&whole), ratio(&whole).to_string()]);
    let text = format!(
        "One thread, {ROUNDS} rounds of {seconds} s each, in turns with {}. An assertion has two attributes and its \
         certificate in it. The key is read anew for each token request, because no opened key is kept.\n\n{table}",
        version()?
    );
    Ok(Section { title: "SAML assertions", text })
}

fn exchange() -> anyhow::Result<Exchange> {
    let (certificate, key) = create("Consign bench", KeySize::Rsa2048, 1, NOW)?;
    let text = |text: &str| text.to_owned();
    let assertion = Assertion {
        issuer: text("https://consign.example"),
        name_id: text("ana.silva"),
        name_id_format: text("urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"),
        name_qualifier: String::new(),
        recipient: text("https://api.example/oauth/token"),
        audience: text("www.successfactors.com"),
        authn_context: text("urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"),
        attributes: vec![
            (text("api_key"), vec![text("NWQ5ZjE")]),
            (text("use_username"), vec![text("true")]),
        ],
        lifetime: Duration::from_secs(300),
        certificate: Some(certificate.base64()),
    };
    let to = Address::parse("Recipient", "https://api.example/oauth/token");
    Ok(Exchange {
        proofs: Vec::new(),
        to: to.map_err(|fault| anyhow::anyhow!(fault.message))?,
        query: Secret::new(String::new()),
        headers: Vec::new(),
        body: Secret::new(format!("grant_type={}&company_id=acme", Grant::Saml2Bearer.kind())),
        assertion: Some(ToSign { assertion, key, url_safe: true }),
        grant: Grant::Saml2Bearer,
        scope: String::new(),
        life: Life { stated: None, otherwise: None },
    })
}

/// How often something can be done in a second.
fn rate<E: std::error::Error + Send + Sync + 'static>(
    seconds: u64,
    act: impl Fn() -> Result<(), E>,
) -> anyhow::Result<f64> {
    let (start, wanted) = (now_ns(), seconds * 1_000_000_000);
    let mut done = 0_u32;
    loop {
        act()?;
        done += 1;
        let took = now_ns() - start;
        if took >= wanted {
            return Ok(f64::from(done) / (took as f64 / 1e9));
        }
    }
}

/// Signatures a second, as OpenSSL measures them by the clock on the wall.
fn speed(seconds: u64) -> anyhow::Result<f64> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-elapsed", "-mr", "-seconds", &seconds.to_string(), "rsa2048"]);
    let said = command.output().context("openssl cannot be started")?;
    let text = String::from_utf8_lossy(&said.stdout);
    // `+F2:2:2048:1953.0:66000.0`: number, bits, signatures and verifications a second. Before OpenSSL 3 it was the
    // seconds of one.
    let line = text.lines().find_map(|line| line.strip_prefix("+F2:"));
    match line.and_then(|line| line.split(':').nth(2)?.parse::<f64>().ok()) {
        Some(rate) if rate > 1.0 => Ok(rate),
        Some(seconds) if seconds > 0.0 => Ok(1.0 / seconds),
        _ => bail!("openssl says no rate: {text}"),
    }
}

fn version() -> anyhow::Result<String> {
    let said = Command::new("openssl").arg("version").output().context("openssl cannot be started")?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(text.split(" (").next().unwrap_or_default().trim().to_owned())
}
