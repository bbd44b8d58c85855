//! The keys of a run's tasks, by the numbers that a replay gives them.

use crate::backend::{KeyRange, TaskKey};
use conductor_model::TaskId;
use std::collections::BTreeMap;

/// Tasks whose keys and numbers follow each other: those of one fan-out step, as a rule. So the list is short, however
/// many tasks there are.
///
/// Keys are ordered as signed numbers: one that another program changed may be negative.
#[derive(Clone, Copy, Debug)]
struct Segment {
    key: i64,
    number: u32,
    count: u32,
}

/// Tasks whose ids and numbers follow each other.
#[derive(Clone, Copy, Debug)]
struct Ids {
    number: u32,
    count: u32,
    first: TaskId,
}

/// Which row is which task.
#[derive(Debug, Default)]
pub(crate) struct KeyMap {
    by_key: BTreeMap<i64, Segment>,
    /// The same, by number.
    by_number: Vec<Segment>,
    ids: Vec<Ids>,
    /// Tasks whose keys are unknown, because no row is left that says them: the first number, and how many.
    missing: Vec<(u32, u32)>,
}

impl Segment {
    fn end(self) -> i64 {
        self.key.saturating_add(i64::from(self.count))
    }

    fn number_of(self, key: i64) -> Option<u32> {
        let offset = u32::try_from(key.checked_sub(self.key)?).ok()?;
        (offset < self.count).then(|| self.number + offset)
    }
}

impl KeyMap {
    /// The number of the task with this key.
    pub(crate) fn number_of(&self, key: TaskKey) -> Option<u32> {
        let key = key.0.cast_signed();
        let last = self.by_number.last().and_then(|last| last.number_of(key));
        last.or_else(|| self.by_key.range(..=key).next_back()?.1.number_of(key))
    }

    /// The key of the task with this number.
    pub(crate) fn key_of(&self, number: u32) -> Option<TaskKey> {
        let behind = self.by_number.partition_point(|segment| segment.number <= number);
        let segment = self.by_number.get(behind.checked_sub(1)?)?;
        let offset = number - segment.number;
        let key = segment.key.checked_add(i64::from(offset)).filter(|_| offset < segment.count);
        key.map(|key| TaskKey(key.cast_unsigned()))
    }

    /// The id of the task with this number, where an event says it.
    pub(crate) fn id_of(&self, number: u32) -> Option<TaskId> {
        let behind = self.ids.partition_point(|ids| ids.number <= number);
        let ids = self.ids.get(behind.checked_sub(1)?)?;
        let offset = number - ids.number;
        (offset < ids.count).then(|| TaskId::from_u128(ids.first.as_u128() + u128::from(offset)))
    }

    /// The number of the task with this id, where an event says it.
    pub(super) fn number_with_id(&self, id: TaskId) -> Option<u32> {
        self.ids.iter().find_map(|ids| {
            let offset = u32::try_from(id.as_u128().checked_sub(ids.first.as_u128())?).ok()?;
            (offset < ids.count).then(|| ids.number + offset)
        })
    }

    /// Adds the ids of new tasks with these numbers.
    pub(super) fn add_ids(&mut self, number: u32, count: u32, first: TaskId) {
        self.ids.push(Ids { number, count, first });
    }

    /// Marks tasks as having no known keys.
    pub(super) fn mark_missing(&mut self, number: u32, count: u32) {
        self.missing.push((number, count));
    }

    /// Takes so many tasks without known keys, if there are that many; or more, if none is so many and all are leaves, which
    /// are stored together. Returns the first number, and how many. Of two that may be meant, nothing says which are.
    pub(super) fn take_missing(&mut self, count: u32, is_leaf: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        let has_exact = self.missing.iter().any(|(_, missing)| *missing == count);
        let is_meant = |(first, missing): (u32, u32)| {
            missing == count || !has_exact && missing > count && (first..first + missing).all(&is_leaf)
        };
        let mut places = (0..self.missing.len()).filter(|place| is_meant(self.missing[*place]));
        match (places.next(), places.next()) {
            (Some(place), None) => Some(self.missing.remove(place)),
            _ => None,
        }
    }

