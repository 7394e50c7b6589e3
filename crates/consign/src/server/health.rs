//! Health for whoever restarts, balances and watches: `/healthz`, `/readyz`, `/startupz`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use consign_core::connector::{ConnectorState, Kind};
use consign_core::credential::StatusCode as CredentialStatus;
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_store::{credentials, deliveries, installation, runs};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use metrics::gauge;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::App;
use crate::telemetry::{self, BUILD_INFO, CONNECTORS, CREDENTIALS, DELIVERIES_OPEN, Stored};

/// A database that takes longer is as good as away.
const DATABASE_TIME_MAX: Duration = Duration::from_secs(2);
/// With less than this on the disk, accepting comes to its end.
const DISK_BYTES_MIN: u64 = 64 << 20;

/// The routes of health. `/readyz` fails from the moment that `draining` is set.
pub fn health(app: Arc<App>, draining: Arc<AtomicBool>) -> Router {
    let ready = move |request: Request<Body>| {
        let (app, draining) = (app.clone(), draining.clone());
        async move { readiness(&app, &draining, request.uri().query()).await }
    };
    Router::new()
        .route("/healthz", get(async || answer(StatusCode::OK, &json!({ "status": "ok" }))))
        .route("/startupz", get(async || answer(StatusCode::OK, &json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
}

/// Health, and `/metrics` in the Prometheus text format.
pub fn metrics(app: Arc<App>, draining: Arc<AtomicBool>) -> Router {
    let measured = app.clone();
    let metrics = move || {
        let app = measured.clone();
        async move {
            let stored = measure(&app).await;
            let mut response = Response::new(Body::from(telemetry::render(&stored)));
            let text = "text/plain; version=0.0.4; charset=utf-8".parse().expect("a valid header value");
            response.headers_mut().insert(CONTENT_TYPE, text);
            response
        }
    };
    health(app, draining).route("/metrics", get(metrics))
}

async fn readiness(app: &App, draining: &AtomicBool, query: Option<&str>) -> Response<Body> {
    let checks = [
        ("database", database(app).await),
        ("encryption_key", Ok(())),
        ("disk", disk(app)),
        ("draining", if draining.load(Ordering::Relaxed) { Err("the server is stopping") } else { Ok(()) }),
    ];
    let good = checks.iter().all(|(_, result)| result.is_ok());
    let word = |good: bool| if good { "ok" } else { "failing" };
    let mut body = json!({ "status": word(good) });
    if query.is_some_and(|query| query == "verbose" || query.starts_with("verbose=")) {
        let rows = checks.iter().map(|(name, result)| match result {
            Ok(()) => json!({ "name": name, "status": "ok" }),
            Err(why) => json!({ "name": name, "status": "failing", "why": why }),
        });
        body["checks"] = rows.collect::<Vec<_>>().into();
    }
    answer(if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

async fn database(app: &App) -> Result<(), &'static str> {
    let asked = async {
        let mut reader = app.store.read().await?;
        installation::revision(&mut reader).await
    };
    match timeout(DATABASE_TIME_MAX, asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("the database does not answer as it should"),
        Err(_) => Err("the database does not answer"),
    }
}

fn disk(app: &App) -> Result<(), &'static str> {
    if app.store.is_postgres() {
        return Ok(());
    }
    match rustix::fs::statvfs(&app.config.data.dir) {
        Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < DISK_BYTES_MIN => {
            Err("the disk is nearly full")
        }
        Ok(_) => Ok(()),
        Err(_) => Err("the data folder cannot be read"),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a valid header value"));
    response.headers_mut().insert(CACHE_CONTROL, "no-store".parse().expect("a valid header value"));
    response
}

/// Figures that are counted when they are asked for; returns those that the database alone knows.
async fn measure(app: &App) -> Stored {
    let database = if app.store.is_postgres() { "postgresql" } else { "sqlite" };
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "commit" => crate::COMMIT.unwrap_or(""), "database" => database).set(1.0);
    if let Some(at) = app.backups.last() {
        gauge!(telemetry::BACKUP_LAST_SUCCESS).set(at.seconds() as f64);
    }
    let counted = async {
        let mut reader = app.store.read().await?;
        let open = deliveries::open_counts(&mut reader).await?;
        let oldest = deliveries::oldest_open(&mut reader).await?;
        let credentials = credentials::all(&mut reader).await?;
        let done = runs::last_success_of_each(&mut reader).await?;
        Ok::<_, consign_store::StoreError>((open, oldest, credentials, done))
    };
    let mut stored = Stored::default();
    match counted.await {
        Ok((open, oldest, credentials, done)) => {
            // Without an open delivery the figures go back to nothing, not to what they were.
            for state in [DeliveryState::Pending, DeliveryState::Held] {
                for reason in std::iter::once(None).chain(HoldReason::ALL.iter().copied().map(Some)) {
                    let count = open.iter().find(|(of, why, _)| (*of, *why) == (state, reason));
                    let reason = reason.map_or("", HoldReason::kind);
                    if count.is_some() || reason.is_empty() || state == DeliveryState::Held {
                        let gauge = gauge!(DELIVERIES_OPEN, "state" => state.kind(), "hold_reason" => reason);
                        gauge.set(count.map_or(0.0, |(_, _, count)| *count as f64));
                    }
                }
            }
            let age = oldest.map_or(Duration::ZERO, |oldest| app.now().since(oldest));
            gauge!(telemetry::DELIVERY_OLDEST_OPEN).set(age.as_secs_f64());
            let codes: Vec<_> = credentials.iter().map(|one| one.status(app.now()).code).collect();
            for status in CredentialStatus::ALL {
                let count = codes.iter().filter(|code| *code == status).count();
                gauge!(CREDENTIALS, "status" => status.kind()).set(count as f64);
            }
            if app.config.server.metrics_credential_ends {
                let now = app.now().seconds();
                let ending =
                    credentials.iter().filter_map(|one| Some((one.id, one.ends_at()?.seconds() - now)));
                stored.credential_ends.extend(ending);
            }
            stored.exporter_successes.extend(done.into_iter().map(|(id, at)| (id, at.seconds())));
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "what is open could not be counted")
        }
    }
    let snapshot = app.engine.snapshot();
    for kind in Kind::WORDS.iter().copied() {
        let of_kind = || snapshot.connectors().iter().filter(|connector| connector.kind.word() == kind);
        for state in ConnectorState::ALL {
            let count = of_kind().filter(|connector| connector.state.kind() == state.kind()).count();
            gauge!(CONNECTORS, "kind" => kind, "state" => state.kind()).set(count as f64);
        }
    }
    stored
}
