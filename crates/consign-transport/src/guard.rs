//! The one dialler: resolve once, judge every answer, connect to what was judged, check the peer.
//!
//! No name and no address reaches a socket without [`Egress`] having judged it. Proxy variables are not read. Behind a proxy
//! names and literal addresses are judged, and what a name leads to is the proxy's to find.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consign_core::address::{Blocked, Egress, RuleUsed};
use consign_core::delivery::{Outcome, Refusal, Unreached};
use consign_core::host::Host;
use consign_core::proxy::Proxy;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use crate::proxy::{ProxyFault, tunnel};
use crate::{NothingSent, Timing, now, phase, words};

/// The longest wait for the addresses of a name.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// The most addresses of a name that are dialled; all are judged.
const ADDRESSES_MAX: usize = 16;
/// The head start of an address before the next one is dialled beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Destinations of exceptions that are remembered: one for each credential of a large installation.
const OPENED_MAX: usize = 10_000;

/// What decides where we may go.
pub(crate) struct Guard {
    egress: Egress,
    own_ports: Vec<u16>,
    proxy: Option<Arc<Proxy>>,
    resolver: Resolver,
    /// What was dialled that is closed without a rule, and the rule that opened it.
    opened: Mutex<HashMap<(Host, u16), RuleUsed>>,
}

/// Who finds the addresses of names.
enum Resolver {
    /// The operating system.
    System,
    /// The answers of a test.
    #[cfg(test)]
    Scripted(Script),
}

/// The addresses of a name, by a test.
#[cfg(test)]
type Script = Box<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialFault {
    #[error("{}.", .0.fault("The address").message)]
    Blocked(Blocked),
    #[error("{host}:{port} is this server itself.")]
    Own { host: Host, port: u16 },
    #[error(
        "No address found for {0}. Check the spelling, or whether this server may ask your internal DNS."
    )]
    NoAddress(Host),
    #[error("{host}:{port} did not answer within {}. A firewall may block it.", words(*.limit))]
    TimedOut { host: Host, port: u16, limit: Duration },
    #[error("{host}:{port} refused the connection. Nothing may listen there, or a firewall may block it.")]
    Refused { host: Host, port: u16 },
    #[error("{host}:{port} cannot be reached from this server: {}.", .source.kind())]
    Failed { host: Host, port: u16, source: io::Error },
    #[error("{0}")]
    Proxy(ProxyFault),
}

impl From<DialFault> for NothingSent {
    fn from(fault: DialFault) -> Self {
        let detail = fault.to_string();
        let outcome = match fault {
            DialFault::Blocked(_) | DialFault::Own { .. } => {
                let words = detail.trim_end_matches('.').to_owned();
                Outcome::Refused { refusal: Refusal::DestinationBlocked(words) }
            }
            DialFault::NoAddress(_) => Outcome::Unreachable { reason: Unreached::Name },
            DialFault::TimedOut { .. }
            | DialFault::Refused { .. }
            | DialFault::Failed { .. }
            | DialFault::Proxy(_) => Outcome::Unreachable { reason: Unreached::Connect },
        };
        Self { outcome, detail }
    }
}

impl Guard {
    pub(crate) fn new(egress: Egress, own_ports: Vec<u16>, proxy: Option<Arc<Proxy>>) -> Self {
        Self { egress, own_ports, proxy, resolver: Resolver::System, opened: Mutex::default() }
    }

    /// The proxy through which a destination is reached.
    pub(crate) fn proxy_to(&self, host: &Host) -> Option<&Proxy> {
        self.proxy.as_deref().filter(|proxy| proxy.leads_to(host))
    }

    /// The same for a server of mail, which is at home on this port.
    pub(crate) fn for_mail(&self, port: u16) -> Self {
        Self::new(self.egress.for_mail(port), self.own_ports.clone(), None)
    }

    /// The rule that opened a destination when it was dialled; `None` where none was needed, or nothing was dialled yet.
    pub(crate) fn opened_by(&self, host: &Host, port: u16) -> Option<RuleUsed> {
        self.opened().get(&(host.clone(), port)).cloned()
    }

