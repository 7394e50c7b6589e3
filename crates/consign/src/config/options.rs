//! The table of options: name, how it is read, how it is shown. File, environment and `config print` follow.

use consign_core::subnet::Subnet;

use super::given::{Fault, Given};
use super::{CLIENT_HEADERS, Config};
use kept::{copies, keeping};

mod kept;

/// One option.
pub(super) struct Entry {
    /// Its name, such as `server.listen`.
    pub(super) key: &'static str,
    /// Whether its value is a secret: it has a `_file` twin and is shown as `set`.
    pub(super) secret: bool,
    /// Reads a value into its place.
    pub(super) set: fn(&mut Config, Given) -> Result<(), Fault>,
    /// Its value as it would stand in the file; `None` when there is none.
    pub(super) show: fn(&Config) -> Option<String>,
}

const HOUR_SECONDS: u64 = 3_600;
pub(crate) const WEEK_SECONDS: u64 = 168 * HOUR_SECONDS;
pub(crate) const RETRIES_MAX: usize = 20;
/// A month: longer is no session any more.
pub(crate) const SESSION_HOURS_MAX: u64 = 720;
/// The same in minutes.
pub(crate) const IDLE_MINUTES_MAX: u64 = SESSION_HOURS_MAX * 60;
/// Half of what an attempt is leased for.
pub(crate) const TIMEOUT_SECONDS_MAX: u64 = 60;
/// From one small event to what a server takes into its memory at once.
pub(crate) const EVENT_BYTES: (u64, u64) = (1 << 10, 16 << 20);
/// Up to what a disk takes.
pub(crate) const EXPORT_BYTES: (u64, u64) = (1 << 10, 1 << 40);
/// Ten years: longer is a slip of the finger.
pub(crate) const DAYS_MAX: u64 = 3_650;

fn open(
    key: &'static str,
    set: fn(&mut Config, Given) -> Result<(), Fault>,
    show: fn(&Config) -> Option<String>,
) -> Entry {
    Entry { key, secret: false, set, show }
}

fn secret(
    key: &'static str,
    set: fn(&mut Config, Given) -> Result<(), Fault>,
    show: fn(&Config) -> Option<String>,
) -> Entry {
    Entry { key, secret: true, set, show }
}

fn quoted(value: impl ToString) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// Every option, in the order of the file.
pub(super) fn all() -> Vec<Entry> {
    let mut entries = server();
    entries.push(gateways());
    entries.extend(storage());
    entries.extend(provider());
    entries.extend(people());
    entries.extend(mail());
    entries.extend(sending());
    entries.extend(keeping());
    entries.extend(copies());
    entries
}

fn server() -> Vec<Entry> {
    vec![
        open(
            "server.listen",
            |config, given| {
                config.server.listen = given.address()?.ok_or("needs an address and port")?;
                Ok(())
            },
            |config| Some(quoted(config.server.listen)),
        ),
        open(
            "server.public_url",
            |config, given| {
                config.server.public_url = given.optional()?.map(|text| origin(&text)).transpose()?;
                Ok(())
            },
            |config| config.server.public_url.as_ref().map(quoted),
        ),
        open(
            "server.tls.cert_file",
            |config, given| {
                config.server.tls_cert_file = given.path()?;
                Ok(())
            },
            |config| config.server.tls_cert_file.as_ref().map(|path| quoted(path.display())),
        ),
        open(
            "server.tls.key_file",
            |config, given| {
                config.server.tls_key_file = given.path()?;
                Ok(())
            },
            |config| config.server.tls_key_file.as_ref().map(|path| quoted(path.display())),
        ),
        open(
            "server.trusted_proxies",
            |config, given| {
                let networks =
                    given.list()?.iter().map(|text| text.parse::<Subnet>()).collect::<Result<_, _>>();
                config.server.trusted_proxies =
                    networks.map_err(|fault| format!("cannot be read: {fault}"))?;
                Ok(())
            },
            |config| Some(list(config.server.trusted_proxies.iter().map(quoted))),
        ),
        open(
            "server.client_header",
            |config, given| {
                config.server.client_header = given.word(&CLIENT_HEADERS)?;
                Ok(())
            },
            |config| Some(quoted(config.server.client_header)),
        ),
        open(
            "server.metrics_listen",
            |config, given| {
                config.server.metrics_listen = given.address()?;
                Ok(())
            },
            |config| Some(config.server.metrics_listen.map_or_else(|| quoted(""), quoted)),
        ),
        open(
            "server.metrics_credential_ends",
            |config, given| {
                config.server.metrics_credential_ends = given.flag()?;
                Ok(())
            },
            |config| Some(config.server.metrics_credential_ends.to_string()),
        ),
        open(
            "server.shutdown_grace_seconds",
            |config, given| {
                config.server.shutdown_grace_seconds = given.number(0, HOUR_SECONDS)?;
                Ok(())
            },
            |config| Some(config.server.shutdown_grace_seconds.to_string()),
        ),
    ]
}

