//! Every rule has samples that it catches and samples that pass: a check that cannot fail is a defect.

use std::collections::HashSet;

use super::source::{Source, Tree};
use super::*;
use crate::words;

/// Files of a small repository, and the places that a rule must find in it.
struct Sample {
    rule: &'static str,
    files: &'static [(&'static str, &'static str)],
    found: &'static [&'static str],
}

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree { files: files.iter().map(|(path, text)| Source::new(path, (*text).to_owned())).collect() }
}

fn check(sample: &Sample) {
    let rule = RULES.iter().find(|rule| rule.name == sample.rule).expect("the sample names a rule");
    let found: Vec<String> =
        (rule.check)(&tree(sample.files)).iter().map(|f| format!("{}:{}", f.path, f.line)).collect();
    assert_eq!(found, sample.found, "{} on {:?}", sample.rule, sample.files);
}

const ENGINE: &str = "crates/consign/src/engine.rs";
const COMMIT: &str = "crates/consign/src/engine/commit.rs";
const CORE: &str = "crates/consign-core/src/host.rs";
const AUTH: &str = "crates/consign-core/src/auth.rs";
const BASIC: &str = "crates/consign-core/src/auth/basic.rs";
const MIGRATION: &str = "crates/consign-store/migrations/0001_initial.sql";
const PAGE: &str = "crates/consign/src/console/templates/webhook.html";
const DEFAULTS: &str = "crates/consign/consign.default.toml";

const SHAPE: &[Sample] = &[
    Sample { rule: "module-doc", files: &[(CORE, "//! A host.\n")], found: &[] },
    Sample {
        rule: "module-doc",
        files: &[(CORE, "use std::fmt;\n//! Late.\n")],
        found: &["crates/consign-core/src/host.rs:1"],
    },
    Sample {
        rule: "no-mod-rs",
        files: &[("xtask/src/tidy/mod.rs", "")],
        found: &["xtask/src/tidy/mod.rs:1"],
    },
    Sample { rule: "no-mod-rs", files: &[("xtask/src/tidy.rs", "")], found: &[] },
    Sample {
        rule: "dead-file",
        files: &[
            ("crates/a/src/lib.rs", "pub mod used;\n// mod dead;\n"),
            ("crates/a/src/used.rs", "#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/used/tests.rs", ""),
            ("crates/a/src/used/dead.rs", ""),
            ("crates/a/src/dead.rs", ""),
            ("crates/a/tests/it/main.rs", "mod walk;"),
            ("crates/a/tests/it/walk.rs", ""),
            ("crates/a/tests/it/lost.rs", ""),
            ("crates/a/tests/alone.rs", ""),
        ],
        found: &["crates/a/src/used/dead.rs:1", "crates/a/src/dead.rs:1", "crates/a/tests/it/lost.rs:1"],
    },
    Sample {
        rule: "manifest",
        files: &[(
            "crates/consign-core/Cargo.toml",
            "[dependencies]\nbytes.workspace = true\ntokio = \"1\"\n[lints]\nsqlx = 1\n",
        )],
        found: &["crates/consign-core/Cargo.toml:3"],
    },
    Sample {
        rule: "manifest",
        files: &[(
            "crates/consign-core/Cargo.toml",
            "[target.'cfg(unix)'.dev-dependencies]\nhyper = \"1\"\n[dependencies.rustls]\n",
        )],
        found: &["crates/consign-core/Cargo.toml:2", "crates/consign-core/Cargo.toml:3"],
    },
    Sample {
        rule: "manifest",
        files: &[
            ("xtask/Cargo.toml", "[dependencies]\nanyhow = \"1\"\n"),
            ("crates/consign-store/Cargo.toml", "[dependencies]\nsqlx = \"1\"\nhyper = \"1\"\n"),
            ("crates/consign-transport/Cargo.toml", "[dependencies]\nhyper = \"1\"\nconsign-store = \"1\"\n"),
        ],
        found: &[
            "xtask/Cargo.toml:2",
            "crates/consign-store/Cargo.toml:3",
            "crates/consign-transport/Cargo.toml:3",
        ],
    },
];

/// Made of parts, so that this file passes the rule itself.
#[test]
fn machine_paths_are_found_and_parts_of_others_are_not() {
    for (text, wrong) in [
        ("see HOME", true),
        ("\"HOME/x\"", true),
        ("(HOME)", true),
        ("https://example.com/homeHOME", false),
        ("/homepage/", false),
        ("$root/workHOME", false),
    ] {
        let text = format!("one\n{}\n", text.replace("HOME", &["/ho", "me/"].concat()));
        let found = shape::machine_path(&tree(&[("docs/install.md", text.as_str())]));
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, if wrong { vec![2] } else { vec![] }, "{text}");
    }
}