    fn note_opened(&self, host: &Host, port: u16, rule: RuleUsed) {
        let mut opened = self.opened();
        if opened.len() >= OPENED_MAX && !opened.contains_key(&(host.clone(), port)) {
            // What is in use comes back with its next connection.
            opened.clear();
        }
        opened.insert((host.clone(), port), rule);
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<(Host, u16), RuleUsed>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers names from a script instead of the system.
    #[cfg(test)]
    pub(crate) fn script(&mut self, answers: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) {
        self.resolver = Resolver::Scripted(Box::new(answers));
    }
}

/// What a dial would be refused for by the egress rules, as far as the name resolves within the time.
pub(crate) async fn preview(guard: &Guard, host: &Host, port: u16, within: Duration) -> Result<(), Blocked> {
    guard.egress.judge_name(host, port)?;
    let answers = match host.literal() {
        Some(address) => vec![address],
        None if guard.proxy_to(host).is_some() => Vec::new(),
        None => resolve(guard, host, now() + within).await.unwrap_or_default(),
    };
    answers.into_iter().try_for_each(|address| guard.egress.judge(host, address, port).map(drop))
}

/// What the egress rules say of a destination, for whoever wants to know why.
#[derive(Debug)]
pub struct Explained {
    /// What they say of the name, before it is looked up.
    pub name: Result<(), Blocked>,
    /// What they say of each address, in the order in which they would be dialled; none when it was not found.
    pub addresses: Vec<(IpAddr, AddressJudged)>,
}

/// What is said of one address.
#[derive(Debug, PartialEq, Eq)]
pub enum AddressJudged {
    /// It may be dialled, by this rule if it needed one.
    Open(Option<RuleUsed>),
    /// It may not.
    Closed(Blocked),
    /// It is a port of this server itself.
    Own,
}

/// Judges as [`dial`] does, and goes on where it would stop. Nothing is sent but the question for the name.
pub(crate) async fn explain(guard: &Guard, host: &Host, port: u16, within: Duration) -> Explained {
    let name = guard.egress.judge_name(host, port);
    let answers = match host.literal() {
        Some(address) => vec![address],
        None if name.is_err() || guard.proxy_to(host).is_some() => Vec::new(),
        None => resolve(guard, host, now() + within).await.unwrap_or_default(),
    };
    let judged = answers.into_iter().map(|address| {
        let said = match guard.egress.judge(host, address, port) {
            Err(blocked) => AddressJudged::Closed(blocked),
            Ok(_) if guard.own_ports.contains(&port) && is_own(address) => AddressJudged::Own,
            Ok(rule) => AddressJudged::Open(rule),
        };
        (address, said)
    });
    Explained { name, addresses: judged.collect() }
}

/// Is told what a dial came through while it goes on: the address that was found, and then the one that answered.
pub(crate) type OnTheWay<'a> = &'a (dyn Fn(IpAddr, &Timing) + Sync);

/// Nobody looks on.
pub(crate) fn unwatched(_: IpAddr, _: &Timing) {}

/// Connects to the host. Looking up takes at most 5 s, connecting at most `limit`, and both end at
/// `deadline`.
pub(crate) async fn dial(
    guard: &Guard,
    host: &Host,
    port: u16,
    limit: Duration,
    deadline: Instant,
    timing: &mut Timing,
) -> Result<TcpStream, DialFault> {
    dial_watched(guard, (host, port), (limit, deadline), timing, &unwatched).await
}

/// The same, with somebody who looks on.
pub(crate) async fn dial_watched(
    guard: &Guard,
    (host, port): (&Host, u16),
    (limit, deadline): (Duration, Instant),
    timing: &mut Timing,
    on_the_way: OnTheWay<'_>,
) -> Result<TcpStream, DialFault> {
    guard.egress.judge_name(host, port).map_err(DialFault::Blocked)?;
    if deadline <= now() {
        return Err(DialFault::TimedOut { host: host.clone(), port, limit });
    }
    if let Some(proxy) = guard.proxy_to(host) {
        let literal: Vec<_> = host.literal().into_iter().collect();
        judge(guard, host, port, &literal)?;
        return through(guard, proxy, (host, port), (limit, deadline), timing, on_the_way).await;
    }
    let answers = match host.literal() {
        Some(address) => vec![address],
        None => {
            let start = now();
            let found = resolve(guard, host, deadline).await;
            timing.dns = Some(now().saturating_duration_since(start));
            found?
        }
    };
    let addresses = judge(guard, host, port, &answers)?;
    if let Some(first) = addresses.first() {
        on_the_way(first.ip(), timing);
    }
    let start = now();
    let (end, limit) = phase(limit, deadline);
    let connected = timeout_at(end, connect_any(&addresses)).await;
    timing.connect = Some(now().saturating_duration_since(start));
    match connected {
        Ok(Ok(stream)) => {
            if let Ok(peer) = stream.peer_addr() {
                on_the_way(peer.ip(), timing);
            }
            Ok(stream)
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(DialFault::Refused { host: host.clone(), port })
        }
        Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
            Err(DialFault::Failed { host: host.clone(), port, source: error })
        }
        Ok(Err(_)) | Err(_) => Err(DialFault::TimedOut { host: host.clone(), port, limit }),
    }
}

