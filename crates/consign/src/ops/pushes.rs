//! What programs push to an exporter: records for its next run, and files that are runs of their own.

use std::sync::Arc;

use consign_core::catalog::{Fault, Invalid};
use consign_core::connector::exporter::{PUSHED_RECORDS_MAX, Source, judge_file_name};
use consign_core::connector::{Connector, Exporter};
use consign_core::id::{PushId, RunId};
use consign_core::json::{duplicate_member, twice};
use consign_core::rights::Right;
use consign_store::Tx;
use consign_store::runs::{self, Cause, NewRecord, PushedFile};
use consign_store::uploads::{self, Upload};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::connector::{object, row};
use super::exporters::{by_reference, locked};
use super::runs::whole;
use super::{Actor, OpError, audit_entry, commit_answered, invalid, require_as_saved};
use crate::App;
use crate::engine::{Beginning, Begun, Intake, IntakeFault, Unfinished};

/// Of the records that were not accepted no more are named.
const NAMED_MAX: usize = 20;

/// How pushed records stand in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An array of objects.
    Array,
    /// One object a line.
    Lines,
}

/// Keeps records for the next run of an exporter; they are on disk when it returns.
///
/// # Errors
/// Every record that was not accepted; then none of them is.
pub async fn records(
    app: &App,
    actor: &Actor,
    reference: &str,
    shape: Shape,
    body: &[u8],
) -> Result<Value, OpError> {
    actor.require(Right::EventsWrite)?;
    let records = read(shape, body)?;
    let mut db = app.store.read().await?;
    let (connector, exporter) = by_reference(&mut db, reference).await?;
    drop(db);
    require_pushed(&exporter)?;
    let now = app.now();
    let push = PushId::new(now);
    let (payload_key, key) = app.engine.payloads().current(now).await?;
    let sealed: Vec<_> = records
        .iter()
        .enumerate()
        .map(|(number, text)| {
            // Five digits: the order of the ids is that of the records.
            let id = format!("{push}-{number:05}");
            let sealed_data = key.encrypt(&id, text.as_bytes());
            NewRecord { id, sealed_data }
        })
        .collect();
    let value = json!({ "accepted": sealed.len(), "push": push });
    let mut tx = app.store.begin().await?;
    runs::insert_records(&mut tx, connector.id, payload_key, sealed).await?;
    commit_answered(app, actor, tx, &value).await?;
    Ok(value)
}

fn read(shape: Shape, body: &[u8]) -> Result<Vec<&str>, OpError> {
    let text = std::str::from_utf8(body).map_err(|_| invalid("", "bad_form", "The records must be UTF-8"))?;
    let texts: Vec<&str> = match shape {
        Shape::Lines => text.lines().map(str::trim).filter(|line| !line.is_empty()).collect(),
        Shape::Array => {
            let array: Result<Vec<&RawValue>, _> = serde_json::from_str(text);
            let array = array.map_err(|error| {
                let (line, column) = (error.line(), error.column());
                let sentence =
                    format!("The records must be an array of objects: line {line}, column {column}");
                invalid("", "bad_form", sentence)
            })?;
            array.into_iter().map(RawValue::get).collect()
        }
    };
    if texts.is_empty() {
        return Err(invalid("", "missing", "Send at least one record"));
    }
    if texts.len() > PUSHED_RECORDS_MAX {
        return Err(invalid("", "too_many", "Send 10,000 records or fewer at once"));
    }
    let judged = texts.iter().enumerate().filter_map(|(index, text)| Some((index, judge(text).err()?)));
    let refused: Vec<Invalid> =
        judged.map(|(index, fault)| fault.at(index.to_string())).take(NAMED_MAX).collect();
    if !refused.is_empty() {
        return Err(OpError::Invalid(refused));
    }
    Ok(texts)
}

fn judge(text: &str) -> Result<(), Fault> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => match duplicate_member(text.as_bytes()) {
            None => Ok(()),
            Some(name) => Err(Fault::new("listed_twice", twice(&name))),
        },
        Ok(_) => Err(Fault::new("bad_form", "A record must be a JSON object")),
        Err(_) => Err(Fault::new("bad_form", "A record is not JSON")),
    }
}

fn require_pushed(exporter: &Exporter) -> Result<(), OpError> {
    match exporter.source {
        Source::Pushed => Ok(()),
        Source::Events { .. } => {
            let sentence = "This exporter sends collected events. \
                            Set its source to pushed, or push to another exporter";
            Err(OpError::WrongState(sentence.to_owned()))
        }
    }
}

/// A file on its way in.
pub struct FilePush {
    /// Takes the bytes.
    pub intake: Intake,
    announced_bytes: Option<u64>,
}

impl FilePush {
    /// So large it is at most: as its sender said, or as the operator allows.
    pub fn bytes_max(&self, allowed: u64) -> u64 {
        self.announced_bytes.map_or(allowed, |announced| announced.min(allowed))
    }
}

