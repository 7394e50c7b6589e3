//! The records of a run, opened page by page: memory does not grow with their number or their size.

use std::collections::VecDeque;

use consign_core::connector::format::Record;
use consign_core::event::{Event, is_json};
use consign_store::runs::{self, Content, Run, StoredRecord};

use super::Stop;
use crate::engine::Engine;
use crate::engine::work::opened;

/// A page is no longer than this, whichever is reached first.
const PAGE_RECORDS_MAX: u32 = 1_000;
const PAGE_BYTES_MAX: u64 = 4 << 20;

/// A record with its data at hand.
pub(super) struct OpenRecord {
    pub(super) id: String,
    content: OpenContent,
}

enum OpenContent {
    Event(Box<Event>),
    Pushed(Vec<u8>),
}

impl OpenRecord {
    /// As the encoder takes it.
    pub(super) fn as_record(&self) -> Record<'_> {
        match &self.content {
            OpenContent::Event(event) => Record {
                event: Some(event.facts()),
                text: &event.data,
                is_json: is_json(&event.content_type),
            },
            OpenContent::Pushed(text) => Record { event: None, text, is_json: true },
        }
    }
}

/// Goes through the records of a run, from behind one of them on.
pub(super) struct Records<'a> {
    engine: &'a Engine,
    run: &'a Run,
    after: String,
    page: VecDeque<OpenRecord>,
}

impl<'a> Records<'a> {
    pub(super) fn behind(engine: &'a Engine, run: &'a Run, after: &str) -> Self {
        Self { engine, run, after: after.to_owned(), page: VecDeque::new() }
    }

    /// The next one; it stays the next one until [`Records::taken`].
    pub(super) async fn next(&mut self) -> Result<Option<&OpenRecord>, Stop> {
        if self.page.is_empty() {
            let mut db = self.engine.store.read().await?;
            let page = runs::page(&mut db, self.run, &self.after, PAGE_RECORDS_MAX, PAGE_BYTES_MAX).await?;
            drop(db);
            for stored in page {
                self.after.clone_from(&stored.id);
                self.page.push_back(self.open(stored).await?);
            }
        }
        Ok(self.page.front())
    }

    /// The next one was used.
    pub(super) fn taken(&mut self) -> Option<OpenRecord> {
        self.page.pop_front()
    }

    async fn open(&self, stored: StoredRecord) -> Result<OpenRecord, Stop> {
        let StoredRecord { id, content } = stored;
        let (sealed, day) = match &content {
            Content::Event(event) => (event.sealed_data.as_deref(), event.payload_key),
            Content::Pushed { sealed_data, payload_key } => (Some(sealed_data.as_slice()), *payload_key),
            Content::Gone => (None, 0),
        };
        let closed = || Stop::unreadable(format!("the record {id} cannot be opened"));
        let sealed = sealed.ok_or_else(closed)?;
        let key = self.engine.settings.payloads.of_day(day).await?.ok_or_else(closed)?;
        let data = key.decrypt(&id, sealed).map_err(|_| closed())?;
        let content = match content {
            Content::Event(event) => OpenContent::Event(Box::new(opened(&event, data))),
            Content::Pushed { .. } | Content::Gone => OpenContent::Pushed(data),
        };
        Ok(OpenRecord { id, content })
    }
}
