//! A file on a file server: made while it leaves, under a temporary name, whole when it has its final one. Where the answer
//! to the rename was lost, the next attempt looks first.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use consign_core::catalog::size;
use consign_core::connector::Exporter;
use consign_core::connector::exporter::{Compression, FilePlace, IfExists, Step};
use consign_core::credential::SftpAccess;
use consign_core::delivery::{FileAnswer, NoAnswer, Outcome, Refusal};
use consign_core::hex::hex;
use consign_core::id::RunId;
use consign_core::redact::Scrubber;
use consign_core::target::FileName;
use consign_store::runs::{self, Run};
use consign_transport::sftp::{
    Body, IfExists as WhereTaken, SftpFault, SftpSession, SftpWhy, Upload, Written,
};
use tokio::sync::{mpsc, oneshot};

use super::feed::{Fed, Made};
use super::outlet::Outlet;
use super::patience::Patience;
use super::{FILE_PIECE_BYTES, Job, Stop, Told, counted};
use crate::engine::Engine;
use crate::engine::authorize::Opened;
use crate::engine::deliver::Seen;
use crate::telemetry;

/// Parts that wait for the server; of a pushed file they are 255 KiB each.
const PARTS_WAITING_MAX: usize = 2;
/// Parts that were left behind are removed when nothing was written to them for so long.
const LEFT_BEHIND: Duration = Duration::from_secs(86_400);
/// A number that another file took meanwhile is chosen anew so often.
const NAMES_AGAIN_MAX: u32 = 3;
/// The parts of so many earlier attempts are removed before the next one writes.
const ATTEMPTS_CLEANED_MAX: usize = 20;
/// Between two looks at how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is sent as a file, where to.
pub(super) struct Errand<'a> {
    pub(super) job: &'a Job,
    pub(super) access: SftpAccess,
    exporter: &'a Exporter,
    pub(super) place: &'a FilePlace,
    pub(super) session: SftpSession,
    pub(super) patience: Patience,
    scrubber: Scrubber,
}

/// What became of a file.
enum Brought {
    /// An earlier attempt, or an earlier session of this one, brought it; so many bytes.
    Before(u64),
    /// It has its name now.
    Now(Made, Written),
}

impl Errand<'_> {
    /// What the server said, cleaned of secrets.
    pub(super) fn words(&self, fault: &SftpFault) -> String {
        self.scrubber.scrub(&fault.detail).into_owned()
    }

    /// What a fault means for the attempt; what the server said is cleaned of secrets.
    pub(super) fn attempt(&self, fault: SftpFault) -> Stop {
        attempt(&self.scrubber, fault)
    }
}

impl Engine {
    /// Sends the file of a run: its records, or what was pushed.
    pub(super) async fn send_to_server(
        self: &Arc<Self>,
        job: &Job,
        exporter: &Exporter,
        place: &FilePlace,
        run: &mut Run,
    ) -> Result<Told, Stop> {
        let _place = self.place_for(job, None).await?;
        let started = self.now();
        let (access, scrubber) = self.enter_server(job)?;
        let session = self.network.sftp(&access).await.map_err(|fault| attempt(&scrubber, fault))?;
        let patience = Patience::default();
        let mut errand = Errand { job, access, exporter, place, session, patience, scrubber };
        let brought = loop {
            match self.bring(&mut errand, run).await {
                Err(Stop::NewKeys(ended)) => self.next_session(&mut errand, ended).await?,
                brought => break brought?,
            }
        };
        self.exports.note_arrived(run.connector);
        let (made, written) = match brought {
            Brought::Now(made, written) => (made, written),
            Brought::Before(bytes) => {
                let mut told = arrived_at_last(run, bytes);
                told.lines.extend(self.keep_newest(&errand, run, (bytes, run.made_at)).await?);
                return Ok(told);
            }
        };
        let (uploaded, brought) = (&written.uploaded, (made.bytes, written.modified_seconds.map(i64::from)));
        let line = format!(
            "Uploaded {}: {}, SHA-256 {}{} → renamed in {} ms.",
            run.file_name,
            size(uploaded.bytes),
            uploaded.sha256.map_or_else(
                || known_digest(run, exporter.compression).unwrap_or_default().to_owned(),
                |found| hex(&found)
            ),
            if uploaded.synced { ", on the disk of the server" } else { "" },
            self.now().since(started).as_millis(),
        );
        self.learn_that_it_works(job, &Seen::nothing(FILE_TAKEN, None), self.now()).await;
        let mut told = arrived(run, made, line);
        told.lines.extend(self.keep_newest(&errand, run, brought).await?);
        Ok(told)
    }

