//! A shop's order and the task that sends it: one database, one transaction.
//!
//! ```sh
//! cargo run -p conductor-workers --example submit_in_transaction
//! ```

use conductor_model::{RunDraft, RunId, State, TaskDraft};
use conductor_store::sqlite::rusqlite::{Connection, TransactionBehavior};
use conductor_store::sqlite::{install_into, submit_in};
use conductor_store::{Environment, SqliteStore, Submit};
use conductor_workers::{Context, Engine, TaskError};
use std::error::Error;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?; // here only to clean up; a real program has a place of its own
    let path = folder.path().join("shop.db");

    // The shop's database, with tables of its own. It is in WAL mode, which the store needs.
    let mut shop = Connection::open(&path)?;
    shop.pragma_update(None, "journal_mode", "WAL")?;
    shop.execute_batch("CREATE TABLE orders (number INTEGER PRIMARY KEY, item TEXT NOT NULL, sent INTEGER)")?;

    // At every start: does nothing when our tables are there and up to date.
    install_into(&mut shop)?;

    let env = Environment::system();
    let tea = place_order(&mut shop, &env, "tea", true)?.ok_or("the tea is in stock")?;
    println!("tea:  ordered, run {tea} will send it");
    assert!(place_order(&mut shop, &env, "gold", false)?.is_none());
    println!("gold: not in stock, rolled back: no order, and nothing to send");
    assert_eq!(count(&shop, "orders")?, 1);
    assert_eq!(count(&shop, "conductor_runs")?, 1);

    // An engine, here or in another process, does the work.
    let engine = Engine::builder(SqliteStore::open_embedded(&path)?)
        .handler("send", move |number: i64, _: Context| -> Result<(), TaskError> {
            // A handler may run again after a crash: what it does, it does so that twice is as good as once.
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
    // The key makes it one run, however often this order is submitted.
    let run =
        RunDraft::new().idempotency_key(format!("order {number}")).task(TaskDraft::new("send").input(number));
    let submitted = submit_in(&tx, &Submit::new(run.validate()?, env))?;
    if !in_stock {
        return Ok(None); // the transaction is dropped, and rolled back
    }
    tx.commit()?;
    Ok(Some(submitted.run))
}

fn count(shop: &Connection, table: &str) -> Outcome<i64> {
    Ok(shop.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
}

#[cfg(test)]
#[test]
fn the_order_and_its_task_are_one() {
    main().unwrap();
}
