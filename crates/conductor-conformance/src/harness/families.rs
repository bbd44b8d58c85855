//! Families: a parent with its children, and its join.

use super::Harness;
use conductor_model::{Join, RunId, Task, TaskDraft, TaskId};
use conductor_store::NodeId;
use serde_json::json;

impl Harness<'_> {
    /// Submits a run with this parent, and creates its children.
    pub(crate) fn family_of(&self, parent: TaskDraft) -> (RunId, TaskId, Vec<TaskId>) {
        let (run, parent) = self.submit_task(parent);
        self.fan_out();
        (run, parent, self.child_ids(parent))
    }

    /// Submits a run with the parent `P`, and creates its `n` children.
    pub(crate) fn family(&self, n: u32) -> (RunId, TaskId, Vec<TaskId>) {
        self.family_of(TaskDraft::new("P").input(json!({ "fanout": n })))
    }

    /// The join of a parent or a run, if its task exists.
    pub(crate) fn join(&self, node: NodeId) -> Option<Task> {
        let join: Option<Join> = match node {
            NodeId::Task(id) => self.task(id).join,
            NodeId::Run(id) => self.run(id).join,
        };
        self.store().task(join?.id).expect("query succeeds")
    }

    /// The id of the join of a parent or a run, whose task must exist.
    #[track_caller]
    pub(crate) fn join_id(&self, node: NodeId) -> TaskId {
        self.join(node).expect("join exists").id
    }
}
