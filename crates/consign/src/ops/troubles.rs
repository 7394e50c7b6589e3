//! What is wrong with this server itself: its disk, its backups, its audit log. It is asked for on every page and every
//! minute, so that it costs next to nothing; what is mended is gone from it by itself.

use std::sync::atomic::{AtomicBool, Ordering};

use consign_core::catalog::size;
use consign_core::rights::Right;

use super::{OpError, audit, backup, sending};
use crate::App;

const OVERDUE: &str = "consign.server.backup_overdue";

/// Something that an administrator mends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The type of its event.
    pub kind: &'static str,
    /// Work is lost, or will be soon.
    pub is_severe: bool,
    /// What is wrong, without a full stop.
    pub title: String,
    /// What that means.
    pub consequence: &'static str,
    /// The page with what mends it, and what its link says.
    pub page: (&'static str, &'static str),
    /// Who may do something about it.
    pub right: Right,
}

/// Whether the disk was low when it was looked at last.
#[derive(Debug, Default)]
pub struct DiskWatch(AtomicBool);

impl DiskWatch {
    /// Whether it is low. Once it was, it is so until a fourth more than the limit is free: what comes and goes around
    /// the limit is told once.
    fn judge(&self, left: u64, limit: u64) -> bool {
        let limit = if self.0.load(Ordering::Relaxed) { limit.saturating_add(limit / 4) } else { limit };
        let low = left < limit;
        self.0.store(low, Ordering::Relaxed);
        low
    }
}

/// What is wrong at present, the most severe first.
///
/// # Errors
/// When the database cannot be read.
pub async fn present(app: &App) -> Result<Vec<Trouble>, OpError> {
    let mut all: Vec<Trouble> = disk(app).into_iter().collect();
    all.extend(audit_log(app).await?);
    all.extend(backups(app));
    Ok(all)
}

fn disk(app: &App) -> Option<Trouble> {
    if app.store.is_postgres() {
        return None;
    }
    let left = sending::disk_free(app)?;
    app.disk.judge(left, app.config.limits.disk_low_bytes).then(|| Trouble {
        kind: "consign.server.disk_low",
        is_severe: true,
        title: format!("Disk almost full: {} left", size(left)),
        consequence: "When it is full, no event is accepted and nothing can be changed. Make room, or keep less.",
        page: ("/settings/delivery", "What is kept"),
        right: Right::Admin,
    })
}

async fn audit_log(app: &App) -> Result<Option<Trouble>, OpError> {
    let broken = audit::known_fault(app).await?;
    Ok(broken.map(|message| Trouble {
        kind: "consign.server.audit_broken",
        is_severe: true,
        title: format!("The audit log is not whole: {}", message.trim_end_matches('.')),
        consequence: "It was changed outside Consign, and so may be the rest of the database. After a restart Consign does not start \
                      with it: look who can write to the database, and restore the last backup that is whole.",
        page: ("/audit", "Audit log"),
        right: Right::AuditRead,
    }))
}

fn backups(app: &App) -> Option<Trouble> {
    let (days, failed) = (backup::overdue_days(app), backup::last_failure(app));
    let (kind, title) = match (days, failed) {
        (Some(days), None) => (OVERDUE, format!("No backup for {days} days")),
        (Some(days), Some(why)) => {
            (OVERDUE, format!("No backup for {days} days. The last one was not made: {why}"))
        }
        (None, Some(why)) => ("consign.server.backup_failed", format!("The last backup was not made: {why}")),
        (None, None) => return None,
    };
    Some(Trouble {
        kind,
        is_severe: false,
        title: title.trim_end_matches('.').to_owned(),
        consequence: "What happened since the last backup is lost with the disk. It is tried again by itself.",
        page: ("/settings/backup", "Backup"),
        right: Right::Admin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_around_its_limit_is_told_once() {
        let watch = DiskWatch::default();
        let seen = [101, 100, 99, 101, 124, 125, 110, 99].map(|left| watch.judge(left, 100));
        assert_eq!(seen, [false, false, true, true, true, false, false, true]);
    }
}
