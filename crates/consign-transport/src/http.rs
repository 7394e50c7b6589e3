//! One request (RFC 9110): made of parsed parts, sent once, its answer read up to a limit.
//!
//! No redirect is followed, `Accept-Encoding` is sent for nobody but the caller of a gateway, and a request is sent a
//! second time only when the connection handed it back untouched.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use consign_core::connector::Message;
use consign_core::credential::Access;
use consign_core::delivery::{NoAnswer, Outcome, Unreached};
use consign_core::host::Host;
use consign_core::retry_after;
use consign_core::target::Origin;
use consign_core::time::Timestamp;
use http::header::{HOST, LOCATION, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout_at;

use crate::body::{self, Body, Sending};
use crate::pool::Lease;
use crate::{Answer, Limits, Network, NothingSent, Sent, Timing, To, now as clock, tls, words};

pub(crate) use draft::Draft;

mod draft;

/// How often it is seen whether a body moves.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// See [`Network::send`].
pub(crate) async fn send(
    network: &Network,
    access: &Access,
    message: &Message,
    body: Body,
    limits: &Limits,
    now: Timestamp,
) -> Sent {
    let start = clock();
    let mut timing = Timing::default();
    let mut sent = match Draft::new(access, message, body) {
        Ok(draft) => {
            draft.send(network, To::of(access), limits, start + limits.timeout, now, &mut timing).await
        }
        Err(fault) => nothing_sent(NothingSent::from(fault)),
    };
    timing.total = clock().saturating_duration_since(start);
    sent.timing = timing;
    sent
}

/// How long a request may take.
pub(crate) struct Waits {
    /// For the answer, once a body that is made while it is sent is out.
    pub(crate) timeout: Duration,
    /// From the start to the head of the answer, when that is less.
    pub(crate) head_timeout: Option<Duration>,
    /// The end of all waiting for a connection, and for the head of the answer to a body at hand.
    pub(crate) deadline: Instant,
}

/// The head of an answer came.
pub(crate) struct Answered {
    /// The connection it comes on.
    pub(crate) lease: Lease,
    /// The head, and the body to be read.
    pub(crate) response: Response<Incoming>,
    /// To be kept until the answer was read: a body that is still made then is broken off.
    pub(crate) under_way: Option<body::Request>,
}

impl Draft {
    /// Sends it, and reads the answer up to the limits.
    async fn send(
        mut self,
        network: &Network,
        to: To<'_>,
        limits: &Limits,
        deadline: Instant,
        now: Timestamp,
        timing: &mut Timing,
    ) -> Sent {
        let waits = Waits { timeout: limits.timeout, head_timeout: limits.head_timeout, deadline };
        match self.exchange(network, to, &waits, timing).await {
            Ok(answered) => {
                // A body that is made while it is sent takes its time; the answer behind it has its own.
                let deadline = self.sending.as_ref().map_or(deadline, |_| clock() + limits.timeout);
                let reading = Reading { origin: to.origin, limits, deadline, now };
                let Answered { lease, response, under_way } = answered;
                let sent = reading.answer(lease, response, self.bytes, timing).await;
                drop(under_way);
                sent
            }
            Err(sent) => *sent,
        }
    }

    /// The bytes of the request as HTTP/1.1 text, as far as they are known before it leaves.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sends it, up to the head of the answer; once more, on a fresh connection, when a kept one turned out to be dead
    /// before anything was sent.
    pub(crate) async fn exchange(
        &mut self,
        network: &Network,
        to: To<'_>,
        waits: &Waits,
        timing: &mut Timing,
    ) -> Result<Answered, Box<Sent>> {
        let (start, host) = (clock(), to.origin.host());
        let mut fresh = false;
        loop {
            let connecting = network.connect(to, fresh, waits.deadline, timing);
            let mut lease = connecting.await.map_err(|fault| Box::new(nothing_sent(fault)))?;
            let handed_over = clock();
            let mut under_way =
                self.sending.as_ref().map(|(sending, _)| body::Request::new(sending, lease.task()));
            let request = self.written_for(lease.is_http2());
            let head_deadline =
                waits.head_timeout.map_or(waits.deadline, |limit| (start + limit).min(waits.deadline));
            let answered = match &self.sending {
                None => timeout_at(head_deadline.into(), lease.send(request)).await.ok(),
                Some(sending) => while_it_moves(lease.send(request), sending, waits.timeout).await,
            };
            let first_byte = clock().saturating_duration_since(handed_over);
            match answered {
                Some(Ok(response)) => {
                    under_way.iter_mut().for_each(body::Request::answered);
                    timing.first_byte = Some(first_byte);
                    return Ok(Answered { lease, response, under_way });
                }
                Some(Err(mut lost)) => match lost.take_message() {
                    Some(request) if timing.reused => {
                        if let Some(request) = under_way {
                            request.handed_back();
                        }
                        self.request = request;
                        fresh = true;
                    }
                    message => {
                        let error = lost.into_error();
                        // A server looks at the certificate before it looks at anything that was sent (RFC 8446 section
                        // 4.4.2.4). Under TLS 1.3 we are told only now.
                        let refused = tls::refusal_of_certificate(to, &lease.alert);
                        return Err(Box::new(match (refused, message) {
                            (Some(fault), _) => nothing_sent(fault.into()),
                            (None, Some(_)) => nothing_sent(closed_at_once(host)),
                            (None, None) => self.lost(lease, host, &error),
                        }));
                    }
                },
                None => {
                    lease.retire();
                    let limit = waits.head_timeout.unwrap_or(waits.timeout).min(waits.timeout);
                    let words = format!("{host} did not answer within {}.", words(limit));
                    return Err(Box::new(unanswered(NoAnswer::TimedOut, words, self.bytes)));
                }
            }
        }
    }

    /// It left, at least in part, and no answer came.
    fn lost(&self, lease: Lease, host: &Host, error: &hyper::Error) -> Sent {
        if was_not_processed(error) {
            lease.retire();
            return nothing_sent(refused_stream(host));
        }
        unanswered(NoAnswer::ConnectionLost, lost_words(host, error), self.bytes)
    }

    /// Takes the request out, as the version of the connection writes it.
    fn written_for(&mut self, http2: bool) -> Request<Body> {
        let mut request = std::mem::take(&mut self.request);
        if http2 {
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(TRANSFER_ENCODING);
            *request.uri_mut() = self.uri.clone();
            *request.version_mut() = Version::HTTP_2;
        } else {
            if !request.headers().contains_key(HOST) {
                request.headers_mut().insert(HOST, self.host.clone());
            }
            let target = self.uri.path_and_query().cloned();
            *request.uri_mut() = target.unwrap_or_else(|| PathAndQuery::from_static("/")).into();
            *request.version_mut() = Version::HTTP_11;
        }
        request
    }
}

/// Waits for the answer to a request whose body is made while it is sent: as long as bytes move, and for the time of an
/// answer once they are all out. `None`: neither happened in time.
async fn while_it_moves<T>(
    answer: impl Future<Output = T>,
    (sending, still_max): &(Sending, Duration),
    limit: Duration,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    let (mut taken, mut since) = (sending.bytes(), clock());
    loop {
        let look_again = timeout_at((clock() + LOOK_EVERY).into(), answer.as_mut()).await;
        if let Ok(answered) = look_again {
            return Some(answered);
        }
        let limit = if sending.is_whole() { limit } else { *still_max };
        match sending.bytes() {
            bytes if bytes > taken => (taken, since) = (bytes, clock()),
            _ if clock().saturating_duration_since(since) > limit => return None,
            _ => {}
        }
    }
}

/// What an answer is read with.
struct Reading<'a> {
    origin: &'a Origin,
    limits: &'a Limits,
    deadline: Instant,
    now: Timestamp,
}

