//! Figures that take long to count: each is told as it was for a while, so that whoever looks at a page often does not slow
//! down what the server is there for.

use std::time::Duration;

use consign_core::time::Timestamp;
use consign_store::StoreError;
use consign_store::backup::Contents;
use consign_store::overview::Kept;
use tokio::sync::Mutex;

/// What takes no longer is counted at each look.
const QUICK: Duration = Duration::from_millis(20);
/// A count takes this share of the time at the most.
const SHARE: u32 = 100;

/// The figures that are kept.
#[derive(Default)]
pub struct Figures {
    /// How much is kept.
    pub(super) kept: Figure<Kept>,
    /// The rows of all tables.
    pub(super) contents: Figure<Contents>,
}

/// One figure.
pub(super) struct Figure<T>(Mutex<Option<Counted<T>>>);

struct Counted<T> {
    value: T,
    at: Timestamp,
    until: Timestamp,
}

impl<T> Default for Figure<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Figure<T> {
    /// The figure: as it was, or counted anew. Whoever comes while it is counted waits for that count.
    pub(super) async fn get(
        &self,
        clock: impl Fn() -> Timestamp,
        count: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut counted = self.0.lock().await;
        let at = clock();
        if let Some(counted) = &*counted
            && (counted.at..counted.until).contains(&at)
        {
            return Ok(counted.value.clone());
        }
        let value = count.await?;
        let took = clock().since(at);
        let until = clock().plus(took * SHARE);
        *counted = (took > QUICK).then(|| Counted { value: value.clone(), at, until });
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_took_long_is_told_as_it_was_for_a_while() {
        let (time, figure) = (AtomicI64::new(1_000_000), Figure::default());
        let clock = || Timestamp::from_millis(time.load(Ordering::Relaxed));
        let look = async |value: u64, takes: i64| {
            let count = async {
                time.fetch_add(takes, Ordering::Relaxed);
                Ok(value)
            };
            figure.get(clock, count).await.unwrap()
        };
        // Quickly counted, and anew at each look.
        assert_eq!((look(1, 20).await, look(2, 300).await), (1, 2));
        // It took 300 ms: for half a minute it stands.
        time.fetch_add(29_999, Ordering::Relaxed);
        assert_eq!(look(3, 300).await, 2);
        time.fetch_add(1, Ordering::Relaxed);
        assert_eq!(look(4, 300).await, 4);
        // A clock that was put back does not hold it.
        time.store(1, Ordering::Relaxed);
        assert_eq!(look(5, 0).await, 5);
    }
    #[tokio::test]
    async fn whoever_comes_while_it_is_counted_counts_nothing() {
        let (time, counts, figure) = (AtomicI64::new(1_000_000), AtomicI64::new(0), Figure::default());
        let clock = || Timestamp::from_millis(time.load(Ordering::Relaxed));
        let look = async || {
            let count = async {
                tokio::task::yield_now().await;
                time.fetch_add(300, Ordering::Relaxed);
                Ok(counts.fetch_add(1, Ordering::Relaxed))
            };
            figure.get(clock, count).await.unwrap()
        };
        assert_eq!(tokio::join!(look(), look(), look()), (0, 0, 0));
    }
}
