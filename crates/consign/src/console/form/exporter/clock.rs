//! *Every day* and *Every week* at a time: fields of the form that become a cron text, and a cron text that becomes those fields.

use super::{AT, DAY};

/// What is said of a time that is none.
pub(super) const WANTED: &str = "Enter a time such as 06:30";

/// The days of a week, as cron counts them.
pub(super) const DAYS: &[(&str, &str)] = &[
    ("1", "Monday"),
    ("2", "Tuesday"),
    ("3", "Wednesday"),
    ("4", "Thursday"),
    ("5", "Friday"),
    ("6", "Saturday"),
    ("0", "Sunday"),
];

/// Whether this choice has a time.
pub(super) fn has(word: &str) -> bool {
    word == "daily" || word == "weekly"
}

/// Hour and minute of `06:30`; empty is that of the preset.
pub(super) fn parsed(at: &str) -> Option<(u8, u8)> {
    let at = at.trim();
    let (hour, minute) = if at.is_empty() { AT } else { at }.split_once(':')?;
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour < 24 && minute < 60).then_some((hour, minute))
}

fn number(text: &str) -> Option<u8> {
    (text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The schedule that a choice, a time and a day stand for: the word alone where they are those of the preset. What is
/// no time stays as it was typed, and is refused.
pub(super) fn text(word: &str, at: &str, day: &str) -> String {
    let Some((hour, minute)) = parsed(at) else { return at.to_owned() };
    let weekly = word == "weekly";
    let of_preset = Some((hour, minute)) == parsed(AT) && (!weekly || day == DAY);
    match (of_preset, weekly) {
        (true, _) => word.to_owned(),
        (false, true) => format!("{minute} {hour} * * {day}"),
        (false, false) => format!("{minute} {hour} * * *"),
    }
}

/// The choice, the time and the day that a cron text stands for; `None` for other times.
pub(super) fn read(cron: &str) -> Option<(&'static str, String, String)> {
    let parts: Vec<_> = cron.split_whitespace().collect();
    let [minute, hour, "*", "*", day] = parts.as_slice() else { return None };
    let at = format!("{:02}:{:02}", number(hour)?, number(minute)?);
    parsed(&at)?;
    match *day {
        "*" => Some(("daily", at, DAY.to_owned())),
        day if DAYS.iter().any(|(known, _)| *known == day) => Some(("weekly", at, day.to_owned())),
        _ => None,
    }
}
