//! A test that is read while it goes on: its steps as they end, and what came of it behind them.

use std::error::Error;
use std::io;

use bytes::Bytes;
use consign_core::connection_test::TestStep;
use consign_core::id::RequestId;
use http::HeaderName;
use http_body_util::channel::Channel;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::StepWatch;
use crate::ops::OpError;

/// More than the steps of any test: nobody waits for a reader.
const PORTIONS_AHEAD: usize = 64;

/// With the value `no` it asks a proxy to pass on each step at once.
pub const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A test that took its first step, or one that ended without any.
pub enum Begun<T, E> {
    /// It goes on.
    GoesOn(Live<T, E>),
    /// What came of it.
    Ended(Result<T, E>),
}

/// A test that goes on, whether or not somebody reads it to its end.
pub struct Live<T, E> {
    first: TestStep,
    rest: mpsc::UnboundedReceiver<TestStep>,
    end: JoinHandle<Result<T, E>>,
}

/// Starts a test that tells its steps.
pub async fn begin<T, E, F>(work: impl FnOnce(StepWatch) -> F) -> Begun<T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<OpError> + Send + 'static,
{
    let (watch, mut rest) = mpsc::unbounded_channel();
    let end = tokio::spawn(work(watch));
    match rest.recv().await {
        Some(first) => Begun::GoesOn(Live { first, rest, end }),
        None => Begun::Ended(ended(end).await),
    }
}

/// Whoever reads a test sees that it breaks off; why is said in the log alone.
pub fn has_no_result(why: &OpError, request_id: RequestId) {
    tracing::error!(error = why as &dyn Error, %request_id, "a connection test that was followed has no result");
}

async fn ended<T, E: From<OpError>>(end: JoinHandle<Result<T, E>>) -> Result<T, E> {
    end.await.unwrap_or_else(|error| Err(OpError::Internal(error.into()).into()))
}

impl<T: Send + 'static, E: From<OpError> + Send + 'static> Live<T, E> {
    /// Each step as it ends, written by `step`, and what `last` makes of the end, also when nobody reads any more. Where that
    /// is nothing the body breaks off, and whoever reads it notices.
    pub fn body<F>(
        self,
        step: impl Fn(&TestStep) -> String + Send + 'static,
        last: impl FnOnce(Result<T, E>) -> F + Send + 'static,
    ) -> Channel<Bytes, io::Error>
    where
        F: Future<Output = io::Result<Bytes>> + Send + 'static,
    {
        let Self { first, mut rest, end } = self;
        let (mut sender, body) = Channel::new(PORTIONS_AHEAD);
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(passed) = next {
                if sender.send_data(Bytes::from(step(&passed))).await.is_err() {
                    break;
                }
                next = rest.recv().await;
            }
            match last(ended(end).await).await {
                // Whoever is gone misses nothing: the test has ended.
                Ok(bytes) => drop(sender.send_data(bytes).await),
                Err(error) => sender.abort(error),
            }
        });
        body
    }
}
