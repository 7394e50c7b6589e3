//! Reading what was sent for a credential. A private key is opened once while it is read, which can take seconds of one
//! core: then that happens on a thread of its own, one key at a time.

use std::time::Duration;

use consign_core::credential::{Credential, Draft, Mode, takes_long};
use consign_core::time::Timestamp;
use tokio::sync::Semaphore;

use crate::ops::{OpError, Rest, Sent};

/// One key at a time, over all who save.
static ONE_KEY: Semaphore = Semaphore::const_new(1);
/// The longest wait for one's turn and for the key; [`consign_core::ssh_key::ROUNDS_MAX`] takes less.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a credential as it was sent: a new one, or one that is stored.
///
/// # Errors
/// Every value that was not accepted.
pub(in crate::ops) async fn read(
    sent: Sent,
    current: Option<(&Credential, Rest)>,
    now: Timestamp,
) -> Result<Draft, OpError> {
    if !takes_long(&sent) {
        return parse(sent, current, now);
    }
    let current = current.map(|(credential, rest)| (credential.clone(), rest));
    let reading = async {
        let turn = ONE_KEY.acquire().await.map_err(|_| OpError::Unavailable)?;
        let reading = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, also where nobody waits for it any more.
            let _turn = turn;
            parse(sent, current.as_ref().map(|(credential, rest)| (credential, *rest)), now)
        });
        reading.await.map_err(|_| OpError::Unavailable)?
    };
    tokio::time::timeout(KEY_TIMEOUT, reading).await.map_err(|_| OpError::Unavailable)?
}

fn parse(sent: Sent, current: Option<(&Credential, Rest)>, now: Timestamp) -> Result<Draft, OpError> {
    let mode = match current {
        None => Mode::Create,
        Some((credential, Rest::Dropped)) => Mode::Replace(credential),
        Some((credential, Rest::Kept)) => Mode::Patch(credential),
    };
    Draft::parse(sent, mode, now).map_err(OpError::Invalid)
}
