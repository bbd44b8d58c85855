//! Parents and runs alike: what follows for them from those right below, and what happens then.

use super::{Plan, RefTask, Reference};
use conductor_model::{CancelCause, ChildCounts, Decision, JoinStatus, NewJoin, ParentStatus, Policy, State};

/// A parent or a run, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Run(usize),
    Parent(usize),
}

/// What parents and runs have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heading {
    pub(crate) policy: Policy,
    pub(crate) mark: Option<CancelCause>,
    pub(crate) join: Option<JoinPlan>,
}

/// The join that a head will have.
#[derive(Clone, Debug)]
pub(crate) struct JoinPlan {
    pub(crate) kind: String,
    pub(crate) max_retries: u32,
}

impl Heading {
    pub(crate) fn new(policy: Policy, join: Option<&NewJoin>) -> Self {
        let join =
            join.map(|join| JoinPlan { kind: join.kind.to_string(), max_retries: join.max_retries.get() });
        Self { policy, mark: None, join }
    }
}

/// What follows for a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    Nothing,
    Join,
    End(State),
}

impl Reference {
    pub(crate) fn head_of(&self, task: usize) -> Head {
        let task = &self.tasks[task];
        task.parent.map_or(Head::Run(task.run), Head::Parent)
    }

    pub(crate) fn heading(&self, head: Head) -> &Heading {
        match head {
            Head::Run(run) => &self.runs[run].heading,
            Head::Parent(parent) => &self.tasks[parent].heading,
        }
    }

    pub(crate) fn heading_mut(&mut self, head: Head) -> &mut Heading {
        match head {
            Head::Run(run) => &mut self.runs[run].heading,
            Head::Parent(parent) => &mut self.tasks[parent].heading,
        }
    }

    pub(crate) fn state_of(&self, head: Head) -> State {
        match head {
            Head::Run(run) => self.runs[run].state,
            Head::Parent(parent) => self.tasks[parent].state,
        }
    }

    /// How many there will be right below it; `None` while nobody knows.
    pub(crate) fn total_of(&self, head: Head) -> Option<u32> {
        match head {
            Head::Run(run) => self.runs[run].total,
            Head::Parent(parent) => match self.tasks[parent].plan {
                Some(Plan::Sealed { total, .. }) => Some(total),
                _ => None,
            },
        }
    }

    pub(crate) fn below(&self, head: Head) -> Vec<&RefTask> {
        match head {
            Head::Run(run) => self.roots(run).collect(),
            Head::Parent(parent) => self.children(parent).collect(),
        }
    }

    /// The number of the join of a head, if it came into being.
    pub(crate) fn join_of(&self, head: Head) -> Option<usize> {
        (0..self.tasks.len()).find(|task| self.tasks[*task].is_join() && self.head_of(*task) == head)
    }

    /// Whether the children all exist and are all settled, and the policy bears how they ended.
    pub(crate) fn is_satisfied(&self, head: Head) -> bool {
        let below = self.below(head);
        let is_complete = self.total_of(head).is_some_and(|total| total as usize == below.len());
        is_complete
            && below.iter().all(|child| child.is_settled())
            && self.bears_failures(head)
            && !below.iter().any(|child| child.state == State::Cancelled)
    }

    fn bears_failures(&self, head: Head) -> bool {
        let below = self.below(head);
        let failed = below.iter().filter(|child| child.is_settled() && child.state == State::Failed).count();
        match self.heading(head).policy {
            Policy::Fail | Policy::FailFast => failed == 0,
            Policy::Tolerate(most) => failed <= most as usize,
            Policy::ToleratePercent(percent) => failed * 100 <= usize::from(percent.get()) * below.len(),
            Policy::Ignore => true,
        }
    }

    /// What follows for a head that has not ended. How an earlier join ended means nothing any more.
    pub(crate) fn follows(&self, head: Head) -> Follows {
        self.follows_after(head, None)
    }

