//! Steps and reports.

use crate::harness::{Harness, StoreKind, drain, pick};
use crate::reference::{FanOutCounts, Verdict};
use conductor_store::{FanOut, Report, ReportBatch, ReportedResult};

impl Harness {
    pub(crate) fn fan_out(&mut self, run: Option<usize>, ids: u32) {
        let (scope, only) = self.scope(run);
        let step = FanOut { scope, now: self.now, ids: self.ids(ids), cursor: self.fan_out_cursor };
        let outcome = self.store.fan_out(&step).unwrap();
        self.fan_out_cursor = outcome.cursor;
        let counts =
            FanOutCounts { parents: outcome.parents, children: outcome.children, more: outcome.more };
        assert_eq!(counts, self.reference.fan_out(only, ids));
    }

    pub(crate) fn retry(&mut self, run: Option<usize>, limit: u32) {
        let (step, only) = self.step(run, limit);
        let retried = drain(|| self.store.retry(&step).map(|done| (done.changed, done.more)).unwrap());
        assert_eq!(retried, self.reference.retry(only, self.now));
    }

    pub(crate) fn promote(&mut self, run: Option<usize>, limit: u32) {
        let (step, only) = self.step(run, limit);
        let promoted = drain(|| self.store.promote(&step).map(|done| (done.changed, done.more)).unwrap());
        assert_eq!(promoted, self.reference.promote(only, self.now));
    }

    pub(crate) fn aggregate(&mut self, run: Option<usize>, limit: u32) {
        // Which parents a step adds up within its limit is for the store to choose.
        let limit = if self.kind == StoreKind::Memory { u32::MAX } else { limit };
        let (step, only) = self.step(run, limit);
        loop {
            let outcome = self.store.aggregate(&step).unwrap();
            assert_eq!((outcome.parents, outcome.runs), self.reference.aggregate(only, limit));
            if !outcome.more {
                break;
            }
        }
    }

    pub(crate) fn report(&mut self, task: usize, reports: &[(usize, ReportedResult, Option<u32>)]) {
        let len = self.tasks.len();
        let Some(first) = pick(task, len) else { return };
        let report = |(offset, result, attempt): &(usize, ReportedResult, Option<u32>)| Report {
            task: self.tasks[(first + offset) % len].id,
            attempt: *attempt,
            result: result.clone(),
        };
        let requests = reports.iter().map(report).collect();
        let request = ReportBatch { reports: requests, now: self.now, jitter: self.env.jitter() };
        let answers = self.store.report(&request).unwrap();
        let mut expected = Vec::new();
        for (offset, result, attempt) in reports {
            expected.push(self.reference.report((first + offset) % len, *attempt, result, self.now));
        }
        assert_eq!(answers.iter().map(Verdict::from).collect::<Vec<_>>(), expected, "{answers:?}");
    }
}
