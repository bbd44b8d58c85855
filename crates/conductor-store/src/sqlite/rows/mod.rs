//! Maps rows to the types of the model and of the backend, and back; and names conditions of SQL statements.

pub(crate) mod columns;
pub(crate) mod conditions;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod parents;
pub(crate) mod tasks;
