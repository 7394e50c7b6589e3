//! Reading the host keys of a server: one handshake for each family, none of which is finished. Nothing is trusted by it.

use consign_core::pin::KeyType;
use consign_core::target::SftpAddress;

use super::session::{Expect, Session, Shaken, Way};
use super::{OPEN_TIMEOUT, ScannedKey, SftpFault, SftpWhy};
use crate::guard::unwatched;
use crate::{Network, Timing, now};

/// See [`Network::scan_host_keys`].
pub(super) async fn run(network: &Network, address: &SftpAddress) -> Result<Vec<ScannedKey>, SftpFault> {
    let way = Way { network, address, deadline: now() + OPEN_TIMEOUT, on_the_way: &unwatched };
    let mut found = Vec::new();
    for family in KeyType::ALL {
        match look(&way, *family).await {
            Ok(key) => found.extend(key),
            // What was read stays read; a server that cannot be reached is not asked four times more.
            Err(fault) if found.is_empty() => return Err(fault),
            Err(_) => break,
        }
    }
    Ok(found)
}

/// The key of one family; `None` when the server has none.
async fn look(way: &Way<'_>, family: KeyType) -> Result<Option<ScannedKey>, SftpFault> {
    match Session::open(way, &[family], Expect::Look, &mut Timing::default()).await {
        // It is refused by what we expect, so this is the end of the look and not a session.
        Ok(_) => Ok(None),
        Err(Shaken { shown: Some(key), address: Some(address), .. }) => Ok(Some(ScannedKey { key, address })),
        Err(Shaken { fault, .. }) => match fault.why {
            SftpWhy::HostKey { .. } => Ok(None),
            _ => Err(fault),
        },
    }
}