fn gateways() -> Entry {
    open(
        "gateway.listen",
        |config, given| {
            config.gateway.listen = given.address()?;
            Ok(())
        },
        |config| config.gateway.listen.map(quoted),
    )
}

fn storage() -> Vec<Entry> {
    vec![
        open(
            "data.dir",
            |config, given| {
                config.data.dir = given.path()?.ok_or("needs a folder")?;
                Ok(())
            },
            |config| Some(quoted(config.data.dir.display())),
        ),
        secret(
            "database.url",
            |config, given| {
                config.database.url = given.secret()?;
                Ok(())
            },
            |config| config.database.url.as_ref().map(|_| "set".to_owned()),
        ),
        open(
            "database.max_connections",
            |config, given| {
                config.database.max_connections = u32::try_from(given.number(2, 1_000)?).unwrap_or(2);
                Ok(())
            },
            |config| Some(config.database.max_connections.to_string()),
        ),
        open(
            "encryption.keys_file",
            |config, given| {
                config.encryption.keys_file = given.path()?;
                Ok(())
            },
            |config| config.encryption.keys_file.as_ref().map(|path| quoted(path.display())),
        ),
        secret(
            "encryption.keys",
            |config, given| {
                config.encryption.keys = given.secret()?;
                Ok(())
            },
            |config| config.encryption.keys.as_ref().map(|_| "set".to_owned()),
        ),
    ]
}

fn provider() -> Vec<Entry> {
    vec![
        open(
            "auth.oidc.issuer",
            |config, given| {
                config.auth.oidc.issuer = given.optional()?;
                Ok(())
            },
            |config| config.auth.oidc.issuer.as_ref().map(quoted),
        ),
        open(
            "auth.oidc.client_id",
            |config, given| {
                config.auth.oidc.client_id = given.optional()?;
                Ok(())
            },
            |config| config.auth.oidc.client_id.as_ref().map(quoted),
        ),
        secret(
            "auth.oidc.client_secret",
            |config, given| {
                config.auth.oidc.client_secret = given.secret()?;
                Ok(())
            },
            |config| config.auth.oidc.client_secret.as_ref().map(|_| "set".to_owned()),
        ),
        open(
            "auth.oidc.admin_group",
            |config, given| {
                config.auth.oidc.admin_group = given.optional()?;
                Ok(())
            },
            |config| config.auth.oidc.admin_group.as_ref().map(quoted),
        ),
        open(
            "auth.oidc.name",
            |config, given| {
                let name = given.optional()?;
                if name.iter().any(|name| name.chars().count() > 40 || name.chars().any(char::is_control)) {
                    return Err("needs a name of 40 characters or fewer".to_owned());
                }
                config.auth.oidc.name = name;
                Ok(())
            },
            |config| config.auth.oidc.name.as_ref().map(quoted),
        ),
    ]
}

fn mail() -> Vec<Entry> {
    vec![
        secret(
            "smtp.url",
            |config, given| {
                config.smtp.url = given.secret()?;
                Ok(())
            },
            |config| config.smtp.url.as_ref().map(|_| "set".to_owned()),
        ),
        open(
            "smtp.from",
            |config, given| {
                config.smtp.from = given.optional()?;
                Ok(())
            },
            |config| config.smtp.from.as_ref().map(quoted),
        ),
    ]
}

