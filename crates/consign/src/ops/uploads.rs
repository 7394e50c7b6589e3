//! Files that are pushed in several requests: begin, go on where the last one was cut off, look, leave.
//!
//! The ways of the draft on resumable uploads for HTTP: the server says where it is, and whoever sends goes on from there. A
//! file of which nothing more arrives is forgotten after a day.

use std::sync::Arc;

use consign_core::catalog::{Fault, Reader};
use consign_core::connector::exporter::judge_content_type;
use consign_core::id::{RunId, UploadId};
use consign_core::rights::Right;
use consign_store::connectors;
use consign_store::uploads::{self, Upload};
use serde_json::{Map, Value, json};

use super::exporters::by_reference;
use super::pushes::{FilePush, Finished, finish, resumed, takes_files};
use super::{Actor, Object, OpError, Sent, audit_entry, commit, commit_answered};
use crate::App;
use crate::engine::{FILE_PIECE_BYTES, UPLOADS_KEPT};

/// Files of one exporter that are on their way at one time.
const OPEN_MAX: u64 = 100;
/// Those of them that one caller began: there is room for others.
const OPEN_OF_CALLER_MAX: u64 = 20;
/// No more are listed: those that may go on, and as many that come in one request.
const LISTED_MAX: u32 = 1_000;
const OCTETS: &str = "application/octet-stream";
const DIGEST_CHARS: usize = 64;
const KNOWN: &[&str] = &["file_name", "content_type", "bytes", "sha256"];

/// Begins a file, of which nothing is there yet.
///
/// # Errors
/// Every value that was not accepted; when there is no such exporter, or too many files are on their way to it.
pub async fn create(app: &App, actor: &Actor, reference: &str, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::EventsWrite)?;
    let bytes_max = app.engine.delivery_rules().export_bytes;
    let wanted = Wanted::read(sent, bytes_max)?;
    let connector = takes_files(app, reference, &wanted.file_name).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    if uploads::open_count(&mut tx, connector.id).await? >= OPEN_MAX {
        let sentence = "100 files are on their way to this exporter. Finish or delete some of them first";
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    if uploads::open_count_by(&mut tx, connector.id, &actor.caller()).await? >= OPEN_OF_CALLER_MAX {
        let sentence =
            "20 files of yours are on their way to this exporter. Finish or delete some of them first";
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    let new = Upload {
        content_type: wanted.content_type,
        announced_bytes: wanted.bytes,
        announced_digest: wanted.digest,
        ..Upload::new(connector.id, &wanted.file_name, actor.caller(), now)
    };
    uploads::insert(&mut tx, &new).await?;
    let value = show(&new);
    commit_answered(app, actor, tx, &value).await?;
    Ok(value)
}

/// The files that this caller began and that are not complete, the oldest first; for an administrator, those of all.
///
/// # Errors
/// When there is no such exporter.
pub async fn list(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::EventsWrite)?;
    let mut db = app.store.read().await?;
    let (connector, _) = by_reference(&mut db, reference).await?;
    let caller = actor.caller();
    let by = if sees_all(actor) { None } else { Some(caller.as_str()) };
    let open = uploads::open_of(&mut db, connector.id, by, LISTED_MAX).await?;
    Ok(json!({ "items": open.iter().map(show).collect::<Vec<_>>() }))
}

/// Where a file is: of this caller, or, for an administrator, of anybody.
///
/// # Errors
/// When there is none that this caller may see.
pub async fn find(app: &App, actor: &Actor, id: UploadId) -> Result<Value, OpError> {
    actor.require(Right::EventsWrite)?;
    let found = uploads::find(&mut *app.store.read().await?, id).await?;
    let seen = found.filter(|upload| sees_all(actor) || upload.created_by == actor.caller());
    Ok(show(&seen.ok_or(OpError::NotFound("upload"))?))
}

/// How a request goes on with a file.
pub enum Resumed {
    /// From where it is.
    Here(Box<FilePush>),
    /// It is at another place; nothing was taken.
    Elsewhere(u64),
    /// All of it is there already.
    Complete(Value),
}

/// Goes on with a file. Whatever request went on with it before stores nothing more.
///
/// # Errors
/// When there is none that this caller began.
pub async fn resume(app: &Arc<App>, actor: &Actor, id: UploadId, offset: u64) -> Result<Resumed, OpError> {
    let known = own(app, actor, id).await?;
    if known.one_request {
        return Err(OpError::WrongState(
            "This file comes in one request. Push it again as a whole".to_owned(),
        ));
    }
    if known.complete {
        return Ok(Resumed::Complete(show(&known)));
    }
    if known.bytes != offset {
        return Ok(Resumed::Elsewhere(known.bytes));
    }
    let mut tx = app.store.begin().await?;
    let taken = uploads::take(&mut tx, id, offset).await?;
    commit(app, tx).await?;
    let Some(taken) = taken else {
        // Another request stored a piece in this moment, or the last one.
        let now = own(app, actor, id).await?;
        return Ok(if now.complete { Resumed::Complete(show(&now)) } else { Resumed::Elsewhere(now.bytes) });
    };
    Ok(Resumed::Here(Box::new(resumed(app, taken))))
}

/// A request came to its end, and the file did not: whole pieces of it stay.
pub fn pause(push: FilePush) -> Value {
    show(&push.intake.leave())
}

