//! Several parts of a program share one store through an [`Arc`].

use crate::{Admin, Monitor, Query, Store, forward_store_methods};
use std::sync::Arc;

impl<S: Store + ?Sized> Store for Arc<S> {
    forward_store_methods!(Store, |this| **this);
}

impl<S: Admin + ?Sized> Admin for Arc<S> {
    forward_store_methods!(Admin, |this| **this);
}

impl<S: Query + ?Sized> Query for Arc<S> {
    forward_store_methods!(Query, |this| **this);
}

impl<S: Monitor + ?Sized> Monitor for Arc<S> {
    forward_store_methods!(Monitor, |this| **this);
}
