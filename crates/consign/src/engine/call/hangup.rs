//! The way to hang up on an application in the midst of an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Ends a connection so that nobody takes what was sent for a whole. A clone is for the same connection.
#[derive(Clone, Debug, Default)]
pub struct Hangup(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    told: Notify,
}

impl Hangup {
    /// Ends it now.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }

    /// Whether it was ended so.
    pub fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// Waits for that.
    pub async fn told(&self) {
        let mut told = std::pin::pin!(self.0.told.notified());
        // Registered before looking, so that it is not missed.
        told.as_mut().enable();
        if !self.is_cut() {
            told.await;
        }
    }
}
