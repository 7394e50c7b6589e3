//! The name of a file on a server: chosen before anything is written under it, given when the file is whole, and looked for
//! where the answer to that was lost.

use consign_core::connector::exporter::{IfExists, numbered};
use consign_store::runs::{self, Run};
use consign_transport::sftp::Written;

use super::server::{Errand, exists, final_name};
use super::{Change, Stop};
use crate::engine::Engine;

/// So many names are tried where each is taken.
const NUMBERS_MAX: u32 = 1_000;

impl Engine {
    /// Gives a file that is whole its name. Before that it is on disk that the file may have it; where the server refuses it,
    /// that it has not.
    pub(super) async fn give_its_name(
        &self,
        errand: &Errand<'_>,
        run: &mut Run,
        written: &Written,
    ) -> Result<(), Stop> {
        if let Err(stop) = self.may_have_its_name(run, written).await {
            errand.session.discard(written).await;
            return Err(stop);
        }
        let Err(unnamed) = errand.session.give_name(written).await else { return Ok(()) };
        if unnamed.in_doubt {
            // The next session looks for it.
            (run.made_bytes, run.made_at) = made(written);
        } else {
            self.has_not_its_name(errand, run).await?;
        }
        Err(errand.attempt(unnamed.fault))
    }

    /// From now on the file may have its name, whether or not we hear of it. Whoever lost the run to another attempt, or to a
    /// person who stopped it, gives no name.
    async fn may_have_its_name(&self, run: &Run, written: &Written) -> Result<(), Stop> {
        let (bytes, at) = (written.uploaded.bytes, written.modified_seconds.map(i64::from));
        let change = Change::MayHaveItsName { run: run.clone(), bytes, at };
        if self.change_run(change).await? { Ok(()) } else { Err(Stop::Lost) }
    }

    /// The server said no. Whether an earlier attempt brought it was asked before this one wrote, unless it was to be replaced
    /// anyway.
    async fn has_not_its_name(&self, errand: &Errand<'_>, run: &Run) -> Result<(), Stop> {
        let mut before = run.clone();
        if errand.place.if_exists != IfExists::Replace {
            (before.made_bytes, before.made_at) = (None, None);
        }
        let mut tx = self.store.begin().await?;
        if !runs::not_made(&mut tx, &before).await? {
            return Err(Stop::Lost);
        }
        Ok(tx.commit().await?)
    }

    /// An earlier attempt may have given the file its name without learning of it: then a file of that size is there, and
    /// was written at that second. Where it is to be replaced anyway, nobody needs to know.
    pub(super) async fn arrived_before(&self, errand: &Errand<'_>, run: &Run) -> Result<Option<u64>, Stop> {
        let Some(bytes) = run.made_bytes.filter(|_| errand.place.if_exists != IfExists::Replace) else {
            return Ok(None);
        };
        let name = final_name(&run.file_name)?;
        let found = errand.session.find(&errand.place.folder, &name).await;
        let found = found.map_err(|fault| errand.attempt(fault))?;
        let ours = found.filter(|found| {
            let same_time = match (found.modified_seconds, run.made_at) {
                (Some(found), Some(made)) => i64::from(found) == made,
                _ => true,
            };
            found.size == Some(bytes) && same_time
        });
        Ok(ours.map(|_| bytes))
    }

    /// The name of the file, on disk before anything is written under it.
    pub(super) async fn choose_name(&self, errand: &Errand<'_>, run: &mut Run) -> Result<(), Stop> {
        let stamp = errand.job.set_up.stamp();
        let of_pattern = run.file.is_none() && run.source == run.id;
        // What was pushed is numbered by the name that it came with.
        let base = match (run.file_name.as_str(), errand.job.set_up.pushed()) {
            ("", _) => errand.place.file_name.of(&stamp, 1),
            (_, Some(_)) if errand.place.if_exists == IfExists::Number => errand.job.set_up.file_name(),
            (chosen, _) => chosen.to_owned(),
        };
        let mut name = base.clone();
        if errand.place.if_exists == IfExists::Number {
            for n in 1.. {
                name = match (n, of_pattern) {
                    (1, _) => base.clone(),
                    (_, true) => errand.place.file_name.of(&stamp, n),
                    (_, false) => numbered(&base, n),
                };
                let found = errand.session.find(&errand.place.folder, &final_name(&name)?).await;
                if found.map_err(|fault| errand.attempt(fault))?.is_none() {
                    break;
                }
                if n == NUMBERS_MAX {
                    return Err(errand.attempt(exists()));
                }
            }
        }
        // It is on disk already. What an attempt before this one may have brought was looked for, and is not there; a file
        // that is replaced was not looked for.
        let is_known = run.made_bytes.is_none() || errand.place.if_exists == IfExists::Replace;
        if run.file_name == name && is_known {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        if !runs::choose_name(&mut tx, run, &name).await? {
            return Err(Stop::Lost);
        }
        tx.commit().await?;
        // Of a file under this name an earlier attempt may still bring, the size and time stay known to this one.
        if run.file_name != name {
            (run.made_bytes, run.made_at) = (None, None);
        }
        run.file_name = name;
        Ok(())
    }
}

/// The size of a written file, and when its server wrote it.
fn made(written: &Written) -> (Option<u64>, Option<i64>) {
    (Some(written.uploaded.bytes), written.modified_seconds.map(i64::from))
}
