//! The options in force: defaults, then `consign.toml`, then `CONSIGN_*`. Nothing else reads the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use consign_core::address::Egress;
use consign_core::delivery::DEFAULT_SCHEDULE_SECONDS;
use consign_core::proxy::Proxy;
use consign_core::schedule::{Schedule, TimeZone};
use consign_core::secret::Secret;
use consign_core::subnet::Subnet;
use consign_transport::{Network, TlsMin};
use rustls::pki_types::CertificateDer;

use crate::engine::{DeliveryRules, DeliverySet};

pub use load::{ConfigError, Loaded, Source, load, load_from};
pub(crate) use options::{
    DAYS_MAX, IDLE_MINUTES_MAX, RETRIES_MAX, SESSION_HOURS_MAX, TIMEOUT_SECONDS_MAX, WEEK_SECONDS,
};
pub(crate) use options::{EVENT_BYTES, EXPORT_BYTES};

mod given;
mod load;
mod options;

/// The commented defaults, as `consign config default` prints them.
pub const DEFAULTS: &str = include_str!("../consign.default.toml");

/// Every option, typed and judged.
#[derive(Debug)]
pub struct Config {
    /// Where people and programs reach Consign.
    pub server: ServerOptions,
    /// Where applications reach gateways besides.
    pub gateway: GatewayOptions,
    /// Where it keeps what it knows.
    pub data: DataOptions,
    /// The database.
    pub database: DatabaseOptions,
    /// The key ring.
    pub encryption: EncryptionOptions,
    /// Web sessions.
    pub auth: AuthOptions,
    /// An unattended first start.
    pub admin: AdminOptions,
    /// Who takes the mail that Consign writes.
    pub smtp: SmtpOptions,
    /// What may be reached.
    pub egress: EgressOptions,
    /// How deliveries are tried.
    pub delivery: DeliveryOptions,
    /// How long records stay.
    pub retention: RetentionOptions,
    /// What is too much.
    pub limits: LimitOptions,
    /// Copies of the database.
    pub backup: BackupOptions,
    /// What is written to the log.
    pub log: LogOptions,
    /// Where the options that were given came from.
    pub sources: BTreeMap<&'static str, Source>,
}

/// The headers that a proxy may name the client in; the first is read where nothing else was set.
pub const CLIENT_HEADERS: [&str; 2] = ["x-forwarded-for", "forwarded"];

/// `server.*`
#[derive(Debug)]
pub struct ServerOptions {
    /// Address and port of console and API.
    pub listen: SocketAddr,
    /// The origin that people and tools use, without a slash at the end.
    pub public_url: Option<String>,
    /// Built-in TLS: the certificate chain, PEM.
    pub tls_cert_file: Option<PathBuf>,
    /// Built-in TLS: the private key, PEM.
    pub tls_key_file: Option<PathBuf>,
    /// Proxies whose word on the client's address counts.
    pub trusted_proxies: Vec<Subnet>,
    /// The header in which they name the client: `x-forwarded-for` or `forwarded`.
    pub client_header: &'static str,
    /// Address and port of metrics and health; `None`: off.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the metrics tell of each credential when it ends.
    pub metrics_credential_ends: bool,
    /// Seconds that running attempts get at the end.
    pub shutdown_grace_seconds: u64,
}

/// `gateway.*`
#[derive(Debug, Default)]
pub struct GatewayOptions {
    /// Address and port of a listener that serves gateways and nothing else; without it there is none.
    pub listen: Option<SocketAddr>,
}

/// `data.*`
#[derive(Debug)]
pub struct DataOptions {
    /// The folder of database and key ring.
    pub dir: PathBuf,
}

/// `database.*`
#[derive(Debug)]
pub struct DatabaseOptions {
    /// The address as given; a password may be in it.
    pub url: Option<Secret>,
    /// The most connections to PostgreSQL.
    pub max_connections: u32,
}

/// `encryption.*`
#[derive(Debug)]
pub struct EncryptionOptions {
    /// The file of the key ring.
    pub keys_file: Option<PathBuf>,
    /// The key ring itself.
    pub keys: Option<Secret>,
}

/// `auth.*`
#[derive(Debug)]
pub struct AuthOptions {
    /// How long a web session lives.
    pub session_hours: u64,
    /// How long it lives unused.
    pub idle_minutes: u64,
    /// Whether people sign in with a password that is kept here.
    pub local: bool,
    /// Whether who signs in with a password needs a second step.
    pub two_step_required: bool,
    /// The provider that people sign in with.
    pub oidc: OidcOptions,
}

/// `auth.oidc.*`
#[derive(Debug, Default)]
pub struct OidcOptions {
    /// The provider's name for itself, an https address; without it there is none.
    pub issuer: Option<String>,
    /// As whom we are known there.
    pub client_id: Option<String>,
    /// How we prove it; without it the proof key alone does.
    pub client_secret: Option<Secret>,
    /// Whoever is in this group there comes as an administrator.
    pub admin_group: Option<String>,
    /// What people call the provider.
    pub name: Option<String>,
}

