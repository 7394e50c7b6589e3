//! The steps of a connection test, one after the other, over a connection of its own.

use std::time::{Duration, Instant};

use consign_core::credential::SftpAccess;
use tokio::time::{timeout, timeout_at};

use super::file::Files;
use super::prove::prove;
use super::session::Way;
use super::sign_in::sign_in;
use super::{OPEN_TIMEOUT, ProbeFolder, ProbeTiming, SftpFault, SftpProbe};
use crate::{Network, Timing, now, words};

/// The names of the file that a test writes; the middle is chance.
const TEST_FILE: &str = "consign-connection-test";
/// What is done in the session that lets us in. As long as one answer may take: a person waits for all of them.
pub(super) const WORK_TIMEOUT: Duration = Duration::from_secs(60);
/// The file of a test that did not come to its end is removed in this time, or left.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// See [`Network::probe_sftp`]. The work in the folder takes `limit` at the most.
pub(super) async fn run(
    network: &Network,
    access: &SftpAccess,
    folder: ProbeFolder<'_>,
    limit: Duration,
    seen: &(dyn Fn(&SftpProbe) + Sync),
) -> SftpProbe {
    let mut probe = SftpProbe::default();
    probe.failure = steps(network, access, (folder, limit), &mut probe, seen).await.err();
    probe
}

async fn steps(
    network: &Network,
    access: &SftpAccess,
    (folder, limit): (ProbeFolder<'_>, Duration),
    probe: &mut SftpProbe,
    seen: &(dyn Fn(&SftpProbe) + Sync),
) -> Result<(), SftpFault> {
    let deadline = now() + OPEN_TIMEOUT;
    let on_the_way = |address, network: &Timing| {
        let timing = ProbeTiming { network: *network, ..ProbeTiming::default() };
        seen(&SftpProbe { address: Some(address), timing, ..SftpProbe::default() });
    };
    let way = Way { network, address: &access.host.address, deadline, on_the_way: &on_the_way };
    let start = now();
    let proven = prove(&way, &access.host.pins, &mut probe.timing.network).await;
    let network_took = [probe.timing.network.dns, probe.timing.network.connect].into_iter().flatten().sum();
    probe.timing.host_key = Some(now().saturating_duration_since(start).saturating_sub(network_took));
    let (mut session, address) = proven.map_err(|(fault, address)| {
        probe.address = address;
        fault
    })?;
    probe.address = Some(address);
    probe.facts = session.facts();
    seen(probe);
    let start = now();
    let signed_in = sign_in(&mut session, &access.login, deadline).await;
    probe.timing.sign_in = Some(now().saturating_duration_since(start));
    probe.signed_in = Some(signed_in?);
    seen(probe);
    let files = Files::open(session, deadline).await?;
    let end = End { at: now() + limit, limit };
    if let Some(folder) = folder.folder {
        let start = now();
        let listed = end.before(list(&files, folder.as_sent())).await;
        probe.timing.folder = Some(now().saturating_duration_since(start));
        probe.listed = Some(listed?);
        seen(probe);
    }
    if folder.write {
        let start = now();
        let written = write(&files, folder.folder.map_or(".", |folder| folder.as_sent()), &end).await;
        probe.timing.write = Some(now().saturating_duration_since(start));
        written?;
        probe.written = true;
    }
    let _ = timeout_at(end.at.into(), files.channel.session.close()).await;
    Ok(())
}

/// When all work in the session is over: a server that answers each time can make it last for ever.
struct End {
    at: Instant,
    limit: Duration,
}

impl End {
    async fn before<T>(&self, work: impl Future<Output = Result<T, SftpFault>>) -> Result<T, SftpFault> {
        let late = || {
            let limit = words(self.limit);
            SftpFault::lost(format!(
                "The server let us in and did not finish what was asked of it within {limit}."
            ))
        };
        timeout_at(self.at.into(), work).await.unwrap_or_else(|_| Err(late()))
    }
}

async fn list(files: &Files, folder: &str) -> Result<super::Listed, SftpFault> {
    let folder = files.folder(folder).await?;
    files.count(&folder).await
}

/// Writes a small file under a temporary name, gives it another, and deletes it; leaves nothing behind.
async fn write(files: &Files, folder: &str, end: &End) -> Result<(), SftpFault> {
    let folder = end.before(files.folder(folder)).await?;
    let chance = consign_core::hex::hex(&chance());
    let at = |name: &str| format!("{}/{name}", folder.trim_end_matches('/'));
    let (part, whole) = (at(&format!(".{TEST_FILE}.{chance}.part")), at(&format!("{TEST_FILE}.{chance}")));
    let content: &'static [u8] = b"Consign tested the connection. This file can be deleted.\n";
    let written = end.before(async {
        let handle = files.create(&part).await?;
        let reply = files.write(&handle, 0, bytes::Bytes::from_static(content)).await?.reply().await?;
        if !super::file::is_ok(&reply) {
            return Err(files.refused_write(&reply, &folder).await);
        }
        files.close(&handle).await?;
        files.rename(&part, &whole, false).await.map(drop).map_err(|unnamed| unnamed.fault)?;
        files.remove(&whole).await
    });
    let written = written.await;
    if written.is_err() {
        // Where an answer did not come, it may have either name.
        let clean_up = async {
            let _ = files.remove(&part).await;
            let _ = files.remove(&whole).await;
        };
        let _ = timeout(CLEAN_UP_TIMEOUT, clean_up).await;
    }
    written
}

/// Eight random bytes: two tests at once do not meet.
fn chance() -> [u8; 8] {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random bytes");
    bytes
}
