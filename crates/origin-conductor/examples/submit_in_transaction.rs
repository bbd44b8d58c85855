//! Writes an order and submits its task in one transaction of the shop's own database.
//!
//! ```sh
//! cargo run -p origin-conductor --example submit_in_transaction
//! ```

use origin_conductor::prelude::*;
use origin_conductor::sqlite::rusqlite::{Connection, TransactionBehavior};
use origin_conductor::sqlite::{install_into, submit_in};
use origin_conductor::store::Submit;
use origin_conductor::{Environment, RunId};
use std::error::Error;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?; // a real program uses a permanent path
    let path = folder.path().join("shop.db");

    // The shop's database, with its own tables. The store requires WAL mode.
    let mut shop = Connection::open(&path)?;
    shop.pragma_update(None, "journal_mode", "WAL")?;
    shop.execute_batch("CREATE TABLE orders (number INTEGER PRIMARY KEY, item TEXT NOT NULL, sent INTEGER)")?;

    // Call this at every start. It does nothing if the tables are up to date.
    install_into(&mut shop)?;

    let env = Environment::system();
    let tea = place_order(&mut shop, &env, "tea", true)?.ok_or("the tea is in stock")?;
    println!("tea:  ordered, run {tea} will send it");
    assert!(place_order(&mut shop, &env, "gold", false)?.is_none());
    println!("gold: not in stock; the transaction was rolled back, with its order and its task");
    assert_eq!(count(&shop, "orders")?, 1);
    assert_eq!(count(&shop, "conductor_runs")?, 1);

    // An engine in this process or in another one does the work.
    let engine = Engine::builder(SqliteStore::open_embedded(&path)?)
        .handler("send", move |number: i64, _: Context| -> Result<(), TaskError> {
            // A handler may run again after a crash, so it must be idempotent.
            Connection::open(&path)?.execute("UPDATE orders SET sent = 1 WHERE number = ?1", [number])?;
            Ok(())
        })
        .build()?;
    assert_eq!(engine.run_until_settled(tea)?.state, State::Succeeded);
    let sent: i64 = shop.query_row("SELECT sent FROM orders WHERE item = 'tea'", [], |row| row.get(0))?;
    assert_eq!(sent, 1);
    println!("tea:  sent");
    Ok(())
}

/// Writes the order and submits its task, or does neither.
fn place_order(
    shop: &mut Connection,
    env: &Environment,
    item: &str,
    in_stock: bool,
) -> Outcome<Option<RunId>> {
    let tx = shop.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO orders (item) VALUES (?1)", [item])?;
    let number = tx.last_insert_rowid();
    // With the key, one order gives one run, even if it is submitted again.
    let run =
        RunDraft::new().idempotency_key(format!("order {number}")).task(TaskDraft::new("send").input(number));
    let submitted = submit_in(&tx, &Submit::new(run.validate()?, env))?;
    if !in_stock {
        return Ok(None); // dropping the transaction rolls it back
    }
    tx.commit()?;
    Ok(Some(submitted.run))
}

fn count(shop: &Connection, table: &str) -> Outcome<i64> {
    Ok(shop.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
}

#[cfg(test)]
#[test]
fn order_and_task_commit_together() {
    main().unwrap();
}
