//! Progress: a line that is written over on a terminal, a plain line now and then elsewhere, or JSON lines.

use std::str::FromStr;
use std::time::{Duration, Instant};

use consign_core::catalog::size;

use super::{Form, Output};

/// Elsewhere than on a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
const BAR_CELLS: usize = 26;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressForm {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// JSON lines.
    Json,
    /// Not at all.
    None,
}

impl FromStr for ProgressForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "none" => Ok(Self::None),
            _ => Err("auto, json or none".to_owned()),
        }
    }
}

/// The progress of one thing.
pub(crate) struct Progress<'a> {
    output: &'a Output,
    form: ProgressForm,
    began: Instant,
    said: Option<Instant>,
    last: String,
}

impl<'a> Progress<'a> {
    /// For who reads JSON, all of it is JSON.
    pub(crate) fn new(output: &'a Output, form: ProgressForm) -> Self {
        let form =
            if form == ProgressForm::Auto && output.form == Form::Json { ProgressForm::Json } else { form };
        Self { output, form, began: now(), said: None, last: String::new() }
    }

    /// So much is done.
    pub(crate) fn show(&mut self, verb: &str, done: u64, total: Option<u64>, unit: &str) {
        match self.form {
            ProgressForm::None => {}
            ProgressForm::Json => {
                let line = serde_json::json!({ "done": done, "total": total, "unit": unit }).to_string();
                self.once(line);
            }
            ProgressForm::Auto => {
                let seconds = now().duration_since(self.began).as_secs_f64();
                let text = bar(verb, (done, total, unit), seconds);
                self.say(&text);
            }
        }
    }

    /// Something else than a number.
    pub(crate) fn say(&mut self, text: &str) {
        match self.form {
            ProgressForm::None => {}
            ProgressForm::Json => {
                let line = serde_json::json!({ "message": text }).to_string();
                self.once(line);
            }
            ProgressForm::Auto if self.output.talks_to_terminal => self.output.overwrite(text),
            ProgressForm::Auto => {
                if self.said.is_none_or(|said| now().duration_since(said) >= LINE_EVERY) {
                    self.said = Some(now());
                    self.output.note(text);
                }
            }
        }
    }

    /// Removes what stands on the terminal.
    pub(crate) fn clear(&self) {
        if self.form == ProgressForm::Auto && self.output.talks_to_terminal {
            self.output.overwrite("");
        }
    }

    /// The same line is not said twice.
    fn once(&mut self, line: String) {
        if line != self.last {
            self.output.tell(&line);
            self.last = line;
        }
    }
}

/// "Uploading  ███████░░░  31.0 of 48.2 MB · 2.3 MB/s · 7 s left".
fn bar(verb: &str, (done, total, unit): (u64, Option<u64>, &str), seconds: f64) -> String {
    let shown = |amount: u64| if unit == "bytes" { size(amount) } else { format!("{amount} {unit}") };
    let speed = done as f64 / seconds.max(0.001);
    let total = total.filter(|total| *total > 0 && *total >= done);
    let Some(total) = total else { return format!("{verb}  {}", shown(done)) };
    let part = done as f64 / total as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of 26 cells")]
    let full = ((part * BAR_CELLS as f64).round() as usize).min(BAR_CELLS);
    let cells = format!("{}{}", "█".repeat(full), "░".repeat(BAR_CELLS - full));
    let left = (total - done) as f64 / speed.max(0.001);
    let left = if done == 0 || left > 86_400.0 { String::new() } else { format!(" · {left:.0} s left") };
    let pace = if unit == "bytes" { format!(" · {}/s", size(whole(speed))) } else { String::new() };
    format!("{verb}  {cells}  {} of {}{pace}{left}", shown(done), shown(total))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a speed in bytes, shown with one place"
)]
fn whole(speed: f64) -> u64 {
    speed as u64
}

#[expect(clippy::disallowed_methods, reason = "the speed that a person sees is measured on this machine")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
