//! SQL whose length depends on its input: many rows in one statement, lists with filters.
//!
//! The text is put together from pieces of this program's own source and from placeholders; a value can
//! only be bound. This is the one place where the driver is told that such a text is safe.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, Arguments as _, AssertSqlSafe, Encode, Type};

use crate::{Db, StoreError, is_postgres};

/// More rows make a statement hardly cheaper and its text long.
const CHUNK_ROWS_MAX: usize = 64;

/// A statement under construction.
pub(crate) struct Statement {
    text: String,
    arguments: AnyArguments,
    bound: usize,
    numbered: bool,
}

impl Statement {
    /// Begins a statement for this database.
    pub(crate) fn new(db: &Db, text: &'static str) -> Self {
        let arguments = AnyArguments::default();
        Self { text: text.to_owned(), arguments, bound: 0, numbered: is_postgres(db) }
    }

    /// Adds a piece of text.
    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a placeholder and its value.
    pub(crate) fn bind<'v, T: Encode<'v, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        self.bound += 1;
        if self.numbered {
            use std::fmt::Write as _;
            let _ = write!(self.text, "${}", self.bound);
        } else {
            // SQLite looks up numbered placeholders one by one: a thousand of them would cost more than the
            // rows.
            self.text.push('?');
        }
        self.arguments.add(value).expect("text, numbers and bytes always encode");
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
    pub(crate) fn list<'v, T, I>(&mut self, items: I) -> &mut Self
    where
        T: Encode<'v, Any> + Type<Any>,
        I: IntoIterator<Item = T>,
    {
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
        let query = sqlx::query_with(AssertSqlSafe(self.text), self.arguments);
        Ok(query.execute(db).await?.rows_affected())
    }

    /// Runs it and gives its rows.
    pub(crate) async fn all(self, db: &mut Db) -> Result<Vec<AnyRow>, StoreError> {
        let query = sqlx::query_with(AssertSqlSafe(self.text), self.arguments);
        Ok(query.fetch_all(db).await?)
    }
}

/// Runs a text of several statements that is part of this program, such as a migration.
pub(crate) async fn run_script(db: &mut Db, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(db).await?;
    Ok(())
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