/// `smtp.*`
#[derive(Debug, Default)]
pub struct SmtpOptions {
    /// The server, with name and password.
    pub url: Option<Secret>,
    /// Who writes.
    pub from: Option<String>,
}

/// `admin.*`
#[derive(Debug)]
pub struct AdminOptions {
    /// The first administrator's address.
    pub email: Option<String>,
    /// The first administrator's password.
    pub password: Option<Secret>,
}

/// `egress.*`
#[derive(Debug)]
pub struct EgressOptions {
    /// Rules that open or close destinations.
    pub allow: Vec<String>,
    /// Whether a rule may open loopback and link-local addresses.
    pub allow_loopback: bool,
    /// The company's proxy, through which destinations are reached.
    pub proxy: Option<String>,
    /// How it lets us in: `user:password`.
    pub proxy_login: Option<Secret>,
    /// Hosts, domains and networks that are reached without it.
    pub no_proxy: Vec<String>,
    /// Certificate authorities besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// The oldest TLS that is spoken to tools: `1.2` or `1.3`.
    pub tls_min: &'static str,
}

/// `delivery.*`
#[derive(Debug)]
pub struct DeliveryOptions {
    /// Attempts at one time.
    pub workers: usize,
    /// How long an answer may take, of connectors that are made without a time of their own.
    pub timeout_seconds: u32,
    /// Waits between attempts.
    pub retry_schedule_seconds: Vec<u64>,
}

/// `retention.*`
#[derive(Debug)]
pub struct RetentionOptions {
    /// Days that payloads of ended deliveries stay.
    pub payload_days: u64,
    /// Days that records of ended deliveries stay.
    pub delivery_days: u64,
    /// Days that records of calls through gateways stay.
    pub gateway_days: u64,
}

/// `limits.*`
#[derive(Debug)]
pub struct LimitOptions {
    /// The largest request with events.
    pub event_bytes: usize,
    /// The largest file that is pushed to an exporter.
    pub export_bytes: u64,
    /// Less than this left on the disk of the database is told.
    pub disk_low_bytes: u64,
    /// The requests of one API key in a second, events apart; 0: as many as come.
    pub requests_per_second: u32,
    /// Its requests with events in a second; 0: as many as come.
    pub event_requests_per_second: u32,
}

/// `backup.*`
#[derive(Debug)]
pub struct BackupOptions {
    /// Where they are kept; without it none are made.
    pub dir: Option<PathBuf>,
    /// When they are made, in UTC.
    pub schedule: Schedule,
    /// How many stay.
    pub keep: usize,
}

