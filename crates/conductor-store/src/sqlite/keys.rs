//! The row keys of a run's tasks, by the numbers that a replay gives them.

use conductor_model::TaskId;
use std::collections::BTreeMap;

/// Tasks whose keys and numbers follow each other: those of one fan-out step, as a rule. So the list is short, however
/// many tasks there are.
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
pub(super) struct Keys {
    by_key: BTreeMap<i64, Segment>,
    /// The same, by number.
    by_number: Vec<Segment>,
    ids: Vec<Ids>,
    /// Of which no row is left that would say their keys, by number: how many.
    lost: Vec<(u32, u32)>,
}

impl Segment {
    fn end(self) -> i64 {
        self.key.saturating_add(i64::from(self.count))
    }

    fn number_of(self, key: i64) -> Option<u32> {
        let nth = u32::try_from(key.checked_sub(self.key)?).ok()?;
        (nth < self.count).then(|| self.number + nth)
    }
}

impl Keys {
    /// The number of the task with that key.
    pub(super) fn number_of(&self, key: i64) -> Option<u32> {
        let last = self.by_number.last().and_then(|last| last.number_of(key));
        last.or_else(|| self.by_key.range(..=key).next_back()?.1.number_of(key))
    }

    /// The key of the task with that number.
    pub(super) fn key_of(&self, number: u32) -> Option<i64> {
        let behind = self.by_number.partition_point(|segment| segment.number <= number);
        let segment = self.by_number.get(behind.checked_sub(1)?)?;
        let nth = number - segment.number;
        segment.key.checked_add(i64::from(nth)).filter(|_| nth < segment.count)
    }

    /// The id of the task with that number, where an event says it.
    pub(super) fn id_of(&self, number: u32) -> Option<TaskId> {
        let behind = self.ids.partition_point(|ids| ids.number <= number);
        let ids = self.ids.get(behind.checked_sub(1)?)?;
        let nth = number - ids.number;
        (nth < ids.count).then(|| TaskId::from_u128(ids.first.as_u128() + u128::from(nth)))
    }

    /// The number of the task with that id, where an event says it.
    pub(super) fn number_with_id(&self, id: TaskId) -> Option<u32> {
        self.ids.iter().find_map(|ids| {
            let nth = u32::try_from(id.as_u128().checked_sub(ids.first.as_u128())?).ok()?;
            (nth < ids.count).then(|| ids.number + nth)
        })
    }

    /// Tasks came into being with these numbers and ids.
    pub(super) fn name(&mut self, number: u32, count: u32, first: TaskId) {
        self.ids.push(Ids { number, count, first });
    }

    /// Marks tasks as having no known keys.
    pub(super) fn lose(&mut self, number: u32, count: u32) {
        self.lost.push((number, count));
    }

    /// Takes `count` tasks without known keys, if there are that many.
    pub(super) fn take_lost(&mut self, count: u32) -> Option<u32> {
        let place = self.lost.iter().position(|(_, lost)| *lost == count)?;
        Some(self.lost.remove(place).0)
    }

    /// Takes `count` tasks whose keys should start with this one, but have been changed. These are the tasks that were
    /// created next after the tasks before it.
    pub(super) fn take_displaced(&mut self, key: i64, count: u32) -> Option<u32> {
        let (_, before) = self.by_key.range(..key).next_back()?;
        let next = before.number + before.count;
        let place = self.by_number.iter().position(|known| (known.number, known.count) == (next, count))?;
        let displaced = self.by_number.remove(place);
        self.by_key.remove(&displaced.key);
        Some(displaced.number)
    }

    /// The greatest key of the task that came into being last.
    pub(super) fn last(&self) -> Option<i64> {
        self.by_number.last().map(|last| last.end().saturating_sub(1))
    }

    /// Whether so many keys from this one on may be those of tasks: none of them is known to be another's.
    pub(super) fn are_free(&self, key: i64, count: u32) -> bool {
        let end = key.saturating_add(i64::from(count));
        let is_before = |(_, segment): (&i64, &Segment)| segment.end() <= key;
        key > 0 && self.by_key.range(..end).next_back().is_none_or(is_before)
    }

    /// The keys of tasks with these numbers.
    pub(super) fn add(&mut self, key: i64, number: u32, count: u32) {
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

    #[test]
    fn keys_numbers_and_ids_map_both_ways() {
        let mut keys = Keys::default();
        keys.add(10, 0, 1);
        keys.add(11, 1, 3);
        keys.add(20, 6, 2);
        keys.lose(4, 2);
        keys.name(4, 2, TaskId::from_u128(70));
        assert_eq!((keys.number_of(13), keys.number_of(14), keys.number_of(21)), (Some(3), None, Some(7)));
        assert_eq!((keys.key_of(0), keys.key_of(5), keys.key_of(7)), (Some(10), None, Some(21)));
        let free = [(14, 6), (1, 9), (22, 9), (14, 7), (13, 1), (1, 10), (0, 1), (-1, 1)];
        assert_eq!(
            free.map(|(key, count)| keys.are_free(key, count)),
            [true, true, true, false, false, false, false, false]
        );
        assert_eq!((keys.id_of(5), keys.id_of(6)), (Some(TaskId::from_u128(71)), None));
        assert_eq!(keys.number_with_id(TaskId::from_u128(71)), Some(5));
        assert_eq!((keys.take_lost(3), keys.take_lost(2)), (None, Some(4)));
        keys.add(14, 4, 2);
        assert_eq!((keys.number_of(15), keys.key_of(4), keys.number_of(9)), (Some(5), Some(14), None));
    }
}
