//! Parents whose children are missing, with all that the children come from.

use crate::backend::{ChildTemplate, FanOutParent, FanOutWanted, Node, ParentKey, Rows, RunKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::columns::reason;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents::{PARENT_COLUMNS, parent_columns, read_parent};
use crate::sqlite::rows::{block, inputs, nodes};
use crate::sqlite::work::parent_cache::ParentCache;
use conductor_model::{Json, Kind, TaskName};
use rusqlite::{Connection, Row, params};

/// Reads parents with the template and the input of their children, up to a number of bytes.
pub(crate) fn fan_out_parents(
    connection: &Connection,
    cache: &mut ParentCache,
    wanted: FanOutWanted<'_>,
    mut bytes: usize,
) -> Result<Rows<FanOutParent>> {
    let (runs, children) = match wanted {
        FanOutWanted::Missing { runs, children } => (runs, children),
        FanOutWanted::Parent(parent) => {
            let items = template_parent(connection, cache, parent)?.into_iter().collect();
            return Ok(Rows { items, more: false });
        }
    };
    let mut parents = Rows { items: Vec::new(), more: false };
    for (run, limit) in runs {
        if bytes == 0 {
            parents.more = true;
            break;
        }
        let of_run = missing_children_of(connection, cache, (*run, *limit, children), &mut bytes)?;
        parents.items.extend(of_run.items);
        parents.more |= of_run.more;
    }
    Ok(parents)
}

fn missing_children_of(
    connection: &Connection,
    cache: &mut ParentCache,
    (run, limit, children): (RunKey, u32, u32),
    bytes: &mut usize,
) -> Result<Rows<FanOutParent>> {
    let mut parents = connection.all(TO_FAN_OUT, params![run.row(), limit], |row| {
        let template = template(row, PARENT_COLUMNS).map_err(reason);
        let index = row.get(5).unwrap_or(u32::MAX);
        let parent = nodes::parent_node(read_parent(row, 0), index);
        Ok(FanOutParent { run, parent, input: None, template, uncounted_child: None })
    })?;
    let (mut count, mut missing, mut read) = (0, 0, 0);
    for parent in &mut parents {
        if *bytes == 0 || read >= FanOutWanted::SMALL && missing >= children {
            break;
        }
        count += 1;
        let Node::Parent(Ok(row)) = &parent.parent else { continue };
        let (task, created) = (row.node.key.task.unwrap_or_default(), row.status.counts.created);
        let missing_here = row.status.counts.total.map_or(0, |total| total.saturating_sub(created));
        missing += missing_here.min(children / 2);
        parent.parent = Node::Parent(Ok(cache.current(*row)));
        parent.input = inputs::own(connection, task)?;
        let len = |input: &Json| input.as_str().len();
        let len = parent.input.as_ref().and_then(|input| input.as_ref().ok()).map_or(0, len);
        (read, *bytes) = (read + len, bytes.saturating_sub(len));
        let next = block::of_parent(connection, ParentKey::task(run, task), created, 1)?;
        parent.uncounted_child = next.first().map(|block| block::first_index(block).max(created + 1));
    }
    let more = count < parents.len();
    parents.truncate(count);
    Ok(Rows { items: parents, more })
}

/// Reads a parent with the template of its children, and without its input.
fn template_parent(
    connection: &Connection,
    cache: &mut ParentCache,
    parent: ParentKey,
) -> Result<Option<FanOutParent>> {
    let Some(task) = parent.task else { return Ok(None) };
    let (number, _) = block::place(task);
    let template = connection.first(SELECT_TEMPLATE, [number], |row| Ok(template(row, 0).map_err(reason)))?;
    let node = Node::Parent(cache.load(connection, parent)?);
    let run = parent.run;
    Ok(template.map(|template| FanOutParent {
        run,
        parent: node,
        input: None,
        template,
        uncounted_child: None,
    }))
}

/// Six columns: names, the name of the kind, priority, `max_retries`, backoff, `timeout_ms`.
fn template(row: &Row<'_>, column: usize) -> rusqlite::Result<ChildTemplate> {
    let missing = |column, what: &str| columns::unreadable(column, format_args!("it has no {what}"));
    let names = row.get_ref(column)?.as_str_or_null()?.unwrap_or_default();
    let names: Vec<TaskName> =
        serde_json::from_str(names).map_err(|error| columns::unreadable(column, error))?;
    Ok(ChildTemplate {
        name: names.into_iter().next().ok_or_else(|| missing(column, "name"))?,
        kind: columns::text::<Kind>(row, column + 1)?.ok_or_else(|| missing(column + 1, "kind"))?,
        priority: row.get(column + 2)?,
        max_retries: columns::readable_max_retries(row, column + 3)?,
        backoff: columns::readable_backoff(row, column + 4),
        timeout_ms: row.get(column + 5)?,
    })
}

macro_rules! template_columns {
    () => {
        "b.names, k.name, b.priority, b.max_retries, b.backoff, b.timeout_ms"
    };
}

const TO_FAN_OUT: &str = sql!("SELECT " (parent_columns!()) ", " (template_columns!())
    " FROM conductor_parents t INDEXED BY conductor_parents_next_step \
    LEFT JOIN conductor_blocks b ON b.block = t.task / 1024 LEFT JOIN conductor_kinds k ON k.key = b.kind \
    WHERE " needs_fan_out " AND t.run = ?1 ORDER BY t.task LIMIT ?2");

const SELECT_TEMPLATE: &str = concat!(
    "SELECT ",
    template_columns!(),
    " FROM conductor_blocks b LEFT JOIN conductor_kinds k ON k.key = b.kind WHERE b.block = ?1"
);