    /// Takes the tasks that should have these keys, but whose keys have been changed: their first number, and how many. These
    /// are the tasks that were created next after the tasks with the keys before.
    pub(super) fn take_moved(&mut self, keys: KeyRange, is_leaf: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        let (_, before) = self.by_key.range(..keys.first.0.cast_signed()).next_back()?;
        let next = before.number + before.count;
        let is_meant = |known: &Segment| {
            known.number == next
                && (known.count == keys.count
                    || known.count > keys.count && (next..next + known.count).all(&is_leaf))
        };
        let place = self.by_number.iter().position(is_meant)?;
        let moved = self.by_number.remove(place);
        self.by_key.remove(&moved.key);
        Some((moved.number, moved.count))
    }

    /// Whether a key lies behind that of the task that was created last.
    pub(super) fn is_behind_last(&self, key: TaskKey) -> bool {
        self.by_number.last().is_none_or(|last| key.0.cast_signed() > last.end().saturating_sub(1))
    }

    /// Whether these keys may be those of tasks: none of them is known to be that of another task.
    pub(crate) fn are_free(&self, keys: KeyRange) -> bool {
        let first = keys.first.0.cast_signed();
        let end = first.saturating_add(i64::from(keys.count));
        let is_before = |(_, segment): (&i64, &Segment)| segment.end() <= first;
        first > 0 && self.by_key.range(..end).next_back().is_none_or(is_before)
    }

    /// Adds the keys of tasks, of which the first has this number.
    pub(crate) fn add(&mut self, keys: KeyRange, number: u32) {
        let (key, count) = (keys.first.0.cast_signed(), keys.count);
        if let Some(last) = self.by_number.last_mut()
            && (last.end(), last.number + last.count) == (key, number)
        {
            last.count += count;
            self.by_key.insert(last.key, *last);
            return;
        }
        let segment = Segment { key, number, count };
        let place = self.by_number.partition_point(|known| known.number < number);
        self.by_number.insert(place, segment);
        self.by_key.insert(key, segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, count: u32) -> KeyRange {
        KeyRange { first: TaskKey(first.cast_unsigned()), count }
    }

    #[test]
    fn keys_numbers_and_ids_map_both_ways() {
        let mut keys = KeyMap::default();
        keys.add(range(10, 1), 0);
        keys.add(range(11, 3), 1);
        keys.add(range(20, 2), 6);
        keys.mark_missing(4, 2);
        keys.add_ids(4, 2, TaskId::from_u128(70));
        let number_of = |keys: &KeyMap, key| keys.number_of(TaskKey(key));
        let key_of = |keys: &KeyMap, number| keys.key_of(number).map(|key| key.0);
        assert_eq!([13, 14, 21].map(|key| number_of(&keys, key)), [Some(3), None, Some(7)]);
        assert_eq!([0, 5, 7].map(|number| key_of(&keys, number)), [Some(10), None, Some(21)]);
        let free = [(14, 6), (1, 9), (22, 9), (14, 7), (13, 1), (1, 10), (0, 1), (-1, 1)];
        assert_eq!(
            free.map(|(key, count)| keys.are_free(range(key, count))),
            [true, true, true, false, false, false, false, false]
        );
        assert_eq!((keys.id_of(5), keys.id_of(6)), (Some(TaskId::from_u128(71)), None));
        assert_eq!(keys.number_with_id(TaskId::from_u128(71)), Some(5));
        let mut take = |count, are_leaves: bool| keys.take_missing(count, |_| are_leaves);
        assert_eq!([take(3, true), take(1, false), take(2, false)], [None, None, Some((4, 2))]);
        keys.mark_missing(4, 2);
        assert_eq!(keys.take_missing(1, |_| true), Some((4, 2)));
        keys.add(range(14, 2), 4);
        assert_eq!((number_of(&keys, 15), key_of(&keys, 4), number_of(&keys, 9)), (Some(5), Some(14), None));
    }
}
