//! The first person of a new Consign, and their web session.

use consign::ops;

use super::{Client, Replica, Reply, TestConsign, form};

/// The person who set it up.
pub(crate) const EMAIL: &str = "ana@acme.example";

/// A web session: its cookie and the token of its forms.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

/// The first administrator, through the link that the first start prints.
pub(super) async fn set_up(replica: &Replica, client: &Client, password: &str) -> Session {
    let token = ops::users::new_setup_link(&replica.app).await.unwrap();
    let path = format!("/setup/{}", token.expose());
    client.send("GET", &path, &[], "").await.expect(200);
    let fields = [("name", "Ana Silva"), ("email", EMAIL), ("password", password)];
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let reply = client.send("POST", &path, &headers, form(&fields)).await.expect(303);
    session_of(client, &reply).await
}

impl TestConsign {
    /// A new session of the administrator.
    pub(crate) async fn sign_in(&self) -> Session {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        let body = form(&[("email", EMAIL), ("password", &self.password), ("next", "/")]);
        let reply = self.client.send("POST", "/sign-in", &headers, body).await.expect(303);
        session_of(&self.client, &reply).await
    }
}

/// The session that an answer began.
pub(crate) async fn session_of(client: &Client, reply: &Reply) -> Session {
    let cookies = reply.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.filter_map(|cookie| cookie.split(';').next());
    let cookie =
        cookies.find(|cookie| cookie.starts_with("consign-local=")).expect("a session cookie").to_owned();
    let page = client.send("GET", "/account", &[("cookie", &cookie)], "").await.expect(200);
    Session { csrf: value_of(&page.text(), "csrf").expect("a form with its token"), cookie }
}

impl TestConsign {
    /// A new session of the administrator, such as after a day.
    pub(crate) async fn sign_in_again(&self) -> Session {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        let fields = form(&[("email", EMAIL), ("password", &self.password)]);
        let reply = self.client.send("POST", "/sign-in", &headers, fields).await.expect(303);
        let session = session_of(&self.client, &reply).await;
        self.canaries.never_shown("the session", session.cookie.split_once('=').unwrap().1);
        session
    }
}

/// The value of a hidden field of a page.
pub(crate) fn value_of(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\""))?;
    let tag = rest.split('>').next()?;
    let value = tag.split_once("value=\"")?.1.split('"').next()?;
    Some(value.replace("&#34;", "\"").replace("&quot;", "\"").replace("&amp;", "&"))
}
