//! Reminders that a credential ends soon: 30, 14, 7 and 1 days before, and on the day.

use serde_json::{Value, json};

use super::status::{days_until, last_day};
use super::{Credential, Ending};
use crate::time::Timestamp;

/// The days before an end on which somebody is reminded.
const STEPS: [i64; 5] = [0, 1, 7, 14, 30];

/// What is to be said about an end now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// The last day (UTC), `2027-02-12`.
    pub ends_on: String,
    /// Whole days until then.
    pub days_left: i64,
    /// Which of the reminders: the days before the end on which it was due.
    pub step: i64,
    /// What ends: a secret, or a certificate and which.
    pub of: &'static str,
}

impl Credential {
    /// The reminder that is due, or was due last: one that nobody could give in time is given late. None is due once
    /// the end has passed.
    pub fn reminder(&self, now: Timestamp) -> Option<Reminder> {
        let (ends_at, ending) = self.first_end().filter(|(ends_at, _)| *ends_at > now)?;
        let ends_on = last_day(ends_at);
        let days_left = days_until(&ends_on, now);
        let step = STEPS.into_iter().find(|step| days_left <= *step)?;
        let of = match ending {
            Ending::Secret => "secret",
            Ending::Certificate(what) => what,
        };
        Some(Reminder { of, ends_on, days_left, step })
    }
}

impl Reminder {
    /// The same for the same reminder of the same end, whoever gives it.
    pub fn key(&self, credential: &Credential) -> String {
        format!("{}/{}/{}", credential.id, self.ends_on, self.step)
    }

    /// One sentence for people.
    pub fn sentence(&self, credential: &Credential) -> String {
        let when = match self.days_left {
            0 => "today".to_owned(),
            1 => "tomorrow".to_owned(),
            days => format!("in {days} days"),
        };
        format!(
            "The {} of “{}” ends {when}, on {}. Renew it before the tool refuses it.",
            self.of, credential.name, self.ends_on
        )
    }

    /// The data of the event that carries it; `page` is the address of the credential in the console.
    pub fn data(&self, credential: &Credential, page: &str) -> Value {
        json!({
            "credential": { "id": credential.id, "name": credential.name, "url": page },
            "ends": self.of.replace(' ', "_"),
            "ends_on": self.ends_on,
            "days_left": self.days_left,
            "reminder_days": self.step,
            "message": self.sentence(credential),
        })
    }
}

#[cfg(test)]
mod tests;