    /// Looks for the file, writes it and gives it its name, over one session; a large one may take several.
    async fn bring(&self, errand: &mut Errand<'_>, run: &mut Run) -> Result<Brought, Stop> {
        if let Some(bytes) = self.arrived_before(errand, run).await? {
            return Ok(Brought::Before(bytes));
        }
        self.remove_left_behind(errand, run).await?;
        // An earlier attempt may have done late what it was asked for; its part is gone now, and it does nothing any more.
        if let Some(bytes) = self.arrived_before(errand, run).await? {
            return Ok(Brought::Before(bytes));
        }
        let mut again = NAMES_AGAIN_MAX;
        loop {
            self.choose_name(errand, run).await?;
            let sent = match self.upload_over_sessions(errand, run).await {
                Ok((made, written)) => {
                    self.give_its_name(errand, run, &written).await.map(|()| (made, written))
                }
                Err(stop) => Err(stop),
            };
            match sent {
                Ok((made, written)) => return Ok(Brought::Now(made, written)),
                Err(stop) if is_taken(&stop) => {
                    // An earlier attempt may have come first after all, while this one wrote.
                    if let Some(bytes) = self.arrived_before(errand, run).await? {
                        return Ok(Brought::Before(bytes));
                    }
                    // Another file may have taken the number since it was looked for.
                    if errand.place.if_exists != IfExists::Number || again == 0 {
                        return Err(stop);
                    }
                    again -= 1;
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    fn enter_server(&self, job: &Job) -> Result<(SftpAccess, Scrubber), Stop> {
        let refused = |refusal| Stop::refused(refusal, None);
        let opened = Opened::open(&self.vault, &job.credential).map_err(refused)?;
        let access = opened.enter_session(self.now()).map_err(refused)?;
        Ok((access, opened.scrubber(None)))
    }

    /// Best effort. An earlier attempt of this run has lost it: nothing of it is waited for. What other runs left behind is
    /// looked for once in a while.
    async fn remove_left_behind(&self, errand: &Errand<'_>, run: &Run) -> Result<(), Stop> {
        if let Ok(name) = final_name(&run.file_name) {
            for fence in (1..run.fence).rev().take(ATTEMPTS_CLEANED_MAX) {
                let attempt = attempt_of(run.id, fence);
                let removed = errand.session.remove_part(&errand.place.folder, &name, &attempt).await;
                removed.map_err(|fault| errand.attempt(fault))?;
            }
        }
        if !self.exports.is_cleaning_due(run.connector, self.now()) {
            return Ok(());
        }
        match self.remove_parts_of_others(errand, run).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(run.id = %run.id, removed, "parts that were left behind are gone"),
            Err(fault) => tracing::info!(run.id = %run.id, %fault, "the folder was not looked through"),
        }
        Ok(())
    }

    /// Parts of runs of this exporter, however many it has had since.
    async fn remove_parts_of_others(&self, errand: &Errand<'_>, run: &Run) -> Result<usize, SftpFault> {
        let (session, folder) = (&errand.session, &errand.place.folder);
        let before = u32::try_from(self.now().minus(LEFT_BEHIND).seconds()).unwrap_or(u32::MAX);
        let mut parts = session.find_parts(folder, before).await?;
        let runs: Vec<_> = parts.iter().filter_map(|part| run_of(part)).collect();
        let ours = async { runs::ours_of(&mut *self.store.read().await?, run.connector, &runs).await };
        let ours = match ours.await {
            Ok(ours) => ours,
            Err(error) => {
                tracing::info!(run.id = %run.id, %error, "whose the parts in the folder are was not found out");
                return Ok(0);
            }
        };
        parts.retain(|part| run_of(part).is_some_and(|id| ours.contains(&id)));
        session.remove_parts(folder, &parts).await
    }

    /// A server may take new keys in the middle without a proof that they are its own: then its session ends, and a new one, for
    /// which it proves itself, goes on from what arrived.
    async fn upload_over_sessions(
        &self,
        errand: &mut Errand<'_>,
        run: &Run,
    ) -> Result<(Made, Written), Stop> {
        loop {
            match self.upload(errand, run, errand.job.moving.bytes()).await {
                Err(Stop::NewKeys(ended)) => self.next_session(errand, ended).await?,
                done => return done,
            }
        }
    }

    /// Makes and sends the file. When this is dropped, the other side sees the file end before its end, and cleans up.
    async fn upload(&self, errand: &Errand<'_>, run: &Run, arrived: u64) -> Result<(Made, Written), Stop> {
        let job = errand.job;
        if run.file.as_ref().is_some_and(|file| file.bytes <= FILE_PIECE_BYTES as u64) {
            return self.upload_small(errand, run).await;
        }
        let (parts, body) = mpsc::channel(PARTS_WAITING_MAX);
        let mut sent = self.spawn_upload(errand, run, Body::Stream(body), arrived)?;
        job.moving.is_at_step(Step::Write);
        let mut fed = pin!(self.feed(errand, run, Outlet::File(parts)));
        let mut made = None;
        loop {
            tokio::select! {
                sent = &mut sent => return match (sent, made) {
                    (Ok(Ok(written)), Some(made)) => Ok((made, written)),
                    (Ok(Err(fault)), _) => Err(errand.attempt(fault)),
                    (Ok(Ok(_)) | Err(_), _) => Err(Stop::GiveBack),
                },
                fed = &mut fed, if made.is_none() => match fed {
                    Ok(whole) => {
                        made = Some(whole);
                        job.moving.is_at_step(Step::Upload);
                    }
                    // The other side says why.
                    Err(Fed::Closed) => made = Some(Made::default()),
                    Err(Fed::Stop(stop)) => return Err(stop),
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let all = made.as_ref().is_some_and(|made| made.bytes == job.moving.bytes());
            if all {
                job.moving.is_at_step(Step::Check);
            }
        }
    }

    /// Sends a file that is at hand as a whole.
    async fn upload_small(&self, errand: &Errand<'_>, run: &Run) -> Result<(Made, Written), Stop> {
        // It is sent anew, as a whole.
        errand.job.moving.is_at(0);
        let bytes = self.small_file(errand.job, errand.exporter.compression).await?;
        let made = Made { records: 0, bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) };
        let sent = self.spawn_upload(errand, run, Body::Whole(bytes), 0)?;
        match sent.await {
            Ok(Ok(written)) => Ok((made, written)),
            Ok(Err(fault)) => Err(errand.attempt(fault)),
            Err(_) => Err(Stop::GiveBack),
        }
    }

    fn spawn_upload(
        &self,
        errand: &Errand<'_>,
        run: &Run,
        body: Body,
        arrived: u64,
    ) -> Result<oneshot::Receiver<Result<Written, SftpFault>>, Stop> {
        let (session, folder) = (errand.session.clone(), errand.place.folder.clone());
        let name = final_name(&run.file_name)?;
        // Each attempt has a part of its own: none gives a name to what another one is writing.
        let attempt = attempt_of(run.id, run.fence);
        let if_exists = match errand.place.if_exists {
            IfExists::Replace => WhereTaken::Replace,
            IfExists::Fail | IfExists::Number => WhereTaken::Fail,
        };
        let progress = errand.job.moving.counter();
        progress.store(arrived, Ordering::Relaxed);
        let hash = known_digest(run, errand.exporter.compression).is_none();
        let step_by_step = errand.patience.is_in_vain();
        let (tell, written) = oneshot::channel();
        tokio::spawn(async move {
            let upload = Upload {
                folder: &folder,
                name: &name,
                run: &attempt,
                if_exists,
                progress: Some(&progress),
                arrived,
                hash,
                step_by_step,
            };
            // Whoever waited for it may be gone: then nobody gives it a name.
            if let Err(Ok(written)) = tell.send(session.write_part(&upload, body).await) {
                session.discard(&written).await;
            }
        });
        Ok(written)
    }

    /// Makes the file.
    async fn feed(&self, errand: &Errand<'_>, run: &Run, outlet: Outlet) -> Result<Made, Fed> {
        let made = match &run.file {
            Some(_) => self.feed_file(run, errand.exporter.compression, &outlet).await?,
            None => self.feed_records(errand.job, errand.exporter, &outlet).await?,
        };
        outlet.end().await?;
        Ok(made)
    }
}

/// The file is there: an earlier attempt brought it.
fn arrived_at_last(run: &mut Run, bytes: u64) -> Told {
    let made = Made { bytes, records: run.records.saturating_sub(run.sent_records) };
    let line = format!("{} is there already, whole: an earlier answer was lost.", run.file_name);
    arrived(run, made, line)
}

/// The run is done; it is written down with its end, so that no attempt comes in between.
fn arrived(run: &mut Run, made: Made, line: String) -> Told {
    run.step = Step::Rename;
    run.requests = 1;
    run.sent_records += made.records;
    run.sent_bytes = made.bytes;
    metrics::counter!(telemetry::EXPORTER_ROWS).increment(made.records);
    metrics::counter!(telemetry::EXPORTER_BYTES).increment(made.bytes);
    let what = match &run.file {
        Some(_) => String::new(),
        None => format!("{}, ", counted(run.sent_records, "record", "records")),
    };
    let message = format!("Sent {}, {what}{}.", run.file_name, size(made.bytes));
    Told { lines: vec![line], message }
}

/// The SHA-256 of what is sent, where it is a file as it was pushed: its pieces only open where they are that file.
fn known_digest(run: &Run, compression: Compression) -> Option<&str> {
    let file = run.file.as_ref().filter(|_| compression == Compression::None);
    file.map(|file| file.digest.as_str())
}

/// What the part of an attempt is called by.
fn attempt_of(run: RunId, fence: i64) -> String {
    format!("{run}.{fence}")
}

/// The run that a part belongs to: `.list.csv.run_….3.part` is of its third attempt.
fn run_of(part: &str) -> Option<RunId> {
    let (rest, _attempt) = part.strip_suffix(".part")?.rsplit_once('.')?;
    rest.rsplit_once('.')?.1.parse().ok()
}

/// Whether an attempt ended because the name is taken.
fn is_taken(stop: &Stop) -> bool {
    matches!(stop, Stop::Attempt(seen) if seen.outcome == Outcome::File { answer: FileAnswer::Exists })
}

const FILE_TAKEN: Outcome = Outcome::File { answer: FileAnswer::Taken };

pub(super) fn final_name(text: &str) -> Result<FileName, Stop> {
    FileName::parse("File name", text).map_err(|fault| Stop::unreadable(fault.message))
}

pub(super) fn exists() -> SftpFault {
    SftpFault { why: SftpWhy::Exists, detail: "A file of that name exists already.".to_owned() }
}

/// What a fault means for the attempt.
fn attempt(scrubber: &Scrubber, fault: SftpFault) -> Stop {
    let new_keys = matches!(fault.why, SftpWhy::NewKeys);
    let outcome = match fault.why {
        SftpWhy::Blocked => Outcome::Refused { refusal: Refusal::DestinationBlocked(fault.detail.clone()) },
        SftpWhy::Unreachable(reason) => Outcome::Unreachable { reason },
        SftpWhy::HostKey { .. } => Outcome::Refused { refusal: Refusal::HostKeyChanged },
        SftpWhy::Key(_) => Outcome::Refused { refusal: Refusal::CredentialLocked },
        SftpWhy::SignIn(_) => Outcome::Refused { refusal: Refusal::SignInRefused },
        SftpWhy::Refused(_) | SftpWhy::NoSpace | SftpWhy::Misbehaved => {
            Outcome::File { answer: FileAnswer::Declined }
        }
        SftpWhy::Exists => Outcome::File { answer: FileAnswer::Exists },
        SftpWhy::Lost | SftpWhy::NewKeys => Outcome::Unanswered { reason: NoAnswer::ConnectionLost },
        // What makes the file has its own words for it.
        SftpWhy::SourceEnded => return Stop::GiveBack,
    };
    let seen = Box::new(Seen::nothing(outcome, Some(scrubber.scrub(&fault.detail).into_owned())));
    if new_keys { Stop::NewKeys(seen) } else { Stop::Attempt(seen) }
}
