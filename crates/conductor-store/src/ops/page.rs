//! Cuts lists into pages.

use crate::backend::Rows;
use crate::{MAX_PAGE, Page};

/// How many bytes of inputs and outputs a page holds, about: one task may have 2 MiB.
pub(crate) const BYTES_PER_PAGE: usize = 16 << 20;

/// Returns the effective limit of a page.
pub(crate) fn page_limit(limit: u32) -> u32 {
    limit.clamp(1, MAX_PAGE)
}

/// A list without items.
pub(crate) fn empty_page<T, Cursor>() -> Page<T, Cursor> {
    Page { items: Vec::new(), next: None }
}

/// A page of rows. If more follow, the next page begins behind the last item.
pub(crate) fn page<T, Cursor>(rows: Rows<T>, cursor: impl Fn(&T) -> Cursor) -> Page<T, Cursor> {
    let next = if rows.more { rows.items.last().map(cursor) } else { None };
    Page { items: rows.items, next }
}
