//! The store on SQLite: one file, no server.
//!
//! It is a [`Backend`](crate::backend::Backend): it holds SQL, the mapping of rows, connections and files, and decides
//! nothing. Each folder uses only those above it in this list, except that the import in `open` writes with `writes`, and `tx` is
//! given the store for its engines:
//!
//! | folder or file | holds |
//! |---|---|
//! | `connection` | statements, transactions, waits, files beside the database |
//! | `rows` | columns to types of the model and the backend, and back; conditions of SQL statements |
//! | `open` | from a path to a connection with the present tables; the import of a file of the TypeScript version |
//! | `engines` | the engines, and the files that show that they are alive |
//! | `reads`, `work` | queries of readers, and of operations before they write |
//! | `writes`, `audit` | writes of operations; reads of verifications, and writes of repairs |
//! | `tx` | the traits of a transaction: one line for each method |
//! | `store`, `backend`, `submit_in` | the database, which opens transactions |

mod audit;
mod backend;
pub(crate) mod connection;
pub(crate) mod engines;
mod open;
pub(crate) mod reads;
pub(crate) mod rows;
mod store;
mod submit_in;
#[cfg(test)]
mod tests;
mod tx;
pub(crate) mod work;
pub(crate) mod writes;

pub use open::{OpenError, SqliteOptions, Synchronous, install_into};
/// The SQLite library of this store. Programs that call [`install_into`] or [`submit_in`] must use the same version.
pub use rusqlite;
pub use store::SqliteStore;
pub use submit_in::submit_in;
