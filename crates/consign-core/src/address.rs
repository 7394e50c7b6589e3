//! Which IP addresses, names and ports may be reached: the special-purpose ranges of RFC 6890 and its
//! registries, cloud metadata, and the operator's rules that open or close some of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::catalog::Fault;
use crate::host::Host;

mod class;
mod rule;

use class::{Class, class_of, is_foreign_port, name_class};
use rule::Rule;

/// SSH, RFC 4253 section 4.1.
const SSH_PORT: u16 = 22;

/// The operator's egress rules over the built-in lists. The most specific rule wins, a denial wins a tie;
/// without a rule everything public is open and everything else is closed.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    rules: Vec<Rule>,
    allow_loopback: bool,
    /// The port that is no other protocol's here.
    home: Option<u16>,
}

/// The rule that opened a destination, as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleUsed(Arc<str>);

impl fmt::Display for RuleUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A destination that may not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} may not be reached: {why}")]
pub struct Blocked {
    /// The host that was asked for, not the address it resolved to.
    pub host: Host,
    /// What closes it.
    pub why: BlockedWhy,
}

/// What closes a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockedWhy {
    /// A private, special or metadata address, this server itself, or a name that is only known inside.
    #[error("it is on a private network")]
    PrivateAddress,
    /// A name of one label.
    #[error("it is a short name")]
    ShortName,
    /// Port 0, or one that belongs to another protocol.
    #[error("port {0} is not for HTTPS")]
    Port(u16),
    /// A denial of the operator.
    #[error("the rule {0} denies it")]
    Denied(RuleUsed),
}

impl Blocked {
    /// The sentence for the field `label`.
    pub fn fault(&self, label: &str) -> Fault {
        let host = self.host.unicode();
        let operator = "operator of this server";
        match &self.why {
            BlockedWhy::PrivateAddress => Fault::new(
                "private_address",
                format!("{host} is on a private network. The {operator} can allow it with egress.allow"),
            ),
            BlockedWhy::ShortName => Fault::new(
                "short_name",
                format!(
                    "{host} is a short name. Use the full name, or ask the {operator} to allow it with \
                     egress.allow"
                ),
            ),
            BlockedWhy::Port(port) => Fault::new(
                "bad_port",
                format!("{label} must not use port {port}. It belongs to another protocol"),
            ),
            BlockedWhy::Denied(_) => {
                Fault::new("private_address", format!("{host} is closed by the {operator} with egress.allow"))
            }
        }
    }
}

impl Egress {
    /// Reads rules such as `10.0.0.0/8:443`, `erp.example.org:8443`, `[fd00::/8]:*`, and denials with a `!`
    /// in front. `allow_loopback` lets rules open loopback, link-local and metadata addresses too. The error
    /// names the rule.
    pub fn parse(rules: &[String], allow_loopback: bool) -> Result<Self, String> {
        let rules = rules.iter().map(|text| Rule::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { rules, allow_loopback, home: None })
    }

    /// No rules: public addresses only.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same rules for SFTP, which is at home on port 22.
    pub fn for_sftp(&self) -> Self {
        Self { home: Some(SSH_PORT), ..self.clone() }
    }

    /// The same rules for a server of mail, whose port is in the configuration.
    pub fn for_mail(&self, port: u16) -> Self {
        Self { home: Some(port), ..self.clone() }
    }

    /// Before resolution: may this name or literal with this port be asked for at all?
    pub fn judge_name(&self, host: &Host, port: u16) -> Result<(), Blocked> {
        let name = match host {
            Host::Name(name) => name,
            Host::V4(address) => return self.judge(host, IpAddr::V4(*address), port).map(|_| ()),
            Host::V6(address) => return self.judge(host, IpAddr::V6(*address), port).map(|_| ()),
        };
        let rule = self.strongest(host, None, port);
        self.decide(host, port, rule, name_class(name)).map(|_| ())
    }

    /// May this address, which `host` resolved to or is, be dialled at this port? Tells the rule that was
    /// needed.
    pub fn judge(&self, host: &Host, address: IpAddr, port: u16) -> Result<Option<RuleUsed>, Blocked> {
        let address = address.to_canonical();
        let rule = self.strongest(host, Some(address), port);
        self.decide(host, port, rule, class_of(address))
    }

    fn decide(
        &self,
        host: &Host,
        port: u16,
        rule: Option<&Rule>,
        class: Class,
    ) -> Result<Option<RuleUsed>, Blocked> {
        let blocked = |why| Err(Blocked { host: host.clone(), why });
        if port == 0 {
            return blocked(BlockedWhy::Port(port));
        }
        if let Some(denial) = rule.filter(|rule| rule.deny) {
            return blocked(BlockedWhy::Denied(denial.used()));
        }
        let foreign = is_foreign_port(port) && self.home != Some(port);
        if foreign && rule.is_none_or(|rule| rule.port != Some(port)) {
            return blocked(BlockedWhy::Port(port));
        }
        let open = match class {
            Class::Public => true,
            Class::Short | Class::Private => rule.is_some(),
            Class::Machine => rule.is_some() && self.allow_loopback,
            Class::Never => false,
        };
        match class {
            Class::Public if !foreign => Ok(None),
            _ if open => Ok(rule.map(Rule::used)),
            Class::Short => blocked(BlockedWhy::ShortName),
            Class::Public | Class::Private | Class::Machine | Class::Never => {
                blocked(BlockedWhy::PrivateAddress)
            }
        }
    }

    /// The rule that decides. A name is as specific as a single address.
    fn strongest(&self, host: &Host, address: Option<IpAddr>, port: u16) -> Option<&Rule> {
        let matching = self.rules.iter().filter(|rule| rule.matches(host, address, port));
        matching.max_by_key(|rule| rule.strength())
    }
}

#[cfg(test)]
mod tests;
