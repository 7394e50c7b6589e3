//! Pages of lists: cursors name the row beside which a page begins, so that a page never shifts while rows
//! come and go.

use consign_core::hex::hex;

use crate::db::Value;
use crate::row::stored;
use crate::statement::Statement;
use crate::{Db, StoreError};

/// The most items of a page, whatever is asked.
pub const PAGE_ITEMS_MAX: u32 = 500;

/// Beyond this a list is not counted: a total of millions costs more than it tells.
pub const COUNT_MAX: u64 = 10_000;

/// Which page is asked for. Without a cursor it is the first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The items behind this cursor.
    pub after: Option<String>,
    /// The items before this cursor; `after` wins when both are given.
    pub before: Option<String>,
    /// The most items; at least one, at most [`PAGE_ITEMS_MAX`].
    pub limit: u32,
    /// The oldest first, in lists that are ordered by time; the others keep their order.
    pub oldest_first: bool,
    /// Whether to tell how many items the whole list has.
    pub counted: bool,
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { after: None, before: None, limit, oldest_first: false, counted: false }
    }

    /// Which way to read, and from where.
    pub(crate) fn turn(&self) -> Result<Turn, StoreError> {
        let limit = self.limit.clamp(1, PAGE_ITEMS_MAX);
        let cursor = self.after.as_ref().or(self.before.as_ref());
        let from = cursor.map(|cursor| decode(cursor).ok_or(StoreError::BadCursor)).transpose()?;
        let backward = self.after.is_none() && self.before.is_some();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Turn { from, backward, limit, oldest_first: self.oldest_first, counted: self.counted })
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
    /// How many items the whole list has, up to [`COUNT_MAX`]; only where the page asked for it.
    pub count: Option<u64>,
}

impl<T> Listed<T> {
    /// The same page with other items.
    pub fn map<U>(self, of: impl FnMut(T) -> U) -> Listed<U> {
        let items = self.items.into_iter().map(of).collect();
        Listed { items, next: self.next, previous: self.previous, count: self.count }
    }
}

impl<T> Listed<T> {
    /// The same page of a list that was counted.
    pub(crate) fn of(self, count: Option<u64>) -> Self {
        Self { count, ..self }
    }
}

/// A page to be read: from a key, in one direction.
pub(crate) struct Turn {
    /// The parts of the key beside which it begins.
    pub(crate) from: Option<Vec<String>>,
    /// Towards the beginning of the list.
    pub(crate) backward: bool,
    limit: usize,
    oldest_first: bool,
    counted: bool,
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

    /// How many rows the statement of the whole list has, where the page asked for it.
    pub(crate) async fn count(&self, statement: &Statement, db: &mut Db) -> Result<Option<u64>, StoreError> {
        if !self.counted {
            return Ok(None);
        }
        let mut counting = statement.within("select count(*) as items from (");
        counting.push(" limit ").bind(stored(COUNT_MAX)).push(") as counted");
        counting.one(db).await?.count("items").map(Some)
    }

    /// Ends a statement whose list is ordered by a column that grows with time, the newest first unless the
    /// page asks for the oldest.
    pub(crate) fn by_time(
        &self,
        statement: &mut Statement,
        column: &'static str,
        from: Option<impl Into<Value>>,
    ) {
        let ascending = self.oldest_first != self.backward;
        if let Some(from) = from {
            statement.push(" and ").push(column).push(if ascending { " > " } else { " < " }).bind(from);
        }
        statement.push(" order by ").push(column).push(if ascending {
            " asc limit "
        } else {
            " desc limit "
        });
        statement.bind(self.rows());
    }

    /// The order of a list of what has names: by `list_rank`, then by name, or all of it turned round; and where it begins. The
    /// key begins with the word of the order: a place in one is none in another.
    ///
    /// # Errors
    /// `BadCursor`.
    pub(crate) fn by_rank(
        &self,
        statement: &mut Statement,
        (order, is_down): (&str, bool),
    ) -> Result<(), StoreError> {
        let down = is_down != self.backward;
        if let Some(from) = &self.from {
            let [of, rank, name_key, id] = from.as_slice() else { return Err(StoreError::BadCursor) };
            if of != order {
                return Err(StoreError::BadCursor);
            }
            statement.push(" and (list_rank, name_key, id)").push(if down { " < (" } else { " > (" });
            statement.bind(rank.as_str()).push(", ").bind(name_key.as_str()).push(", ").bind(id.as_str());
            statement.push(")");
        }
        statement.push(match down {
            true => " order by list_rank desc, name_key desc, id desc limit ",
            false => " order by list_rank, name_key, id limit ",
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
        Listed { items, next, previous, count: None }
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
