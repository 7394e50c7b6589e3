//! What this program is built of, with the licence of each. The list is made by `cargo xtask licences`.

const LIST: &str = include_str!("../third-party.tsv");

/// A crate by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThirdParty {
    /// Its name.
    pub(crate) name: &'static str,
    /// The version that is in here.
    pub(crate) version: &'static str,
    /// An SPDX expression.
    pub(crate) licence: &'static str,
    /// Where its source and the text of its licence are; empty where it names none.
    pub(crate) source: &'static str,
}

/// All of them, by name.
pub(crate) fn all() -> impl Iterator<Item = ThirdParty> {
    LIST.lines().filter_map(read)
}

fn read(line: &'static str) -> Option<ThirdParty> {
    let mut parts = line.split('\t');
    let row = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let [name, version, licence, source] = row;
    Some(ThirdParty { name, version, licence, source })
}

#[cfg(test)]
mod tests;
