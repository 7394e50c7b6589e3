//! Which headers pass through a gateway, both ways (RFC 9110 sections 7.6.1 and 10.2.2).
//!
//! Nothing is copied but what may pass: headers of the connection and those that `Connection` names stay on their side,
//! the application's own sign-in and cookies never reach the tool, and what a tool says to browsers about its own origin
//! never acts on this server's.

use http::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, COOKIE, EXPECT, FORWARDED,
    HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA, X_CONTENT_TYPE_OPTIONS,
};

use super::Gateway;
use super::admit::BASE;
use crate::target::Origin;

/// Of the connection, beside those that `Connection` names.
static HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];
/// What an application says that is not for the tool; the length of the body is said anew.
static NOT_ONWARD: [HeaderName; 9] = [
    HOST,
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("cookie2"),
    FORWARDED,
    HeaderName::from_static("x-real-ip"),
    VIA,
    EXPECT,
    CONTENT_LENGTH,
];
const NOT_ONWARD_PREFIXES: [&str; 3] = ["consign-", "x-forwarded-", "proxy-"];
/// What a tool says that is not for the application: it would act on this server's origin.
static NOT_BACK: [HeaderName; 6] = [
    SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    ALT_SVC,
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
];
const NOT_BACK_PREFIXES: [&str; 3] = ["access-control-", "consign-", "proxy-"];

/// The headers of a call as the tool gets them; the credential adds its own.
pub fn onward(sent: &HeaderMap) -> HeaderMap {
    passed(sent, &NOT_ONWARD, &NOT_ONWARD_PREFIXES)
}

/// The headers of an answer as the application gets them. A page of the tool stays without cookies, scripts and guesses
/// about its type.
pub fn back(answered: &HeaderMap) -> HeaderMap {
    let mut headers = passed(answered, &NOT_BACK, &NOT_BACK_PREFIXES);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers
}

fn passed(all: &HeaderMap, except: &[HeaderName], prefixes: &[&str]) -> HeaderMap {
    let lines = all.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let named: Vec<_> = lines.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect();
    let mut headers = HeaderMap::with_capacity(all.len() + 2);
    for (name, value) in all {
        let stays = HOP_BY_HOP.contains(name)
            || named.contains(name)
            || except.contains(name)
            || prefixes.iter().any(|prefix| name.as_str().starts_with(prefix));
        if !stays {
            headers.append(name, value.clone());
        }
    }
    headers
}

impl Gateway {
    /// Where a redirect of the tool leads through this gateway; `None` when it leads elsewhere and is passed on as it is.
    /// `base` is a path that the credential puts in front of every other.
    pub fn location(&self, origin: &Origin, base: Option<&str>, value: &str) -> Option<String> {
        let target = at_origin(origin, value)?;
        let (target, fragment) = target.split_at(target.find('#').unwrap_or(target.len()));
        let base = base.and_then(|base| base.split('?').next()).unwrap_or_default().trim_end_matches('/');
        let below = target.strip_prefix(base)?;
        let below = match below.chars().next() {
            Some('/') => below.to_owned(),
            None | Some('?') => format!("/{below}"),
            Some(_) => return None,
        };
        let path = self.judge_path(&below).ok()?;
        Some(format!("{BASE}{}{path}{fragment}", self.slug))
    }
}

/// Path, query and fragment of a reference, if it leads to the origin (RFC 3986 section 4.2). One that is relative to the
/// path of its request leads where it should without us.
fn at_origin<'a>(origin: &Origin, reference: &'a str) -> Option<&'a str> {
    let scheme = "https:";
    let after = match reference.get(..scheme.len()) {
        Some(start) if start.eq_ignore_ascii_case(scheme) => &reference[scheme.len()..],
        _ => reference,
    };
    let Some(rest) = after.strip_prefix("//") else {
        return reference.starts_with('/').then_some(reference);
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let named = Origin::parse("", &format!("https://{authority}/")).ok()?;
    (named == *origin).then_some(target)
}

#[cfg(test)]
mod tests;
