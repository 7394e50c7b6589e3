//! Pages of lists: cursors name the row beside which a page begins, so that a page never shifts while rows
//! come and go.

use consign_core::hex::hex;

use crate::StoreError;
use crate::statement::Statement;

/// The most items of a page, whatever is asked.
pub const PAGE_ITEMS_MAX: u32 = 500;

/// Which page is asked for. Without a cursor it is the first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The items behind this cursor.
    pub after: Option<String>,
    /// The items before this cursor; `after` wins when both are given.
    pub before: Option<String>,
    /// The most items; at least one, at most [`PAGE_ITEMS_MAX`].
    pub limit: u32,
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { after: None, before: None, limit }
    }

    /// Which way to read, and from where.
    pub(crate) fn turn(&self) -> Result<Turn, StoreError> {
        let limit = self.limit.clamp(1, PAGE_ITEMS_MAX);
        let cursor = self.after.as_ref().or(self.before.as_ref());
        let from = cursor.map(|cursor| decode(cursor).ok_or(StoreError::BadCursor)).transpose()?;
        let backward = self.after.is_none() && self.before.is_some();
        Ok(Turn { from, backward, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The items in the order of the list.
    pub items: Vec<T>,
    /// The cursor for the page behind; `None` on the last.
    pub next: Option<String>,
    /// The cursor for the page before; `None` on the first.
    pub previous: Option<String>,
}

impl<T> Listed<T> {
    /// The same page with other items.
    pub fn map<U>(self, of: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(of).collect(), next: self.next, previous: self.previous }
    }
}

/// A page to be read: from a key, in one direction.
pub(crate) struct Turn {
    /// The parts of the key beside which it begins.
    pub(crate) from: Option<Vec<String>>,
    /// Towards the beginning of the list.
    pub(crate) backward: bool,
    limit: usize,
}

impl Turn {
    /// One row more than shown tells whether there is a further page.
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// The single part of the key.
    pub(crate) fn key_part(&self) -> Result<Option<&str>, StoreError> {
        match self.from.as_deref() {
            None => Ok(None),
            Some([part]) => Ok(Some(part)),
            Some(_) => Err(StoreError::BadCursor),
        }
    }

    /// Ends a statement whose list is ordered by a time-ordered id, the newest first.
    pub(crate) fn newest_first(
        &self,
        statement: &mut Statement,
        column: &'static str,
    ) -> Result<(), StoreError> {
        if let Some(from) = self.key_part()? {
            statement.push(" and ").push(column).push(if self.backward { " > " } else { " < " }).bind(from);
        }
        statement.push(" order by ").push(column).push(if self.backward {
            " asc limit "
        } else {
            " desc limit "
        });
        statement.bind(self.rows());
        Ok(())
    }

    /// Puts the rows that were read into the order of the list, with the cursors of their neighbours.
    pub(crate) fn listed<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> Vec<String>) -> Listed<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        if self.backward {
            items.reverse();
        }
        let (is_next, is_previous) = if self.backward { (true, more) } else { (more, self.from.is_some()) };
        let next = items.last().filter(|_| is_next).map(|item| encode(&key(item)));
        let previous = items.first().filter(|_| is_previous).map(|item| encode(&key(item)));
        Listed { items, next, previous }
    }
}

/// Opaque to callers: hexadecimal of a JSON list, so that it needs no escaping in an address.
fn encode(parts: &[String]) -> String {
    hex(crate::row::json_text(&parts).as_bytes())
}

fn decode(cursor: &str) -> Option<Vec<String>> {
    let digits = cursor.as_bytes();
    if !digits.len().is_multiple_of(2) || !cursor.is_ascii() {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    serde_json::from_slice(&bytes?).ok()
}

#[cfg(test)]
mod tests;
