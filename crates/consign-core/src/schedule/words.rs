//! A cron text read back in words: "Every day at 02:00".

use super::cron::{Cron, Numbers};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// So many times of a day are listed; more are told as minutes of hours.
const TIMES_MAX: usize = 4;

/// The words, without the time zone.
pub(super) fn of(cron: &Cron) -> String {
    let days = days(cron);
    if cron.hours.is_all() {
        let minutes = match (cron.minutes.single(), cron.minutes.step()) {
            _ if cron.minutes.is_all() => "Every minute".to_owned(),
            (Some(0), _) => "Every hour".to_owned(),
            (Some(minute), _) => format!("Every hour at minute {minute}"),
            (None, Some(step)) => format!("Every {step} minutes"),
            (None, None) => format!("Every hour at minutes {}", listed(numbers(cron.minutes))),
        };
        return match days {
            Some(days) => format!("{minutes}, {days}"),
            None => minutes,
        };
    }
    let days = days.map_or_else(|| "Every day".to_owned(), |days| capitalised(&days));
    let hours: Vec<_> = cron.hours.iter().collect();
    let times = hours.iter().flat_map(|hour| cron.minutes.iter().map(move |minute| (*hour, minute)));
    let times: Vec<_> = times.map(|(hour, minute)| format!("{hour:02}:{minute:02}")).collect();
    if times.len() <= TIMES_MAX {
        return format!("{days} at {}", listed(times));
    }
    let minutes = match (cron.minutes.single(), cron.minutes.step()) {
        _ if cron.minutes.is_all() => "every minute".to_owned(),
        (Some(0), _) => String::new(),
        (Some(minute), _) => format!("minute {minute}"),
        (None, Some(step)) => format!("every {step} minutes"),
        (None, None) => format!("minutes {}", listed(numbers(cron.minutes))),
    };
    let hours = match cron.hours.step() {
        Some(step) => format!("every {step} hours"),
        None => match (hours.first(), hours.last()) {
            (Some(first), Some(last)) if usize::from(last - first) + 1 == hours.len() => {
                format!("hours {first} to {last}")
            }
            _ => format!("hours {}", listed(numbers(cron.hours))),
        },
    };
    if minutes.is_empty() { format!("{days}, {hours}") } else { format!("{days}, {minutes} of {hours}") }
}

/// Which days; `None` for all of them.
fn days(cron: &Cron) -> Option<String> {
    let weekdays = (!cron.weekdays.is_all()).then(|| weekdays(cron.weekdays));
    let days = (!cron.days.is_all()).then(|| match cron.days.single() {
        Some(day) => format!("on day {day}"),
        None => format!("on days {}", listed(numbers(cron.days))),
    });
    let months = (!cron.months.is_all())
        .then(|| listed(cron.months.iter().map(|month| MONTHS[usize::from(month) - 1].to_owned()).collect()));
    let of = months.as_ref().map_or_else(|| "every month".to_owned(), Clone::clone);
    match (days, weekdays, months) {
        (None, None, None) => None,
        (None, None, Some(months)) => Some(format!("every day in {months}")),
        (None, Some(weekdays), None) => Some(weekdays),
        (None, Some(weekdays), Some(months)) => Some(format!("{weekdays} in {months}")),
        (Some(days), None, _) => Some(format!("{days} of {of}")),
        (Some(days), Some(weekdays), _) => Some(format!("{days} of {of}, and {weekdays}")),
    }
}

fn weekdays(of: Numbers) -> String {
    let names: Vec<_> = of.iter().map(|day| WEEKDAYS[usize::from(day)].to_owned()).collect();
    let numbers: Vec<_> = of.iter().collect();
    if numbers == [1, 2, 3, 4, 5] {
        return "Monday to Friday".to_owned();
    }
    format!("every {}", listed(names))
}

fn numbers(of: Numbers) -> Vec<String> {
    of.iter().map(|number| number.to_string()).collect()
}

/// "a, b and c".
fn listed(mut parts: Vec<String>) -> String {
    match parts.pop() {
        Some(last) if !parts.is_empty() => format!("{} and {last}", parts.join(", ")),
        last => last.unwrap_or_default(),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
