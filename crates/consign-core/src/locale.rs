//! How dates and times are written. The words around them are English everywhere.

/// A way of writing them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locale {
    /// The day first, and 24 hours.
    #[default]
    British,
    /// The month first, and twice 12 hours.
    American,
}

impl Locale {
    /// All of them, in screen order.
    pub const ALL: [Self; 2] = [Self::British, Self::American];

    /// Its name (RFC 5646).
    pub fn name(self) -> &'static str {
        match self {
            Self::British => "en-GB",
            Self::American => "en-US",
        }
    }

    /// What it looks like.
    pub fn label(self) -> &'static str {
        match self {
            Self::British => "3 November 2026, 14:02:03",
            Self::American => "November 3, 2026, 2:02:03 PM",
        }
    }

    /// The form of a day, for `strftime`.
    pub fn day(self) -> &'static str {
        match self {
            Self::British => "%-d %B %Y",
            Self::American => "%B %-d, %Y",
        }
    }

    /// The form of the time at which an hour begins, for `strftime`.
    pub fn hour(self) -> &'static str {
        match self {
            Self::British => "%H:%M",
            Self::American => "%-I:%M %p",
        }
    }

    /// The form of an exact time with its zone, for `strftime`.
    pub fn exact(self) -> &'static str {
        match self {
            Self::British => "%-d %B %Y, %H:%M:%S %Z",
            Self::American => "%B %-d, %Y, %-I:%M:%S %p %Z",
        }
    }

    /// The form of a time in a list, for `strftime`: the time alone of what was today, else the day with it.
    pub fn clock(self, same_day: bool, same_year: bool) -> &'static str {
        match (self, same_day, same_year) {
            (Self::British, true, _) => "%H:%M:%S",
            (Self::British, false, true) => "%-d %b %H:%M",
            (Self::British, false, false) => "%-d %b %Y %H:%M",
            (Self::American, true, _) => "%-I:%M:%S %p",
            (Self::American, false, true) => "%b %-d %-I:%M %p",
            (Self::American, false, false) => "%b %-d, %Y %-I:%M %p",
        }
    }

    /// The one of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|locale| locale.name() == name)
    }
}

#[cfg(test)]
mod tests;
