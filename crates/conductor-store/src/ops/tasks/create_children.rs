//! Creates children of a parent.

use crate::StoreError;
use crate::backend::{ChildTemplate, NewBlock, NewParent, OffsetSet, ParentKey, Position};
use crate::ops::tx::{Transaction, corrupt_task};
use conductor_model::{
    ChildCounts, EventBody, Fanout, FanoutItem, IdBlock, NodeStatus, NodeType, Policy, State, TaskId,
};
use std::ops::RangeInclusive;

/// Children that share a block: leaves, or one child that is a parent itself.
struct Siblings<'a> {
    first_index: u32,
    first_id: TaskId,
    count: u16,
    /// The items from the first of them on; empty if the children have no input of their own.
    inputs: &'a [Option<&'a str>],
    fanout: Option<Fanout>,
}

/// Children to create.
pub(crate) struct NewChildren<'a> {
    pub(crate) indices: RangeInclusive<u32>,
    /// One for each.
    pub(crate) ids: IdBlock,
    /// Their inputs, in order; empty if they have that of the parent.
    pub(crate) items: &'a [FanoutItem<'a>],
}

/// Creates children of a parent.
pub(crate) fn create_children(
    t: &mut Transaction<'_, '_>,
    parent: ParentKey,
    template: &ChildTemplate,
    children: NewChildren<'_>,
) -> Result<(), StoreError> {
    let NewChildren { indices, ids, items } = children;
    let (first, last) = (*indices.start(), *indices.end());
    let inputs: Vec<Option<&str>> = items.iter().map(|item| Some(item.input)).collect();
    let siblings = siblings(indices, ids, items, &inputs);
    let siblings =
        siblings.ok_or_else(|| corrupt_task(parent.task.unwrap_or_default(), "the step has too few ids"))?;
    let sizes: Vec<u16> = siblings.iter().map(|siblings| siblings.count).collect();
    let keys = t.store()?.new_keys(false, &sizes)?.blocks;
    // Only a child that is a parent itself stores its name.
    let name = |siblings: &Siblings<'_>| {
        siblings.fanout.map(|_| template.name.child(siblings.first_index).to_string()).unwrap_or_default()
    };
    let names: Vec<String> = siblings.iter().map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let blocks: Vec<NewBlock<'_>> = siblings
        .iter()
        .zip(keys)
        .enumerate()
        .map(|(nth, (siblings, first_key))| NewBlock {
            first_key,
            first_id: siblings.first_id,
            first_index: siblings.first_index,
            count: siblings.count,
            position: Position { parent, is_join: false },
            kind: &template.kind,
            priority: template.priority,
            max_retries: template.max_retries,
            backoff: template.backoff,
            timeout_ms: template.timeout_ms,
            due_at: None,
            names: if siblings.fanout.is_some() { &names[nth..=nth] } else { &[] },
            inputs: siblings.inputs,
            parent: siblings.fanout.map(|fanout| NewParent {
                counts: ChildCounts::sealed(fanout.total()),
                policy: Policy::default(),
                join: None,
            }),
        })
        .collect();
    t.store()?.insert(None, &blocks)?;
    for siblings in &siblings {
        let node_type = if siblings.fanout.is_some() { NodeType::Parent } else { NodeType::Leaf };
        let pending = NodeStatus { node_type, state: State::Pending, retry_scheduled: false };
        t.add_count(parent, None, pending, u32::from(siblings.count));
    }
    let parents =
        siblings.iter().filter_map(|siblings| Some((siblings.first_index, siblings.fanout?.total())));
    let body =
        EventBody::TaskFannedOut { first, last, first_id: ids.first_task(), parents: parents.collect() };
    t.push_parent_event(parent, body);
    Ok(())
}

fn siblings<'a>(
    indices: RangeInclusive<u32>,
    mut ids: IdBlock,
    items: &[FanoutItem<'_>],
    inputs: &'a [Option<&'a str>],
) -> Option<Vec<Siblings<'a>>> {
    let mut siblings: Vec<Siblings<'a>> = Vec::new();
    for (nth, index) in indices.enumerate() {
        let (id, fanout) = (ids.take_task()?, items.get(nth).and_then(|item| item.fanout));
        match siblings.last_mut() {
            Some(last) if fanout.is_none() && last.fanout.is_none() && last.count < OffsetSet::MAX => {
                last.count += 1;
            }
            _ => {
                let inputs = inputs.get(nth..).unwrap_or_default();
                siblings.push(Siblings { first_index: index, first_id: id, count: 1, inputs, fanout });
            }
        }
    }
    for siblings in &mut siblings {
        siblings.inputs = siblings.inputs.get(..usize::from(siblings.count)).unwrap_or_default();
    }
    Some(siblings)
}
