//! What an import writes.

use super::decide::Decisions;
use super::problems::Problems;
use super::rows::ImportedRows;
use super::tree::Tree;

/// The rows that were read, their positions, and how they continue.
#[derive(Debug)]
pub(crate) struct ImportPlan {
    pub(crate) rows: ImportedRows,
    pub(crate) tree: Tree,
    pub(crate) decisions: Decisions,
}

impl ImportPlan {
    /// Plans the import. The plan is complete only if there are no problems.
    pub(crate) fn new(rows: ImportedRows, problems: &mut Problems) -> Self {
        let tree = Tree::new(&rows, problems);
        let decisions = Decisions::new(&rows, &tree, problems);
        Self { rows, tree, decisions }
    }

    /// The name that is stored: `None` for a leaf whose name follows from the name of its parent.
    pub(crate) fn stored_name(&self, task: usize) -> Option<&str> {
        let row = &self.rows.tasks[task];
        let is_derived = row.parent.is_some_and(|parent| {
            *row.name == *format!("{}#{}", self.rows.tasks[parent].name, self.tree.index[task])
        });
        let is_leaf = self.decisions.tasks[task].counts.is_none();
        (!is_derived || !is_leaf).then_some(&*row.name)
    }

    /// The input that is stored. A child without one would inherit the input of its parent, which the TypeScript version
    /// did not give it.
    pub(crate) fn stored_input<'a>(&self, task: usize, input: Option<&'a str>) -> Option<&'a str> {
        let parent = self.rows.tasks[task].parent;
        let would_inherit = parent.is_some_and(|parent| self.rows.tasks[parent].has_input);
        input.or(would_inherit.then_some("null"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_model::State::Running;

    fn plan(child: &str, has_input: bool) -> ImportPlan {
        let mut rows = ImportedRows::of(Running, &[(Running, None), (Running, Some(0))]);
        rows.tasks[0].has_input = has_input;
        rows.tasks[1].name = child.into();
        ImportPlan::new(rows, &mut Problems::default())
    }

    #[test]
    fn derived_name_of_leaf_is_not_stored() {
        let derived = plan("A#1", false);
        assert_eq!((derived.stored_name(0), derived.stored_name(1)), (Some("A"), None));
        assert_eq!(plan("B", false).stored_name(1), Some("B"));
    }

    #[test]
    fn child_without_input_does_not_inherit() {
        assert_eq!(plan("A#1", true).stored_input(1, None), Some("null"));
        assert_eq!(plan("A#1", true).stored_input(1, Some("1")), Some("1"));
        assert_eq!(plan("A#1", false).stored_input(1, None), None);
        assert_eq!(plan("A#1", true).stored_input(0, None), None);
    }
}