impl Reading<'_> {
    /// The status decides the outcome; a body that is cut short changes nothing about it.
    async fn answer(
        &self,
        lease: Lease,
        response: Response<Incoming>,
        request_bytes: u64,
        timing: &mut Timing,
    ) -> Sent {
        let head_read = clock();
        let (head, body) = response.into_parts();
        let (body, end) = self.body(body).await;
        timing.body = Some(clock().saturating_duration_since(head_read));
        match end {
            // After 101 the connection speaks something else.
            End::Complete if head.status.as_u16() != 101 => lease.give_back(idle_max(&head.headers)).await,
            End::TimedOut => lease.retire(),
            End::Complete | End::TooLong | End::Lost => drop(lease),
        }
        let status = head.status.as_u16();
        let outcome = if head.status.is_success() {
            Outcome::Accepted { status }
        } else {
            Outcome::Rejected { status, wait: retry_after::asked_wait(&head.headers, status, self.now) }
        };
        let detail = self.detail(status, &head.headers, end);
        let whole = matches!(end, End::Complete);
        let answer = Some(Answer { status, headers: head.headers, body, whole });
        Sent { outcome, answer, timing: Timing::default(), detail, request_bytes }
    }

    /// Reads to the end, the limit or the deadline, whichever comes first.
    async fn body(&self, mut body: Incoming) -> (Bytes, End) {
        let max = self.limits.answer_bytes_max;
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        let end = loop {
            let frame = match timeout_at(self.deadline.into(), body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => break End::Lost,
                Ok(None) => break End::Complete,
                Err(_) => break End::TimedOut,
            };
            let Ok(mut data) = frame.into_data() else { continue };
            let room = max - first.len().max(all.len());
            let too_long = data.len() > room;
            data.truncate(room);
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.extend_from_slice(&std::mem::take(&mut first));
                }
                all.extend_from_slice(&data);
            }
            if too_long {
                break End::TooLong;
            }
        };
        (if all.is_empty() { first } else { all.freeze() }, end)
    }

    fn detail(&self, status: u16, headers: &HeaderMap, end: End) -> String {
        if (300..400).contains(&status)
            && let Some(host) =
                headers.get(LOCATION).and_then(|location| location_host(self.origin, location))
        {
            return format!(
                "The tool sends us on to {host} ({status}). Redirects are not followed. Update the address."
            );
        }
        let rest = match end {
            End::Complete => String::new(),
            End::TooLong => format!(
                " Its answer is longer than {} bytes; the rest was not read.",
                self.limits.answer_bytes_max
            ),
            End::TimedOut => format!(" Its answer did not end within {}.", words(self.limits.timeout)),
            End::Lost => " The connection ended within its answer.".to_owned(),
        };
        format!("The tool answered {status}.{rest}")
    }
}

