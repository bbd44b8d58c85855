//! Puts the original's tasks into their places: below which parent, and at which index.

use super::Problems;
use super::survey::{Old, OldTask};
use conductor_model::MAX_FANOUT;
use std::collections::HashSet;

/// Where each task stands.
#[derive(Debug)]
pub(super) struct Tree {
    /// By task: its index among its siblings, from 1.
    pub(super) index: Vec<u32>,
    /// By task: its children, in the order of their ids.
    pub(super) children: Vec<Vec<usize>>,
    /// By run: its root tasks, in the order of their ids.
    pub(super) roots: Vec<Vec<usize>>,
    /// Every task, parents before their children.
    pub(super) order: Vec<usize>,
}

impl Tree {
    pub(super) fn of(old: &Old, problems: &mut Problems) -> Self {
        let mut tree = Self {
            index: vec![0; old.tasks.len()],
            children: vec![Vec::new(); old.tasks.len()],
            roots: vec![Vec::new(); old.runs.len()],
            order: Vec::with_capacity(old.tasks.len()),
        };
        for (task, its) in old.tasks.iter().enumerate() {
            match its.parent {
                Some(parent) => tree.children[parent].push(task),
                // A task of an unknown run was noted as such.
                None if its.run < old.runs.len() => tree.roots[its.run].push(task),
                None => {}
            }
        }
        for roots in &tree.roots {
            number(old, None, roots, &mut tree.index, problems);
            tree.order.extend(roots);
        }
        let mut next = 0;
        while let Some(&parent) = tree.order.get(next) {
            number(old, Some(&old.tasks[parent]), &tree.children[parent], &mut tree.index, problems);
            tree.order.extend(&tree.children[parent]);
            next += 1;
        }
        tree.note_cycles(old, problems);
        tree
    }

    /// A task that cannot be reached from a root task is its own ancestor.
    fn note_cycles(&self, old: &Old, problems: &mut Problems) {
        let reached: HashSet<_> = self.order.iter().copied().collect();
        let unreached = (0..old.tasks.len()).filter(|task| !reached.contains(task));
        for task in unreached.filter(|task| old.tasks[*task].parent.is_some()) {
            problems.add(format!("task {}: none of its ancestors is a root task", old.tasks[task].id));
        }
    }
}

/// Gives siblings their indices: a child the one in its name, all others the lowest that are free.
fn number(
    old: &Old,
    parent: Option<&OldTask>,
    siblings: &[usize],
    index: &mut [u32],
    problems: &mut Problems,
) {
    let mut taken = HashSet::new();
    for &task in siblings {
        let Some(named) = parent.and_then(|parent| index_in(&old.tasks[task].name, &parent.name)) else {
            continue;
        };
        if !taken.insert(named) {
            problems.add(format!(
                "task {}: its parent has two children {}",
                old.tasks[task].id, old.tasks[task].name
            ));
        }
        index[task] = named;
    }
    let mut free = (1..).filter(|index| !taken.contains(index));
    for &task in siblings {
        if index[task] == 0 {
            index[task] = free.next().unwrap_or(u32::MAX);
        }
    }
}

/// The index in a child's name, if the name is its parent's, `#` and a number as we would write it.
fn index_in(name: &str, parent: &str) -> Option<u32> {
    let digits = name.strip_prefix(parent)?.strip_prefix('#')?;
    let index = digits.parse().ok().filter(|index| (1..=MAX_FANOUT).contains(index))?;
    (digits == index.to_string()).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_index_is_read_from_name() {
        assert_eq!(index_in("A#12", "A"), Some(12));
        assert_eq!(index_in("A#1#2", "A#1"), Some(2));
        for other in ["A#0", "A#01", "A#+1", "A#", "A", "B#1", "A#1#2", "A#10000001", "A# 1"] {
            assert_eq!(index_in(other, "A"), None, "{other}");
        }
    }
}
