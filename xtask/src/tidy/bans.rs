//! Words that have no place in some files.

use super::Finding;
use super::source::{Source, Tree};

pub(super) struct Ban {
    /// Path prefixes of the files that it concerns.
    pub(super) within: &'static [&'static str],
    /// The places that may.
    except: &'static [&'static str],
    /// Whether tests are concerned too.
    in_tests: bool,
    pub(super) words: &'static [&'static str],
    pub(super) why: &'static str,
}

pub(super) const BANS: &[Ban] = &[
    Ban {
        within: &["crates/", "xtask/"],
        except: &[],
        in_tests: true,
        words: &["todo!", "unimplemented!", "dbg!", "#[ignore"],
        why: "unfinished work is not committed, and a test that does not run proves nothing",
    },
    Ban {
        within: &["crates/consign-core/"],
        except: &[],
        in_tests: false,
        words: &[
            "async",
            "axum",
            "hyper",
            "rustls",
            "sqlx",
            "tokio",
            "std::env",
            "std::fs",
            "std::process",
            "std::thread",
            "TcpListener",
            "TcpStream",
            "ToSocketAddrs",
            "UdpSocket",
            "Instant",
            "SystemTime",
            "TimeZone::system",
            "Timestamp::now",
            "Zoned::now",
        ],
        why: "the core has no async, no I/O and no clock",
    },
    Ban {
        within: &["crates/consign-core/src/"],
        except: &[
            "crates/consign-core/src/api_key.rs",
            "crates/consign-core/src/assertion.rs",
            "crates/consign-core/src/auth/oauth.rs",
            "crates/consign-core/src/id.rs",
            "crates/consign-core/src/connector/signature.rs",
            "crates/consign-core/src/sign.rs",
            "crates/consign-core/src/vault.rs",
        ],
        in_tests: false,
        words: &["rand", "SystemRandom"],
        why: "randomness enters the core only in api_key.rs, assertion.rs, auth/oauth.rs, connector/signature.rs, id.rs, sign.rs and vault.rs",
    },
    Ban {
        within: &["crates/consign-store/"],
        except: &[],
        in_tests: true,
        words: &["axum", "consign_transport", "hyper"],
        why: "the store knows no HTTP",
    },
    Ban {
        within: &["crates/consign-transport/"],
        except: &[],
        in_tests: true,
        words: &["consign_store", "sqlx"],
        why: "the transport knows no SQL",
    },
    Ban {
        within: &["crates/"],
        except: &["crates/consign/src/engine/authorize.rs"],
        in_tests: false,
        words: &["vault.open(", "vault().open(", "Vault::open"],
        why: "stored secrets are opened only in engine/authorize.rs",
    },
    Ban {
        within: &["crates/"],
        except: &["crates/consign-transport/src/guard.rs", "crates/consign/src/cli/client.rs"],
        in_tests: false,
        words: &["TcpSocket", "TcpStream::connect", "TcpStream::connect_timeout"],
        why: "only consign_transport::guard dials third parties, and only cli/client.rs dials Consign",
    },
];

pub(super) fn banned_word(tree: &Tree) -> Vec<Finding> {
    let pairs = tree.rust().flat_map(|file| BANS.iter().map(move |ban| (file, ban)));
    pairs.filter(|(file, ban)| ban.concerns(file)).flat_map(|(file, ban)| ban.broken_in(file)).collect()
}

impl Ban {
    fn concerns(&self, file: &Source) -> bool {
        let within = self.within.iter().any(|prefix| file.path.starts_with(prefix));
        within && !self.except.contains(&file.path.as_str()) && (self.in_tests || !file.is_test())
    }

    fn broken_in(&self, file: &Source) -> Vec<Finding> {
        let code = if self.in_tests { file.tight_with_tests() } else { file.tight() };
        let found = |words: &&'static str| {
            let message = format!("`{words}`: {}", self.why);
            code.lines_of(words).into_iter().map(move |line| Finding::new(&file.path, line, message.clone()))
        };
        self.words.iter().flat_map(found).collect()
    }
}
