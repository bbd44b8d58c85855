//! Creates children of parents.

use crate::StoreError;
use crate::backend::{
    ChildTemplate, NewBlock, NewParent, OffsetSet, ParentKey, Position, TaskKey, continues_block,
};
use crate::ops::tx::{Transaction, corrupt_task};
use conductor_model::{
    ChildCounts, EventBody, Fanout, FanoutItem, IdBlock, NodeStatus, NodeType, Policy, State, TaskId,
};
use std::ops::RangeInclusive;

/// Children of one parent to create.
pub(crate) struct NewChildren<'a> {
    pub(crate) parent: ParentKey,
    pub(crate) template: &'a ChildTemplate,
    pub(crate) indices: RangeInclusive<u32>,
    /// One for each.
    pub(crate) ids: IdBlock,
    /// Their inputs, in order; empty if they have that of the parent.
    pub(crate) items: Vec<FanoutItem<'a>>,
}

/// Children of one parent that are counted and recorded, and not inserted yet.
pub(crate) struct CountedChildren<'a> {
    parent: ParentKey,
    template: &'a ChildTemplate,
    inputs: Vec<Option<&'a str>>,
    siblings: Vec<Siblings>,
}

/// Children that share a block: leaves, or one child that is a parent itself.
struct Siblings {
    /// How many children of the same call stand before them.
    offset: usize,
    first_index: u32,
    first_id: TaskId,
    count: u16,
    fanout: Option<Fanout>,
}

/// Counts and records children. [`insert_children`] inserts them.
pub(crate) fn count_children<'a>(
    t: &mut Transaction<'_, '_>,
    children: NewChildren<'a>,
) -> Result<CountedChildren<'a>, StoreError> {
    let NewChildren { parent, template, indices, ids, items } = children;
    let (first, last, first_id) = (*indices.start(), *indices.end(), ids.first_task());
    let siblings = siblings(indices, ids, &items);
    let siblings =
        siblings.ok_or_else(|| corrupt_task(parent.task.unwrap_or_default(), "the step has too few ids"))?;
    for siblings in &siblings {
        let node_type = if siblings.fanout.is_some() { NodeType::Parent } else { NodeType::Leaf };
        let pending = NodeStatus { node_type, state: State::Pending, retry_scheduled: false };
        t.add_count(parent, None, pending, u32::from(siblings.count));
    }
    let parents =
        siblings.iter().filter_map(|siblings| Some((siblings.first_index, siblings.fanout?.total())));
    t.push_parent_event(
        parent,
        EventBody::TaskFannedOut { first, last, first_id, parents: parents.collect() },
    );
    let inputs = items.iter().map(|item| Some(item.input)).collect();
    Ok(CountedChildren { parent, template, inputs, siblings })
}

/// Inserts children of all these parents at once.
pub(crate) fn insert_children(
    t: &mut Transaction<'_, '_>,
    children: &[CountedChildren<'_>],
) -> Result<(), StoreError> {
    let all = || children.iter().flat_map(|of| of.siblings.iter().map(move |siblings| (of, siblings)));
    let sizes: Vec<u16> = all().map(|(_, siblings)| siblings.count).collect();
    if sizes.is_empty() {
        return Ok(());
    }
    let keys = t.store()?.new_keys(false, &sizes)?.blocks;
    let names: Vec<String> = all().map(|(of, siblings)| stored_name(of.template, siblings)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let blocks = all().zip(keys).zip(names.chunks(1));
    let blocks: Vec<NewBlock<'_>> =
        blocks.map(|(((of, siblings), key), name)| block(of, siblings, key, name)).collect();
    t.store()?.insert(None, &blocks)
}

/// Only a child that is a parent itself stores its name.
fn stored_name(template: &ChildTemplate, siblings: &Siblings) -> String {
    siblings.fanout.map(|_| template.name.child(siblings.first_index).to_string()).unwrap_or_default()
}

fn block<'a>(
    CountedChildren { parent, template, inputs, .. }: &'a CountedChildren<'_>,
    siblings: &Siblings,
    first_key: TaskKey,
    name: &'a [&'a str],
) -> NewBlock<'a> {
    let inputs = inputs.get(siblings.offset..).unwrap_or_default();
    NewBlock {
        first_key,
        first_id: siblings.first_id,
        first_index: siblings.first_index,
        count: siblings.count,
        position: Position { parent: *parent, is_join: false },
        kind: &template.kind,
        priority: template.priority,
        max_retries: template.max_retries,
        backoff: template.backoff,
        timeout_ms: template.timeout_ms,
        due_at: None,
        names: if siblings.fanout.is_some() { name } else { &[] },
        inputs: inputs.get(..usize::from(siblings.count)).unwrap_or_default(),
        parent: siblings.fanout.map(|fanout| NewParent {
            counts: ChildCounts::sealed(fanout.total()),
            policy: Policy::default(),
            join: None,
        }),
    }
}

fn siblings(
    indices: RangeInclusive<u32>,
    mut ids: IdBlock,
    items: &[FanoutItem<'_>],
) -> Option<Vec<Siblings>> {
    let mut siblings: Vec<Siblings> = Vec::new();
    for (offset, first_index) in indices.enumerate() {
        let (first_id, fanout) = (ids.take_task()?, items.get(offset).and_then(|item| item.fanout));
        match siblings.last_mut() {
            Some(last)
                if fanout.is_none()
                    && last.fanout.is_none()
                    && last.count < OffsetSet::MAX
                    && continues_block(first_id) =>
            {
                last.count += 1;
            }
            _ => siblings.push(Siblings { offset, first_index, first_id, count: 1, fanout }),
        }
    }
    Some(siblings)
}
