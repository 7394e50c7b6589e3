//! Figures that take long to count: each is told as it was for a while, so that whoever looks at a page often does not slow
//! down what the server is there for.

use std::time::{Duration, Instant};

use consign_core::delivery::{DeliveryState, HoldReason};
use consign_store::StoreError;
use consign_store::backup::Contents;
use consign_store::overview::Kept;
use tokio::sync::Mutex;

/// What takes no longer is counted at each look.
const QUICK: Duration = Duration::from_millis(20);
/// A count takes one part in so many of the time at the most.
const SHARE: u32 = 500;
/// Whoever looks after this long wants to see what became of it, however long a count takes.
const AGE_MAX: Duration = Duration::from_secs(600);

/// The figures that are kept.
#[derive(Default)]
pub struct Figures {
    /// How much is kept.
    pub(super) kept: Figure<Kept>,
    /// The rows of all tables.
    pub(super) contents: Figure<Contents>,
    /// The deliveries that have not ended.
    pub(super) open: Figure<Vec<(DeliveryState, Option<HoldReason>, u64)>>,
}

/// One figure.
pub(super) struct Figure<T>(Mutex<Option<Counted<T>>>);

struct Counted<T> {
    value: T,
    at: Instant,
    until: Instant,
}

/// A figure as it is told.
pub(super) struct Told<T> {
    pub(super) value: T,
    /// How long ago its count began.
    pub(super) age: Duration,
}

impl<T> Default for Figure<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Figure<T> {
    /// The figure: as it was, or counted anew. Whoever comes while it is counted waits for that count. The clock is one that
    /// nobody puts forward or back.
    pub(super) async fn get(
        &self,
        clock: impl Fn() -> Instant,
        count: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Told<T>, StoreError> {
        let mut counted = self.0.lock().await;
        let at = clock();
        if let Some(Counted { value, at: counted_at, until }) = &*counted
            && at < *until
        {
            return Ok(Told { value: value.clone(), age: at.saturating_duration_since(*counted_at) });
        }
        let value = count.await?;
        let ended = clock();
        let took = ended.saturating_duration_since(at);
        let until = ended + (took * SHARE).min(AGE_MAX);
        *counted = (took > QUICK).then(|| Counted { value: value.clone(), at, until });
        Ok(Told { value, age: took })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock that goes as a test says.
    struct Hand {
        began: Instant,
        millis: AtomicU64,
    }

    impl Hand {
        #[expect(clippy::disallowed_methods, reason = "an instant is had in no other way")]
        fn new() -> Self {
            Self { began: Instant::now(), millis: AtomicU64::new(0) }
        }

        fn now(&self) -> Instant {
            self.began + Duration::from_millis(self.millis.load(Ordering::Relaxed))
        }

        fn go(&self, millis: u64) {
            self.millis.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// The value, and its age in milliseconds.
    async fn look(figure: &Figure<u64>, hand: &Hand, value: u64, takes: u64) -> (u64, u128) {
        let count = async {
            hand.go(takes);
            Ok(value)
        };
        let told = figure.get(|| hand.now(), count).await.unwrap();
        (told.value, told.age.as_millis())
    }

    #[tokio::test]
    async fn what_took_long_is_told_as_it_was_for_a_while() {
        let (figure, hand) = (Figure::default(), Hand::new());
        // Quickly counted, and anew at each look.
        assert_eq!(look(&figure, &hand, 1, 20).await, (1, 20));
        assert_eq!(look(&figure, &hand, 2, 300).await, (2, 300));
        // It took 300 ms: for two and a half minutes it stands.
        hand.go(149_999);
        assert_eq!(look(&figure, &hand, 3, 300).await, (2, 150_299));
        hand.go(1);
        assert_eq!(look(&figure, &hand, 4, 300).await, (4, 300));
    }

    #[tokio::test]
    async fn a_figure_is_never_older_than_it_took_and_ten_minutes() {
        let (figure, hand) = (Figure::default(), Hand::new());
        look(&figure, &hand, 1, 60_000).await;
        hand.go(599_999);
        assert_eq!(look(&figure, &hand, 2, 60_000).await, (1, 659_999));
        hand.go(1);
        assert_eq!(look(&figure, &hand, 3, 60_000).await, (3, 60_000));
    }

    #[tokio::test]
    async fn whoever_comes_while_it_is_counted_counts_nothing() {
        let (figure, hand, counts) = (Figure::default(), Hand::new(), AtomicU64::new(0));
        let look = async || {
            let count = async {
                tokio::task::yield_now().await;
                hand.go(300);
                Ok(counts.fetch_add(1, Ordering::Relaxed))
            };
            figure.get(|| hand.now(), count).await.unwrap().value
        };
        assert_eq!(tokio::join!(look(), look(), look()), (0, 0, 0));
    }
}