const LAYERS: &[Sample] = &[
    Sample {
        rule: "layering",
        files: &[(ENGINE, "use crate::engine::x;\n// crate::api\nuse consign_store::ops;")],
        found: &[],
    },
    Sample {
        rule: "layering",
        files: &[(ENGINE, "\nuse crate::ops::Actor;")],
        found: &["crates/consign/src/engine.rs:2"],
    },
    Sample {
        rule: "layering",
        files: &[(COMMIT, "use crate::{config::{api, x}, console};")],
        found: &["crates/consign/src/engine/commit.rs:1"],
    },
    Sample { rule: "layering", files: &[(COMMIT, "use super::api;")], found: &[] },
    Sample {
        rule: "layering",
        files: &[(COMMIT, "use super::super::cli;")],
        found: &["crates/consign/src/engine/commit.rs:1"],
    },
    Sample {
        rule: "layering",
        files: &[
            ("crates/consign/src/ops/events.rs", "use crate::engine;\nfn f() { crate :: api :: g() }"),
            ("crates/consign/src/console.rs", "use crate::ops;\nuse crate::api;"),
            ("crates/consign/src/api/health.rs", "use crate::{ops, console};"),
            ("crates/consign/src/cli/client.rs", "use crate::engine::Engine;"),
            ("crates/consign/src/cli/serve.rs", "use crate::{api, console, engine, ops};"),
            ("crates/consign/src/clippers.rs", "use crate::api;"),
            ("crates/consign/src/lib.rs", "use crate::api;"),
        ],
        found: &[
            "crates/consign/src/ops/events.rs:2",
            "crates/consign/src/console.rs:2",
            "crates/consign/src/api/health.rs:1",
            "crates/consign/src/cli/client.rs:1",
        ],
    },
];

const BANS: &[Sample] = &[
    Sample {
        rule: "banned-word",
        files: &[(
            "xtask/src/x/tests.rs",
            "#[test]\n#[ignore]\nfn f() {\n todo!(); }\nfn g() { unimplemented!() }\nfn h() { dbg!(1) }",
        )],
        found: &[
            "xtask/src/x/tests.rs:4",
            "xtask/src/x/tests.rs:5",
            "xtask/src/x/tests.rs:6",
            "xtask/src/x/tests.rs:2",
        ],
    },
    Sample {
        rule: "banned-word",
        files: &[(CORE, "/// tokio\nconst A: &str = \"sqlx\"; /* hyper */ struct IssueInstant;")],
        found: &[],
    },
    Sample {
        rule: "banned-word",
        files: &[(
            CORE,
            "use std::time::{Duration, Instant};\nuse std::net::TcpStream;\nuse tokio as t;\n\
             fn f() { jiff::Timestamp::now() }",
        )],
        found: &[
            "crates/consign-core/src/host.rs:3",
            "crates/consign-core/src/host.rs:2",
            "crates/consign-core/src/host.rs:1",
            "crates/consign-core/src/host.rs:4",
        ],
    },
    Sample {
        rule: "banned-word",
        files: &[
            (CORE, "use aws_lc_rs::{digest, rand};"),
            ("crates/consign-core/src/vault.rs", "use aws_lc_rs::rand;"),
        ],
        found: &["crates/consign-core/src/host.rs:1"],
    },
    Sample {
        rule: "banned-word",
        files: &[
            (
                "crates/consign-store/src/lib.rs",
                "use hyper::body;\nuse consign_transport::Network;\nuse sqlx::Any;",
            ),
            (
                "crates/consign-transport/src/lib.rs",
                "use hyper::body;\nuse consign_store::Store;\nuse sqlx::Any;",
            ),
        ],
        found: &[
            "crates/consign-store/src/lib.rs:2",
            "crates/consign-store/src/lib.rs:1",
            "crates/consign-transport/src/lib.rs:2",
            "crates/consign-transport/src/lib.rs:3",
        ],
    },
    Sample {
        rule: "banned-word",
        files: &[
            ("crates/consign/src/engine/authorize.rs", "let secret = self.vault.open(&place, &sealed)?;"),
            (
                "crates/consign/src/ops/users.rs",
                "self.vault\n    .open(&place, &sealed)\n#[cfg(test)] mod t { fn f() { vault.open(1) } }",
            ),
            ("crates/consign/src/api.rs", "let f = Vault::open;\nlet g = app.vault().open(&p);"),
            ("crates/consign-core/src/vault/tests.rs", "vault.open(&place, &sealed)"),
        ],
        found: &[
            "crates/consign/src/ops/users.rs:1",
            "crates/consign/src/api.rs:2",
            "crates/consign/src/api.rs:1",
        ],
    },
    Sample {
        rule: "banned-word",
        files: &[
            ("crates/consign-transport/src/guard.rs", "TcpStream::connect(address).await"),
            ("crates/consign/src/cli/client.rs", "tokio::net::TcpStream::connect(address).await"),
            ("crates/consign/src/engine/probe.rs", "\nTcpStream :: connect(address).await"),
        ],
        found: &["crates/consign/src/engine/probe.rs:2"],
    },
];

