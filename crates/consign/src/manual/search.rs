//! Search of the manual: sections that hold every word that was asked for, the fitting ones first.

use std::sync::OnceLock;

use super::reference::Reference;
use super::{GUIDES, PROBLEMS};

/// So many are shown.
const FOUND_MAX: usize = 30;
/// Of the text of a section so much is shown.
const EXCERPT_CHARS: usize = 180;
/// Words of what is asked for beyond these are not looked at.
const WORDS_MAX: usize = 8;

/// A section that holds what was asked for.
pub(crate) struct Found {
    /// Where it is.
    pub(crate) address: String,
    /// The title of its page.
    pub(crate) page: String,
    /// Its heading; empty at the beginning of a page.
    pub(crate) title: String,
    /// What stands around the first hit.
    pub(crate) excerpt: String,
}

struct Entry {
    address: String,
    page: String,
    title: String,
    text: String,
    /// Title and text in small letters.
    small: (String, String),
}

impl Entry {
    fn new(address: String, page: &str, title: &str, text: &str) -> Self {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let small = (format!("{page} {title}").to_lowercase(), text.to_lowercase());
        Self { address, page: page.to_owned(), title: title.to_owned(), text, small }
    }

    /// How well it fits; `None` when a word is missing.
    fn fits(&self, words: &[String]) -> Option<usize> {
        let (title, text) = &self.small;
        words.iter().try_fold(0, |fit, word| {
            let (in_title, in_text) = (title.contains(word.as_str()), text.matches(word.as_str()).count());
            (in_title || in_text > 0).then(|| fit + if in_title { 10 } else { 0 } + in_text.min(5))
        })
    }

    fn excerpt(&self, words: &[String]) -> String {
        let hit = words.iter().filter_map(|word| self.small.1.find(word.as_str())).min().unwrap_or(0);
        // Small letters can be longer than large ones: the place is near enough, and never inside of a letter.
        let before = self.text.char_indices().take_while(|(at, _)| *at < hit).count();
        let start = before.saturating_sub(EXCERPT_CHARS / 3);
        let shown: String = self.text.chars().skip(start).take(EXCERPT_CHARS).collect();
        let more = self.text.chars().count() > start + EXCERPT_CHARS;
        format!("{}{}{}", if start > 0 { "… " } else { "" }, shown.trim(), if more { " …" } else { "" })
    }
}

/// What holds every word.
pub(crate) fn search(asked: &str) -> Vec<Found> {
    let words: Vec<_> = asked.split_whitespace().map(str::to_lowercase).take(WORDS_MAX).collect();
    if words.is_empty() {
        return Vec::new();
    }
    let mut fitting: Vec<_> =
        entries().iter().filter_map(|entry| Some((entry.fits(&words)?, entry))).collect();
    fitting.sort_by_key(|(fit, _)| std::cmp::Reverse(*fit));
    let found = fitting.into_iter().take(FOUND_MAX).map(|(_, entry)| Found {
        address: entry.address.clone(),
        page: entry.page.clone(),
        title: entry.title.clone(),
        excerpt: entry.excerpt(&words),
    });
    found.collect()
}

/// Everything that can be found, read once.
fn entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let mut entries = Vec::new();
        for guide in GUIDES {
            let page = guide.title();
            for section in &guide.page().sections {
                let anchor = if section.id.is_empty() { String::new() } else { format!("#{}", section.id) };
                let address = format!("{}{anchor}", guide.address());
                entries.push(Entry::new(address, page, &section.title, &section.text));
            }
        }
        for operation in Reference::whole().operations() {
            let title = format!("{} {}", operation.method, operation.path);
            let words = |key: &str| operation.value[key].as_str().unwrap_or_default().replace(['`', '*'], "");
            let text = format!("{}. {}", words("summary"), words("description"));
            entries.push(Entry::new(operation.address(), "REST API", &title, &text));
        }
        for kind in PROBLEMS {
            let title = format!("{} ({})", kind.title, kind.code);
            let text = format!("{}. {} {}", kind.status, kind.meaning, kind.remedy);
            entries.push(Entry::new(kind.address(), "Problems", &title, &text));
        }
        entries
    })
}