/// `log.*`
#[derive(Debug)]
pub struct LogOptions {
    /// How a line looks.
    pub format: LogFormat,
    /// What is worth a line: a level, or directives such as `info,consign=debug`.
    pub level: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// At night, when little is sent.
const BACKUP_SCHEDULE: &str = "0 3 * * *";

fn backup_schedule(text: &str) -> Schedule {
    let zone = TimeZone::parse("").expect("no name is UTC");
    Schedule::parse(text, zone).expect("the default is a cron text")
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            server: ServerOptions {
                listen: local(8420),
                public_url: None,
                tls_cert_file: None,
                tls_key_file: None,
                trusted_proxies: Vec::new(),
                client_header: CLIENT_HEADERS[0],
                metrics_listen: Some(local(9420)),
                metrics_credential_ends: true,
                shutdown_grace_seconds: 30,
            },
            gateway: GatewayOptions::default(),
            data: DataOptions { dir: PathBuf::from("./consign-data") },
            database: DatabaseOptions { url: None, max_connections: 10 },
            encryption: EncryptionOptions { keys_file: None, keys: None },
            auth: AuthOptions {
                session_hours: 12,
                idle_minutes: 30,
                local: true,
                two_step_required: false,
                oidc: OidcOptions::default(),
            },
            smtp: SmtpOptions::default(),
            admin: AdminOptions { email: None, password: None },
            egress: EgressOptions {
                allow: Vec::new(),
                allow_loopback: false,
                proxy: None,
                proxy_login: None,
                no_proxy: Vec::new(),
                ca_file: None,
                tls_min: "1.2",
            },
            delivery: DeliveryOptions {
                workers: 1_024,
                timeout_seconds: 20,
                retry_schedule_seconds: DEFAULT_SCHEDULE_SECONDS.to_vec(),
            },
            retention: RetentionOptions { payload_days: 14, delivery_days: 90, gateway_days: 14 },
            limits: LimitOptions {
                event_bytes: 1 << 20,
                export_bytes: 5 << 30,
                disk_low_bytes: 512 << 20,
                requests_per_second: 500,
                event_requests_per_second: 0,
            },
            backup: BackupOptions { dir: None, schedule: backup_schedule(BACKUP_SCHEDULE), keep: 7 },
            log: LogOptions { format: LogFormat::Auto, level: "info".to_owned() },
            sources: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Every option with its value and source; secrets as `set`, absent ones as `none`.
    pub fn print(&self) -> Vec<(&'static str, String, Source)> {
        let row = |entry: &options::Entry| {
            let value = (entry.show)(self).unwrap_or_else(|| "none".to_owned());
            (entry.key, value, self.sources.get(entry.key).cloned().unwrap_or(Source::Default))
        };
        options::all().iter().map(row).collect()
    }

    /// The address of this server, without a slash at the end: what is configured, else where it listens.
    pub fn public_url(&self) -> String {
        if let Some(url) = &self.server.public_url {
            return url.clone();
        }
        let scheme = if self.server.tls_cert_file.is_some() { "https" } else { "http" };
        let listen = self.server.listen;
        if listen.ip().is_unspecified() {
            return format!("{scheme}://localhost:{}", listen.port());
        }
        format!("{scheme}://{listen}")
    }

    /// The database address; by default a file in the data folder.
    pub fn database_url(&self) -> String {
        match &self.database.url {
            Some(url) => url.expose().to_owned(),
            None => format!("sqlite:{}", self.data.dir.join("consign.db").display()),
        }
    }

    /// Whether the database is a file of this process.
    pub fn is_sqlite(&self) -> bool {
        self.database_url().starts_with("sqlite:")
    }

    /// The key ring of small set-ups: read, or created, when nothing else is configured.
    pub fn own_keys_file(&self) -> PathBuf {
        self.data.dir.join("keys")
    }

    /// The egress rules, read.
    ///
    /// # Errors
    /// A sentence that names the rule.
    pub fn egress(&self) -> Result<Egress, String> {
        Egress::parse(&self.egress.allow, self.egress.allow_loopback)
    }

    /// The proxy of `egress.proxy`.
    ///
    /// # Errors
    /// A sentence that names the option.
    pub fn proxy(&self) -> Result<Option<Arc<Proxy>>, String> {
        let EgressOptions { proxy, proxy_login, no_proxy, .. } = &self.egress;
        let Some(address) = proxy else { return Ok(None) };
        let read = Proxy::parse(address, proxy_login.as_ref(), no_proxy);
        read.map(|proxy| Some(Arc::new(proxy))).map_err(|(option, fault)| format!("{option} {fault}"))
    }

    /// The certificate authorities of `egress.ca_file`.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn extra_roots(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let Some(path) = &self.egress.ca_file else { return Ok(Vec::new()) };
        let wrong =
            |why: &dyn fmt::Display| format!("egress.ca_file {} cannot be used: {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
        Network::read_ca_file(&pem).map_err(|error| wrong(&error))
    }

    /// The oldest TLS that is spoken to tools.
    pub fn tls_min(&self) -> TlsMin {
        if self.egress.tls_min == "1.3" { TlsMin::V13 } else { TlsMin::V12 }
    }

    /// The ports that this process listens on: nothing may be delivered to them.
    pub fn own_ports(&self) -> Vec<u16> {
        let metrics = self.server.metrics_listen.map(|address| address.port());
        let gateways = self.gateway.listen.map(|address| address.port());
        let all = std::iter::once(self.server.listen.port()).chain(metrics).chain(gateways);
        all.filter(|port| *port > 0).collect()
    }

    /// Where its operator set an option, to follow "set by"; `None` where it was not given.
    pub fn set_by(&self, key: &str) -> Option<String> {
        match self.sources.get(key)? {
            Source::Default => None,
            Source::File => Some("the configuration file".to_owned()),
            Source::Environment(name) => Some(name.clone()),
            Source::Twin(path) => Some(path.display().to_string()),
            Source::Demo => Some("the demo".to_owned()),
        }
    }

    /// How it is sent and kept, and what of that nobody else may choose.
    pub fn delivery_set(&self) -> DeliverySet {
        let number = |days: u64| u32::try_from(days).unwrap_or(u32::MAX);
        let rules = DeliveryRules {
            retry_schedule_seconds: self.delivery.retry_schedule_seconds.clone(),
            timeout_seconds: self.delivery.timeout_seconds,
            event_bytes: self.limits.event_bytes as u64,
            export_bytes: self.limits.export_bytes,
            payload_days: number(self.retention.payload_days),
            delivery_days: number(self.retention.delivery_days),
            gateway_days: number(self.retention.gateway_days),
        };
        let fixed = DeliverySet::OPTIONS.into_iter().filter(|key| self.set_by(key).is_some());
        DeliverySet { rules, fixed: fixed.collect() }
    }

    /// What running attempts get at the end.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.server.shutdown_grace_seconds)
    }
}

/// Reads an address of this server: scheme, host and perhaps a port; without a slash at the end.
///
/// # Errors
/// What is expected, to follow the name of the field.
pub fn read_public_url(text: &str) -> Result<String, String> {
    options::origin(text)
}

/// One variable of the environment; empty counts as absent.
#[expect(clippy::disallowed_methods, reason = "the one place that reads single variables")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// All variables whose name begins with `CONSIGN_`.
pub fn environment() -> BTreeMap<String, String> {
    let texts = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.filter(|(name, _)| name.starts_with("CONSIGN_")).collect()
}

/// The file that is read: the one asked for, else the first that is there.
fn default_file() -> Option<PathBuf> {
    ["/etc/consign/consign.toml", "./consign.toml"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests;
