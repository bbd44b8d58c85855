//! Parents and runs: the decision that follows from their children, and its effects.

use super::{Plan, RefTask, Reference};
use conductor_model::{CancelCause, ChildCounts, Decision, JoinStatus, NewJoin, ParentStatus, Policy, State};

/// A run or a parent, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Run(usize),
    Parent(usize),
}

/// The data that runs and parents have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeData {
    pub(crate) policy: Policy,
    pub(crate) cancel_cause: Option<CancelCause>,
    pub(crate) join: Option<JoinPlan>,
    /// Whether a child failed to which the policy was not applied.
    new_failure: bool,
}

/// The join that a node will have.
#[derive(Clone, Debug)]
pub(crate) struct JoinPlan {
    pub(crate) kind: String,
    pub(crate) max_retries: u32,
}

impl NodeData {
    pub(crate) fn new(policy: Policy, join: Option<&NewJoin>) -> Self {
        let join =
            join.map(|join| JoinPlan { kind: join.kind.to_string(), max_retries: join.max_retries.get() });
        Self { policy, cancel_cause: None, join, new_failure: false }
    }
}

/// The decision that is next for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    StartJoin,
    Settle(State),
}

impl Reference {
    pub(crate) fn parent_of(&self, task: usize) -> Node {
        let task = &self.tasks[task];
        task.parent.map_or(Node::Run(task.run), Node::Parent)
    }

    pub(crate) fn data(&self, node: Node) -> &NodeData {
        match node {
            Node::Run(run) => &self.runs[run].node,
            Node::Parent(parent) => &self.tasks[parent].node,
        }
    }

    pub(crate) fn data_mut(&mut self, node: Node) -> &mut NodeData {
        match node {
            Node::Run(run) => &mut self.runs[run].node,
            Node::Parent(parent) => &mut self.tasks[parent].node,
        }
    }

    pub(crate) fn state_of(&self, node: Node) -> State {
        match node {
            Node::Run(run) => self.runs[run].state,
            Node::Parent(parent) => self.tasks[parent].state,
        }
    }

    /// The final number of children; `None` while it is not known.
    pub(crate) fn total_of(&self, node: Node) -> Option<u32> {
        match node {
            Node::Run(run) => self.runs[run].total,
            Node::Parent(parent) => match self.tasks[parent].plan {
                Some(Plan::Sealed { total, .. }) => Some(total),
                _ => None,
            },
        }
    }

    pub(crate) fn children_of(&self, node: Node) -> Vec<&RefTask> {
        match node {
            Node::Run(run) => self.roots(run).collect(),
            Node::Parent(parent) => self.children(parent).collect(),
        }
    }

    /// The number of the join of a node, if it exists.
    pub(crate) fn join_of(&self, node: Node) -> Option<usize> {
        (0..self.tasks.len()).find(|task| self.tasks[*task].is_join() && self.parent_of(*task) == node)
    }

    /// Whether all children exist and are settled, and the policy tolerates their failures.
    pub(crate) fn may_join(&self, node: Node) -> bool {
        let below = self.children_of(node);
        let is_complete = self.total_of(node).is_some_and(|total| total as usize == below.len());
        is_complete
            && below.iter().all(|child| child.is_settled())
            && self.tolerates_failures(node)
            && !below.iter().any(|child| child.state == State::Cancelled)
    }

    fn tolerates_failures(&self, node: Node) -> bool {
        let below = self.children_of(node);
        let failed = below.iter().filter(|child| child.is_settled() && child.state == State::Failed).count();
        match self.data(node).policy {
            Policy::Fail | Policy::FailFast => failed == 0,
            Policy::Tolerate(max) => failed <= max as usize,
            Policy::ToleratePercent(percent) => failed * 100 <= usize::from(percent.get()) * below.len(),
            Policy::Ignore => true,
        }
    }

    /// The decision for a node that is not settled. The state of an earlier join is ignored.
    pub(crate) fn next(&self, node: Node) -> Next {
        self.next_after_join(node, None)
    }

    /// The decision for a node whose join has just settled in this state.
    fn next_after_join(&self, node: Node, join: Option<State>) -> Next {
        let below = self.children_of(node);
        let join_is_open = self.join_of(node).is_some_and(|join| !self.tasks[join].is_settled());
        if join_is_open || below.iter().any(|child| !child.is_settled()) {
            return Next::Wait;
        }
        if join == Some(State::Succeeded) {
            return Next::Settle(State::Succeeded);
        }
        if let Some(cause) = self.data(node).cancel_cause {
            return Next::Settle(cause.final_state());
        }
        if self.total_of(node).is_none_or(|total| total as usize != below.len()) {
            return Next::Wait;
        }
        match join {
            _ if !self.tolerates_failures(node) => Next::Settle(State::Failed),
            _ if !self.may_join(node) => Next::Settle(State::Cancelled),
            Some(state) => Next::Settle(state),
            None if self.data(node).join.is_some() => Next::StartJoin,
            None => Next::Settle(State::Succeeded),
        }
    }

