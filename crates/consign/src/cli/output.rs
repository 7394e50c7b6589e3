//! What people and scripts see: data on standard output, all else on standard error. No other file prints.

use std::io::{self, IsTerminal as _, Write as _};

use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use serde_json::Value;

use super::Global;
use super::failure::{Code, Failure};
use crate::config::variable;

pub(crate) use details::details;
pub(crate) use progress::{Progress, ProgressForm};
pub(crate) use table::{Table, clean};
pub(crate) use when::relative;

mod details;
mod progress;
mod table;
mod when;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Tables and sentences.
    People,
    /// The body of the answer, unchanged.
    Json,
    /// Tab-separated values.
    Plain,
}

/// Where and how to print.
#[derive(Clone)]
pub(crate) struct Output {
    /// How data is printed.
    pub(crate) form: Form,
    /// The time that relative times refer to.
    pub(crate) now: Timestamp,
    header: bool,
    quiet: bool,
    verbose: bool,
    absolute_time: bool,
    color: bool,
    to_terminal: bool,
    talks_to_terminal: bool,
    may_ask: bool,
}

impl Output {
    /// As the flags, the environment and the terminal have it.
    pub(crate) fn new(global: &Global) -> Self {
        let form = match (global.json, global.plain) {
            (true, _) => Form::Json,
            (false, true) => Form::Plain,
            (false, false) => Form::People,
        };
        let talks_to_terminal = io::stderr().is_terminal();
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        let forced = variable("CLICOLOR_FORCE").is_some_and(|force| force != "0");
        let color =
            !global.no_color && variable("NO_COLOR").is_none() && (forced || (talks_to_terminal && !dumb));
        Self {
            form,
            now: clock(),
            header: !global.no_header,
            quiet: global.quiet,
            verbose: global.verbose,
            absolute_time: global.absolute_time,
            color,
            to_terminal: io::stdout().is_terminal(),
            talks_to_terminal,
            may_ask: !global.no_input && io::stdin().is_terminal() && talks_to_terminal,
        }
    }

    /// One line of data.
    pub(crate) fn line(&self, text: &str) {
        // Whoever stopped reading wants no more.
        let _ = writeln!(io::stdout().lock(), "{text}");
    }

    /// A text of several lines, as it is.
    pub(crate) fn text(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = out.write_all(b"\n");
        }
    }

    /// A part of something long, as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        io::stdout().lock().write_all(bytes)
    }

    /// A body as it is, with nothing behind it; a terminal gets it without what steers terminals.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn body(&self, body: &str) -> io::Result<()> {
        if !self.to_terminal {
            return self.bytes(body.as_bytes());
        }
        body.lines().for_each(|line| self.line(&clean(line)));
        Ok(())
    }

    /// Rows, as a table or as tab-separated values.
    pub(crate) fn table(&self, table: &Table) {
        let text = match self.form {
            Form::Plain => table.plain(self.header),
            Form::People | Form::Json => table.pretty(self.header, self.to_terminal),
        };
        if !text.is_empty() {
            self.text(&text);
        }
    }

    /// A message that people may want to read and scripts may not.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.tell(text);
        }
    }

    /// Something is done.
    pub(crate) fn done(&self, text: &str) {
        self.note(&format!("{} {}", self.paint("32", "✓"), clean(text)));
    }

    /// What one may do next, on a terminal only.
    pub(crate) fn next(&self, command: &str) {
        if self.talks_to_terminal && self.form == Form::People {
            self.note(&format!("Next: {command}"));
        }
    }

    /// Details of the conversation with the server.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.tell(text);
        }
    }

    /// A warning; not silenced.
    pub(crate) fn warn(&self, text: &str) {
        self.tell(&format!("{} {}", self.paint("33", "!"), clean(text)));
    }

    /// Why it did not work. With `--json` the problem document, unchanged.
    pub(crate) fn failure(&self, failure: &Failure) {
        if let (Form::Json, Some(problem)) = (self.form, &failure.problem) {
            return self.tell(&problem.to_string());
        }
        for (index, line) in failure.lines.iter().enumerate() {
            let line = clean(line);
            self.tell(&if index == 0 { format!("{} {line}", self.paint("31", "✕")) } else { line });
        }
    }

    /// A time, relative unless asked otherwise.
    pub(crate) fn when(&self, time: &Value) -> String {
        let text = time.as_str().unwrap_or_default();
        match Timestamp::parse_rfc3339(text) {
            Some(_) if self.absolute_time || self.form == Form::Plain => text.to_owned(),
            Some(time) => relative(time, self.now),
            None => "–".to_owned(),
        }
    }

    /// Asks yes or no on a terminal; without one `--yes` is needed.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !self.may_ask {
            return Err(Failure::usage("This needs a yes. Add --yes"));
        }
        match self.ask(&format!("{question} [y/N] "))?.as_str() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::new(Code::Failed, "Nothing was changed")),
        }
    }

    /// Asks to type a name on a terminal; without one `--confirm NAME` is needed.
    pub(crate) fn confirm_name(
        &self,
        warning: &str,
        name: &str,
        confirmed: Option<&str>,
    ) -> Result<(), Failure> {
        let typed = match confirmed {
            Some(typed) => typed.to_owned(),
            None if self.may_ask => {
                self.tell(&clean(warning));
                self.ask(&format!("Type {name} to confirm: "))?
            }
            None => {
                return Err(Failure::usage(&format!(
                    "{warning} Add --confirm with the name to do it all the same"
                )));
            }
        };
        if typed == name {
            return Ok(());
        }
        Err(Failure::new(Code::Failed, "The name is another one. Nothing was changed"))
    }

    /// Asks for a secret without showing it.
    pub(crate) fn ask_secret(&self, what: &str) -> Result<Secret, Failure> {
        if !self.may_ask {
            return Err(Failure::usage(&format!(
                "{what} can only be typed on a terminal. Use =@file, =env:VAR or =-"
            )));
        }
        let typed = rpassword::prompt_password(format!("{what}: "));
        typed.map(Secret::new).map_err(|error| Failure::caused(Code::Failed, "Nothing could be read", &error))
    }

    /// Whether questions can be asked.
    pub(crate) fn may_ask(&self) -> bool {
        self.may_ask
    }

    /// Asks for one line.
    pub(crate) fn ask(&self, question: &str) -> Result<String, Failure> {
        let mut err = io::stderr().lock();
        let _ = err.write_all(clean(question).as_bytes()).and_then(|()| err.flush());
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        read.map_err(|error| Failure::caused(Code::Failed, "Nothing could be read", &error))?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Writes over the last line on a terminal; an empty text removes it.
    fn overwrite(&self, text: &str) {
        if !self.quiet {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\u{1b}[2K{}", clean(text)).and_then(|()| err.flush());
        }
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{color}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn tell(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

#[expect(clippy::disallowed_methods, reason = "relative times refer to this machine's clock")]
fn clock() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests;
