//! Kept sessions: many uploads of one credential share one, each with requests of its own under way.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consign_core::credential::SftpAccess;

use super::file::Files;
use super::prove::prove;
use super::session::Way;
use super::sign_in::sign_in;
use super::{OPEN_TIMEOUT, SftpFault};
use crate::guard::unwatched;
use crate::{Network, Timing, now};

/// A session that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The sessions of each credential, as it is saved.
pub(crate) type Sessions = Mutex<HashMap<String, Arc<Place>>>;

/// Where the session of one credential is kept. Whoever opens it keeps others from opening a second one; when that fails,
/// it failed for all who waited: a password that is refused once is not offered again for each of them.
#[derive(Default)]
pub(crate) struct Place {
    kept: tokio::sync::Mutex<Option<Arc<Kept>>>,
    /// How often a session was opened or not, and why the last one was not.
    tries: AtomicUsize,
    failed: Mutex<Option<SftpFault>>,
}

struct Kept {
    files: Files,
    users: AtomicUsize,
    idle_since: Mutex<Instant>,
}

/// A signed-in session, shared with others that use the same credential. Dropping it keeps it for a minute.
pub struct SftpSession(Arc<Kept>);

impl SftpSession {
    pub(super) fn files(&self) -> &Files {
        &self.0.files
    }

    /// Whether the session still stands, as far as is known.
    pub fn is_open(&self) -> bool {
        self.0.files.channel.is_open()
    }
}

impl fmt::Debug for SftpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpSession").field("open", &self.is_open()).finish()
    }
}

impl Clone for SftpSession {
    fn clone(&self) -> Self {
        self.0.users.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for SftpSession {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = now();
        }
    }
}

impl Kept {
    fn is_idle(&self) -> bool {
        let since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        self.users.load(Ordering::Acquire) == 0 && now().saturating_duration_since(since) >= IDLE
    }
}

/// Whether nobody has a session there, or is about to.
fn is_left(place: &Arc<Place>) -> bool {
    Arc::strong_count(place) == 1 && place.kept.try_lock().is_ok_and(|kept| kept.is_none())
}

/// See [`Network::sftp`].
pub(super) async fn take(network: &Network, access: &SftpAccess) -> Result<SftpSession, SftpFault> {
    let place = {
        let mut sessions = network.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // Each save of a credential makes a place of its own; those left behind go once their session is over.
        sessions.retain(|_, place| !is_left(place));
        sessions.entry(access.shared_by.clone()).or_default().clone()
    };
    let tries = place.tries.load(Ordering::Acquire);
    let mut kept = place.kept.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.files.channel.is_open() && !kept.is_idle()) {
        kept.users.fetch_add(1, Ordering::AcqRel);
        return Ok(SftpSession(kept.clone()));
    }
    *kept = None;
    if place.tries.load(Ordering::Acquire) != tries
        && let Some(fault) = place.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    {
        return Err(fault);
    }
    let opened = open(network, access).await;
    *place.failed.lock().unwrap_or_else(PoisonError::into_inner) = opened.as_ref().err().cloned();
    place.tries.fetch_add(1, Ordering::AcqRel);
    let files = opened?;
    let fresh = Kept { files, users: AtomicUsize::new(1), idle_since: Mutex::new(now()) };
    let fresh = Arc::new(fresh);
    *kept = Some(fresh.clone());
    tokio::spawn(close_when_idle(Arc::downgrade(&fresh), Arc::downgrade(&place)));
    Ok(SftpSession(fresh))
}

async fn open(network: &Network, access: &SftpAccess) -> Result<Files, SftpFault> {
    let deadline = now() + OPEN_TIMEOUT;
    let way = Way { network, address: &access.host.address, deadline, on_the_way: &unwatched };
    let proven = prove(&way, &access.host.pins, &mut Timing::default()).await;
    let (mut session, _) = proven.map_err(|(fault, _)| fault)?;
    sign_in(&mut session, &access.login, deadline).await?;
    Files::open(session, deadline).await
}

async fn close_when_idle(kept: std::sync::Weak<Kept>, place: std::sync::Weak<Place>) {
    loop {
        tokio::time::sleep(IDLE / 4).await;
        let (Some(session), Some(place)) = (kept.upgrade(), place.upgrade()) else { return };
        if !session.is_idle() && session.files.channel.is_open() {
            continue;
        }
        let mut present = place.kept.lock().await;
        // Someone may have taken it while we waited.
        let ours = present.as_ref().is_some_and(|present| Arc::ptr_eq(present, &session));
        if ours && (session.is_idle() || !session.files.channel.is_open()) {
            *present = None;
            drop(present);
            session.files.channel.session.close().await;
            return;
        }
        if !ours {
            return;
        }
    }
}

/// Closes what is kept. Uploads under way end undisturbed.
pub(crate) fn close(sessions: &Sessions) {
    sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
