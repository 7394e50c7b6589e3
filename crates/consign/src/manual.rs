//! What Consign says of itself, without the internet: guides, tools, commands, the API, and the problems it answers
//! with. The guides are the files of `docs/`, as they are in the repository.

use std::sync::OnceLock;

pub(crate) use crate::api::{PROBLEMS, ProblemKind};
pub(crate) use markdown::Page;
pub(crate) use search::search;

pub(crate) mod reference;

mod markdown;
mod search;

/// Where the manual is.
pub(crate) const ROOT: &str = "/docs";

/// A text of the manual.
pub(crate) struct Guide {
    /// The last part of its address.
    pub(crate) name: &'static str,
    /// The part of the manual that it belongs to.
    pub(crate) part: Part,
    /// Where it is in the repository, below `docs/`.
    file: &'static str,
    /// As it was written: Markdown.
    text: &'static str,
}

/// The parts of the manual, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// How things are done.
    Guides,
    /// How one tool is connected.
    Tools,
    /// What can be looked up.
    Reference,
}

macro_rules! guides {
    ($($part:ident $name:literal $file:literal;)*) => {
        /// Every text, in the order of its part.
        pub(crate) static GUIDES: &[Guide] = &[$(Guide {
            name: $name,
            part: Part::$part,
            file: $file,
            text: include_str!(concat!("../../../docs/", $file)),
        }),*];
    };
}

guides! {
    Guides "first-delivery" "first-delivery.md";
    Guides "install" "install.md";
    Guides "credentials" "credentials.md";
    Guides "connectors" "connectors.md";
    Guides "gateways" "gateways.md";
    Guides "files" "files.md";
    Guides "operations" "operations.md";
    Guides "sign-in" "sign-in.md";
    Tools "servicenow" "presets/servicenow.md";
    Tools "jira" "presets/jira.md";
    Tools "4me" "presets/4me.md";
    Tools "salesforce" "presets/salesforce.md";
    Tools "successfactors" "presets/successfactors.md";
    Tools "s4hana_cloud" "presets/s4hana_cloud.md";
    Tools "c4c" "presets/c4c.md";
    Reference "api" "api.md";
    Reference "cli" "cli.md";
    Reference "benchmarks" "benchmarks.md";
}

impl Guide {
    /// Where it is.
    pub(crate) fn address(&self) -> String {
        format!("{ROOT}/{}", self.name)
    }

    /// The first heading.
    pub(crate) fn title(&self) -> &'static str {
        self.text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(self.name)
    }

    /// As a page: made when it is first asked for.
    pub(crate) fn page(&'static self) -> &'static Page {
        static PAGES: OnceLock<Vec<OnceLock<Page>>> = OnceLock::new();
        let pages = PAGES.get_or_init(|| GUIDES.iter().map(|_| OnceLock::new()).collect());
        let place = GUIDES.iter().position(|guide| guide.name == self.name).expect("it is one of them");
        pages[place].get_or_init(|| markdown::page(self.text, |to| address_of(self.file, to)))
    }
}

/// A guide by the last part of its address.
pub(crate) fn guide(name: &str) -> Option<&'static Guide> {
    GUIDES.iter().find(|guide| guide.name == name)
}

/// A text in Markdown as HTML; its links stay as text.
pub(crate) fn html(text: &str) -> String {
    markdown::page(text, |_| None).html
}

/// Where a link of a file leads in the manual; `None` for what is not part of it.
fn address_of(file: &str, to: &str) -> Option<String> {
    if to.starts_with("https://") || to.starts_with('#') {
        return Some(to.to_owned());
    }
    let (path, anchor) = to.split_once('#').map_or((to, None), |(path, anchor)| (path, Some(anchor)));
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = match path.strip_prefix("../") {
        Some(path) => path.to_owned(),
        None if folder.is_empty() => path.to_owned(),
        None => format!("{folder}/{path}"),
    };
    let guide = GUIDES.iter().find(|guide| guide.file == whole)?;
    let anchor = anchor.map(|anchor| format!("#{anchor}")).unwrap_or_default();
    Some(format!("{}{anchor}", guide.address()))
}

#[cfg(test)]
mod tests;