/// Connects to the proxy, and through it to the host. The address of the proxy was given by the operator: no rule judges it.
async fn through(
    guard: &Guard,
    proxy: &Proxy,
    to: (&Host, u16),
    (limit, deadline): (Duration, Instant),
    timing: &mut Timing,
    on_the_way: OnTheWay<'_>,
) -> Result<TcpStream, DialFault> {
    let away = |detail: String| DialFault::Proxy(ProxyFault::Away { proxy: proxy.name(), detail });
    let answers = match proxy.host.literal() {
        Some(address) => vec![address],
        None => {
            let start = now();
            let found = resolve(guard, &proxy.host, deadline).await;
            timing.dns = Some(now().saturating_duration_since(start));
            found.map_err(|_| away("its name was not found".to_owned()))?
        }
    };
    let addresses: Vec<_> =
        answers.iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(*address, proxy.port)).collect();
    if let Some(first) = addresses.first() {
        on_the_way(first.ip(), timing);
    }
    let start = now();
    let (end, limit) = phase(limit, deadline);
    let connected = async {
        let late = |_| away(format!("it did not answer within {}", words(limit)));
        let reached = timeout_at(end, connect_any(&addresses)).await.map_err(late)?;
        let reached = reached.map_err(|error| away(error.kind().to_string()))?;
        let (host, port) = (to.0.clone(), to.1);
        let silent = |_| ProxyFault::Silent { proxy: proxy.name(), host, port, limit };
        let opened = timeout_at(end, tunnel(reached, proxy, to)).await.map_err(silent);
        opened.flatten().map_err(DialFault::Proxy)
    };
    let connected = connected.await;
    timing.connect = Some(now().saturating_duration_since(start));
    let stream = connected?;
    if let Ok(peer) = stream.peer_addr() {
        on_the_way(peer.ip(), timing);
    }
    Ok(stream)
}

async fn resolve(guard: &Guard, host: &Host, deadline: Instant) -> Result<Vec<IpAddr>, DialFault> {
    let name = host.to_string();
    let found = match &guard.resolver {
        Resolver::System => {
            let (end, _) = phase(LOOK_UP_TIMEOUT, deadline);
            timeout_at(end, look_up(&name)).await.map_or_else(|_| Vec::new(), Result::unwrap_or_default)
        }
        #[cfg(test)]
        Resolver::Scripted(answers) => answers(&name),
    };
    if found.is_empty() { Err(DialFault::NoAddress(host.clone())) } else { Ok(found) }
}

/// All addresses of a name, in the order in which the system would use them.
#[expect(clippy::disallowed_methods, reason = "the one place that resolves names of third parties")]
async fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for answer in tokio::net::lookup_host((name, 0)).await? {
        if !found.contains(&answer.ip()) {
            found.push(answer.ip());
        }
    }
    Ok(found)
}

/// What may be dialled. One blocked answer refuses them all: a name that also points inside is not to be
/// trusted.
fn judge(guard: &Guard, host: &Host, port: u16, answers: &[IpAddr]) -> Result<Vec<SocketAddr>, DialFault> {
    let mut opened_by = None;
    for address in answers {
        let rule = guard.egress.judge(host, *address, port).map_err(DialFault::Blocked)?;
        if guard.own_ports.contains(&port) && is_own(*address) {
            return Err(DialFault::Own { host: host.clone(), port });
        }
        if let Some(rule) = rule {
            tracing::debug!(host = %host, port, rule = %rule, "an egress rule opened a destination");
            opened_by = Some(rule);
        }
    }
    if let Some(rule) = opened_by {
        guard.note_opened(host, port, rule);
    }
    Ok(answers.iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(*address, port)).collect())
}

/// Whether an address belongs to this machine: only to its own can a socket be bound.
fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// Dials the addresses in order, each with a head start before the next, and keeps the first that connects.
async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let more = waiting.next().map(|address| attempts.spawn(connect(*address))).is_some();
        let ended = if more && !waiting.as_slice().is_empty() {
            match timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        } else {
            attempts.join_next().await
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(ended)) => failure = io::Error::other(ended),
            None => return Err(failure),
        }
    }
}

/// Connects, and makes sure that the other end is the address that was judged.
#[expect(clippy::disallowed_methods, reason = "the one place that dials third parties")]
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    let peer = stream.peer_addr()?;
    if peer.ip().to_canonical() != address.ip().to_canonical() || peer.port() != address.port() {
        return Err(io::Error::other("the connection leads to another address"));
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}