const PRODUCT: &[Sample] = &[
    Sample {
        rule: "secret-trait",
        files: &[(
            "crates/a/src/secret.rs",
            "impl fmt::Debug for Secret {}\nimpl Display for Public {}\n\
             impl From<Secret> for Text {}\nimpl Serialize for Vec<Secret> {}",
        )],
        found: &[],
    },
    Sample {
        rule: "secret-trait",
        files: &[(
            "crates/a/src/secret.rs",
            "impl fmt::Display for Secret {}\nimpl<'a> serde::Serialize for crate::vault::Sealed {}\n\
             #[derive(Debug, Serialize)]\npub struct Sealed(String);\n\
             impl ToString for &Secret where Self: Sized {}",
        )],
        found: &[
            "crates/a/src/secret.rs:1",
            "crates/a/src/secret.rs:2",
            "crates/a/src/secret.rs:5",
            "crates/a/src/secret.rs:4",
        ],
    },
    Sample {
        rule: "authorization-type",
        files: &[
            (
                AUTH,
                "mod basic;\npub static AUTHORIZATION_TYPES: &[&AuthorizationType] = &[\n&basic::TYPE,\n];",
            ),
            (BASIC, "const C: C = C { kind: \"c\" };\npub static TYPE: T = T { kind: \"basic\" };"),
            ("crates/consign-core/src/auth/oauth.rs", "const C: C = C { kind: \"c\" };"),
            ("crates/consign-core/src/auth/basic/tests.rs", "fn f() {}"),
            ("docs/credentials.md", "## Basic (`basic`)"),
        ],
        found: &[],
    },
    // Missing from the list, and from the document; named elsewhere in the file only.
    Sample {
        rule: "authorization-type",
        files: &[
            (
                AUTH,
                "mod basic; static AUTHORIZATION_TYPES: &[&T] = &[&old_basic::TYPE]; fn f() { basic::TYPE; }",
            ),
            (BASIC, "pub static TYPE: T = T { kind: \"basic\" };"),
            ("docs/credentials.md", "basic, `basic_more`"),
        ],
        found: &["crates/consign-core/src/auth/basic.rs:1", "crates/consign-core/src/auth/basic.rs:1"],
    },
    Sample {
        rule: "authorization-type",
        files: &[
            (AUTH, "static AUTHORIZATION_TYPES: &[&T] = &[&basic::TYPE];"),
            (BASIC, "static TYPE: T = T { kind: \"basic\" };"),
        ],
        found: &["crates/consign-core/src/auth/basic.rs:1"],
    },
    Sample {
        rule: "column-type",
        files: &[(
            MIGRATION,
            "-- int\ncreate table c (\n  id text primary key, at BIGINT not null,\n  body Blob, -- {}\n\
             check (at in (1, 2)), primary key (id, at), unique(at)\n);\ncreate index i on c (at);",
        )],
        found: &[],
    },
    Sample {
        rule: "column-type",
        files: &[(
            MIGRATION,
            "create table if not exists a (\n  id text,\n  on_off boolean,\n  n numeric(10, 2),\n  bare\n);\n\
             alter table a add column b int;\nalter table a add column c text;",
        )],
        found: &[
            "crates/consign-store/migrations/0001_initial.sql:3",
            "crates/consign-store/migrations/0001_initial.sql:4",
            "crates/consign-store/migrations/0001_initial.sql:5",
            "crates/consign-store/migrations/0001_initial.sql:7",
        ],
    },
    Sample {
        rule: "default-options",
        files: &[("crates/consign/src/config.rs", "//! Options.")],
        found: &["crates/consign/src/config.rs:1"],
    },
    Sample {
        rule: "default-options",
        files: &[(
            DEFAULTS,
            "# Where it listens.\n[server]\nlisten = \"127.0.0.1:8420\"\n\n[other]\n# listen = 1\n",
        )],
        found: &[],
    },
    Sample {
        rule: "default-options",
        files: &[(DEFAULTS, "[server]\nlisten = 1\n# listen = 2\nlisten\nport =\n")],
        found: &[
            "crates/consign/consign.default.toml:3",
            "crates/consign/consign.default.toml:4",
            "crates/consign/consign.default.toml:5",
        ],
    },
    Sample { rule: "words", files: &[(PAGE, "<p>{{ name }}</p>")], found: &[] },
    Sample { rule: "words", files: &[(PAGE, "<p>Sent</p>")], found: &["crates/consign/words.pot:1"] },
    Sample {
        rule: "words",
        files: &[(PAGE, "<p>{{ name }}</p>"), (words::PATH, "msgid \"Sent\"\n")],
        found: &["crates/consign/words.pot:1"],
    },
];

