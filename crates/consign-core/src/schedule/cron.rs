//! Cron texts as crontab(5) has them: minute, hour, day of the month, month, day of the week.
//!
//! When both kinds of day are restricted, either is enough. Sunday is 0 and 7.

use jiff::civil::{Date, DateTime};

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Room for every minute of an hour one by one.
const TEXT_CHARS_MAX: usize = 256;

/// A cron text, as the sets of numbers that its fields allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    pub(super) minutes: Numbers,
    pub(super) hours: Numbers,
    pub(super) days: Numbers,
    pub(super) months: Numbers,
    pub(super) weekdays: Numbers,
}

/// What a field may hold.
struct Range {
    noun: &'static str,
    first: u8,
    last: u8,
    names: &'static [&'static str],
    /// The number of the first name.
    first_name: u8,
}

const MINUTE: Range = Range { noun: "a minute", first: 0, last: 59, names: &[], first_name: 0 };
const HOUR: Range = Range { noun: "an hour", first: 0, last: 23, names: &[], first_name: 0 };
const DAY: Range = Range { noun: "a day of the month", first: 1, last: 31, names: &[], first_name: 0 };
const MONTH: Range = Range { noun: "a month", first: 1, last: 12, names: MONTHS, first_name: 1 };
const WEEKDAY: Range = Range { noun: "a day of the week", first: 0, last: 7, names: WEEKDAYS, first_name: 0 };

/// Some of the numbers of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    bits: u64,
    /// The field begins with `*`: it restricts nothing, or only by steps.
    star: bool,
    first: u8,
    last: u8,
}

impl Numbers {
    pub(super) fn holds(self, number: u8) -> bool {
        self.bits & (1 << number) != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (self.first..=self.last).filter(move |number| self.holds(*number))
    }

    pub(super) fn is_all(self) -> bool {
        self.iter().count() == usize::from(self.last - self.first) + 1
    }

    /// The only number, if there is one only.
    pub(super) fn single(self) -> Option<u8> {
        let mut numbers = self.iter();
        numbers.next().filter(|_| numbers.next().is_none())
    }

    /// The step of a field that runs through its whole range by it.
    pub(super) fn step(self) -> Option<u8> {
        let mut numbers = self.iter();
        let (first, second) = (numbers.next()?, numbers.next()?);
        let step = second - first;
        let whole = (first..=self.last).step_by(usize::from(step)).eq(self.iter());
        let wraps = (self.last - self.first + 1).is_multiple_of(step);
        (first == self.first && whole && wraps).then_some(step)
    }
}

impl Cron {
    /// Reads the five fields; the error says what is wrong, as the end of a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_CHARS_MAX {
            return Err("it is longer than 256 characters".to_owned());
        }
        let fields: Vec<_> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err("five fields are expected: minute, hour, day, month, day of the week".to_owned());
        };
        let read = read_field(weekday, &WEEKDAY)?;
        // Sunday has two numbers.
        let weekdays = Numbers { bits: (read.bits | (read.bits >> 7)) & 0x7f, last: 6, ..read };
        Ok(Self {
            minutes: read_field(minute, &MINUTE)?,
            hours: read_field(hour, &HOUR)?,
            days: read_field(day, &DAY)?,
            months: read_field(month, &MONTH)?,
            weekdays,
        })
    }

    /// The first minute after a time of the wall clock that fits, in this year or a later one.
    pub(super) fn next_minute(&self, after: DateTime, last_year: i16) -> Option<DateTime> {
        let start = after.with().second(0).subsec_nanosecond(0).build().ok()?;
        let start = start.checked_add(jiff::Span::new().minutes(1)).ok()?;
        let mut date = start.date();
        let mut from = (number(start.hour()), number(start.minute()));
        while date.year() <= last_year {
            if !self.months.holds(number(date.month())) {
                date = date.last_of_month().tomorrow().ok()?;
                from = (0, 0);
                continue;
            }
            let time = if self.fits_day(date) { self.time_from(from) } else { None };
            if let Some((hour, minute)) = time {
                return date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).into();
            }
            date = date.tomorrow().ok()?;
            from = (0, 0);
        }
        None
    }

    fn fits_day(&self, date: Date) -> bool {
        let day = self.days.holds(number(date.day()));
        let weekday = self.weekdays.holds(number(date.weekday().to_sunday_zero_offset()));
        if self.days.star || self.weekdays.star { day && weekday } else { day || weekday }
    }

    fn time_from(&self, (hour, minute): (u8, u8)) -> Option<(u8, u8)> {
        let this_hour = self.minutes.iter().find(|one| *one >= minute).filter(|_| self.hours.holds(hour));
        if let Some(minute) = this_hour {
            return Some((hour, minute));
        }
        let later = self.hours.iter().find(|one| *one > hour)?;
        Some((later, self.minutes.iter().next()?))
    }
}

fn number(part: i8) -> u8 {
    u8::try_from(part).unwrap_or_default()
}

fn read_field(text: &str, range: &Range) -> Result<Numbers, String> {
    let mut numbers = Numbers { bits: 0, star: text.starts_with('*'), first: range.first, last: range.last };
    for part in text.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(read_step(step, range)?)),
            None => (part, None),
        };
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (range.first, range.last),
            Some((from, to)) => (read_number(from, range)?, read_number(to, range)?),
            None => {
                let from = read_number(span, range)?;
                (from, if step.is_some() { range.last } else { from })
            }
        };
        if from > to {
            return Err(format!("“{}” runs backwards", shown(part)));
        }
        for number in (from..=to).step_by(usize::from(step.unwrap_or(1))) {
            numbers.bits |= 1 << number;
        }
    }
    Ok(numbers)
}

fn read_step(text: &str, range: &Range) -> Result<u8, String> {
    let step = text.parse::<u8>().ok().filter(|step| (1..=range.last).contains(step));
    step.ok_or_else(|| format!("“{}” is not a step", shown(text)))
}

fn read_number(text: &str, range: &Range) -> Result<u8, String> {
    let lower = text.to_ascii_lowercase();
    let name = range.names.iter().position(|name| *name == lower);
    let number = match name {
        Some(place) => u8::try_from(place).ok().map(|place| place + range.first_name),
        // `+5` is a number for Rust and a mistake here.
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<u8>().ok(),
        None => None,
    };
    let number = number.filter(|number| (range.first..=range.last).contains(number));
    number.ok_or_else(|| format!("“{}” is not {}", shown(text), range.noun))
}

fn shown(text: &str) -> String {
    text.chars().take(32).collect()
}