    /// The same, when its join has just ended in this state.
    fn follows_after(&self, head: Head, join: Option<State>) -> Follows {
        let below = self.below(head);
        let join_is_open = self.join_of(head).is_some_and(|join| !self.tasks[join].is_settled());
        if join_is_open || below.iter().any(|child| !child.is_settled()) {
            return Follows::Nothing;
        }
        if join == Some(State::Succeeded) {
            return Follows::End(State::Succeeded);
        }
        if let Some(mark) = self.heading(head).mark {
            return Follows::End(mark.final_state());
        }
        if self.total_of(head).is_none_or(|total| total as usize != below.len()) {
            return Follows::Nothing;
        }
        match join {
            _ if !self.bears_failures(head) => Follows::End(State::Failed),
            _ if !self.is_satisfied(head) => Follows::End(State::Cancelled),
            Some(state) => Follows::End(state),
            None if self.heading(head).join.is_some() => Follows::Join,
            None => Follows::End(State::Succeeded),
        }
    }

    /// One step: it looks at what can be decided when it begins, the parents first; how many parents and runs.
    pub(crate) fn aggregate(&mut self, only: Option<usize>, limit: u32) -> (u32, u32) {
        let of_tasks = (0..self.tasks.len()).filter(|task| {
            let task = &self.tasks[*task];
            let waits = task.due_at.is_some() && task.heading.mark.is_none();
            task.plan.is_some() && !waits && only.is_none_or(|run| run == task.run)
        });
        let can =
            |head: &Head| !self.state_of(*head).is_terminal() && self.follows(*head) != Follows::Nothing;
        let mut parents: Vec<usize> = of_tasks.filter(|task| can(&Head::Parent(*task))).collect();
        parents.sort_by_key(|task| (self.tasks[*task].run, *task));
        parents.truncate(limit as usize);
        let runs = (0..self.runs.len()).filter(|run| only.is_none_or(|only| only == *run));
        let rest = limit as usize - parents.len();
        let runs: Vec<usize> = runs.filter(|run| can(&Head::Run(*run))).take(rest).collect();
        let heads =
            parents.iter().map(|task| Head::Parent(*task)).chain(runs.iter().map(|run| Head::Run(*run)));
        heads.for_each(|head| self.decide(head));
        (u32::try_from(parents.len()).unwrap(), u32::try_from(runs.len()).unwrap())
    }

    /// Ends a head, or runs its join.
    pub(crate) fn decide(&mut self, head: Head) {
        match (self.follows(head), head) {
            (Follows::Nothing, _) => {}
            (Follows::End(state), _) => self.end_head(head, state),
            // Under a mark nothing begins.
            (Follows::Join, Head::Parent(parent)) if self.is_doomed(parent) => {
                self.mark_above(parent);
                self.decide(head);
            }
            (Follows::Join, _) => self.begin_join(head),
        }
    }

    fn begin_join(&mut self, head: Head) {
        self.start_head(head);
        if let Some(join) = self.join_of(head) {
            self.revive_task(join);
            return;
        }
        let plan = self.heading(head).join.clone().unwrap();
        let (run, parent, name) = match head {
            Head::Run(run) => (run, None, plan.kind.clone()),
            Head::Parent(parent) => {
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
            lost: None,
            heading: Heading::default(),
        });
    }

    pub(super) fn start_head(&mut self, head: Head) {
        match head {
            Head::Parent(parent) if self.tasks[parent].state == State::Pending => self.start(parent),
            Head::Run(run) if self.runs[run].state == State::Pending => self.runs[run].state = State::Running,
            _ => {}
        }
    }

    fn end_head(&mut self, head: Head, state: State) {
        if state != State::Cancelled {
            self.start_head(head);
        }
        let Head::Parent(parent) = head else {
            let Head::Run(run) = head else { return };
            self.runs[run].state = state;
            return;
        };
        let output = self.output_of(parent);
        let task = &mut self.tasks[parent];
        (task.output, task.state, task.due_at) = (output, state, None);
        self.ended(parent);
    }

    /// What comes out of a parent: what came out of its join, or how its children ended.
    fn output_of(&self, parent: usize) -> Option<String> {
        let join = self.join_of(Head::Parent(parent)).map(|join| &self.tasks[join]);
        if let Some(join) = join.filter(|join| join.state == State::Succeeded) {
            return join.output.clone();
        }
        let count = |wanted| self.children(parent).filter(|child| child.state == wanted).count();
        let tally = serde_json::json!({
            "succeeded": count(State::Succeeded),
            "failed": count(State::Failed),
            "cancelled": count(State::Cancelled),
        });
        Some(tally.to_string())
    }

