use std::collections::BTreeSet;

use super::*;

#[test]
fn headings_are_linked_as_on_github() {
    let check = |title: &str, id: &str| assert_eq!(markdown::anchor(title), id);
    check("SFTP", "sftp");
    check("When something is wrong", "when-something-is-wrong");
    check("OAuth 2.0: a person's approval", "oauth-20-a-persons-approval");
    check("`webhook-id` and _more_", "webhook-id-and-_more_");
}

#[test]
fn text_is_made_into_pages_without_pictures_and_html() {
    let text = "# Title\n\nAbove <b>all</b>.\n\n## First part\n\n![A picture of it](images/x.webp)\n\n\
        See [the other](other.md#there), [nothing](gone.md) & `a < b`.\n\n```sh\nconsign <x>\n```\n\n\
        | A | B |\n| --- | --- |\n| 1 | 2 |\n\n### Deeper\n\nEnd.\n";
    let page = markdown::page(text, |to| (to == "other.md#there").then(|| "/docs/other#there".to_owned()));
    assert!(!page.html.contains("Title") && !page.html.contains("picture"), "{}", page.html);
    for part in [
        "Above &lt;b&gt;all&lt;/b&gt;.",
        "<h2 id=\"first-part\">First part</h2>",
        "<a href=\"/docs/other#there\">the other</a>, nothing &amp; <code>a &lt; b</code>",
        "aria-label=\"Code\">consign &lt;x&gt;\n</pre>",
        "<th>A</th>",
        "<h3 id=\"deeper\">Deeper</h3>",
    ] {
        assert!(page.html.contains(part), "{part}\n{}", page.html);
    }
    let sections: Vec<_> =
        page.sections.iter().map(|one| (one.id.as_str(), one.is_main, one.text.trim())).collect();
    assert_eq!(sections[0], ("", false, "Above <b>all</b>."));
    assert_eq!((sections[1].0, sections[1].1), ("first-part", true));
    assert!(sections[1].2.contains("the other") && sections[1].2.contains("consign <x>"), "{sections:?}");
    assert_eq!(sections[2], ("deeper", false, "End."));
}

#[test]
fn tables_are_called_as_their_headings() {
    let table = "| A |\n| --- |\n| 1 |\n\n";
    let text = format!("# T\n\n{table}## Roles & \"rights\"\n\n{table}{table}### More\n\n{table}");
    let html = markdown::page(&text, |_| None).html;
    let labels: Vec<_> =
        html.split("aria-label=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let roles = "Table: Roles &amp; &quot;rights&quot;";
    assert_eq!(labels, ["Table", roles, &format!("{roles} (2)"), "Table: More"]);
}

#[test]
fn every_text_of_the_repository_is_in_the_manual() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    let read = |folder: &str| {
        let files = std::fs::read_dir(format!("{docs}/{folder}")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let texts = names.filter(|name| name.ends_with(".md"));
        texts
            .map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") })
            .collect::<Vec<_>>()
    };
    let found: BTreeSet<_> = read("").into_iter().chain(read("presets")).collect();
    let listed: BTreeSet<_> = GUIDES.iter().map(|guide| guide.file.to_owned()).collect();
    assert_eq!(listed, found);
    assert!(GUIDES.iter().all(|guide| guide.title() != guide.name), "each has a title");
}

#[test]
fn what_is_asked_for_is_found() {
    let first = |asked: &str| search(asked).into_iter().next().map(|found| (found.page, found.title));
    let check = |asked: &str, page: &str, title: &str| {
        assert_eq!(first(asked), Some((page.to_owned(), title.to_owned())), "{asked}");
    };
    check("encryption KEYS rotate", "Operations", "Encryption keys");
    check("idempotency_key_needed", "Problems", "An Idempotency-Key is needed (idempotency_key_needed)");
    check("consign credential scan-host-key", "Commands", "consign credential scan-host-key");
    assert!(search("createCredential /credentials").is_empty(), "ids of operations are not words");
    assert!(
        search("POST /api/v1/credentials")
            .iter()
            .any(|found| found.address == "/docs/api/credentials#createCredential")
    );
    assert!(search("").is_empty() && search("qzxv").is_empty());
    let long = search("credential");
    assert!(
        long.len() == 30 && long.iter().all(|found| found.excerpt.chars().count() <= 186),
        "{}",
        long.len()
    );
}

#[test]
fn types_of_the_api_are_told_in_words() {
    let reference = reference::Reference::whole();
    for name in reference.schemas() {
        let shown = reference.schema(name).unwrap();
        let words = shown["type"].as_array().unwrap();
        assert!(!words.is_empty(), "{name}");
    }
    let subject = reference.subject("credentials").unwrap();
    let operations = subject["operations"].as_array().unwrap();
    let create = operations.iter().find(|one| one["id"] == "createCredential").unwrap();
    assert_eq!((&create["method"], &create["path"]), (&"POST".into(), &"/api/v1/credentials".into()));
    assert_eq!(create["scopes"], serde_json::json!(["credentials:write"]));
    assert!(create["body"][0]["examples"].as_array().unwrap().len() > 3);
    assert_eq!(reference.operations().len(), operations_written(), "each method of each address");
    assert!(reference.subject("nothing").is_none() && reference.schema("Nothing").is_none());
}

/// Operations as they are counted in the text of the description.
fn operations_written() -> usize {
    include_str!("../../openapi.yaml")
        .lines()
        .filter(|line| line.trim_start().starts_with("operationId:"))
        .count()
}