/// How the body of an answer ended.
#[derive(Clone, Copy)]
enum End {
    Complete,
    TooLong,
    TimedOut,
    Lost,
}

/// The host that a redirect leads to; our own when it is relative.
fn location_host(origin: &Origin, location: &HeaderValue) -> Option<String> {
    let location = location.to_str().ok()?;
    let scheme = if location.starts_with("//") { "https:" } else { "" };
    let uri = Uri::try_from(format!("{scheme}{location}")).ok()?;
    let Some(host) = uri.host() else { return Some(origin.host().to_string()) };
    Host::parse(host).ok().map(|host| host.to_string())
}

/// How long a server keeps the connection, one second less for the way: `Keep-Alive: timeout=5` (RFC 2068
/// section 19.7.1.1).
pub(crate) fn idle_max(headers: &HeaderMap) -> Option<Duration> {
    let parameters = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = parameters.split(',').find_map(|parameter| parameter.trim().strip_prefix("timeout="))?;
    Some(Duration::from_secs(timeout.trim().parse::<u64>().ok()?.saturating_sub(1)))
}

fn closed_at_once(host: &Host) -> NothingSent {
    let outcome = Outcome::Unreachable { reason: Unreached::Connect };
    NothingSent { outcome, detail: format!("{host} closed the connection before the request.") }
}

fn refused_stream(host: &Host) -> NothingSent {
    let outcome = Outcome::Unreachable { reason: Unreached::Connect };
    NothingSent { outcome, detail: format!("{host} refused the request before processing any of it.") }
}

/// Whether the server says that nothing of the request was processed, so that it is safe to send again: the stream
/// was refused, or it lies beyond the last one of a GOAWAY (RFC 9113 sections 8.7 and 6.8). Streams below that one
/// never end with the error of a GOAWAY that was received.
fn was_not_processed(error: &hyper::Error) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let mut ends = causes.filter_map(|cause| cause.downcast_ref::<h2::Error>());
    ends.any(|end| {
        let refused = end.is_reset() && end.reason() == Some(h2::Reason::REFUSED_STREAM);
        end.is_remote() && (refused || end.is_go_away())
    })
}

fn lost_words(host: &Host, error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        format!("{host} sent a longer head than an answer may have.")
    } else if error.is_parse() {
        format!("{host} sent something that is no HTTP answer.")
    } else {
        format!("{host} ended the connection without an answer.")
    }
}

pub(crate) fn unanswered(reason: NoAnswer, detail: String, request_bytes: u64) -> Sent {
    let outcome = Outcome::Unanswered { reason };
    Sent { outcome, answer: None, timing: Timing::default(), detail, request_bytes }
}

pub(crate) fn nothing_sent(fault: NothingSent) -> Sent {
    let NothingSent { outcome, detail } = fault;
    Sent { outcome, answer: None, timing: Timing::default(), detail, request_bytes: 0 }
}

#[cfg(test)]
mod tests;
