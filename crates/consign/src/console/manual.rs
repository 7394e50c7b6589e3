//! Help: the manual, its search, the reference of the API, and the problems it answers with. Everybody may read it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::Console;
use super::errors::Failure;
use super::visit::{Anyone, Visit};
use crate::manual::reference::Reference;
use crate::manual::{self, GUIDES, PROBLEMS, Part, ProblemKind};

const TITLE: &str = "Help";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/docs", get(index))
        .route("/docs/{name}", get(guide))
        .route("/docs/api/{subject}", get(subject))
        .route("/docs/api/schemas/{name}", get(schema))
        .route("/docs/problems", get(problems))
        .route("/docs/problems/{name}", get(problem))
}

/// The way back to the contents, and to the reference of the API.
const HELP: (&str, &str) = ("Help", manual::ROOT);
const API: (&str, &str) = ("REST API", "/docs/api");
const SCHEMAS: (&str, &str) = ("Schemas", "/docs/api/schemas");
const PROBLEM_LIST: (&str, &str) = ("Problems", "/docs/problems");

async fn page(
    visit: &Visit,
    template: &str,
    title: &str,
    trail: &[(&str, &str)],
    mut context: Value,
) -> Response {
    context["trail"] = trail.iter().map(|(text, url)| json!({ "text": text, "url": url })).collect();
    visit.page(StatusCode::OK, template, ("help", title), context).await
}

/// What there is, or what was found.
async fn index(visit: Anyone) -> Response {
    let asked = visit.form.text("q").trim();
    let found: Vec<_> = manual::search(asked)
        .into_iter()
        .map(|found| {
            json!({ "address": found.address, "page": found.page, "title": found.title, "excerpt": found.excerpt })
        })
        .collect();
    let of_part = |part: Part| {
        let guides = GUIDES.iter().filter(|guide| guide.part == part);
        guides.map(|guide| json!({ "address": guide.address(), "title": guide.title() })).collect::<Vec<_>>()
    };
    let context = json!({
        "asked": asked,
        "found": found,
        "guides": of_part(Part::Guides),
        "tools": of_part(Part::Tools),
        "reference": of_part(Part::Reference),
        "origin": visit.app().public_url(),
    });
    page(&visit, "docs.html", TITLE, &[], context).await
}

async fn guide(visit: Anyone, Path(name): Path<String>) -> Result<Response, Failure> {
    let guide = manual::guide(&name).ok_or(Failure::NotFound)?;
    let made = guide.page();
    let contents = made.sections.iter().filter(|section| section.is_main);
    let contents: Vec<_> =
        contents.map(|section| json!({ "id": section.id, "title": section.title })).collect();
    let subjects = if name == "api" { Reference::whole().subjects() } else { Vec::new() };
    let context = json!({ "name": name, "contents": contents, "subjects": subjects });
    Ok(page(&visit, "docs_guide.html", guide.title(), &[HELP], context).await)
}

async fn subject(visit: Anyone, Path(name): Path<String>) -> Result<Response, Failure> {
    if name == "schemas" {
        let context = json!({ "schemas": Reference::whole().schemas() });
        return Ok(page(&visit, "docs_schemas.html", "Schemas", &[HELP, API], context).await);
    }
    let subject = Reference::whole().subject(&name).ok_or(Failure::NotFound)?;
    let title = subject["name"].as_str().unwrap_or_default().to_owned();
    Ok(page(&visit, "docs_api.html", &title, &[HELP, API], json!({ "subject": subject })).await)
}

async fn schema(visit: Anyone, Path(name): Path<String>) -> Result<Response, Failure> {
    let schema = Reference::whole().schema(&name).ok_or(Failure::NotFound)?;
    Ok(page(&visit, "docs_schema.html", &name, &[HELP, API, SCHEMAS], json!({ "schema": schema })).await)
}

/// The list of all kinds: a page for browsers, text for everything else.
async fn problems(visit: Anyone, headers: HeaderMap) -> Response {
    if wants_page(&headers) {
        let kinds: Vec<_> = PROBLEMS.iter().map(|kind| shown(kind)).collect();
        return page(&visit, "docs_problems.html", "Problems", &[HELP], json!({ "kinds": kinds })).await;
    }
    let mut text = "Problems that the API of Consign answers with\n\n".to_owned();
    for kind in PROBLEMS {
        text.push_str(&format!("{}  {}\n     {}\n", kind.status, kind.title, kind.address()));
    }
    ([(header::CONTENT_TYPE, TEXT)], text).into_response()
}

/// One kind: what it means, and what to do.
async fn problem(visit: Anyone, Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Failure> {
    let found = PROBLEMS.iter().find(|kind| kind.name() == name);
    match (found, wants_page(&headers)) {
        (Some(kind), true) => Ok(page(
            &visit,
            "docs_problem.html",
            kind.title,
            &[HELP, PROBLEM_LIST],
            json!({ "kind": shown(kind) }),
        )
        .await),
        (Some(kind), false) => {
            let text = format!(
                "{}\n\nCode: {}\nStatus: {}\n\nWhat it means\n{}\n\nWhat to do\n{}\n",
                kind.title, kind.code, kind.status, kind.meaning, kind.remedy
            );
            Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
        }
        (None, true) => Err(Failure::NotFound),
        (None, false) => {
            let text = "There is no such page. All are listed at /docs/problems\n";
            Ok((StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, TEXT)], text).into_response())
        }
    }
}

fn shown(kind: &ProblemKind) -> Value {
    json!({
        "code": kind.code,
        "status": kind.status,
        "title": kind.title,
        "meaning": kind.meaning,
        "remedy": kind.remedy,
        "address": kind.address(),
    })
}

/// Whether a browser asks: programs take JSON or anything.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
