//! Revive: leaves are tried again, and exactly what is above them reopens.

use super::{Head, Reference};
use conductor_model::{State, Timestamp};
use conductor_store::{ReviveError, ReviveFilter};

/// Why a revive is refused, without the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusing {
    Parent,
    NotSettled,
    Tolerated,
    BeingCancelled,
    JoinStatus,
    /// The join's time has not come.
    BeforeItsTime,
}

impl From<&ReviveError> for Refusing {
    fn from(error: &ReviveError) -> Self {
        match error {
            ReviveError::Parent(_) => Self::Parent,
            ReviveError::NotSettled { .. } => Self::NotSettled,
            ReviveError::AncestorSucceeded(_) => Self::Tolerated,
            ReviveError::CancelInProgress(_) => Self::BeingCancelled,
            ReviveError::JoinRunning(_) => Self::JoinStatus,
            ReviveError::JoinNotReady(_) => Self::BeforeItsTime,
            other => panic!("no program asks for this: {other}"),
        }
    }
}

/// What a revive comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reviving {
    pub(crate) tasks: u32,
    pub(crate) reopened: u32,
    pub(crate) skipped: u32,
}

impl Reference {
    /// Every reason that speaks against reviving this leaf.
    pub(crate) fn against_reviving(&self, task: usize) -> Vec<Refusing> {
        let row = &self.tasks[task];
        if row.plan.is_some() {
            return vec![Refusing::Parent];
        }
        if !row.is_settled() || row.state == State::Succeeded {
            return vec![Refusing::NotSettled];
        }
        let mut against = self.against_reopening(task);
        if row.is_join() && !self.is_satisfied(self.head_of(task)) {
            against.push(Refusing::BeforeItsTime);
        }
        against
    }

    /// What speaks against reopening all that is above a task.
    fn against_reopening(&self, task: usize) -> Vec<Refusing> {
        let above = self.above(task).into_iter();
        let reasons = above.flat_map(|head| {
            let state = self.state_of(head);
            let joins = self.join_of(head).is_some_and(|join| !self.tasks[join].is_settled());
            let being_cancelled = !state.is_terminal() && self.heading(head).mark.is_some();
            [
                (state == State::Succeeded).then_some(Refusing::Tolerated),
                joins.then_some(Refusing::JoinStatus),
                being_cancelled.then_some(Refusing::BeingCancelled),
            ]
        });
        reasons.flatten().collect()
    }

    pub(crate) fn revive_leaf(&mut self, task: usize, now: Timestamp) -> Reviving {
        let reopened = self.reopen_above(task, now);
        self.revive_task(task);
        Reviving { tasks: 1, reopened, skipped: 0 }
    }

    pub(crate) fn revive_task(&mut self, task: usize) {
        let row = &mut self.tasks[task];
        (row.state, row.retry_count, row.output, row.lost) = (State::Pending, 0, None, None);
    }

    fn reopen_above(&mut self, task: usize, now: Timestamp) -> u32 {
        self.above(task).into_iter().map(|head| u32::from(self.reopen(head, now))).sum()
    }

    /// Whether it had ended.
    fn reopen(&mut self, head: Head, now: Timestamp) -> bool {
        if !self.state_of(head).is_terminal() {
            return false;
        }
        self.heading_mut(head).mark = None;
        match head {
            Head::Parent(parent) => {
                (self.tasks[parent].state, self.tasks[parent].output) = (State::Running, None);
                self.start_head(Head::Run(self.tasks[parent].run));
            }
            Head::Run(run) => {
                let run = &mut self.runs[run];
                run.state = State::Running;
                run.deadline = run.deadline.filter(|deadline| *deadline > now);
            }
        }
        true
    }

    /// All leaves below a head that ended so, from the top down.
    pub(crate) fn revive_all(&mut self, below: Head, which: ReviveFilter, now: Timestamp) -> Reviving {
        let mut revived = Reviving::default();
        let being_cancelled = !self.state_of(below).is_terminal() && self.heading(below).mark.is_some();
        match below {
            _ if being_cancelled && which.includes(State::Cancelled) => revived.skipped += 1,
            Head::Run(run) if self.goes_on(below, which) => {
                revived.reopened += u32::from(self.reopen(Head::Run(run), now));
            }
            Head::Run(_) => {}
            Head::Parent(parent) => self.revive_or_skip(parent, which, now, &mut revived),
        }
        let is_below = |task: &usize| self.above(*task).contains(&below);
        let mut tasks: Vec<usize> = (0..self.tasks.len()).filter(is_below).collect();
        tasks.sort_by_key(|task| (self.tasks[*task].parent, self.tasks[*task].index));
        for task in tasks {
            self.revive_or_skip(task, which, now, &mut revived);
        }
        revived
    }

    fn revive_or_skip(&mut self, task: usize, which: ReviveFilter, now: Timestamp, revived: &mut Reviving) {
        let is_parent = self.tasks[task].plan.is_some();
        let is_wanted =
            if is_parent { self.goes_on(Head::Parent(task), which) } else { self.is_wanted(task, which) };
        if !is_wanted {
            return;
        }
        if !self.against_reopening(task).is_empty() {
            revived.skipped += 1;
            return;
        }
        revived.reopened += self.reopen_above(task, now);
        if is_parent {
            revived.reopened += u32::from(self.reopen(Head::Parent(task), now));
        } else {
            self.revive_task(task);
            revived.tasks += 1;
        }
    }

    /// A leaf that ended so; a join only when nothing else has to be tried again before it.
    fn is_wanted(&self, task: usize, which: ReviveFilter) -> bool {
        let row = &self.tasks[task];
        if !row.is_settled() || !which.includes(row.state) {
            return false;
        }
        let head = self.head_of(task);
        let has_others = self.below(head).iter().any(|child| which.includes(child.state));
        !row.is_join() || (self.is_satisfied(head) && !has_others)
    }

    /// Whether a head that was cancelled goes on for its own sake: children are missing, or all of them ended well.
    fn goes_on(&self, head: Head, which: ReviveFilter) -> bool {
        let below = self.below(head);
        let is_incomplete = self.total_of(head).is_none_or(|total| total as usize != below.len());
        let ended_well = below.iter().all(|child| child.state == State::Succeeded);
        self.state_of(head) == State::Cancelled
            && which.includes(State::Cancelled)
            && (is_incomplete || ended_well)
    }
}
