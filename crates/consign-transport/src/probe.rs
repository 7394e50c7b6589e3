//! A look at the way to an origin: name, network, TLS. Nothing is asked over it, nothing is kept.

use std::net::IpAddr;
use std::time::Duration;

use consign_core::credential::Identity;
use consign_core::delivery::Outcome;
use consign_core::target::Origin;
use rustls::ProtocolVersion;

use crate::tls::{certificate_ends, protocol_of};
use crate::{Network, NothingSent, Timing, To, guard, now};

/// All of it; each part has its own limit, too.
const PROBE_TIMEOUT: Duration = Duration::from_secs(25);

/// What was seen on the way to an origin.
#[derive(Debug)]
pub struct Probe {
    /// The address that was connected to.
    pub address: Option<IpAddr>,
    /// The secure connection.
    pub tls: Option<TlsFacts>,
    /// How long each part took.
    pub timing: Timing,
    /// Where it ended, and in words why; absent when it got through.
    pub failure: Option<(Outcome, String)>,
}

/// What a secure connection is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLS 1.3`.
    pub version: &'static str,
    /// The last day of the certificate, `2027-02-12`.
    pub certificate_ends: Option<String>,
}

/// See [`Network::probe`].
pub(crate) async fn run(
    network: &Network,
    origin: &Origin,
    identity: Option<&Identity>,
    seen: &(dyn Fn(&Probe) + Sync),
) -> Probe {
    let mut probe = Probe { address: None, tls: None, timing: Timing::default(), failure: None };
    let start = now();
    if let Err(NothingSent { outcome, detail }) =
        look(network, To { origin, identity }, &mut probe, seen).await
    {
        probe.failure = Some((outcome, detail));
    }
    probe.timing.total = now().saturating_duration_since(start);
    probe
}

async fn look(
    network: &Network,
    way: To<'_>,
    probe: &mut Probe,
    seen: &(dyn Fn(&Probe) + Sync),
) -> Result<(), NothingSent> {
    let (limit, deadline) = (network.connect_timeout, now() + PROBE_TIMEOUT);
    let (to, waits) = ((way.origin.host(), way.origin.port()), (limit, deadline));
    let on_the_way = |address, timing: &Timing| {
        seen(&Probe { address: Some(address), tls: None, timing: *timing, failure: None });
    };
    let stream = guard::dial_watched(&network.guard, to, waits, &mut probe.timing, &on_the_way).await?;
    probe.address = stream.peer_addr().ok().map(|peer| peer.ip());
    let showing;
    let connector = match way.identity {
        None => network.tls.connector().await?,
        Some(identity) => {
            showing = network.tls.connector_showing(identity).await?;
            &showing
        }
    };
    let stream = network.tls.handshake(connector, stream, way, limit, deadline, &mut probe.timing).await?;
    let version = match protocol_of(&stream) {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    probe.tls = Some(TlsFacts { version, certificate_ends: certificate_ends(&stream) });
    seen(probe);
    Ok(())
}