/// Begins to take a file for an exporter.
///
/// # Errors
/// When its name is not accepted, or there is no such exporter.
pub async fn begin_file(
    app: &Arc<App>,
    actor: &Actor,
    reference: &str,
    name: &str,
    content_type: &str,
    digest: Option<String>,
) -> Result<FilePush, OpError> {
    actor.require(Right::EventsWrite)?;
    let connector = takes_files(app, reference, name).await?;
    let now = app.now();
    let upload = Upload {
        content_type: content_type.to_owned(),
        announced_digest: digest,
        one_request: true,
        ..Upload::new(connector.id, name, actor.caller(), now)
    };
    Ok(FilePush { intake: Intake::new(app.engine.clone(), upload), announced_bytes: None })
}

/// The exporter that is to take a file of this name.
pub(super) async fn takes_files(app: &App, reference: &str, name: &str) -> Result<Connector, OpError> {
    let mut db = app.store.read().await?;
    let (connector, exporter) = by_reference(&mut db, reference).await?;
    judge_file_name(&exporter.name_of_pushed(name))
        .and_then(|()| judge_file_name(name))
        .map_err(|fault| OpError::Invalid(vec![fault.at("file_name")]))?;
    require_pushed(&exporter)?;
    require_as_saved(app, &mut db, &row(&connector)).await?;
    Ok(connector)
}

/// A file that goes on from what is stored of it.
pub(super) fn resumed(app: &Arc<App>, upload: Upload) -> FilePush {
    FilePush { announced_bytes: upload.announced_bytes, intake: Intake::resumed(app.engine.clone(), upload) }
}

/// What became of a file that is whole.
pub(super) enum Finished {
    /// Its run has begun, in a transaction that the caller ends.
    Run(Tx, RunId, Unfinished),
    /// It is not the file that was announced; its upload cannot be mended.
    Other(Invalid, Box<Upload>),
}

/// The file is there: its run begins, behind those before it.
///
/// # Errors
/// When it is not the file that was announced, or its exporter is gone.
pub async fn finish_file(app: &App, actor: &Actor, push: FilePush) -> Result<Value, OpError> {
    match finish(app, actor, push).await? {
        Finished::Run(mut tx, id, stored) => {
            let now = tx.now();
            let value = whole(&mut tx, id, now).await?;
            commit_answered(app, actor, tx, &value).await?;
            stored.is_whole();
            app.engine.wake_all();
            Ok(value)
        }
        Finished::Other(fault, _) => Err(OpError::Invalid(vec![fault])),
    }
}

pub(super) async fn finish(app: &App, actor: &Actor, push: FilePush) -> Result<Finished, OpError> {
    let (file, upload, unfinished) = push.intake.finish().await?;
    if let Some(fault) = differs(&upload, &file) {
        return Ok(Finished::Other(fault, Box::new(upload)));
    }
    let key = app.engine.payloads().current(app.now()).await?;
    let mut tx = app.store.begin().await?;
    let (connector, exporter) = locked(app, &mut tx, &upload.connector.to_string()).await?;
    let at = tx.now();
    let of = Beginning {
        id: upload.run,
        cause: Cause::File,
        by: actor.name(),
        at,
        again: None,
        file: Some((&upload.file_name, &file)),
        key: &key,
    };
    let Begun::New(id) = app.engine.begin_run(&mut tx, &connector, &exporter, &of).await? else {
        return Err(OpError::NotFound("exporter"));
    };
    let changes =
        json!({ "run": id, "file_name": upload.file_name, "bytes": file.bytes, "sha256": file.digest });
    // As long as it is on its way, all of its pieces are there. One that is empty has none.
    let is_there = match (upload.one_request, upload.pieces) {
        (true, 0) => true,
        (true, _) => uploads::delete(&mut tx, upload.id).await?,
        (false, _) => {
            let whole = Upload { complete: true, digest_state: None, ..upload };
            uploads::advance(&mut tx, &whole, at).await?
        }
    };
    if !is_there {
        return Err(IntakeFault::TakenOver.into());
    }
    audit_entry(app, &mut tx, actor, "Pushed file", object(&connector), changes).await?;
    Ok(Finished::Run(tx, id, unfinished))
}

/// What arrived is another file than was announced.
fn differs(upload: &Upload, file: &PushedFile) -> Option<Invalid> {
    if upload.announced_bytes.is_some_and(|bytes| bytes != file.bytes) {
        let sentence = "The file that arrived has another size than was announced. Send it again";
        return Some(Fault::new("wrong_size", sentence).at("bytes"));
    }
    if upload.announced_digest.as_ref().is_some_and(|digest| *digest != file.digest) {
        let sentence = "The file that arrived has another SHA-256 than was announced. Send it again";
        return Some(Fault::new("wrong_digest", sentence).at(""));
    }
    None
}

impl From<IntakeFault> for OpError {
    fn from(fault: IntakeFault) -> Self {
        match fault {
            IntakeFault::TakenOver => {
                let sentence = "Another request goes on with this file, or it was given up. \
                                Ask where it is, and go on from there";
                Self::WrongState(sentence.to_owned())
            }
            IntakeFault::Damaged => {
                let sentence = "What is stored of this file cannot be opened any more. Push it again";
                Self::WrongState(sentence.to_owned())
            }
            IntakeFault::Store(error) => error.into(),
        }
    }
}
