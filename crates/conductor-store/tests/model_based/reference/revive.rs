//! Revive: leaves become pending again, and exactly the nodes above them reopen.

use super::{Node, Reference};
use conductor_model::{State, Timestamp};
use conductor_store::{ReviveError, ReviveFilter};

/// The error of a revive, without texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReviveRejection {
    Parent,
    NotSettled,
    AncestorSucceeded,
    CancelInProgress,
    JoinRunning,
    JoinNotReady,
}

impl From<&ReviveError> for ReviveRejection {
    fn from(error: &ReviveError) -> Self {
        match error {
            ReviveError::IsParent(_) => Self::Parent,
            ReviveError::NotRevivable { .. } => Self::NotSettled,
            ReviveError::AncestorSucceeded(_) => Self::AncestorSucceeded,
            ReviveError::CancelInProgress(_) => Self::CancelInProgress,
            ReviveError::JoinRunning(_) => Self::JoinRunning,
            ReviveError::JoinNotReady(_) => Self::JoinNotReady,
            other => panic!("unexpected error: {other}"),
        }
    }
}

/// The outcome of a revive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReviveCounts {
    pub(crate) tasks: u32,
    pub(crate) reopened: u32,
    pub(crate) skipped: u32,
}

impl Reference {
    /// All obstacles to the revival of a leaf.
    pub(crate) fn obstacles_to_revive(&self, task: usize) -> Vec<ReviveRejection> {
        let row = &self.tasks[task];
        if row.plan.is_some() {
            return vec![ReviveRejection::Parent];
        }
        if !row.is_settled() || row.state == State::Succeeded {
            return vec![ReviveRejection::NotSettled];
        }
        let mut obstacles = self.obstacles_to_reopen(task);
        if row.is_join() && !self.may_join(self.parent_of(task)) {
            obstacles.push(ReviveRejection::JoinNotReady);
        }
        obstacles
    }

    /// All obstacles to reopening the nodes above a task.
    fn obstacles_to_reopen(&self, task: usize) -> Vec<ReviveRejection> {
        let ancestors = self.ancestors(task).into_iter();
        let reasons = ancestors.flat_map(|node| {
            let state = self.state_of(node);
            let is_joining = self.join_of(node).is_some_and(|join| !self.tasks[join].is_settled());
            let being_cancelled = !state.is_terminal() && self.data(node).cancel_cause.is_some();
            [
                (state == State::Succeeded).then_some(ReviveRejection::AncestorSucceeded),
                is_joining.then_some(ReviveRejection::JoinRunning),
                being_cancelled.then_some(ReviveRejection::CancelInProgress),
            ]
        });
        reasons.flatten().collect()
    }

    pub(crate) fn revive_leaf(&mut self, task: usize, now: Timestamp) -> ReviveCounts {
        let reopened = self.reopen_above(task, now);
        self.revive_task(task);
        ReviveCounts { tasks: 1, reopened, skipped: 0 }
    }

    pub(crate) fn revive_task(&mut self, task: usize) {
        let row = &mut self.tasks[task];
        (row.state, row.retry_count, row.output, row.lease_losses) = (State::Pending, 0, None, None);
    }

    fn reopen_above(&mut self, task: usize, now: Timestamp) -> u32 {
        self.ancestors(task).into_iter().map(|node| u32::from(self.reopen(node, now))).sum()
    }

    /// Reopens a node, and returns whether it was settled.
    fn reopen(&mut self, node: Node, now: Timestamp) -> bool {
        if !self.state_of(node).is_terminal() {
            return false;
        }
        self.data_mut(node).cancel_cause = None;
        match node {
            Node::Parent(parent) => {
                (self.tasks[parent].state, self.tasks[parent].output) = (State::Running, None);
                self.start_node(Node::Run(self.tasks[parent].run));
            }
            Node::Run(run) => {
                let run = &mut self.runs[run];
                run.state = State::Running;
                run.deadline = run.deadline.filter(|deadline| *deadline > now);
            }
        }
        true
    }

    /// Revives the selected leaves below a node, from the top down.
    pub(crate) fn revive_all(&mut self, below: Node, which: ReviveFilter, now: Timestamp) -> ReviveCounts {
        let mut revived = ReviveCounts::default();
        let being_cancelled = !self.state_of(below).is_terminal() && self.data(below).cancel_cause.is_some();
        match below {
            _ if being_cancelled && which.includes(State::Cancelled) => revived.skipped += 1,
            Node::Run(run) if self.reopens_itself(below, which) => {
                revived.reopened += u32::from(self.reopen(Node::Run(run), now));
            }
            Node::Run(_) => {}
            Node::Parent(parent) => self.revive_or_skip(parent, which, now, &mut revived),
        }
        let is_below = |task: &usize| self.ancestors(*task).contains(&below);
        let mut tasks: Vec<usize> = (0..self.tasks.len()).filter(is_below).collect();
        tasks.sort_by_key(|task| (self.tasks[*task].parent, self.tasks[*task].index));
        for task in tasks {
            self.revive_or_skip(task, which, now, &mut revived);
        }
        revived
    }

    fn revive_or_skip(
        &mut self,
        task: usize,
        which: ReviveFilter,
        now: Timestamp,
        revived: &mut ReviveCounts,
    ) {
        let is_parent = self.tasks[task].plan.is_some();
        let is_selected = if is_parent {
            self.reopens_itself(Node::Parent(task), which)
        } else {
            self.is_selected(task, which)
        };
        if !is_selected {
            return;
        }
        if !self.obstacles_to_reopen(task).is_empty() {
            revived.skipped += 1;
            return;
        }
        revived.reopened += self.reopen_above(task, now);
        if is_parent {
            revived.reopened += u32::from(self.reopen(Node::Parent(task), now));
        } else {
            self.revive_task(task);
            revived.tasks += 1;
        }
    }

    /// Whether the filter selects this leaf. A join is selected only if no other child has to be revived before it.
    fn is_selected(&self, task: usize, which: ReviveFilter) -> bool {
        let row = &self.tasks[task];
        if !row.is_settled() || !which.includes(row.state) {
            return false;
        }
        let node = self.parent_of(task);
        let has_others = self.children_of(node).iter().any(|child| which.includes(child.state));
        !row.is_join() || (self.may_join(node) && !has_others)
    }

    /// Whether a cancelled node reopens by itself: children are missing, or all of them succeeded.
    fn reopens_itself(&self, node: Node, which: ReviveFilter) -> bool {
        let below = self.children_of(node);
        let is_incomplete = self.total_of(node).is_none_or(|total| total as usize != below.len());
        let all_succeeded = below.iter().all(|child| child.state == State::Succeeded);
        self.state_of(node) == State::Cancelled
            && which.includes(State::Cancelled)
            && (is_incomplete || all_succeeded)
    }
}
