//! Lists of connectors.

use consign_core::connector::{Connector, ConnectorState};
use consign_core::field_manager::FieldManager;
use consign_core::id::CredentialId;

use super::read;
use crate::db::query;
use crate::row::anywhere;
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError};

/// Which connectors a list shows, and in which order; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct ConnectorFilter {
    /// Part of the name or description, without regard to case.
    pub q: Option<String>,
    /// The word of its kind.
    pub kind: Option<&'static str>,
    /// The public word of the state: `held` is every hold.
    pub state: Option<String>,
    /// The credential it uses.
    pub credential: Option<CredentialId>,
    /// Who manages it from a file.
    pub managed_by: Option<FieldManager>,
    /// The order.
    pub sort: ConnectorSort,
}

/// The order of a list of connectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectorSort {
    /// By name.
    #[default]
    Name,
    /// By name, the last one first.
    NameDown,
    /// By the last delivery, run or call, the oldest first.
    Last,
    /// By the last delivery, run or call, the newest first.
    LastDown,
}

impl ConnectorSort {
    /// All, in the order of their words.
    pub const ALL: [Self; 4] = [Self::Name, Self::NameDown, Self::Last, Self::LastDown];

    /// The word in an address.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::NameDown => "-name",
            Self::Last => "last_at",
            Self::LastDown => "-last_at",
        }
    }

    /// The order with this word.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.kind() == word)
    }

    const fn is_down(self) -> bool {
        matches!(self, Self::NameDown | Self::LastDown)
    }

    /// The column that is before the name in the order: a text, and one of times has as many digits for each.
    const fn rank(self) -> &'static str {
        match self {
            Self::Name | Self::NameDown => "'1'",
            // Each is at the end of an index; of a webhook that only fails, behind all that failed.
            Self::Last | Self::LastDown => {
                "cast(1000000000000000 + coalesce(case c.kind
                   when 'webhook' then (select d.ended_at from delivery d where d.connector_id = c.id
                     and d.ended_at is not null and d.state = 'delivered' order by d.ended_at desc limit 1)
                   when 'exporter' then (select r.created_at from run r where r.connector_id = c.id
                     order by r.id desc limit 1)
                   else (select g.started_at from gateway_call g where g.connector_id = c.id
                     order by g.id desc limit 1) end, 0) as text)"
            }
        }
    }
}

/// The names under which connectors of a kind are managed from files, at most so many.
///
/// # Errors
/// When the database cannot be read.
pub async fn managers(db: &mut Db, kind: &str, most: u32) -> Result<Vec<FieldManager>, StoreError> {
    let managers = query(
        "select distinct managed_by from connector where kind = $1 and managed_by is not null
         order by managed_by limit $2",
    );
    let rows = managers.bind(kind).bind(i64::from(most)).all(db).await?;
    rows.iter().map(|row| row.text("managed_by").map(FieldManager::from_stored)).collect()
}

/// A page of connectors.
///
/// # Errors
/// `BadCursor`, and as [`super::find`].
pub async fn list(
    db: &mut Db,
    filter: &ConnectorFilter,
    page: &Page,
) -> Result<Listed<Connector>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select * from (select c.*, ");
    statement.push(filter.sort.rank()).push(" as list_rank from connector c) as ranked where 1 = 1");
    restrict(&mut statement, filter);
    let count = turn.count(&statement, db).await?;
    turn.by_rank(&mut statement, (filter.sort.kind(), filter.sort.is_down()))?;
    let rows = statement.all(db).await?;
    let ranked = rows.iter().map(|row| Ok((row.text("list_rank")?, read(row)?)));
    let ranked = ranked.collect::<Result<Vec<_>, StoreError>>()?;
    let key = |(rank, connector): &(String, Connector)| {
        let order = filter.sort.kind().to_owned();
        vec![order, rank.clone(), connector.name.key(), connector.id.to_string()]
    };
    Ok(turn.listed(ranked, key).of(count).map(|(_, connector)| connector))
}

fn restrict(statement: &mut Statement, filter: &ConnectorFilter) {
    if let Some(q) = &filter.q {
        let pattern = anywhere(&q.trim().to_lowercase());
        statement.push(" and (name_key like ").bind(pattern.clone()).push(" escape '!'");
        statement.push(" or lower(description) like ").bind(pattern).push(" escape '!')");
    }
    if let Some(kind) = filter.kind {
        statement.push(" and kind = ").bind(kind);
    }
    if let Some(word) = &filter.state {
        let states = ConnectorState::ALL.iter().filter(|state| state.kind() == word);
        statement.push(" and state in (").list(states.map(|state| state.stored())).push(")");
    }
    if let Some(credential) = filter.credential {
        statement.push(" and credential_id = ").bind(credential.to_string());
    }
    if let Some(manager) = &filter.managed_by {
        statement.push(" and managed_by = ").bind(manager.as_str());
    }
}
