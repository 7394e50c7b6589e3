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
use crate::target::{Origin, RemotePath};

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
static NOT_BACK: [HeaderName; 10] = [
    SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    ALT_SVC,
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("accept-ch"),
];
const NOT_BACK_PREFIXES: [&str; 3] = ["access-control-", "consign-", "proxy-"];

/// The headers of a call as the tool gets them; the credential adds its own. Names with an underscore stay here: many tools
/// take them for those with a hyphen, and what is judged here would be another header there.
pub fn onward(sent: &HeaderMap) -> HeaderMap {
    let passed = passed(sent, &NOT_ONWARD, &NOT_ONWARD_PREFIXES);
    if !passed.keys().any(|name| name.as_str().contains('_')) {
        return passed;
    }
    let plain = passed.iter().filter(|(name, _)| !name.as_str().contains('_'));
    let mut headers = HeaderMap::with_capacity(passed.len());
    for (name, value) in plain {
        headers.append(name, value.clone());
    }
    headers
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
    /// What an application is told of where a redirect leads; `asked` is the path it asked for, `own` the address of this
    /// server. It never leads by itself to another place of this server, where a client would take its API key along: what
    /// is relative and not within the gateway becomes an address of the tool, or is left out (`None`).
    pub fn redirect(
        &self,
        (origin, base): (&Origin, Option<&str>),
        asked: &RemotePath,
        own: &str,
        value: &str,
    ) -> Option<String> {
        // As browsers read it.
        let value = value.trim().replace('\t', "");
        if let Some(within) = self.location(origin, base, &value) {
            return Some(within);
        }
        match Reference::of(&value) {
            Reference::Host(host) => {
                let leads_here =
                    matches!(Reference::of(own), Reference::Host(ours) if ours.eq_ignore_ascii_case(host));
                (!leads_here).then_some(value)
            }
            Reference::Scheme => Some(value),
            Reference::Path(path) if path.starts_with(['/', '\\']) => {
                Some(format!("{origin}{}", path.trim_start_matches(['/', '\\'])))
            }
            Reference::Path(path) => {
                let target = resolved(asked.without_query(), path);
                let (target, fragment) = target.split_at(target.find('#').unwrap_or(target.len()));
                let path = self.judge_path(target).ok()?;
                Some(format!("{BASE}{}{path}{fragment}", self.slug))
            }
        }
    }

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

/// What kind of reference it is (RFC 3986 section 4.2, and the WHATWG URL standard for what clients make of the rest).
enum Reference<'a> {
    /// It names a host, with its port.
    Host(&'a str),
    /// It is of another scheme than HTTP.
    Scheme,
    /// It is relative: a path, a query or a fragment.
    Path(&'a str),
}

impl<'a> Reference<'a> {
    fn of(value: &'a str) -> Self {
        let scheme = value.find(':').map(|end| &value[..end]).filter(|scheme| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
        let rest = match scheme {
            Some(scheme) if ["http", "https"].iter().any(|http| scheme.eq_ignore_ascii_case(http)) => {
                &value[scheme.len() + 1..]
            }
            Some(_) => return Self::Scheme,
            None => value,
        };
        let slashes = rest.chars().take_while(|c| matches!(c, '/' | '\\')).count();
        if slashes < 2 {
            return Self::Path(rest);
        }
        let named = &rest[slashes..];
        let authority = &named[..named.find(['/', '\\', '?', '#']).unwrap_or(named.len())];
        Self::Host(authority.rsplit('@').next().unwrap_or_default())
    }
}

/// A relative reference, behind the path that was asked for (RFC 3986 section 5.2).
fn resolved(asked: &str, reference: &str) -> String {
    let (path, rest) = reference.split_at(reference.find(['?', '#']).unwrap_or(reference.len()));
    if path.is_empty() {
        return format!("{asked}{rest}");
    }
    let folder = &asked[..=asked.rfind('/').unwrap_or(0)];
    let mut segments: Vec<&str> = Vec::new();
    let joined = format!("{folder}{path}");
    for segment in joined.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}{rest}", segments.join("/"))
}

#[cfg(test)]
mod tests;
