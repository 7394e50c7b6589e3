//! Pages as a browser without scripts reads them: forms with their fields, and what is said.

use super::{Reply, TestConsign, eventually};

/// A form of a page, filled in as the page came.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Where it is posted.
    pub(crate) action: String,
    /// Names and values, in their order.
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    /// Types into a field; one that is not there is an error of the test.
    #[track_caller]
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        let found = self.fields.iter_mut().find(|(known, _)| known == name);
        match found {
            Some((_, old)) => value.clone_into(old),
            None => panic!("the form {} has no field {name}: {:?}", self.action, self.names()),
        }
        self
    }

    /// Types into the n-th field of a name, in a list of rows.
    #[track_caller]
    pub(crate) fn set_row(mut self, name: &str, row: usize, value: &str) -> Self {
        let found = self.fields.iter_mut().filter(|(known, _)| known == name).nth(row);
        found.unwrap_or_else(|| panic!("no row {row} of {name}")).1 = value.to_owned();
        self
    }

    /// Adds what a button or a ticked box adds.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl TestConsign {
    /// The form of a page that has this field.
    pub(crate) async fn form(&self, path: &str, with_field: &str) -> Form {
        let page = self.page(path).await.expect(200);
        form_with(&page.text(), path, with_field)
    }

    /// Posts a form as a browser does.
    pub(crate) async fn send_form(&self, form: &Form) -> Reply {
        let fields: Vec<_> =
            form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let headers = [
            ("cookie", self.session.cookie.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.client.send("POST", &form.action, &headers, super::form(&fields)).await
    }
}

impl TestConsign {
    /// A page of the console, signed in.
    pub(crate) async fn page(&self, path: &str) -> Reply {
        self.client.send("GET", path, &[("cookie", &self.session.cookie)], "").await
    }

    /// A posted form of the console, signed in, with its token.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut all = vec![("csrf", self.session.csrf.as_str())];
        all.extend_from_slice(fields);
        let headers = [
            ("cookie", self.session.cookie.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.client.send("POST", path, &headers, super::form(&all)).await
    }

    /// The form of a new credential that a button answered with, and its whole page.
    pub(crate) async fn pressed(&self, form: Form, button: (&str, &str)) -> (Form, String) {
        let action = form.action.clone();
        let page = self.send_form(&form.with(button.0, button.1)).await.expect(200).text();
        (form_with(&page, &action, "authorization_type"), unescape(&page))
    }

    /// The form of a new credential of this type, without scripts.
    pub(crate) async fn new_credential(&self, name: &str, kind: &str) -> Form {
        let first = self.form("/credentials/new", "authorization_type").await;
        let first = first.set("name", name).set("authorization_type", kind);
        self.pressed(first, ("show_fields", "1")).await.0
    }

    /// Where the link of the page before the tool leads to.
    pub(crate) async fn departure(&self, credential: &str) -> String {
        let page = self.page(&format!("/credentials/{credential}/authorize")).await.expect(200).text();
        assert!(page.contains("You will approve as whoever is signed in there."), "{page}");
        let link =
            page.split("<a ").find(|tag| tag.contains("rel=\"noreferrer\"")).expect("a link to the tool");
        attribute(&format!("a {}", link.split('>').next().unwrap()), "href").expect("an address")
    }

    /// Goes where a reply leads, with what the browser was told to say there.
    pub(crate) async fn follow(&self, reply: &Reply) -> Reply {
        let set = reply.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let set = set.filter_map(|cookie| cookie.split(';').next());
        let cookies: Vec<_> = std::iter::once(self.session.cookie.as_str()).chain(set).collect();
        self.client.send("GET", &reply.location(), &[("cookie", &cookies.join("; "))], "").await
    }

    /// Saves the form of a credential and waits for the test that follows; the path of its page.
    pub(crate) async fn save_credential(&self, form: &Form) -> String {
        let shown = self.send_form(form).await.expect(303).location();
        eventually("the test after a save", async || {
            let page = self.page(&shown).await.expect(200).text();
            (!page.contains("data-testing")).then_some(())
        })
        .await;
        shown.split('?').next().unwrap().to_owned()
    }
}

/// The form of a page that has this field; `here` is the path of the page.
#[track_caller]
pub(crate) fn form_with(page: &str, here: &str, field: &str) -> Form {
    let all = forms(page, here);
    let found = all.iter().find(|form| form.has(field)).cloned();
    found.unwrap_or_else(|| {
        let names: Vec<_> = all.iter().map(|form| (form.action.as_str(), form.names())).collect();
        panic!("{here} has no form with {field}: {names:?}\n{page}")
    })
}

/// All forms of a page that are posted.
pub(crate) fn forms(page: &str, here: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut inside = false;
    let mut select: Option<(String, Option<String>, Option<String>)> = None;
    // What stands in a template is not part of the page.
    let page = without_templates(page);
    for (tag, after) in tags(&page) {
        let has = |name: &str| attribute(tag, name);
        let fields = if inside { forms.last_mut().map(|form| &mut form.fields) } else { None };
        match name(tag) {
            "form" => {
                inside = has("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
                if inside {
                    let action = has("action").filter(|action| !action.is_empty());
                    forms
                        .push(Form { action: action.unwrap_or_else(|| here.to_owned()), fields: Vec::new() });
                }
            }
            "/form" => inside = false,
            "select" => select = has("name").map(|name| (name, None, None)),
            "option" => {
                if let Some((_, first, chosen)) = &mut select {
                    let value =
                        has("value").unwrap_or_else(|| unescape(text_before_tag(after)).trim().to_owned());
                    if has("selected").is_some() {
                        *chosen = Some(value);
                    } else if first.is_none() {
                        *first = Some(value);
                    }
                }
            }
            "/select" => {
                if let (Some((name, first, chosen)), Some(fields)) = (select.take(), fields) {
                    fields.push((name, chosen.or(first).unwrap_or_default()));
                }
            }
            "textarea" => {
                if let (Some(name), Some(fields)) = (has("name"), fields) {
                    let text = after.split("</textarea").next().unwrap_or_default();
                    fields.push((name, unescape(text.strip_prefix('\n').unwrap_or(text))));
                }
            }
            "input" => {
                let kind = has("type").unwrap_or_default();
                let ticked = !matches!(kind.as_str(), "checkbox" | "radio") || has("checked").is_some();
                let is_button = matches!(kind.as_str(), "submit" | "button" | "reset" | "image");
                if let (Some(name), Some(fields), true) =
                    (has("name"), fields, ticked && !is_button && has("disabled").is_none())
                {
                    let fallback = if kind == "checkbox" { "on" } else { "" };
                    fields.push((name, has("value").unwrap_or_else(|| fallback.to_owned())));
                }
            }
            _ => {}
        }
    }
    forms
}

fn without_templates(page: &str) -> String {
    let mut parts = page.split("<template>");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(part.split_once("</template>").map_or("", |(_, after)| after));
    }
    whole
}

/// Every tag, with the text behind it.
fn tags(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('<').skip(1).filter_map(|part| {
        let end = end_of_tag(part)?;
        let offset = part.as_ptr() as usize - page.as_ptr() as usize;
        Some((&part[..end], &page[offset + end + 1..]))
    })
}

/// A `>` within quotation marks ends nothing.
fn end_of_tag(part: &str) -> Option<usize> {
    let mut quoted = false;
    part.char_indices().find_map(|(index, c)| {
        if c == '"' {
            quoted = !quoted;
        }
        (c == '>' && !quoted).then_some(index)
    })
}

fn text_before_tag(after: &str) -> &str {
    after.split('<').next().unwrap_or_default()
}

fn name(tag: &str) -> &str {
    tag.split(|c: char| c.is_whitespace()).next().unwrap_or_default()
}

/// The value of an attribute; empty when it has none.
pub(crate) fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag.split_once(|c: char| c.is_whitespace())?.1.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix("=\"") {
            Some(quoted) => quoted.split_once('"')?,
            None => match after.strip_prefix('=') {
                Some(bare) => bare.split_at(bare.find(char::is_whitespace).unwrap_or(bare.len())),
                None => ("", after),
            },
        };
        if name == wanted {
            return Some(unescape(value));
        }
        rest = after.trim_start();
    }
    None
}

/// Entities as the template engine writes them.
pub(crate) fn unescape(text: &str) -> String {
    let pairs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#x2f;", "/"),
        ("&#x2F;", "/"),
        ("&amp;", "&"),
    ];
    pairs.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[test]
fn forms_are_read_as_a_browser_reads_them() {
    let page = r#"<form method="get" action="/s"><input name="q"></form>
        <form method="post" action="/a"><input type="hidden" name="csrf" value="t&#34;>">
        <input name="name" value="A &amp; B"><input type="checkbox" name="off"><input type="checkbox" name="on" checked>
        <select name="kind"><option value="x">X</option><option value="y" selected>Y</option></select>
        <textarea name="text">
a &lt; b</textarea><button name="b" value="1">Go</button></form>"#;
    let forms = forms(page, "/here");
    assert_eq!(forms.len(), 1);
    let fields: Vec<_> = forms[0].fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expected = [("csrf", "t\">"), ("name", "A & B"), ("on", "on"), ("kind", "y"), ("text", "a < b")];
    assert_eq!(fields, expected);
}
