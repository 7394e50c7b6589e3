//! A browser as far as pages need one: it signs in, keeps its cookie and its connection, and gets pages.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, COOKIE, HOST, HeaderValue, SET_COOKIE};
use hyper::{Method, Request, Response, StatusCode};

use crate::load::{Client, Connection};
use crate::product::{EMAIL, PASSWORD};

const COOKIE_NAME: &str = "consign-local=";

/// Signed in as the administrator of the options.
pub(crate) struct Visitor {
    client: Client,
    connection: Connection,
    host: HeaderValue,
    cookie: HeaderValue,
}

impl Visitor {
    pub(crate) async fn sign_in(client: &Client) -> anyhow::Result<Self> {
        let host = HeaderValue::from_str(&client.address.to_string())?;
        let cookie = HeaderValue::from_static("");
        let connection = client.connect().await?;
        let mut visitor = Self { client: client.clone(), connection, host, cookie };
        let form = format!("email={}&password={PASSWORD}", EMAIL.replace('@', "%40"));
        let request = Request::builder().method(Method::POST).uri("/sign-in");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.header("sec-fetch-site", "same-origin").header(HOST, visitor.host.clone());
        let (answer, _) = visitor.exchange(request.body(Full::new(Bytes::from(form)))?).await?;
        let cookies = answer.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies = cookies.filter_map(|cookie| cookie.split(';').next());
        let cookie =
            cookies.find(|cookie| cookie.starts_with(COOKIE_NAME)).context("nobody was signed in")?;
        visitor.cookie = HeaderValue::from_str(cookie)?;
        Ok(visitor)
    }

    /// Connects anew: the server ends a connection on which nothing is asked.
    pub(crate) async fn come_back(&mut self) -> anyhow::Result<()> {
        self.connection = self.client.connect().await?;
        Ok(())
    }

    /// A page, which must be there, as it is sent.
    pub(crate) async fn page(&mut self, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::builder().uri(path).header(HOST, self.host.clone());
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let request = request.header(COOKIE, self.cookie.clone()).header(ACCEPT, "text/html");
        let request = request.body(Full::new(Bytes::new()))?;
        let (answer, page) = self.exchange(request).await?;
        if answer.status() != StatusCode::OK {
            bail!("{path}: {}", answer.status());
        }
        Ok(page)
    }

    /// What a page loads besides itself, as it is sent.
    pub(crate) async fn assets(&mut self, page: &[u8]) -> anyhow::Result<Vec<Bytes>> {
        let page = String::from_utf8_lossy(page);
        let mut paths: Vec<&str> = page.split('"').filter(|text| text.starts_with("/assets/")).collect();
        for path in &mut paths {
            *path = path.split('#').next().unwrap_or(path);
        }
        paths.sort_unstable();
        paths.dedup();
        if paths.is_empty() {
            bail!("the page loads neither style nor script");
        }
        let mut assets = Vec::new();
        for path in paths {
            assets.push(self.page(path).await?);
        }
        Ok(assets)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(Response<()>, Bytes)> {
        self.connection.ready().await?;
        let (parts, body) = self.connection.send_request(request).await?.into_parts();
        Ok((Response::from_parts(parts, ()), body.collect().await?.to_bytes()))
    }
}
