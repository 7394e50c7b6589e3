//! Keeping so many files on a server: after a run, older ones that runs of this exporter brought are removed. A file is known
//! by its name, size and time, as the run left it; whatever else is there stays.

use consign_store::runs::{self, Run, RunFile};

use super::Stop;
use super::server::{Errand, final_name};
use crate::engine::Engine;

/// After one run no more are removed: a limit that was lowered is reached in steps.
const REMOVED_MAX: u32 = 100;

/// What became of a file that is one too many.
enum Old {
    Removed,
    /// It is gone, or another one: nothing of ours is there.
    NotOurs,
    /// The server did not do it; the next run tries again.
    Stays(String),
}

impl Engine {
    /// Writes down what a run brought, its size and its time, and removes what is one too many, with a line for the log of the
    /// run. Best effort: the file is there, whatever comes of it.
    pub(super) async fn keep_newest(
        &self,
        errand: &Errand<'_>,
        run: &Run,
        (bytes, made_at): (u64, Option<i64>),
    ) -> Result<Vec<String>, Stop> {
        let Some(keep) = errand.place.keep_files else { return Ok(Vec::new()) };
        let credential = &errand.job.credential;
        let place =
            format!("{} {} {}", credential.id, credential.shown_address(), errand.place.folder.as_str());
        let file = RunFile { file_name: run.file_name.clone(), number: run.number, bytes, made_at };
        let mut tx = self.store.begin().await?;
        if !runs::is_ours(&mut tx, run).await? {
            return Err(Stop::Lost);
        }
        runs::insert_file(&mut tx, run.connector, &place, &file).await?;
        let old = runs::files_beyond(&mut tx, run.connector, &place, keep, REMOVED_MAX).await?;
        tx.commit().await?;
        let (mut removed, mut lines) = (Vec::new(), Vec::new());
        for file in old {
            match remove(errand, &file).await {
                Old::Removed => removed.push(file.file_name.clone()),
                Old::NotOurs => {}
                Old::Stays(why) => {
                    lines.push(format!("{} could not be removed: {why}", file.file_name));
                    continue;
                }
            }
            let mut tx = self.store.begin().await?;
            runs::forget_file(&mut tx, run.connector, &place, &file).await?;
            tx.commit().await?;
        }
        if !removed.is_empty() {
            lines.push(format!("Removed {}: the newest {keep} are kept.", removed.join(", ")));
        }
        Ok(lines)
    }
}

async fn remove(errand: &Errand<'_>, file: &RunFile) -> Old {
    let folder = &errand.place.folder;
    let Ok(name) = final_name(&file.file_name) else { return Old::NotOurs };
    let found = match errand.session.find(folder, &name).await {
        Ok(found) => found,
        Err(fault) => return Old::Stays(errand.words(&fault)),
    };
    let ours = found.is_some_and(|found| {
        let same_time = match (found.modified_seconds, file.made_at) {
            (Some(found), Some(made)) => i64::from(found) == made,
            // Its size alone does not prove that it is ours.
            _ => false,
        };
        found.size == Some(file.bytes) && same_time
    });
    if !ours {
        return Old::NotOurs;
    }
    match errand.session.remove_file(folder, &name).await {
        Ok(()) => Old::Removed,
        Err(fault) => Old::Stays(errand.words(&fault)),
    }
}
