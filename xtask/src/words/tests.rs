//! What counts as words, on small files; and that the file in the repository is complete is tidy's to say.

use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree { files: files.iter().map(|(path, text)| Source::new(path, (*text).to_owned())).collect() }
}

fn said(path: &str, text: &str) -> Vec<String> {
    collect(&tree(&[(path, text)])).into_keys().collect()
}

const PAGE: &str = "crates/consign/src/console/templates/webhook.html";
const CODE: &str = "crates/consign/src/console/webhooks.rs";
const SCRIPT: &str = "crates/consign/src/console/assets/consign.js";

#[test]
fn a_text_between_tags_is_a_phrase_with_names_for_its_values() {
    let page = "<p class=\"hint\">Sent to {{ current.host }}\n  at {{ m.time(at|when) }}.</p>\
        <b>{{ name }}</b>";
    assert_eq!(said(PAGE, page), ["Sent to {host} at {time}."]);
}

#[test]
fn what_decides_ends_a_phrase_and_comments_say_nothing() {
    let page = "{#- Not this. -#}{% if a == \"active\" %}Pause it{% else %}Resume it{% endif %}";
    assert_eq!(said(PAGE, page), ["Pause it", "Resume it"]);
}

#[test]
fn attributes_that_are_read_out_and_literals_of_expressions_count() {
    let page = "<a class=\"big wide\" title=\"Delete {{ name }}\">\
        {{ m.button(\"Pause\", \"secondary\") }}</a>\
        {{ n|count(\"delivery\", \"deliveries\") }}<script>const a = \"Not this one\";</script>";
    assert_eq!(said(PAGE, page), ["Delete {name}", "Pause", "deliveries", "delivery"]);
}

#[test]
fn sentences_of_the_code_count_and_its_names_queries_and_tests_do_not() {
    let code = "//! \"Not a comment\".\nfn a() { f(\"Deleted {name}.\\\n    Gone.\", \"secondary\", \"SELECT a FROM b\", \
        r#\"As “is” here\"#, '\"'); }\n#[cfg(test)]\nmod tests { fn b() { g(\"Not a test\"); } }\n";
    assert_eq!(said(CODE, code), ["As “is” here", "Deleted {name}.Gone."]);
    assert!(said("crates/consign-store/src/db.rs", "fn a() { f(\"Not from here\"); }").is_empty());
}

#[test]
fn small_words_count_where_they_are_marked() {
    let code = "fn a() { f(small_word(\"yes\"), \"no\"); g(small_word(\"set by {name}\").replace(\"{name}\", name)); }\n\
        #[cfg(test)]\nmod tests { fn b() { f(small_word(\"off\")); } }\n";
    assert_eq!(said(CODE, code), ["set by {name}", "yes"]);
}

#[test]
fn what_the_script_says_counts_in_whichever_quotes() {
    let code = "const word = button.hidden ? 'Hide' : \"Show\";\n\
        say('Copied.'); say('removed');\n\
        say(`Fields for ${choice.text || 'Nothing at all'} are shown.`);\n\
        box.textContent = count ? `${count} ticked:` : 'With the ticked ones:';\n\
        note.textContent = 'It\\'s lost.';\n";
    let expected = [
        "Copied.",
        "Fields for {text} are shown.",
        "Hide",
        "It's lost.",
        "Nothing at all",
        "Show",
        "With the ticked ones:",
        "removed",
        "{count} ticked:",
    ];
    assert_eq!(said(SCRIPT, code), expected);
}

#[test]
fn names_comments_and_what_the_script_compares_with_do_not_count() {
    let code = "// Don't read \"This comment\".\n/* Nor 'This one'. */\n'use strict';\n\
        if (event.key !== 'Escape' || /^https?:\\/\\/[^/{}]+/.test(a)) return;\n\
        form.action = one('[name=show_fields], .problem'); fetch(`${own}/${path}`, { method: 'POST' });\n\
        addEventListener('DOMContentLoaded', () => { live.textContent = ''; }); // It isn't.\n\
        say('Said.');\n";
    assert_eq!(said(SCRIPT, code), ["Said."]);
    assert!(said("crates/consign/src/console/samples/call.js", "say('Not from here');").is_empty());
}

#[test]
fn a_phrase_said_twice_is_one_entry_and_quotes_are_escaped() {
    let both = tree(&[
        (PAGE, "<p>Say \"hello\" to {{ name }}</p>"),
        (CODE, "fn a() { f(\"Say \\\"hello\\\" to {name}\") }"),
    ]);
    let file = expected(&both);
    let entry = format!(
        "\n#: {PAGE}\n#: {CODE}\n#, rust-format\nmsgid \"Say \\\"hello\\\" to {{name}}\"\nmsgstr \"\"\n"
    );
    assert_eq!(file, format!("{HEAD}{entry}"));
}
