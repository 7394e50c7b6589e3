//! The proxy of a company: where it is, how we are let in, and what is reached without it.

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::host::Host;
use crate::secret::Secret;
use crate::subnet::Subnet;

/// A proxy through which destinations are reached, by CONNECT (RFC 9110 section 9.3.6).
#[derive(Debug)]
pub struct Proxy {
    /// Where it is.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization` (RFC 7617), where it asks for a sign-in.
    pub authorization: Option<Secret>,
    exceptions: Vec<Exception>,
}

/// What is reached without the proxy.
#[derive(Debug)]
enum Exception {
    Host(Host),
    /// All names below one, which is here with its dot.
    Below(String),
    Network(Subnet),
}

impl Proxy {
    /// Reads `http://host:port`, `user:password`, and what is reached without it: hosts, `.domains`, and networks.
    ///
    /// # Errors
    /// A sentence that follows the name of the option, which is told first.
    pub fn parse(
        address: &str,
        login: Option<&Secret>,
        exceptions: &[String],
    ) -> Result<Self, (&'static str, String)> {
        let wanted =
            || ("egress.proxy", "needs an address such as http://proxy.acme.example:3128".to_owned());
        let rest = address.strip_prefix("http://").ok_or_else(wanted)?;
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(wanted)?;
        let host = Host::parse(host).map_err(|_| wanted())?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wanted)?;
        let authorization =
            login.map(authorization).transpose().map_err(|fault| ("egress.proxy_login", fault))?;
        let exceptions = exceptions.iter().map(|text| exception(text.trim()));
        let exceptions = exceptions.collect::<Result<_, _>>().map_err(|fault| ("egress.no_proxy", fault))?;
        Ok(Self { host, port, authorization, exceptions })
    }

    /// Whether a destination is reached through it.
    pub fn leads_to(&self, host: &Host) -> bool {
        !self.exceptions.iter().any(|exception| exception.holds(host))
    }

    /// `host:port`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Exception {
    fn holds(&self, host: &Host) -> bool {
        match self {
            Self::Host(known) => known == host,
            Self::Below(domain) => matches!(host, Host::Name(name) if name.ends_with(domain.as_str())),
            Self::Network(network) => host.literal().is_some_and(|address| network.contains(address)),
        }
    }
}

fn authorization(login: &Secret) -> Result<Secret, String> {
    let text = login.expose();
    if !text.contains(':') || text.chars().any(char::is_control) {
        return Err("needs a user and a password, as user:password".to_owned());
    }
    Ok(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(text))))
}

fn exception(text: &str) -> Result<Exception, String> {
    let wanted = || {
        let kind = "a host, a domain such as .acme.example, or a network such as 10.0.0.0/8";
        format!(
            "needs hosts, domains and networks: “{}” is not {kind}",
            text.chars().take(80).collect::<String>()
        )
    };
    if let Some(domain) = text.strip_prefix('.') {
        return match Host::parse(domain) {
            Ok(Host::Name(name)) => Ok(Exception::Below(format!(".{name}"))),
            Ok(Host::V4(_) | Host::V6(_)) | Err(_) => Err(wanted()),
        };
    }
    if text.contains('/') {
        return text.parse().map(Exception::Network).map_err(|_| wanted());
    }
    // An address of the sixth version may stand without its brackets.
    let bare = text.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6).map(|address| format!("[{address}]"));
    Host::parse(bare.as_deref().unwrap_or(text)).map(Exception::Host).map_err(|_| wanted())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(exceptions: &[&str]) -> Proxy {
        let exceptions: Vec<_> = exceptions.iter().map(|text| (*text).to_owned()).collect();
        Proxy::parse("http://proxy.acme.example:3128/", None, &exceptions)
            .map_err(|(_, fault)| fault)
            .unwrap()
    }

    #[test]
    fn exceptions_are_hosts_domains_and_networks() {
        let proxy =
            proxy(&["Desk.acme.example", ".internal.example", "10.0.0.0/8", "192.0.2.7", "2001:db8::7"]);
        for (host, through) in [
            ("desk.acme.example", false),
            ("other.desk.acme.example", true),
            ("internal.example", true),
            ("bmc.internal.example", false),
            ("notinternal.example", true),
            ("10.20.0.5", false),
            ("11.20.0.5", true),
            ("192.0.2.7", false),
            ("[2001:db8::7]", false),
            ("[2001:db8::8]", true),
            ("acme.service-now.com", true),
        ] {
            assert_eq!(proxy.leads_to(&Host::parse(host).unwrap()), through, "{host}");
        }
        assert_eq!((proxy.name().as_str(), proxy.port), ("proxy.acme.example:3128", 3128));
    }

    #[test]
    fn what_is_no_proxy_is_said_at_its_option() {
        let check = |address: &str, login: Option<&str>, exception: &str, option: &str| {
            let login = login.map(|text| Secret::new(text.to_owned()));
            let exceptions: Vec<_> =
                [exception].into_iter().filter(|one| !one.is_empty()).map(str::to_owned).collect();
            let found = Proxy::parse(address, login.as_ref(), &exceptions).err();
            assert_eq!(
                found.as_ref().map_or("", |(option, _)| option),
                option,
                "{address} {exception} {found:?}"
            );
        };
        check("http://proxy:3128", Some("ana:pa:ss"), "", "");
        for address in [
            "https://proxy:3128",
            "proxy:3128",
            "http://proxy",
            "http://proxy:0",
            "http://a b:1",
            "http://u:p@h:1",
        ] {
            check(address, None, "", "egress.proxy");
        }
        check("http://[::1]:3128", None, "", "");
        check("http://proxy:3128", Some("ana"), "", "egress.proxy_login");
        check("http://proxy:3128", Some("ana:a\nb"), "", "egress.proxy_login");
        for exception in [".", "*.acme.example", "10.0.0.0/99", "a b", ".10.0.0.1"] {
            check("http://proxy:3128", None, exception, "egress.no_proxy");
        }
    }

    #[test]
    fn the_login_is_a_basic_one() {
        let login = Secret::new("ana:pa:ss".to_owned());
        let proxy = Proxy::parse("http://proxy:3128", Some(&login), &[]).map_err(|(_, fault)| fault).unwrap();
        // RFC 7617 section 2: the first colon parts them.
        assert_eq!(proxy.authorization.unwrap().expose(), "Basic YW5hOnBhOnNz");
    }
}