    /// One step: decides the nodes that can be decided at its start, parents first. Returns the numbers of parents and of
    /// runs.
    pub(crate) fn aggregate(&mut self, only: Option<usize>, limit: u32) -> (u32, u32) {
        for node in self.nodes() {
            if only.is_none_or(|only| only == self.run_of(node)) && self.data(node).new_failure {
                self.data_mut(node).new_failure = false;
                self.apply_fail_fast(node);
            }
        }
        let parents = (0..self.tasks.len()).filter(|task| {
            let task = &self.tasks[*task];
            let is_delayed = task.due_at.is_some() && task.node.cancel_cause.is_none();
            task.plan.is_some() && !is_delayed && only.is_none_or(|run| run == task.run)
        });
        let can = |node: &Node| !self.state_of(*node).is_terminal() && self.next(*node) != Next::Wait;
        let mut parents: Vec<usize> = parents.filter(|task| can(&Node::Parent(*task))).collect();
        parents.sort_by_key(|task| (self.tasks[*task].run, *task));
        parents.truncate(limit as usize);
        let runs = (0..self.runs.len()).filter(|run| only.is_none_or(|only| only == *run));
        let rest = limit as usize - parents.len();
        let runs: Vec<usize> = runs.filter(|run| can(&Node::Run(*run))).take(rest).collect();
        let nodes =
            parents.iter().map(|task| Node::Parent(*task)).chain(runs.iter().map(|run| Node::Run(*run)));
        // Joins start last, because a failure in the same step may cancel what is above them.
        let (starting, others): (Vec<Node>, Vec<Node>) =
            nodes.partition(|node| self.next(*node) == Next::StartJoin);
        others.into_iter().chain(starting).for_each(|node| self.decide(node));
        (u32::try_from(parents.len()).unwrap(), u32::try_from(runs.len()).unwrap())
    }

    /// Settles a node, or starts its join.
    pub(crate) fn decide(&mut self, node: Node) {
        match (self.next(node), node) {
            (Next::Wait, _) => {}
            (Next::Settle(state), _) => self.settle_node(node, state),
            // Below a cancelled node, no join starts.
            (Next::StartJoin, Node::Parent(parent)) if self.is_cancelling(parent) => {
                self.cancel_below_ancestor(parent);
                self.decide(node);
            }
            (Next::StartJoin, _) => self.start_join(node),
        }
    }

    fn start_join(&mut self, node: Node) {
        self.start_node(node);
        if let Some(join) = self.join_of(node) {
            self.revive_task(join);
            return;
        }
        let plan = self.data(node).join.clone().unwrap();
        let (run, parent, name) = match node {
            Node::Run(run) => (run, None, plan.kind.clone()),
            Node::Parent(parent) => {
                (self.tasks[parent].run, Some(parent), format!("{}#0", self.tasks[parent].name))
            }
        };
        self.tasks.push(RefTask {
            run,
            parent,
            index: 0,
            name,
            kind: plan.kind,
            state: State::Pending,
            due_at: None,
            attempt: 0,
            retry_count: 0,
            max_retries: plan.max_retries,
            output: None,
            last_error: None,
            plan: None,
            lease: None,
            lease_losses: None,
            node: NodeData::default(),
        });
    }

    pub(super) fn start_node(&mut self, node: Node) {
        match node {
            Node::Parent(parent) if self.tasks[parent].state == State::Pending => self.start(parent),
            Node::Run(run) if self.runs[run].state == State::Pending => self.runs[run].state = State::Running,
            _ => {}
        }
    }

    fn settle_node(&mut self, node: Node, state: State) {
        self.data_mut(node).new_failure = false;
        if state != State::Cancelled {
            self.start_node(node);
        }
        let Node::Parent(parent) = node else {
            let Node::Run(run) = node else { return };
            self.runs[run].state = state;
            return;
        };
        let output = self.output_of(parent);
        let task = &mut self.tasks[parent];
        (task.output, task.state, task.due_at) = (output, state, None);
        self.ended(parent);
    }

    /// The output of a parent: the output of its join, or the counts of its children.
    fn output_of(&self, parent: usize) -> Option<String> {
        let join = self.join_of(Node::Parent(parent)).map(|join| &self.tasks[join]);
        if let Some(join) = join.filter(|join| join.state == State::Succeeded) {
            return join.output.clone();
        }
        let count = |wanted| self.children(parent).filter(|child| child.state == wanted).count();
        let counts = serde_json::json!({
            "succeeded": count(State::Succeeded),
            "failed": count(State::Failed),
            "cancelled": count(State::Cancelled),
        });
        Some(counts.to_string())
    }

