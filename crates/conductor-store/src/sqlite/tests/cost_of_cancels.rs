//! The cost of cancels, sweeps, deadlines and revivals, by the same measure as claims.

use super::cost::{Bench, MANY, assert_same_cost, parent};
use crate::{Admin, Cancel, CancelOutcome, Query, Report, ReportBatch, Revive, Scope, Step, Store};
use conductor_model::{RunDraft, RunId, TaskId};

/// A run of one parent with this number of children, and a deadline of an hour.
fn family(bench: &Bench, children: u32) -> (RunId, TaskId) {
    let run = bench.submit_run(&RunDraft::new().deadline_ms(3_600_000).task(parent("A", children)));
    let roots = bench.store.tasks(run, crate::TaskFilter::default(), None, 1).unwrap().items;
    (run, roots[0].id)
}

fn step(bench: &Bench, limit: u32) -> Step {
    Step { scope: Scope::All, now: bench.env.now(), limit }
}

/// More tasks than a block has.
const FEW: u32 = 2000;

/// Asserts that the costs in runs of few and of many tasks are the same.
fn assert_costs_the_same(what: &str, measure: impl Fn(u32) -> i32) {
    assert_same_cost(what, measure(FEW), measure(MANY));
}

#[test]
fn run_cancel_cost_is_independent_of_size() {
    assert_costs_the_same("a cancel", |children| {
        let bench = Bench::empty();
        let (run, _) = family(&bench, children);
        let (cancelled, cost) =
            bench.cost(|bench| bench.store.cancel(&Cancel::run(run, bench.env.now())).unwrap());
        assert_eq!(cancelled, CancelOutcome::Requested);
        cost
    });
}

#[test]
fn leaf_revive_cost_is_independent_of_siblings() {
    assert_costs_the_same("a revival", |children| {
        let bench = Bench::empty();
        let (_, parent) = family(&bench, children);
        let child = bench.store.children(parent, 0, 1).unwrap().items.remove(0).id;
        let failed = ReportBatch::new([Report::failed_permanently(child, "no")], &bench.env);
        bench.store.report(&failed).unwrap();
        bench.finish("A", children - 1);
        while bench.store.aggregate(&step(&bench, 10)).unwrap().more {}
        let (revived, cost) =
            bench.cost(|bench| bench.store.revive(&Revive::leaf(child, bench.env.now())).unwrap());
        assert_eq!((revived.tasks, revived.reopened), (1, 2));
        cost
    });
}

#[test]
fn sweep_cost_is_bounded_by_limit() {
    let sweep = |children, limit| {
        let bench = Bench::empty();
        let (_, parent) = family(&bench, children);
        let _ = bench.store.cancel(&Cancel::task(parent, bench.env.now())).unwrap();
        // The first step finds the beginning, and the second one its place.
        let first = bench.store.sweep(&step(&bench, limit)).unwrap();
        let (second, cost) = bench.cost(|bench| bench.store.sweep(&step(bench, limit)).unwrap());
        assert_eq!((first.tasks, second.tasks, second.more), (limit, limit, true));
        cost
    };
    assert_costs_the_same("a sweep", |children| sweep(children, 20));
    let (ten, hundred) = (sweep(FEW, 10), sweep(FEW, 100));
    assert!(hundred < 12 * ten, "{ten} instructions for ten tasks, {hundred} for a hundred");
}

#[test]
fn swept_rows_cost_sweep_nothing() {
    assert_costs_the_same("an idle sweep", |children| {
        let bench = Bench::empty();
        let (_, parent) = family(&bench, children);
        let _ = bench.store.cancel(&Cancel::task(parent, bench.env.now())).unwrap();
        while bench.store.sweep(&step(&bench, 1000)).unwrap().more {}
        let (swept, cost) = bench.cost(|bench| bench.store.sweep(&step(bench, 1000)).unwrap());
        assert_eq!((swept.tasks, swept.parents), (0, 0));
        cost
    });
}

#[test]
fn idle_sweep_and_expiry_write_nothing() {
    for (what, act) in [
        ("a sweep", (|bench| bench.store.sweep(&step(bench, 1000)).unwrap().more) as fn(&Bench) -> bool),
        ("an expiry", |bench| bench.store.expire(&step(bench, 1000)).unwrap().more),
    ] {
        let cost = |children| {
            let bench = Bench::empty();
            for _ in 0..20 {
                family(&bench, children / 20);
            }
            let before = bench.store.change_token().unwrap();
            let (more, cost) = bench.cost(act);
            assert_eq!((more, bench.store.change_token().unwrap()), (false, before));
            cost
        };
        assert_costs_the_same(what, cost);
        assert!(cost(MANY) < 100, "{what} takes {} instructions", cost(MANY));
    }
}
