//! A file on its way to the server: after a cut it goes on from where the server is, by itself.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use consign_core::catalog::size;
use consign_core::hex::hex;
use http::{HeaderName, Method};
use serde_json::{Value, json};

use super::EXPORTERS;
use super::push::{LOOK_EVERY, unreadable};
use super::uploads::UPLOADS;
use crate::cli::client::{Call, Client};
use crate::cli::failure::{Code, Failure};
use crate::cli::listing::text;
use crate::cli::output::{Output, Progress, ProgressForm};
use crate::cli::upload::Upload;

const HASH_PIECE_BYTES: usize = 256 << 10;
/// While a file is only read, its progress is shown this often.
const SHOWN_EVERY_BYTES: u64 = 256 << 20;
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
/// Cuts in a row after which nothing more had arrived: with the waits below, about five minutes.
const CUTS_MAX: u32 = 15;
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A file that is sent until it is there.
pub(super) struct Resumable<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) output: &'a Output,
    pub(super) path: &'a str,
    pub(super) progress: ProgressForm,
}

impl Resumable<'_> {
    /// Sends it; the answer is the id of its run.
    pub(super) async fn send(
        &self,
        exporter: &str,
        name: &str,
        content_type: &str,
        key: &str,
    ) -> Result<String, Failure> {
        let mut progress = Progress::new(self.output, self.progress);
        let (length, digest) = hashed(self.path, &mut progress)?;
        let mut progress = Progress::new(self.output, self.progress);
        let wanted =
            json!({ "file_name": name, "content_type": content_type, "bytes": length, "sha256": digest });
        let mut cuts = Cuts::default();
        let call = Call::post(&[EXPORTERS, exporter, UPLOADS]).idempotency_key(key).json(&wanted);
        let mut upload = self.client.send(call).await?.json()?;
        let id = text(&upload, "id");
        // The answer may be one that was kept: the file may have come further since.
        upload["offset"] = Value::Null;
        loop {
            let sent = match upload["offset"].as_u64() {
                Some(offset) => self.send_rest(&id, offset, length, &mut progress).await,
                None => self.client.send(Call::get(&[UPLOADS, &id])).await,
            };
            match sent {
                Ok(answer) => upload = answer.json()?,
                Err(failure) => {
                    let reached = upload["offset"].as_u64().unwrap_or(0);
                    let again = format!("Go on within a day: the same command with --idempotency-key {key}");
                    let leave = format!("Or give it up: consign exporter discard {id}");
                    cuts.judge(failure, reached, &mut progress)
                        .await
                        .map_err(|failure| failure.and(&again).and(&leave))?;
                    upload["offset"] = Value::Null;
                }
            }
            if upload["complete"] == true {
                progress.clear();
                return Ok(text(&upload, "run"));
            }
        }
    }

    /// All that is not there yet, in one request.
    async fn send_rest(
        &self,
        id: &str,
        offset: u64,
        length: u64,
        progress: &mut Progress<'_>,
    ) -> Result<crate::cli::client::Answer, Failure> {
        let mut file = File::open(self.path).map_err(|error| unreadable(self.path, &error))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| unreadable(self.path, &error))?;
        let rest = length.saturating_sub(offset);
        let body = Upload::new(Box::new(file.take(rest)), Some(rest));
        let sent = body.progress();
        let call = Call::new(Method::PATCH, &[UPLOADS, id])
            .content_type("application/partial-upload")
            .header(UPLOAD_OFFSET, offset)
            .header(UPLOAD_COMPLETE, "?1");
        let mut answer = std::pin::pin!(self.client.upload(call, body));
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                () = tokio::time::sleep(LOOK_EVERY) => {
                    progress.show("Uploading", offset + sent.bytes(), Some(length), "bytes");
                }
            }
        }
    }
}

/// Cuts in a row, without anything having arrived in between.
#[derive(Default)]
struct Cuts {
    count: u32,
    reached: u64,
}

impl Cuts {
    /// Waits before the next try, or gives up.
    async fn judge(
        &mut self,
        failure: Failure,
        reached: u64,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        if reached > self.reached {
            (self.count, self.reached) = (0, reached);
        }
        self.count += 1;
        if !may_pass(&failure) || self.count > CUTS_MAX {
            return Err(failure);
        }
        let wait = WAIT_MAX.min(Duration::from_millis(250) * 2_u32.saturating_pow(self.count - 1));
        progress.say(&format!("Cut off. Goes on in {:.1} s", wait.as_secs_f64()));
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// What another try may meet no more: a cut, a server that restarts, one that is further than we thought.
fn may_pass(failure: &Failure) -> bool {
    let problem = failure.problem.as_ref();
    let word = problem.and_then(|problem| problem["code"].as_str()).unwrap_or_default();
    let status = problem.and_then(|problem| problem["status"].as_u64()).unwrap_or(0);
    match failure.code {
        Code::Unreachable | Code::TooLong => true,
        Code::Changed => ["wrong_offset", "idempotency_in_progress"].contains(&word),
        Code::Failed => problem.is_none() || status == 408 || status == 429 || status >= 500,
        _ => false,
    }
}

/// The size and the SHA-256 of a file, in hexadecimal. A large one takes a while, which is shown.
fn hashed(path: &str, progress: &mut Progress<'_>) -> Result<(u64, String), Failure> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut piece = vec![0; HASH_PIECE_BYTES];
    let total = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    let (mut length, mut shown) = (0, 0);
    loop {
        let read = file.read(&mut piece).map_err(|error| unreadable(path, &error))?;
        if read == 0 {
            return Ok((length, hex(digest.finish().as_ref())));
        }
        digest.update(&piece[..read]);
        length += read as u64;
        if length - shown >= SHOWN_EVERY_BYTES {
            shown = length;
            progress.say(&format!("Reading. {} of {}", size(length), size(total)));
        }
    }
}
