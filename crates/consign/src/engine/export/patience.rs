//! Servers that take new keys in the middle and do not prove that they are their own: each time their session ends, and a new
//! one, for which they prove themselves, goes on.

use consign_transport::sftp::SftpSession;
use tokio::sync::OwnedMutexGuard;

use super::Stop;
use super::server::Errand;
use crate::engine::Engine;
use crate::engine::deliver::Seen;

/// So many sessions in a row may end without a byte or a file more.
const SESSIONS_IN_VAIN_MAX: u32 = 10;
/// After so many of them the files of an exporter go one by one, and each step by step: together, or with all of it under way,
/// they may be more than a session takes.
const IN_VAIN_TOGETHER_MAX: u32 = 1;
/// A file goes on over so many sessions; of a large one each makes it again up to where it is.
const SESSIONS_MAX: u32 = 200;

/// How far the file had come, and those beside it, when sessions ended.
#[derive(Debug, Default)]
pub(super) struct Patience {
    bytes: u64,
    files: u64,
    in_vain: u32,
    sessions: u32,
    /// Others of its exporter wait until this file has arrived.
    alone: Option<OwnedMutexGuard<()>>,
}

impl Patience {
    /// Whether one more session is worth it: so many bytes of the file and so many files of its exporter have arrived.
    fn has_more(&mut self, bytes: u64, files: u64) -> bool {
        let further = bytes > self.bytes || files > self.files;
        self.in_vain = if further { 0 } else { self.in_vain + 1 };
        self.sessions += 1;
        (self.bytes, self.files) = (bytes, files);
        self.in_vain <= SESSIONS_IN_VAIN_MAX && self.sessions <= SESSIONS_MAX
    }

    /// Whether the last sessions ended before anything arrived.
    pub(super) fn is_in_vain(&self) -> bool {
        self.in_vain > IN_VAIN_TOGETHER_MAX
    }
}

impl Engine {
    /// A session to go on with. That the last one ended is no attempt while files arrive.
    pub(super) async fn next_session(&self, errand: &mut Errand<'_>, ended: Box<Seen>) -> Result<(), Stop> {
        let (job, mut ended) = (errand.job, ended);
        loop {
            let (bytes, files) = (job.moving.bytes(), self.exports.arrived_of(job.connector.id));
            if !errand.patience.has_more(bytes, files) {
                return Err(Stop::Attempt(ended));
            }
            if errand.patience.is_in_vain() && errand.patience.alone.is_none() {
                let turn = self.exports.one_by_one(job.connector.id);
                errand.patience.alone = Some(turn.lock_owned().await);
            }
            match self.session_of(errand).await {
                Err(Stop::NewKeys(again)) => ended = again,
                opened => {
                    errand.session = opened?;
                    tracing::info!(run.id = %job.run.id, bytes, "the server took new keys; a new session goes on");
                    return Ok(());
                }
            }
        }
    }

    async fn session_of(&self, errand: &Errand<'_>) -> Result<SftpSession, Stop> {
        self.network.sftp(&errand.access).await.map_err(|fault| errand.attempt(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_arrive_beside_it_are_a_reason_to_go_on() {
        let mut patience = Patience::default();
        // A file of which nothing arrives goes on for as long as others do.
        assert!((1..=150).all(|files| patience.has_more(0, files)));
        assert!((0..10).all(|_| patience.has_more(0, 150)), "ten in vain");
        assert!(!patience.has_more(0, 150));
    }

    #[test]
    fn it_has_an_end() {
        let mut patience = Patience::default();
        assert!((1..=200).all(|bytes| patience.has_more(bytes, 0)));
        assert!(!patience.has_more(201, 0), "not even while it moves");
        let mut patience = Patience::default();
        assert!((0..10).all(|_| patience.has_more(0, 0)));
        assert!(patience.has_more(1, 0), "it moved");
        assert!((0..10).all(|_| patience.has_more(1, 0)));
        assert!(!patience.has_more(1, 0));
    }
}