/// All of the file is there: its run begins.
///
/// # Errors
/// When it is not the file that was announced; then it is forgotten.
pub async fn complete(app: &Arc<App>, actor: &Actor, id: UploadId, push: FilePush) -> Result<Value, OpError> {
    match finish(app, actor, push).await? {
        Finished::Run(mut tx, _, stored) => {
            let done = uploads::find(&mut tx, id).await?.ok_or(OpError::NotFound("upload"))?;
            commit(app, tx).await?;
            stored.is_whole();
            app.engine.wake_all();
            Ok(show(&done))
        }
        Finished::Other(fault, upload) => {
            let mut tx = app.store.begin().await?;
            let deleted = uploads::delete(&mut tx, upload.id).await?;
            commit(app, tx).await?;
            if deleted {
                remove_pieces(app, upload.run);
            }
            Err(OpError::Invalid(vec![fault]))
        }
    }
}

/// Forgets a file that is not complete: of this caller, or, for an administrator, of anybody.
///
/// # Errors
/// When there is none that this caller may delete, or its run has begun.
pub async fn delete(app: &Arc<App>, actor: &Actor, id: UploadId) -> Result<(), OpError> {
    actor.require(Right::EventsWrite)?;
    let mut tx = app.store.begin().await?;
    let found = uploads::find(&mut tx, id).await?.ok_or(OpError::NotFound("upload"))?;
    let is_own = found.created_by == actor.caller();
    if !is_own && !sees_all(actor) {
        return Err(OpError::NotFound("upload"));
    }
    let deleted = uploads::delete(&mut tx, id).await?;
    if deleted && !is_own {
        let exporter = connectors::find(&mut tx, found.connector).await?;
        let name = exporter.map(|exporter| exporter.name.to_string()).unwrap_or_default();
        let object = Object { kind: "exporter", id: found.connector.to_string(), name: &name };
        let changes = json!({ "upload": id, "file_name": found.file_name, "created_by": found.created_by });
        audit_entry(app, &mut tx, actor, "Deleted file on its way", object, changes).await?;
    }
    commit(app, tx).await?;
    if deleted {
        remove_pieces(app, found.run);
        return Ok(());
    }
    Err(OpError::WrongState("All of this file is there, and its run has begun. Cancel the run".to_owned()))
}

/// There is room for others at once; what is stored goes piece by piece behind the answer.
fn remove_pieces(app: &Arc<App>, run: RunId) {
    let engine = app.engine.clone();
    tokio::spawn(async move {
        if let Err(error) = engine.remove_pieces(run).await {
            tracing::error!(%error, "what is stored of a file that was given up could not be removed; trying again in ten minutes");
        }
    });
}

/// Files that others began are seen, and given up, by administrators.
fn sees_all(actor: &Actor) -> bool {
    actor.require(Right::Admin).is_ok()
}

/// Only whoever began a file goes on with it.
async fn own(app: &App, actor: &Actor, id: UploadId) -> Result<Upload, OpError> {
    actor.require(Right::EventsWrite)?;
    let found = uploads::find(&mut *app.store.read().await?, id).await?;
    found.filter(|upload| upload.created_by == actor.caller()).ok_or(OpError::NotFound("upload"))
}

fn show(upload: &Upload) -> Value {
    json!({
        "id": upload.id,
        "exporter": upload.connector,
        "file_name": upload.file_name,
        "content_type": upload.content_type,
        "bytes": upload.announced_bytes,
        "sha256": upload.announced_digest,
        "offset": upload.bytes,
        "piece_bytes": FILE_PIECE_BYTES,
        "complete": upload.complete,
        "one_request": upload.one_request,
        "created_by": upload.created_by,
        "run": upload.complete.then_some(upload.run),
        "created_at": upload.created_at,
        "expires_at": (!upload.complete).then(|| upload.touched_at.plus(UPLOADS_KEPT)),
    })
}

/// What is said about a file before it comes.
struct Wanted {
    file_name: String,
    content_type: String,
    bytes: Option<u64>,
    digest: Option<String>,
}

impl Wanted {
    fn read(sent: Map<String, Value>, bytes_max: u64) -> Result<Self, OpError> {
        let mut reader = Reader::new(sent);
        let file_name = reader.text("file_name", "File name");
        if file_name.is_empty() {
            reader.refuse("file_name", Fault::new("missing", "Enter a file name"));
        }
        let content_type = reader.text("content_type", "Media type");
        let content_type = if content_type.is_empty() { OCTETS.to_owned() } else { content_type };
        if !judge_content_type(&content_type) {
            let sentence = "Media type must be up to 255 visible ASCII characters";
            reader.refuse("content_type", Fault::new("bad_form", sentence));
        }
        let bytes = reader.take("bytes");
        let size = bytes.as_u64();
        if !bytes.is_null() && size.is_none() {
            reader.refuse("bytes", Fault::new("bad_form", "Size must be a number of bytes"));
        }
        if size.is_some_and(|size| size > bytes_max) {
            let shown = consign_core::catalog::with_commas(usize::try_from(bytes_max).unwrap_or(usize::MAX));
            reader
                .refuse("bytes", Fault::new("too_large", format!("The file must be {shown} bytes or fewer")));
        }
        let digest = reader.text("sha256", "SHA-256").to_ascii_lowercase();
        if !digest.is_empty()
            && (digest.len() != DIGEST_CHARS || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            reader.refuse("sha256", Fault::new("bad_form", "SHA-256 must be 64 hexadecimal digits"));
        }
        reader.refuse_unknown(KNOWN, &[]);
        let refused = reader.into_invalid();
        if !refused.is_empty() {
            return Err(OpError::Invalid(refused));
        }
        Ok(Self {
            file_name,
            content_type,
            bytes: size,
            digest: Some(digest).filter(|text| !text.is_empty()),
        })
    }
}