fn people() -> Vec<Entry> {
    vec![
        open(
            "auth.session_hours",
            |config, given| {
                config.auth.session_hours = given.number(1, SESSION_HOURS_MAX)?;
                Ok(())
            },
            |config| Some(config.auth.session_hours.to_string()),
        ),
        open(
            "auth.idle_minutes",
            |config, given| {
                config.auth.idle_minutes = given.number(1, IDLE_MINUTES_MAX)?;
                Ok(())
            },
            |config| Some(config.auth.idle_minutes.to_string()),
        ),
        open(
            "auth.local",
            |config, given| {
                config.auth.local = given.flag()?;
                Ok(())
            },
            |config| Some(config.auth.local.to_string()),
        ),
        open(
            "auth.two_step_required",
            |config, given| {
                config.auth.two_step_required = given.flag()?;
                Ok(())
            },
            |config| Some(config.auth.two_step_required.to_string()),
        ),
        open(
            "admin.email",
            |config, given| {
                config.admin.email = given.optional()?;
                Ok(())
            },
            |config| config.admin.email.as_ref().map(quoted),
        ),
        secret(
            "admin.password",
            |config, given| {
                config.admin.password = given.secret()?;
                Ok(())
            },
            |config| config.admin.password.as_ref().map(|_| "set".to_owned()),
        ),
    ]
}

fn sending() -> Vec<Entry> {
    vec![
        open(
            "egress.allow",
            |config, given| {
                config.egress.allow = given.list()?;
                Ok(())
            },
            |config| Some(list(config.egress.allow.iter().map(quoted))),
        ),
        open(
            "egress.allow_loopback",
            |config, given| {
                config.egress.allow_loopback = given.flag()?;
                Ok(())
            },
            |config| Some(config.egress.allow_loopback.to_string()),
        ),
        open(
            "egress.proxy",
            |config, given| {
                config.egress.proxy = given.optional()?;
                Ok(())
            },
            |config| config.egress.proxy.as_ref().map(quoted),
        ),
        secret(
            "egress.proxy_login",
            |config, given| {
                config.egress.proxy_login = given.secret()?;
                Ok(())
            },
            |config| config.egress.proxy_login.as_ref().map(|_| "set".to_owned()),
        ),
        open(
            "egress.no_proxy",
            |config, given| {
                config.egress.no_proxy = given.list()?;
                Ok(())
            },
            |config| Some(list(config.egress.no_proxy.iter().map(quoted))),
        ),
        open(
            "egress.ca_file",
            |config, given| {
                config.egress.ca_file = given.path()?;
                Ok(())
            },
            |config| config.egress.ca_file.as_ref().map(|path| quoted(path.display())),
        ),
        open(
            "egress.tls_min",
            |config, given| {
                config.egress.tls_min = given.word(&["1.2", "1.3"])?;
                Ok(())
            },
            |config| Some(quoted(config.egress.tls_min)),
        ),
        open(
            "delivery.workers",
            |config, given| {
                config.delivery.workers = usize::try_from(given.number(1, 65_536)?).unwrap_or(1);
                Ok(())
            },
            |config| Some(config.delivery.workers.to_string()),
        ),
        open(
            "delivery.timeout_seconds",
            |config, given| {
                config.delivery.timeout_seconds =
                    u32::try_from(given.number(1, TIMEOUT_SECONDS_MAX)?).unwrap_or(20);
                Ok(())
            },
            |config| Some(config.delivery.timeout_seconds.to_string()),
        ),
        open(
            "delivery.retry_schedule_seconds",
            |config, given| {
                let waits = given.numbers(1, WEEK_SECONDS)?;
                if waits.len() > RETRIES_MAX {
                    return Err(format!("has more than {RETRIES_MAX} waits"));
                }
                config.delivery.retry_schedule_seconds = waits;
                Ok(())
            },
            |config| Some(list(config.delivery.retry_schedule_seconds.iter().map(u64::to_string))),
        ),
    ]
}

fn list(rows: impl Iterator<Item = String>) -> String {
    format!("[{}]", rows.collect::<Vec<_>>().join(", "))
}

/// An origin: scheme, host and perhaps a port, without path; the slash at the end goes.
pub(super) fn origin(text: &str) -> Result<String, Fault> {
    let wrong = || "needs an address without a path, such as https://consign.example.com".to_owned();
    let address: http::Uri = text.parse().map_err(|_| wrong())?;
    let scheme =
        address.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(wrong)?;
    let authority =
        address.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    if address.path() != "/" && !address.path().is_empty() || address.query().is_some() {
        return Err(wrong());
    }
    Ok(format!("{scheme}://{}", authority.as_str().to_ascii_lowercase()))
}
