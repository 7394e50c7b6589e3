//! When an exporter runs: presets and cron texts of five fields, in a time zone.
//!
//! A time is a minute of the wall clock. One that does not exist, because clocks go forward, is the next minute that
//! does; one that comes twice, because clocks go back, comes once, at its first.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

use crate::catalog::Fault;
use crate::time::Timestamp;

use cron::Cron;

mod cron;
mod words;

/// A cron text in which the next time is further away names a day that there is not, such as 31 February. Eight years
/// have a 29 February, also around 2100.
const SEARCH_YEARS_MAX: i16 = 9;

/// The presets, in screen order: the stored word, the label and the cron text it stands for.
pub const PRESETS: &[(&str, &str, Option<&str>)] = &[
    ("by_hand", "By hand", None),
    ("hourly", "Every hour", Some("0 * * * *")),
    ("daily", "Every day", Some("0 2 * * *")),
    ("weekly", "Every week", Some("0 2 * * 1")),
];

/// Areas of the database whose zones are fixed offsets, or other names of places that have one.
const OTHER_AREAS: [&str; 7] = ["Etc", "SystemV", "US", "Brazil", "Canada", "Chile", "Mexico"];

/// The offset of a place from UTC over time, from the database of time zones that this program was built with.
#[derive(Clone, Debug)]
pub struct TimeZone {
    name: String,
    zone: jiff::tz::TimeZone,
}

impl TimeZone {
    /// Reads a name such as `Europe/Lisbon`; empty is UTC.
    ///
    /// # Errors
    /// `unknown`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let name = if text.is_empty() { "UTC" } else { text };
        let unknown = |_| {
            let shown: String = name.chars().take(64).collect();
            let sentence = format!("There is no time zone “{shown}”. Use a name such as Europe/Lisbon");
            Fault::new("unknown", sentence)
        };
        let zone = jiff::tz::TimeZone::get(name).map_err(unknown)?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, zone })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names that people know their places by, and UTC.
    pub fn names() -> Vec<String> {
        let all = jiff::tz::db().available().map(|name| name.as_str().to_owned());
        let known = |name: &String| {
            let area = name.split_once('/').map(|(area, _)| area);
            name == "UTC" || area.is_some_and(|area| !OTHER_AREAS.contains(&area))
        };
        let mut names: Vec<_> = all.filter(known).collect();
        names.sort();
        names
    }

    /// A time as it is read there, in a form of `strftime`.
    pub fn format(&self, at: Timestamp, form: &str) -> String {
        let at = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
        at.to_zoned(self.zone.clone()).strftime(form).to_string()
    }

    /// The wall clock at a time.
    pub fn wall_clock(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default())
    }

    /// The time at which the wall clock shows this minute for the first time, or the end of the gap it falls into.
    fn instant(&self, wall_clock: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall_clock);
        let in_gap = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let instant = ambiguous.compatible().ok()?;
        let instant = if in_gap { self.zone.preceding(instant).next()?.timestamp() } else { instant };
        Some(Timestamp::from_millis(instant.as_millisecond()))
    }
}

/// When an exporter runs by itself.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// As it was typed: the word of a preset, or a cron text.
    text: String,
    cron: Option<Cron>,
    zone: TimeZone,
}

impl Schedule {
    /// Reads the word of a preset or a cron text; empty is *By hand*.
    ///
    /// # Errors
    /// `bad_form`.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, Fault> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let preset =
            PRESETS.iter().find(|(word, ..)| *word == text || (text.is_empty() && *word == "by_hand"));
        let (shown, cron) = match preset {
            Some((word, _, cron)) => (*word, *cron),
            None => (text.as_str(), Some(text.as_str())),
        };
        let fault = |what: String| Fault::new("bad_form", format!("Schedule is not a cron text: {what}"));
        let cron = cron.map(|cron| Cron::parse(cron).map_err(fault)).transpose()?;
        let schedule = Self { text: shown.to_owned(), cron, zone };
        if schedule.cron.is_some() && schedule.next_after(Timestamp::from_millis(0)).is_none() {
            return Err(fault("there is no such day in any year".to_owned()));
        }
        Ok(schedule)
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where its wall clock hangs.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first time after a time; `None` for *By hand*.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let cron = self.cron.as_ref()?;
        let mut minute = self.zone.wall_clock(after);
        let last_year = minute.year().saturating_add(SEARCH_YEARS_MAX);
        loop {
            minute = cron.next_minute(minute, last_year)?;
            let instant = self.zone.instant(minute)?;
            // A minute that comes twice is over after its first, and a gap ends where a later minute may begin.
            if instant > after {
                return Some(instant);
            }
        }
    }
}

/// "Every day at 02:00, Europe/Lisbon".
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cron {
            Some(cron) => write!(f, "{}, {}", words::of(cron), self.zone.name),
            None => f.write_str("By hand"),
        }
    }
}

#[cfg(test)]
mod tests;
