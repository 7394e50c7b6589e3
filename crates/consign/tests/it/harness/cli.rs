//! The command line as a person or script uses it: the real program, in a process of its own.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program that was built with these tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_consign");

/// One command.
pub(crate) struct Cli {
    command: Command,
    words: String,
    input: Vec<u8>,
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) words: String,
}

impl Cli {
    /// A command in an environment of its own: nothing of this process leaks into it.
    pub(crate) fn new(home: &std::path::Path, words: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(words).env_clear().current_dir(home);
        command.env("HOME", home).env("XDG_CONFIG_HOME", home.join("config")).env("PATH", "/usr/bin:/bin");
        Self { command, words: words.join(" "), input: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn input(mut self, text: &str) -> Self {
        self.input = text.as_bytes().to_vec();
        self
    }

    /// Runs it to its end.
    pub(crate) async fn run(mut self) -> Ran {
        let words = self.words.clone();
        let output = tokio::task::spawn_blocking(move || -> std::io::Result<Output> {
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = self.command.spawn()?;
            // A program that does not read what it is given is its own matter.
            let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&self.input));
            child.wait_with_output()
        });
        let output = output.await.unwrap().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr), words }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "consign {}\n{}\n{}", self.words, self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("consign {}: {e}\n{}", self.words, self.stdout))
    }
}
