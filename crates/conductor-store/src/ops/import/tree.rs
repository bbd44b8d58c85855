//! Gives each imported task its position: its parent, and its index among its siblings.

use super::problems::Problems;
use super::rows::{ImportedRows, ImportedTask};
use conductor_model::MAX_FANOUT;
use std::collections::HashSet;

/// The positions of all tasks.
#[derive(Debug)]
pub(crate) struct Tree {
    /// By task: its index among its siblings, from 1.
    pub(crate) index: Vec<u32>,
    /// By task: its children, in the order of their ids.
    pub(crate) children: Vec<Vec<usize>>,
    /// By run: its root tasks, in the order of their ids.
    pub(crate) roots: Vec<Vec<usize>>,
    /// Every task, parents before their children.
    pub(crate) order: Vec<usize>,
}

impl Tree {
    pub(super) fn new(rows: &ImportedRows, problems: &mut Problems) -> Self {
        let mut tree = Self {
            index: vec![0; rows.tasks.len()],
            children: vec![Vec::new(); rows.tasks.len()],
            roots: vec![Vec::new(); rows.runs.len()],
            order: Vec::with_capacity(rows.tasks.len()),
        };
        for (task, row) in rows.tasks.iter().enumerate() {
            match row.parent {
                Some(parent) => tree.children[parent].push(task),
                // A task of an unknown run is reported for that.
                None if row.run < rows.runs.len() => tree.roots[row.run].push(task),
                None => {}
            }
        }
        for roots in &tree.roots {
            set_indices(rows, None, roots, &mut tree.index, problems);
            tree.order.extend(roots);
        }
        let mut next = 0;
        while let Some(&parent) = tree.order.get(next) {
            set_indices(rows, Some(&rows.tasks[parent]), &tree.children[parent], &mut tree.index, problems);
            tree.order.extend(&tree.children[parent]);
            next += 1;
        }
        tree.report_cycles(rows, problems);
        tree
    }

    /// A task that cannot be reached from a root task is its own ancestor.
    fn report_cycles(&self, rows: &ImportedRows, problems: &mut Problems) {
        let reached: HashSet<_> = self.order.iter().copied().collect();
        let unreached = (0..rows.tasks.len()).filter(|task| !reached.contains(task));
        for task in unreached.filter(|task| rows.tasks[*task].parent.is_some()) {
            problems.add(format!("task {}: none of its ancestors is a root task", rows.tasks[task].id));
        }
    }
}

/// Gives siblings their indices: a child the one in its name, all others the lowest that are free.
fn set_indices(
    rows: &ImportedRows,
    parent: Option<&ImportedTask>,
    siblings: &[usize],
    index: &mut [u32],
    problems: &mut Problems,
) {
    let mut used = HashSet::new();
    for &task in siblings {
        let Some(named) = parent.and_then(|parent| index_in(&rows.tasks[task].name, &parent.name)) else {
            continue;
        };
        if !used.insert(named) {
            let ImportedTask { id, name, .. } = &rows.tasks[task];
            problems.add(format!("task {id}: its parent has two children {name}"));
        }
        index[task] = named;
    }
    let mut free = (1..).filter(|index| !used.contains(index));
    for &task in siblings {
        if index[task] == 0 {
            index[task] = free.next().unwrap_or(u32::MAX);
        }
    }
}

/// Returns the index in a child's name: the name of its parent, `#`, and a number without leading zeros or signs.
fn index_in(name: &str, parent: &str) -> Option<u32> {
    let digits = name.strip_prefix(parent)?.strip_prefix('#')?;
    let index = digits.parse().ok().filter(|index| (1..=MAX_FANOUT).contains(index))?;
    (digits == index.to_string()).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_model::State::Pending;

    #[test]
    fn child_index_is_read_from_name() {
        assert_eq!(index_in("A#12", "A"), Some(12));
        assert_eq!(index_in("A#1#2", "A#1"), Some(2));
        for other in ["A#0", "A#01", "A#+1", "A#", "A", "B#1", "A#1#2", "A#10000001", "A# 1"] {
            assert_eq!(index_in(other, "A"), None, "{other}");
        }
    }

    #[test]
    fn other_children_get_lowest_free_indices() {
        let children = [(Pending, None), (Pending, Some(0)), (Pending, Some(0)), (Pending, Some(0))];
        let mut rows = ImportedRows::of(Pending, &children);
        rows.tasks[2].name = "A#1".into();
        let mut problems = Problems::default();
        let tree = Tree::new(&rows, &mut problems);
        assert_eq!(tree.index, [1, 2, 1, 3]);
        assert_eq!((tree.order, problems.is_empty()), (vec![0, 1, 2, 3], true));
    }

    #[test]
    fn cycle_and_repeated_name_are_reported() {
        let tasks =
            [(Pending, None), (Pending, Some(2)), (Pending, Some(1)), (Pending, Some(0)), (Pending, Some(0))];
        let mut rows = ImportedRows::of(Pending, &tasks);
        rows.tasks[3].name = "A#7".into();
        rows.tasks[4].name = "A#7".into();
        let mut problems = Problems::default();
        Tree::new(&rows, &mut problems);
        assert_eq!(problems.shown.len(), 3, "{problems:?}");
        assert!(problems.shown[0].contains("two children A#7"), "{problems:?}");
        assert!(problems.shown[1].contains("none of its ancestors"), "{problems:?}");
    }
}
