//! `consign backup restore`: a backup becomes the database of this machine. What was there is kept beside it.

use std::path::{Path, PathBuf};

use clap::Args;
use consign_core::vault::RingKey;
use consign_store::{Closed, DatabaseUrl, StoreError};

use super::{open, refused};
use crate::archive::{Examined, Manifest, Room, examine};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::Output;
use crate::cli::{ConfigFile, serve};
use crate::config::Config;
use crate::engine::{Accept, PutBack, RESTORED};
use crate::keys;
use aside::Aside;

pub(crate) use aside::forget_second_names;

mod aside;

/// What to put back.
#[derive(Args)]
pub(crate) struct Restore {
    /// The file
    file: PathBuf,
    /// Although there is a database: it is kept beside the new one
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    config: ConfigFile,
}

/// Judges everything first; the database is exchanged last.
pub(super) async fn run(flags: Restore, output: &Output) -> Result<(), Failure> {
    let mut config = flags.config.load()?.config;
    // Nothing is sent meanwhile.
    config.delivery.workers = 0;
    let database = database(&config)?;
    let folder = database.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    keys::create_folder(&folder).map_err(|error| unusable(&folder, &error))?;
    let closed = Closed::take(&database).map_err(|error| match error {
        StoreError::Locked => Failure::new(
            Code::Failed,
            &format!("A running Consign uses the data folder {}", folder.display()),
        )
        .and("Stop it first"),
        other => Failure::caused(Code::Failed, "The database cannot be locked", &other),
    })?;
    if database.exists() && !flags.replace {
        return Err(Failure::new(Code::Failed, &format!("{} is there already", database.display())).and(
            "Choose an empty data folder, or add --replace: the present database is kept beside the new one",
        ));
    }
    let ring = keys::load(&config, false)
        .map_err(|error| Failure::caused(Code::Failed, "The key ring cannot be used", &error))?
        .ring;
    let examined = examine(open(&flags.file)?, Room::alone(&folder), output.now);
    let (manifest, draft) = match examined.await.map_err(|error| unusable(&folder, &error))? {
        Examined::Whole(manifest, draft) => (manifest, draft),
        Examined::Refused(why) => return Err(refused(&flags.file, &why)),
    };
    let loaded: Vec<_> = ring.keys().iter().map(RingKey::id).collect();
    judge(&manifest, &loaded)?;
    // Whatever ends this process from here on: the first start on the database that is put in place ends sessions and
    // writes the entry. That it is older, whoever starts it has to accept: what stands in a database proves nothing about
    // who put it there, and must not get it past the anchor.
    let keys = ["made_at", "version", "schema"];
    let made: serde_json::Map<_, _> =
        keys.into_iter().map(|key| (key.to_owned(), manifest.json()[key].clone())).collect();
    consign_store::backup::mark(draft.path(), RESTORED, &serde_json::Value::Object(made).to_string())
        .await
        .map_err(|error| Failure::caused(Code::Failed, "The backup cannot be prepared", &error))?;
    settle(&database).await?;
    let mut aside = Aside::of(&database, output.now);
    if let Err(error) = aside.exchange(draft) {
        return Err(aside.undone(unusable(&folder, &error)));
    }
    drop(closed);
    let noted = note(config).await.map_err(|failure| aside.named(failure))?;
    tell(output, &manifest, &aside, &noted);
    Ok(())
}

/// What the server that was here before committed last may stand in a log alone, when it was killed.
async fn settle(database: &Path) -> Result<(), Failure> {
    if !database.exists() {
        return Ok(());
    }
    match consign_store::backup::settle(database).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::warn!("the present database cannot be read, and is kept as it is");
            Ok(())
        }
        Err(error) => {
            let line = "The log of the present database cannot be written into it";
            Err(Failure::caused(Code::Failed, line, &error)
                .and("Nothing was changed. End what else has it open, and make room on its disk"))
        }
    }
}

fn database(config: &Config) -> Result<PathBuf, Failure> {
    let url = DatabaseUrl::parse(&config.database_url())
        .map_err(|error| Failure::caused(Code::Failed, "The database cannot be used", &error))?;
    url.sqlite_path().map(Path::to_owned).ok_or_else(|| {
        Failure::new(Code::Failed, "PostgreSQL restores its databases itself. Nothing was changed")
            .and("Stop every Consign of this database, then:")
            .and("  pg_restore --clean --if-exists --dbname=\"$DATABASE_URL\" consign.dump")
            .and("  consign serve --accept-rollback")
    })
}

fn unusable(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::caused(Code::Failed, &format!("The folder {} cannot be used", folder.display()), error)
}

fn judge(manifest: &Manifest, loaded: &[&str]) -> Result<(), Failure> {
    let missing: Vec<_> = manifest.keys().into_iter().filter(|key| !loaded.contains(key)).collect();
    if !missing.is_empty() {
        let line = format!("The key ring does not open this backup: it needs {}", missing.join(", "));
        let has = format!("The loaded ring has {}", loaded.join(", "));
        return Err(Failure::new(Code::Failed, &line)
            .and(&has)
            .and("Add the missing keys to the ring, each on a line of its own. Nothing was changed"));
    }
    Ok(())
}

/// What the first start on the backup found and did.
struct Noted {
    accepted: Option<String>,
    misfits: usize,
    put_back: Option<PutBack>,
}

/// Opens it as the server would, which writes into its audit log what happened to it. That it is older is what a restore
/// is for; nothing else is accepted.
async fn note(config: Config) -> Result<Noted, Failure> {
    let app = match serve::open(config, Accept { older: true, changes: false }).await? {
        serve::Opened::Ready { app, .. } => app,
        serve::Opened::Locked { why, .. } => return Err(Failure::new(Code::Failed, &why.sentence())),
    };
    let misfits = app.records.misfits(&app.store).await;
    let accepted = app.records.accepted().filter(|why| !why.is_empty()).map(str::to_owned);
    let noted = misfits.map(|misfits| Noted { accepted, misfits, put_back: app.records.put_back() });
    app.stop().await;
    serve::forget_holder(&app.config);
    noted.map_err(|error| Failure::caused(Code::Failed, "The database cannot be read", &error))
}

fn tell(output: &Output, manifest: &Manifest, aside: &Aside, noted: &Noted) {
    let made = output.when(&manifest.json()["made_at"]);
    output.done(&format!("Restored the backup that was made {made}"));
    if let Some(place) = aside.told() {
        output.note(&place);
    }
    if let Some(accepted) = &noted.accepted {
        output.note(&format!("Accepted: {accepted}"));
    }
    if noted.misfits > 0 {
        output.warn(&format!(
            "Rows that were changed outside Consign before the backup was made: {}. They stay locked until somebody \
             saves them again",
            noted.misfits
        ));
    }
    let gone = noted.put_back.unwrap_or(PutBack { grants: 0, sessions: 0, invitations: 0 });
    let PutBack { grants, sessions, invitations } = gone;
    if grants > 0 {
        output.note(&format!(
            "Grants that the tools may have renewed since: {grants}. They are tried at the next start, and shown as \
             Reconnect needed where the tool refuses"
        ));
    }
    output.note(&format!(
        "Ended sessions: {sessions}. Deleted invitations: {invitations}. People and API keys are as they were at the \
         time of the backup, also those that were suspended, revoked or deleted since: look at them at once"
    ));
    output.note("What was waiting when the backup was made is sent now, also if it was sent since");
    output.next("consign serve");
}
