//! A database that can open transactions.

use super::{ReadTx, WriteTx};
use crate::{AppendError, CancelError, ReviveError, SealError, StoreError, SubmitError, WriteNotifier};
use conductor_model::Timestamp;

/// A database that keeps runs, tasks and events.
///
/// Every type that implements it is a [`Store`](crate::Store), an [`Admin`](crate::Admin), a
/// [`Query`](crate::Query) and a [`Monitor`](crate::Monitor).
pub trait Backend: Send + Sync {
    /// A snapshot: all its answers are of one point in time.
    type Read<'b>: ReadTx
    where
        Self: 'b;

    /// An open transaction.
    type Write<'b>: WriteTx
    where
        Self: 'b;

    /// Runs an operation in a transaction: all its writes take effect, or none.
    ///
    /// `now` is the moment of the operation, which the store writes where a row says when it changed. A prune changes no
    /// such row: it passes the time before which the runs have settled. The operation is run once. If it returns an error,
    /// the store writes nothing.
    ///
    /// # Errors
    /// The error of the operation; or a [`StoreError`], if the store cannot begin or commit. Where another transaction makes
    /// this one impossible, by a deadlock for example, it is [`StoreError::Busy`]: the caller may repeat the request.
    fn write<T, E: BackendError>(
        &self,
        now: Timestamp,
        operation: impl FnOnce(&mut Self::Write<'_>) -> Result<T, E>,
    ) -> Result<T, E>;

    /// Runs a query on a snapshot. Many may run at once.
    ///
    /// # Errors
    /// The error of the query; or a [`StoreError`], if the store cannot be read.
    fn read<T>(
        &self,
        query: impl FnOnce(&mut Self::Read<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError>;

    /// Runs a short query that an engine asks again and again, in the cheapest way. Its answers need not be of one point
    /// in time.
    ///
    /// # Errors
    /// As for [`Backend::read`].
    fn peek<T>(
        &self,
        query: impl FnOnce(&mut Self::Read<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read(query)
    }

    /// See [`Query::change_token`](crate::Query::change_token).
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn change_token(&self) -> Result<u64, StoreError>;

    /// See [`Query::write_notifier`](crate::Query::write_notifier).
    fn write_notifier(&self) -> Option<Box<dyn WriteNotifier>> {
        None
    }

    /// See [`Store::on_idle`](crate::Store::on_idle).
    fn on_idle(&self) {}
}

/// An error of an operation, which may be an error of the store.
pub trait BackendError: From<StoreError> {
    /// Returns the error of the store, if it is one.
    fn store_error(&self) -> Option<&StoreError>;
}

impl BackendError for StoreError {
    fn store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}

macro_rules! backend_errors {
    ($($error:ident),*) => {$(
        impl BackendError for $error {
            fn store_error(&self) -> Option<&StoreError> {
                if let Self::Store(error) = self { Some(error) } else { None }
            }
        }
    )*};
}

backend_errors!(SubmitError, AppendError, SealError, CancelError, ReviveError);
