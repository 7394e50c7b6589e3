//! A long past: what waits, what is held and what failed is found without a look at what was delivered long ago.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use consign_core::connector::ConnectorState;
use consign_core::delivery::DeliveryState;

use super::{Fresh, accept, add_connector, delivery, now, on_sqlite};
use crate::db::Kind;
use crate::deliveries::{self, DeliveryFilter};
use crate::{DatabaseUrl, Db, Page, Store, connectors, overview};

/// So many deliveries of each connector have ended.
const ENDED: u64 = 20_000;

/// SQLite does not know how many rows there are, and goes by the texts. PostgreSQL chooses by how much there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_found_without_what_has_ended() {
    on_sqlite(async |Fresh { store, url, .. }| {
        let (active, stopped) =
            (add_connector(&store, "One").await.id, add_connector(&store, "Two").await.id);
        let state = ConnectorState::PausedAfterFailures;
        let mut tx = store.begin().await.unwrap();
        let at = tx.now();
        assert!(connectors::set_state(&mut tx, stopped, None, state, "", at).await.unwrap());
        tx.commit().await.unwrap();
        for connector in [active, stopped] {
            accept(&store, &connector.to_string(), &[delivery(connector, now(&store).await)]).await;
        }
        add_ended(&url);

        let of = |state| DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
        let because = DeliveryFilter { hold_reason: state.hold_reason(), ..DeliveryFilter::default() };
        let pressing = DeliveryFilter { needs_attention: true, ..DeliveryFilter::default() };
        for (what, filter) in [
            ("waiting", of(DeliveryState::Pending)),
            ("held", of(DeliveryState::Held)),
            ("held for a reason", because),
            ("pressing", pressing),
        ] {
            let list = async |db: &mut Db| deliveries::list(db, &filter, &Page::first(20)).await.unwrap();
            few(&store, what, async |db| list(db).await.items.len(), 1).await;
        }
        few(&store, "pressing", async |db| deliveries::attention_count(db, 9).await.unwrap(), 1).await;
        few(&store, "open", async |db| deliveries::open_counts(db).await.unwrap().len(), 2).await;
        few(&store, "all that waits", async |db| overview::waiting(db).await.unwrap().count, 1).await;
        few(&store, "one's", async |db| overview::waiting_for(db, active).await.unwrap(), 1).await;
        let each = async |db: &mut Db| {
            let counts = connectors::waiting_counts(db, &[active, stopped]).await.unwrap();
            counts.values().map(|count| count.waiting).sum::<u64>()
        };
        few(&store, "each one's", each, 2).await;

        let mut tx = store.begin().await.unwrap();
        let (steps, at) = (counted(&mut tx), tx.now());
        assert_eq!(deliveries::cancel_of_connector(&mut tx, active, at).await.unwrap(), 1);
        assert!(steps.load(Ordering::Relaxed) < ENDED, "cancelled");
    })
    .await;
}

/// Each delivery that there is, many times over, and delivered.
fn add_ended(url: &DatabaseUrl) {
    let file = rusqlite::Connection::open(url.sqlite_path().unwrap()).unwrap();
    let columns = "select group_concat(case name when 'id' then '''dlv_'' || n.i || d.id'
          when 'state' then '''delivered''' when 'ended_at' then 'd.created_at' else 'd.' || name end)
        from pragma_table_info('delivery')";
    let columns: String = file.query_row(columns, [], |row| row.get(0)).unwrap();
    let copies = format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {ENDED})
         insert into delivery select {columns} from n cross join delivery d"
    );
    file.execute_batch(&copies).unwrap();
}

/// Asks, and sees that it took fewer steps than there are rows that have ended.
async fn few<T: PartialEq + Debug>(
    store: &Store,
    what: &str,
    ask: impl AsyncFnOnce(&mut Db) -> T,
    expected: T,
) {
    let mut db = store.read().await.unwrap();
    let steps = counted(&mut db);
    assert_eq!(ask(&mut db).await, expected, "{what}");
    let steps = steps.load(Ordering::Relaxed);
    assert!(steps < ENDED, "{what}: {steps} steps");
}

fn counted(db: &mut Db) -> Arc<AtomicU64> {
    let Kind::Sqlite(lent) = &mut db.0 else { unreachable!("this is SQLite") };
    lent.count_steps()
}
