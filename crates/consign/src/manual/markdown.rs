//! Markdown (CommonMark, with the tables of GitHub) as pages: headings that can be linked to, tables and code that
//! scroll by themselves, no pictures, and nothing of HTML.

use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html,
};

/// A text as a page.
pub(crate) struct Page {
    /// Without the first heading, which is the title of the page.
    pub(crate) html: String,
    /// What stands under each heading; first what stands above all of them.
    pub(crate) sections: Vec<Section>,
}

/// A heading and its text.
pub(crate) struct Section {
    /// The anchor; empty above the first heading.
    pub(crate) id: String,
    /// As it is read.
    pub(crate) title: String,
    /// Of the second level of headings, which contents are made of.
    pub(crate) is_main: bool,
    /// Without mark-up.
    pub(crate) text: String,
}

/// Makes a page. `address` says where a link leads; what leads nowhere stays as text.
pub(super) fn page(text: &str, address: impl Fn(&str) -> Option<String>) -> Page {
    let mut made = Maker::default();
    let options = Options::ENABLE_TABLES;
    for event in Parser::new_ext(text, options) {
        made.take(event, &address);
    }
    let mut html = String::with_capacity(text.len() * 2);
    html::push_html(&mut html, made.events.into_iter());
    Page { html, sections: made.sections }
}

/// What a heading is linked by: as GitHub does it.
pub(super) fn anchor(title: &str) -> String {
    let letters = title.chars().flat_map(char::to_lowercase);
    let kept = letters.filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[derive(Default)]
struct Maker<'a> {
    events: Vec<Event<'a>>,
    sections: Vec<Section>,
    /// The events of the heading under way begin here.
    heading: Option<(HeadingLevel, usize)>,
    /// The text of the heading under way.
    title: String,
    /// Pictures are left out, with all that stands in them.
    in_picture: bool,
    /// Whether each link under way leads somewhere.
    links: Vec<bool>,
    code: Option<String>,
    /// The names of the tables so far.
    tables: Vec<String>,
    /// Where the headings of the table under way begin, and whether any of them says something.
    head: Option<(usize, bool)>,
}

impl<'a> Maker<'a> {
    fn take(&mut self, event: Event<'a>, address: &impl Fn(&str) -> Option<String>) {
        if self.in_picture {
            self.in_picture = !matches!(event, Event::End(TagEnd::Image));
            return;
        }
        match event {
            Event::Start(Tag::Image { .. }) => self.in_picture = true,
            Event::Start(Tag::Heading { level, .. }) => self.heading = Some((level, self.events.len())),
            Event::End(TagEnd::Heading(level)) => self.end_heading(level),
            Event::Start(Tag::Link { dest_url, title, id, .. }) => {
                let to = address(&dest_url);
                self.links.push(to.is_some());
                if let Some(to) = to {
                    let dest_url = CowStr::from(to);
                    let tag = Tag::Link { link_type: LinkType::Inline, dest_url, title, id };
                    self.events.push(Event::Start(tag));
                }
            }
            Event::End(TagEnd::Link) => {
                if self.links.pop() == Some(true) {
                    self.events.push(Event::End(TagEnd::Link));
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented)) => {
                self.code = Some(String::new());
            }
            Event::End(TagEnd::CodeBlock) => self.end_code(),
            Event::Start(Tag::Table(columns)) => {
                let label = self.table_label();
                let open =
                    format!("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{label}\">");
                self.events.push(Event::Html(open.into()));
                self.events.push(Event::Start(Tag::Table(columns)));
            }
            Event::Start(Tag::TableHead) => {
                self.events.push(event);
                self.head = Some((self.events.len(), false));
            }
            Event::End(TagEnd::TableHead) => {
                // A table without headings has none, instead of empty ones.
                if let Some((start, false)) = self.head.take() {
                    self.events.truncate(start);
                }
                self.events.push(event);
            }
            Event::End(TagEnd::Table) => {
                self.events.push(Event::End(TagEnd::Table));
                self.events.push(Event::Html("</div>".into()));
            }
            // What was meant as HTML is shown as it was typed.
            Event::Html(text) | Event::InlineHtml(text) => self.text(text),
            Event::Text(text) => self.text(text),
            Event::Code(text) => {
                self.read(&text);
                self.events.push(Event::Code(text));
            }
            Event::SoftBreak | Event::HardBreak => {
                self.read(" ");
                self.events.push(event);
            }
            Event::End(TagEnd::Paragraph | TagEnd::TableCell | TagEnd::Item) => {
                self.read(" ");
                self.events.push(event);
            }
            other => self.events.push(other),
        }
    }

    fn text(&mut self, text: CowStr<'a>) {
        if let Some(code) = &mut self.code {
            code.push_str(&text);
            return;
        }
        self.read(&text);
        self.events.push(Event::Text(text));
    }

    /// Takes a piece of text for whoever searches.
    fn read(&mut self, text: &str) {
        if let Some((_, has_text)) = &mut self.head {
            *has_text |= !text.trim().is_empty();
        }
        if self.heading.is_some() {
            self.title.push_str(text);
            return;
        }
        if self.sections.is_empty() {
            self.begin(String::new(), String::new(), false);
        }
        if let Some(section) = self.sections.last_mut() {
            section.text.push_str(text);
        }
    }

    fn begin(&mut self, id: String, title: String, is_main: bool) {
        self.sections.push(Section { id, title, is_main, text: String::new() });
    }

    /// What a table is called: as its heading, and each further one under it with a number.
    fn table_label(&mut self) -> String {
        let under = self.sections.last().map_or("", |section| section.title.as_str());
        let name = if under.is_empty() { "Table".to_owned() } else { format!("Table: {under}") };
        self.tables.push(name.clone());
        let number = self.tables.iter().filter(|other| **other == name).count();
        let label = if number == 1 { name } else { format!("{name} ({number})") };
        label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let Some((_, start)) = self.heading.take() else { return };
        let title = std::mem::take(&mut self.title);
        if level == HeadingLevel::H1 {
            self.events.truncate(start);
            return;
        }
        let id = anchor(&title);
        let open = format!("<{level} id=\"{id}\">");
        self.events.insert(start, Event::Html(open.into()));
        self.events.push(Event::Html(format!("</{level}>\n").into()));
        self.begin(id, title, level == HeadingLevel::H2);
    }

    fn end_code(&mut self) {
        let Some(code) = self.code.take() else { return };
        self.read(&code);
        self.read(" ");
        let open = "<pre class=\"code\" tabindex=\"0\" role=\"group\" aria-label=\"Code\">";
        self.events.push(Event::Html(open.into()));
        self.events.push(Event::Text(code.into()));
        self.events.push(Event::Html("</pre>\n".into()));
    }
}
