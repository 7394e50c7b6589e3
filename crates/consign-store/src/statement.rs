//! SQL whose length depends on its input: many rows in one statement, lists with filters.
//!
//! The text is put together from pieces of this program's own source and from placeholders; a value can
//! only be bound.

use crate::db::{Query, Value};
use crate::row::Row;
use crate::{Db, StoreError};

/// More rows make a statement hardly cheaper and its text long.
const CHUNK_ROWS_MAX: usize = 64;

/// A statement under construction.
pub(crate) struct Statement {
    text: String,
    values: Vec<Value>,
    numbered: bool,
}

impl Statement {
    /// Begins a statement for this database.
    pub(crate) fn new(db: &Db, text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new(), numbered: db.is_postgres() }
    }

    /// A statement over a table that the database itself named; the caller has judged the name.
    pub(crate) fn named(db: &Db, text: &'static str, table: &str) -> Self {
        let mut statement = Self::new(db, text);
        statement.text.push_str(&format!("\"{table}\""));
        statement
    }

    /// Adds a piece of text.
    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// The same statement as the inner one of another; the caller closes the bracket.
    pub(crate) fn within(&self, outer: &'static str) -> Self {
        let text = format!("{outer}{}", self.text);
        Self { text, values: self.values.clone(), numbered: self.numbered }
    }

    /// Adds a placeholder and its value.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        if self.numbered {
            use std::fmt::Write as _;
            let _ = write!(self.text, "${}", self.values.len());
        } else {
            // SQLite looks up numbered placeholders one by one: a thousand of them would cost more than the
            // rows.
            self.text.push('?');
        }
        self
    }

    /// Adds `(…), (…)`, one bracket for each item.
    pub(crate) fn rows<I: IntoIterator>(
        &mut self,
        items: I,
        mut row: impl FnMut(&mut Self, I::Item),
    ) -> &mut Self {
        for (index, item) in items.into_iter().enumerate() {
            self.push(if index == 0 { "(" } else { ", (" });
            row(self, item);
            self.push(")");
        }
        self
    }

    /// Adds values between commas.
    pub(crate) fn list<T: Into<Value>>(&mut self, items: impl IntoIterator<Item = T>) -> &mut Self {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(item);
        }
        self
    }

    /// Runs it and tells how many rows it changed.
    pub(crate) async fn execute(self, db: &mut Db) -> Result<u64, StoreError> {
        self.query().execute(db).await
    }

    /// Runs it and gives its one row.
    pub(crate) async fn one(self, db: &mut Db) -> Result<Row, StoreError> {
        self.query().one(db).await
    }

    /// Runs it and gives its rows.
    pub(crate) async fn all(self, db: &mut Db) -> Result<Vec<Row>, StoreError> {
        self.query().all(db).await
    }

    fn query(self) -> Query<String> {
        Query::built(self.text, self.values)
    }
}

/// Cuts rows into chunks of 64, 32, 16, 8, 4, 2 and 1: few sizes, so that prepared statements are used again.
pub(crate) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = CHUNK_ROWS_MAX.min(1 << rows.len().checked_ilog2()?);
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests;