    /// A task has ended, perhaps: the end of a join decides its head, and a failure may mark it.
    pub(crate) fn ended(&mut self, task: usize) {
        let (row, head) = (&self.tasks[task], self.head_of(task));
        if !row.is_settled() {
            return;
        }
        if row.is_join() {
            if let Follows::End(state) = self.follows_after(head, Some(row.state)) {
                self.end_head(head, state);
            }
            return;
        }
        let heading = self.heading(head);
        let fails_fast = row.state == State::Failed && heading.policy == Policy::FailFast;
        let below = self.below(head);
        let is_complete = self.total_of(head).is_some_and(|total| total as usize == below.len())
            && below.iter().all(|child| child.is_settled());
        if fails_fast && heading.mark.is_none() && !is_complete && !self.state_of(head).is_terminal() {
            self.heading_mut(head).mark = Some(CancelCause::FailFast);
        }
    }
}

/// What holds after whatever happens.
impl Reference {
    /// The head as its own row and those right below say, to be decided by the model.
    fn standing(&self, head: Head) -> ParentStatus {
        let Heading { policy, mark, join } = self.heading(head);
        let numbers = self.numbers_of(head);
        let joining = match (join, self.join_of(head)) {
            (None, _) => JoinStatus::None,
            (Some(_), Some(join)) if !self.tasks[join].is_settled() => JoinStatus::Open,
            (Some(_), Some(join)) if self.state_of(head).is_terminal() => {
                JoinStatus::Settled(self.tasks[join].state)
            }
            (Some(_), _) => JoinStatus::NotStarted,
        };
        ParentStatus { counts: numbers, policy: *policy, cancel_cause: *mark, join: joining }
    }

    pub(crate) fn numbers_of(&self, head: Head) -> ChildCounts {
        let mut numbers = ChildCounts { total: self.total_of(head), ..ChildCounts::default() };
        for child in self.below(head) {
            numbers.created += 1;
            numbers.open += u32::from(!child.is_settled());
            numbers.failed += u32::from(child.is_settled() && child.state == State::Failed);
            numbers.cancelled += u32::from(child.state == State::Cancelled);
        }
        numbers
    }

    pub(crate) fn heads(&self) -> Vec<Head> {
        let parents = (0..self.tasks.len()).filter(|task| self.tasks[*task].plan.is_some());
        (0..self.runs.len()).map(Head::Run).chain(parents.map(Head::Parent)).collect()
    }

    /// Every derived state follows from mark, policy, children and join; and a join is open only when its time has come.
    pub(crate) fn assert_everything_follows(&self) {
        for head in self.heads() {
            let (state, standing) = (self.state_of(head), self.standing(head));
            if state.is_terminal() {
                assert_eq!(standing.decide(), Decision::Settle(state), "{head:?}: {standing:?}");
            }
            if standing.join == JoinStatus::Open {
                assert!(self.is_satisfied(head), "the join of {head:?} begins when its children ended");
                assert!(!state.is_terminal(), "{head:?} has not ended while its join is open");
            }
        }
    }

    /// What was below a mark and still is has not started since, and nothing came into being there.
    pub(crate) fn assert_nothing_began_below_marks(&self, before: &Self) {
        for (number, task) in self.tasks.iter().enumerate() {
            let still_marked = |head: &Head| self.heading(*head).mark.is_some();
            let was_marked = |head: &Head| match head {
                Head::Run(run) => before.runs.get(*run).is_some_and(|run| run.heading.mark.is_some()),
                Head::Parent(task) => before.tasks.get(*task).is_some_and(|task| task.heading.mark.is_some()),
            };
            if !self.above(number).iter().any(|head| was_marked(head) && still_marked(head)) {
                continue;
            }
            let earlier = before.tasks.get(number);
            let earlier = earlier.unwrap_or_else(|| panic!("{} came into being below a mark", task.name));
            let starts = task.state == State::Running && earlier.state != State::Running;
            assert!(!starts, "{} started below a mark", task.name);
        }
    }
}