    /// Handles the end of a task: a settled join decides its node, and a failure may cancel it.
    pub(crate) fn ended(&mut self, task: usize) {
        let (row, node) = (&self.tasks[task], self.parent_of(task));
        if !row.is_settled() {
            return;
        }
        if row.is_join() {
            if let Next::Settle(state) = self.next_after_join(node, Some(row.state)) {
                self.settle_node(node, state);
            }
            return;
        }
        if row.state != State::Failed {
            return;
        }
        if self.counts_later {
            self.data_mut(node).new_failure = true;
        } else {
            self.apply_fail_fast(node);
        }
    }

    /// Cancels a node with a failed child, if its policy says so and it cannot be decided.
    fn apply_fail_fast(&mut self, node: Node) {
        let data = self.data(node);
        let below = self.children_of(node);
        let has_failed = below.iter().any(|child| child.is_settled() && child.state == State::Failed);
        let is_complete = self.total_of(node).is_some_and(|total| total as usize == below.len())
            && below.iter().all(|child| child.is_settled());
        let fails_fast = data.policy == Policy::FailFast && has_failed && !is_complete;
        if fails_fast && data.cancel_cause.is_none() && !self.state_of(node).is_terminal() {
            self.data_mut(node).cancel_cause = Some(CancelCause::FailFast);
        }
    }

    fn run_of(&self, node: Node) -> usize {
        match node {
            Node::Run(run) => run,
            Node::Parent(task) => self.tasks[task].run,
        }
    }
}

/// Invariants.
impl Reference {
    /// The status of a node, to be decided by the model.
    fn status(&self, node: Node) -> ParentStatus {
        let NodeData { policy, cancel_cause, join, .. } = self.data(node);
        let counts = self.counts_of(node);
        let join_status = match (join, self.join_of(node)) {
            (None, _) => JoinStatus::None,
            (Some(_), Some(join)) if !self.tasks[join].is_settled() => JoinStatus::Open,
            (Some(_), Some(join)) if self.state_of(node).is_terminal() => {
                JoinStatus::Settled(self.tasks[join].state)
            }
            (Some(_), _) => JoinStatus::NotStarted,
        };
        ParentStatus { counts, policy: *policy, cancel_cause: *cancel_cause, join: join_status }
    }

    pub(crate) fn counts_of(&self, node: Node) -> ChildCounts {
        let mut counts = ChildCounts { total: self.total_of(node), ..ChildCounts::default() };
        for child in self.children_of(node) {
            counts.created += 1;
            counts.open += u32::from(!child.is_settled());
            counts.failed += u32::from(child.is_settled() && child.state == State::Failed);
            counts.cancelled += u32::from(child.state == State::Cancelled);
        }
        counts
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let parents = (0..self.tasks.len()).filter(|task| self.tasks[*task].plan.is_some());
        (0..self.runs.len()).map(Node::Run).chain(parents.map(Node::Parent)).collect()
    }

    /// Asserts that every derived state follows from cancel cause, policy, children and join. A join is open only when its
    /// node may join.
    pub(crate) fn assert_states_follow(&self) {
        for node in self.nodes() {
            let (state, status) = (self.state_of(node), self.status(node));
            if state.is_terminal() {
                assert_eq!(status.decide(), Decision::Settle(state), "{node:?}: {status:?}");
            }
            if status.join == JoinStatus::Open {
                assert!(self.may_join(node), "the join of {node:?} starts after its children settled");
                assert!(!state.is_terminal(), "{node:?} settled while its join is open");
            }
        }
    }

    /// Asserts that no task below a cancelled node started or was created since `before`.
    pub(crate) fn assert_nothing_started_below_cancel(&self, before: &Self) {
        for (number, task) in self.tasks.iter().enumerate() {
            let is_cancelled = |node: &Node| self.data(*node).cancel_cause.is_some();
            let was_cancelled = |node: &Node| match node {
                Node::Run(run) => before.runs.get(*run).is_some_and(|run| run.node.cancel_cause.is_some()),
                Node::Parent(task) => {
                    before.tasks.get(*task).is_some_and(|task| task.node.cancel_cause.is_some())
                }
            };
            if !self.ancestors(number).iter().any(|node| was_cancelled(node) && is_cancelled(node)) {
                continue;
            }
            let earlier = before.tasks.get(number);
            let earlier =
                earlier.unwrap_or_else(|| panic!("{} was created below a cancelled node", task.name));
            let starts = task.state == State::Running && earlier.state != State::Running;
            assert!(!starts, "{} started below a cancelled node", task.name);
        }
    }
}