#[test]
fn rules_of_shape() {
    SHAPE.iter().for_each(check);
}

#[test]
fn rules_of_layers() {
    LAYERS.iter().for_each(check);
}

#[test]
fn banned_words() {
    BANS.iter().for_each(check);
}

#[test]
fn rules_of_the_product() {
    PRODUCT.iter().for_each(check);
}

#[test]
fn every_rule_has_a_sample_that_breaks_it() {
    let samples = [SHAPE, LAYERS, BANS, PRODUCT].into_iter().flatten();
    let broken: HashSet<&str> =
        samples.filter(|sample| !sample.found.is_empty()).map(|sample| sample.rule).collect();
    let untried: Vec<&str> =
        RULES.iter().map(|rule| rule.name).filter(|name| !broken.contains(name)).collect();
    assert_eq!(untried, ["machine-path"], "the one rule with a test of its own");
}

#[test]
fn every_banned_word_is_found_where_it_is_banned() {
    for ban in bans::BANS {
        for (folder, word) in
            ban.within.iter().flat_map(|folder| ban.words.iter().map(move |word| (folder, word)))
        {
            let path = format!("{folder}x.rs");
            let code = format!("fn f() {{ {word} }}");
            let found = bans::banned_word(&tree(&[(path.as_str(), code.as_str())]));
            assert!(found.iter().any(|finding| finding.message.contains(ban.why)), "{word} in {folder}");
        }
    }
}

#[test]
fn every_forbidden_arrow_is_found() {
    for layer in layers::LAYERS {
        for name in layer.may_not_name {
            for path in [
                format!("crates/consign/src/{}.rs", layer.module),
                format!("crates/consign/src/{}/x.rs", layer.module),
            ] {
                let code = format!("use crate::{name};");
                let found = layers::layering(&tree(&[(path.as_str(), code.as_str())]));
                assert_eq!(found.len(), 1, "{path} names {name}");
            }
        }
    }
}

#[test]
fn literals_and_comments_are_blanked_in_place() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("x\"y", z)"#, r#"f("    ", z)"#),
        ("r#\"a\"b\"#; c", "r#\"   \"#; c"),
        ("b\"ä\" 'x' '\\'' <'a, 'b>", "b\"  \" ' ' '  ' <'a, 'b>"),
        ("var\"x\"", "var\" \""),
        ("\"open", "\"    "),
    ] {
        let source = Source::new("x.rs", text.to_owned());
        assert_eq!(source.code, code, "{text}");
        assert_eq!(source.code.len(), text.len(), "{text}");
    }
}

#[test]
fn tests_inside_a_file_are_told_apart() {
    let source = Source::new("x.rs", "fn a() {}\n#[cfg(test)]\nmod t {\n fn b() {} }\nfn c() {}".to_owned());
    assert_eq!(source.tight().code, "fn a(){}#[cfg(test)]mod t{}fn c(){}");
    assert_eq!(source.tight().lines_of("fn c"), [5]);
    assert_eq!(source.tight_with_tests().lines_of("fn b"), [4]);
}

#[test]
fn size_is_asked_about() {
    let asked = |text: &str| -> Vec<String> {
        questions::ask(&tree(&[("x.rs", text)])).iter().map(|question| question.message.clone()).collect()
    };
    let function = |lines: usize| format!("fn long(a: [u8; 2]) {{{}}}\nfn short();", "\n".repeat(lines - 1));
    assert_eq!(asked(&function(70)), [""; 0]);
    assert_eq!(asked(&function(71)), ["`long` has 71 lines: is this two functions?"]);
    assert_eq!(asked(&"\n".repeat(500)), [""; 0]);
    assert_eq!(asked(&"\n".repeat(501)), ["501 lines: is this two modules?"]);
    assert_eq!(asked(&"ä".repeat(110)), [""; 0]);
    assert_eq!(asked(&"ä".repeat(111)), ["111 columns: can this be shorter?"]);
}
