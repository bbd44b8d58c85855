//! Submissions, appends and seals.

use crate::harness::{Harness, pick};
use crate::programs::{ClaimOp, KINDS, ParentOptions, Root, RootShape};
use crate::reference::{Plan, Rejection};
use conductor_model::{JoinDraft, Json, NewRun, NewTask, RunDraft, TaskDraft};
use conductor_store::{Append, NodeId, Seal, Submit};
use serde_json::json;

impl Harness {
    fn drafts(&self, roots: &[Root], retries: u8) -> (Vec<TaskDraft>, Vec<Option<Plan>>) {
        let draft = |(i, root): (usize, &Root)| {
            let mut task = TaskDraft::new("task").kind(KINDS[i % 2]).max_retries(i64::from(retries));
            if let Some(ms) = root.delay_ms.filter(|_| !matches!(root.shape, RootShape::Open)) {
                task = task.due_at(self.now.plus_millis(ms));
            }
            let (task, plan) = match &root.shape {
                RootShape::Leaf => return (task, None),
                RootShape::Count(total) => {
                    let plan = Plan::Sealed { total: *total, nested: Vec::new() };
                    (task.input(json!({"fanout": total, "kept": 1})), plan)
                }
                RootShape::Items(nested) => {
                    let item = |n: &Option<u32>| n.map_or_else(|| json!("x"), |n| json!({"fanout": n}));
                    let items: Vec<_> = nested.iter().map(item).collect();
                    let total = u32::try_from(items.len()).unwrap();
                    (task.input(json!({"fanout": items})), Plan::Sealed { total, nested: nested.clone() })
                }
                RootShape::Open => (task.open(), Plan::Open),
            };
            let task = task.policy(root.options.policy);
            (if let Some(join) = join_of(&root.options) { task.join(join) } else { task }, Some(plan))
        };
        roots.iter().enumerate().map(draft).unzip()
    }

    pub(crate) fn submit(
        &mut self,
        roots: &[Root],
        open: bool,
        retries: u8,
        options: &ParentOptions,
        deadline_ms: Option<u64>,
    ) {
        let (drafts, plans) = self.drafts(roots, retries);
        let mut draft =
            RunDraft::new().tasks(drafts).meta(json!({"n": self.runs.len()})).policy(options.policy);
        if let Some(join) = join_of(options) {
            draft = draft.join(join);
        }
        if let Some(ms) = deadline_ms {
            draft = draft.deadline_ms(ms);
        }
        let request = self.submission(&if open { draft.open() } else { draft });
        self.runs.push(self.store.submit(&request).unwrap().run);
        self.reference.submit(&request.run, plans, self.now);
    }

    fn submission(&self, draft: &RunDraft) -> Submit {
        let run: NewRun = draft.validate().unwrap();
        Submit { now: self.now, ids: self.ids(run.ids_needed()), run }
    }

    /// Asserts that both requests in one transaction do the same as one after the other.
    pub(crate) fn submit_and_claim(&mut self, leaves: usize, op: &ClaimOp) {
        let (drafts, plans) = self.drafts(&vec![Root::leaf(); leaves], 1);
        let request = self.submission(&RunDraft::new().tasks(drafts).meta(json!({"n": self.runs.len()})));
        let (submitted, claimed) = self.store.submit_and_claim(&request, &self.claim_of(op)).unwrap();
        self.runs.push(submitted.run);
        self.reference.submit(&request.run, plans, self.now);
        self.tasks = self.read();
        self.check_claim(op, &claimed);
    }

    /// Appends from `before` indices before the second free index on.
    pub(crate) fn append_items(&mut self, task: usize, before: u32, count: u32) {
        let Some(number) = pick(task, self.tasks.len()) else { return };
        let exist = u32::try_from(self.reference.children(number).count()).unwrap();
        let first_index = (exist + 2).saturating_sub(before);
        let items: Vec<Json> = (0..count).map(|n| Json::of(&json!({"fanout": n})).unwrap()).collect();
        let (parent, ids) = (self.tasks[number].id, self.ids(count));
        let request = Append::Items { parent, first_index, items, now: self.now, ids };
        let expected = self.reference.append(number, first_index, count).map(|new| (new, exist + new + 1));
        let appended = self.store.append(&request).map(|done| (done.created, done.next_index));
        assert_eq!(appended.map_err(Rejection::from), expected);
    }

    pub(crate) fn append_roots(&mut self, run: usize, before: u32, roots: &[Root]) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let (drafts, plans) = self.drafts(roots, 1);
        let tasks: Vec<NewTask> = drafts.iter().map(|draft| draft.validate().unwrap()).collect();
        let exist = u32::try_from(self.reference.roots(number).count()).unwrap();
        let first_index = (exist + 2).saturating_sub(before);
        let count = u32::try_from(tasks.len()).unwrap();
        let ids = self.ids(tasks.iter().map(NewTask::ids_needed).sum());
        let run = self.runs[number];
        let request = Append::Tasks { run, first_index, tasks: tasks.clone(), now: self.now, ids };
        let expected = self.reference.append_roots(number, first_index, count);
        let appended = self.store.append(&request).map(|done| (done.created, done.next_index));
        assert_eq!(appended.map_err(Rejection::from), expected.map(|new| (new, exist + new + 1)));
        if let Ok(new) = expected {
            let known = tasks.len() - new as usize;
            self.reference.add_roots(number, &tasks[known..], plans[known..].to_vec());
        }
    }

    pub(crate) fn seal(&mut self, task: usize, off_by: u32) {
        let Some(number) = pick(task, self.tasks.len()) else { return };
        let children = u32::try_from(self.reference.children(number).count()).unwrap() + off_by / 2;
        let request = Seal { parent: NodeId::Task(self.tasks[number].id), children, now: self.now };
        let expected = self.reference.seal(number, children);
        assert_eq!(self.store.seal(&request).map_err(Rejection::from), expected);
    }

    pub(crate) fn seal_run(&mut self, run: usize, off_by: u32) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let children = u32::try_from(self.reference.roots(number).count()).unwrap() + off_by / 2;
        let request = Seal { parent: NodeId::Run(self.runs[number]), children, now: self.now };
        let expected = self.reference.seal_run(number, children);
        assert_eq!(self.store.seal(&request).map_err(Rejection::from), expected);
    }
}

fn join_of(options: &ParentOptions) -> Option<JoinDraft> {
    options.join.map(|(kind, retries)| JoinDraft::new(KINDS[kind]).max_retries(retries))
}
