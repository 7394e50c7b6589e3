//! Settings, Backup: what there is and when the next one comes, one made now, one carried away, one checked.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::Invalid;
use serde_json::{Map, Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{errors, password_again};
use super::visit::{Message, Signed};
use crate::ops::{OpError, backup};
use crate::server::pieces;

const PLACE: &str = "settings";
const PAGE: &str = "/settings/backup";
const CHECK: &str = "/settings/backup/check";
const ONE: &str = "/settings/backup/{id}/{deed}";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PAGE, get(show).post(create)).route(CHECK, post(check)).route(ONE, get(ask).post(act))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    page(&visit, &Value::Null).await
}

async fn page(visit: &Signed, checked: &Value) -> Result<Response, Failure> {
    let backups = backup::list(visit.app(), &visit.actor).await?;
    let manifest = &backups["manifest"];
    let manifest = (!manifest.is_null()).then(|| serde_json::to_string_pretty(manifest).unwrap_or_default());
    let context = json!({
        "backups": backups,
        "manifest": manifest,
        "overdue_days": backup::overdue_days(visit.app()),
        "checked": checked,
    });
    Ok(visit.page(StatusCode::OK, "settings_backup.html", (PLACE, "Settings"), context).await)
}

async fn create(visit: Signed) -> Result<Response, Failure> {
    let address = |made: &Value| format!("/operations/{}", made["id"].as_str().unwrap_or_default());
    let refused = match visit.once(address, backup::start(&visit.console.app, &visit.actor)).await {
        Ok(address) => return Ok(visit.go(&address)),
        Err(OpError::WrongState(why)) => Message::refused(format!("{why}.")),
        Err(OpError::StorageFull) => Message::refused(
            "No backup was made: the disk behind the folder of backups is full. Make room, or set backup.dir to \
             another disk.",
        ),
        Err(other) => return Err(other.into()),
    };
    Ok(visit.go_and_say(PAGE, refused))
}

/// Checks a file that was sent, or one of the folder by its name.
async fn check(visit: Signed) -> Result<Response, Failure> {
    let (app, actor) = (visit.app(), &visit.actor);
    let Some(mut upload) = visit.take_upload() else {
        let checked = backup::check_kept(app, actor, visit.form.text("name")).await?;
        return page(&visit, &checked).await;
    };
    let mut arriving = backup::begin_check(app, actor)?;
    let bytes_max = app.engine.delivery_rules().export_bytes;
    let mut left = bytes_max;
    while let Some(piece) = upload.piece().await? {
        left = left.checked_sub(piece.len() as u64).ok_or(Failure::FileTooLarge { bytes_max })?;
        arriving.take(&piece).await?;
    }
    let checked = backup::check(app, actor, arriving, &upload.name).await?;
    page(&visit, &checked).await
}

/// What is done to one backup after a question.
struct Deed {
    word: &'static str,
    title: &'static str,
    meaning: &'static str,
    button: &'static str,
    danger: bool,
}

const DEEDS: [Deed; 2] = [
    Deed {
        word: "download",
        title: "Download backup",
        meaning: "Secrets and payloads stay sealed in it. Names of people, tools and events can be read.",
        button: "Download",
        danger: false,
    },
    Deed {
        word: "delete",
        title: "Delete backup",
        meaning: "It cannot be brought back.",
        button: "Delete backup",
        danger: true,
    },
];

fn deed(word: &str) -> Result<&'static Deed, Failure> {
    DEEDS.iter().find(|deed| deed.word == word).ok_or(Failure::NotFound)
}

async fn ask(visit: Signed, Path((name, word)): Path<(String, String)>) -> Result<Response, Failure> {
    Ok(ask_page(&visit, StatusCode::OK, &name, deed(&word)?, &[]).await)
}

async fn ask_page(
    visit: &Signed,
    status: StatusCode,
    name: &str,
    deed: &Deed,
    invalid: &[Invalid],
) -> Response {
    let password = if deed.danger { Value::Null } else { password_again(visit, invalid) };
    let context = json!({
        "errors": errors(invalid),
        "name": name,
        "word": deed.word,
        "meaning": deed.meaning,
        "button": deed.button,
        "danger": deed.danger,
        "password": password,
    });
    visit.page(status, "settings_backup_deed.html", (PLACE, deed.title), context).await
}

async fn act(visit: Signed, Path((name, word)): Path<(String, String)>) -> Result<Response, Failure> {
    let deed = deed(&word)?;
    if deed.danger {
        backup::delete(visit.app(), &visit.actor, &name).await?;
        return Ok(visit.go_and_say(PAGE, Message::done(format!("Deleted {name}."))));
    }
    let mut sent = Map::new();
    sent.insert("password".to_owned(), json!(visit.form.text("password")));
    match backup::download(visit.app(), &visit.actor, &name, sent).await {
        Ok((file, name, bytes)) => {
            let mut response = Response::new(pieces::of(file, bytes));
            let name = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"));
            headers.insert(header::CONTENT_DISPOSITION, name.expect("the name of a backup is plain"));
            Ok(response)
        }
        Err(OpError::Invalid(invalid)) => {
            Ok(ask_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &name, deed, &invalid).await)
        }
        Err(other) => Err(other.into()),
    }
}
