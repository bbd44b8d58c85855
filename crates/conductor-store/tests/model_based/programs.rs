//! Random programs: the operations of users, of engines and of external workers.

use conductor_model::{AttemptFailure, ErrorText, Json, Policy};
use conductor_store::{AttemptResult, ReportedResult, ReviveFilter};
use proptest::prelude::*;

/// A root task of a random program.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) shape: RootShape,
    /// Ignored on an open fan-out.
    pub(crate) delay_ms: Option<u64>,
    /// Ignored on a leaf.
    pub(crate) options: ParentOptions,
}

impl Root {
    pub(crate) fn leaf() -> Self {
        Self { shape: RootShape::Leaf, delay_ms: None, options: ParentOptions::default() }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum RootShape {
    Leaf,
    Count(u32),
    Items(Vec<Option<u32>>),
    Open,
}

/// The tasks among which a cancel picks one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    All,
    Open,
    OpenParents,
    OpenJoins,
    ParentsWithOpenJoin,
}

/// The options of a parent or a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParentOptions {
    pub(crate) policy: Policy,
    /// The kind of the join, and its retries.
    pub(crate) join: Option<(usize, i64)>,
}

/// One operation. Numbers pick among the existing items, modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Submit {
        roots: Vec<Root>,
        open: bool,
        retries: u8,
        options: ParentOptions,
        deadline_ms: Option<u64>,
    },
    /// A run of this number of leaves, and a claim in the same transaction.
    SubmitAndClaim(usize, ClaimOp),
    AppendItems {
        task: usize,
        before: u32,
        count: u32,
    },
    AppendRoots {
        run: usize,
        before: u32,
        roots: Vec<Root>,
    },
    Seal {
        task: usize,
        off_by: u32,
    },
    SealRun {
        run: usize,
        off_by: u32,
    },
    FanOut {
        run: Option<usize>,
        ids: u32,
    },
    /// Several reports in one transaction. Each has its offset from the task of the first one.
    Report {
        task: usize,
        reports: Vec<(usize, ReportedResult, Option<u32>)>,
    },
    Retry {
        run: Option<usize>,
        limit: u32,
    },
    Promote {
        run: Option<usize>,
        limit: u32,
    },
    Aggregate {
        run: Option<usize>,
        limit: u32,
    },
    Claim(ClaimOp),
    /// Results of any claims, old ones included.
    Settle {
        results: Vec<(Named, AttemptResult)>,
        next: Option<ClaimOp>,
    },
    /// Results of valid claims, from the oldest on.
    SettleHeld {
        first: usize,
        results: Vec<AttemptResult>,
    },
    Renew {
        named: Vec<Named>,
        lease_ms: u64,
    },
    Release {
        named: Vec<Named>,
    },
    Rescue {
        limit: u32,
    },
    /// Ends an engine and registers another one.
    Replace {
        engine: usize,
    },
    /// Cancels a task, and sweeps at once if `is_swept` is set.
    CancelTask {
        task: usize,
        among: Among,
        is_swept: bool,
    },
    CancelRun {
        run: usize,
    },
    /// One step, or all steps.
    Sweep {
        run: Option<usize>,
        limit: u32,
        until_done: bool,
    },
    Expire {
        run: Option<usize>,
        limit: u32,
    },
    /// Revives a failed or cancelled leaf, or any task if `among_all` is set.
    ReviveLeaf {
        task: usize,
        among_all: bool,
    },
    /// Revives all below a failed or cancelled node, or below any node if `among_all` is set.
    ReviveAll {
        node: usize,
        among_all: bool,
        which: ReviveFilter,
        limit: u32,
    },
    Wait {
        ms: u64,
    },
    /// Sets the clock back.
    Back {
        ms: u64,
    },
    Reopen,
}

/// A claim, counted back from the last one, and a number that is added to its attempt.
pub(crate) type Named = (usize, u32);

#[derive(Clone, Debug)]
pub(crate) struct ClaimOp {
    pub(crate) engine: usize,
    pub(crate) limits: [u32; 2],
    pub(crate) limit: u32,
    pub(crate) lease_ms: u64,
    pub(crate) isolated: bool,
}

pub(crate) const KINDS: [&str; 2] = ["even", "odd"];
pub(crate) const ENGINES: usize = 3;

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        2 => Just(Policy::Fail),
        2 => (0..3_u32).prop_map(Policy::Tolerate),
        2 => (0..=100_u8).prop_map(|percent| Policy::tolerate_percent(percent).unwrap()),
        1 => Just(Policy::Ignore),
        3 => Just(Policy::FailFast),
    ]
}

/// Often the default.
fn parent_options() -> impl Strategy<Value = ParentOptions> {
    let join = proptest::option::weighted(0.4, (0..KINDS.len(), 0..2_i64));
    let chosen = (policy(), join).prop_map(|(policy, join)| ParentOptions { policy, join });
    prop_oneof![1 => Just(ParentOptions::default()), 2 => chosen]
}

fn root() -> impl Strategy<Value = Root> {
    let shape = prop_oneof![
        3 => Just(RootShape::Leaf),
        2 => (1..6_u32).prop_map(RootShape::Count),
        2 => proptest::collection::vec(proptest::option::weighted(0.3, 1..4_u32), 1..5).prop_map(RootShape::Items),
        1 => Just(RootShape::Open),
    ];
    let delay = proptest::option::weighted(0.15, 1..2_000_u64);
    (shape, delay, parent_options()).prop_map(|(shape, delay_ms, options)| Root { shape, delay_ms, options })
}

fn submit() -> impl Strategy<Value = Op> {
    let roots = proptest::collection::vec(root(), 0..4);
    let deadline = proptest::option::weighted(0.2, 1..6_000_u64);
    (roots, proptest::bool::weighted(0.3), 0..3_u8, parent_options(), deadline).prop_map(
        |(roots, open, retries, options, deadline_ms)| Op::Submit {
            roots,
            open,
            retries,
            options,
            deadline_ms,
        },
    )
}

/// The operations of users, and the steps that follow.
fn operator_op() -> impl Strategy<Value = Op> {
    let scope = || proptest::option::weighted(0.2, 0..4_usize);
    let among = prop_oneof![
        1 => Just(Among::All),
        1 => Just(Among::Open),
        3 => Just(Among::OpenParents),
        1 => Just(Among::OpenJoins),
        6 => Just(Among::ParentsWithOpenJoin),
    ];
    let which = || proptest::sample::select(&[ReviveFilter::Failed, ReviveFilter::FailedAndCancelled][..]);
    prop_oneof![
        4 => (0..99_usize, among, any::<bool>())
            .prop_map(|(task, among, is_swept)| Op::CancelTask { task, among, is_swept }),
        1 => (0..9_usize).prop_map(|run| Op::CancelRun { run }),
        6 => (scope(), 1..4_u32, any::<bool>())
            .prop_map(|(run, limit, until_done)| Op::Sweep { run, limit, until_done }),
        2 => (scope(), 1..3_u32).prop_map(|(run, limit)| Op::Expire { run, limit }),
        4 => (0..99_usize, proptest::bool::weighted(0.1))
            .prop_map(|(task, among_all)| Op::ReviveLeaf { task, among_all }),
        4 => (0..99_usize, proptest::bool::weighted(0.2), which(), 1..4_u32)
            .prop_map(|(node, among_all, which, limit)| Op::ReviveAll { node, among_all, which, limit }),
    ]
}

fn outcome() -> impl Strategy<Value = ReportedResult> {
    let json = |n: u8| Some(["0", "false", "\"\"", "null"][n as usize].parse::<Json>().unwrap());
    let failed = |(n, retryable, retry_after_ms): (u8, bool, Option<u64>)| ReportedResult::Failed {
        error: ErrorText::from(["timeout", ""][n as usize]),
        retryable,
        retry_after_ms,
    };
    prop_oneof![
        2 => Just(ReportedResult::Started),
        6 => (0..5_u8).prop_map(move |n| ReportedResult::Succeeded { output: if n == 4 { None } else { json(n) } }),
        5 => (0..2_u8, proptest::bool::weighted(0.8), proptest::option::weighted(0.3, 0..3_000_u64)).prop_map(failed),
        1 => Just(ReportedResult::Cancelled),
    ]
}

/// One to four reports, some of them on the same task.
fn reports() -> impl Strategy<Value = Vec<(usize, ReportedResult, Option<u32>)>> {
    let report = (0..3_usize, outcome(), proptest::option::weighted(0.3, 0..4_u32));
    proptest::collection::vec(report, 1..=4)
}

fn claim_op() -> impl Strategy<Value = ClaimOp> {
    let limits = || prop_oneof![1 => Just(0), 6 => 1..9_u32];
    (0..ENGINES, [limits(), limits()], 0..9_u32, 1..4_000_u64, any::<bool>()).prop_map(
        |(engine, limits, limit, lease_ms, isolated)| ClaimOp { engine, limits, limit, lease_ms, isolated },
    )
}

fn named() -> impl Strategy<Value = Named> {
    (prop_oneof![8 => 0..6_usize, 1 => 0..99_usize], prop_oneof![12 => Just(0), 1 => Just(1)])
}

fn result() -> impl Strategy<Value = AttemptResult> {
    let failed = |(retryable, retry_after_ms)| {
        AttemptResult::Failed(AttemptFailure::Error { error: "it broke".into(), retryable, retry_after_ms })
    };
    prop_oneof![
        3 => Just(AttemptResult::Succeeded { output: None }),
        3 => Just(AttemptResult::Succeeded { output: Some("[1]".parse().unwrap()) }),
        2 => (proptest::bool::weighted(0.8), proptest::option::weighted(0.3, 0..3_000_u64)).prop_map(failed),
        1 => Just(AttemptResult::Failed(AttemptFailure::TimedOut)),
    ]
}

/// The operations of engines.
fn engine_op() -> impl Strategy<Value = Op> {
    let names = || proptest::collection::vec(named(), 0..4);
    prop_oneof![
        8 => claim_op().prop_map(Op::Claim),
        8 => (proptest::collection::vec((named(), result()), 0..5), proptest::option::of(claim_op()))
            .prop_map(|(results, next)| Op::Settle { results, next }),
        2 => (names(), 1..4_000_u64).prop_map(|(named, lease_ms)| Op::Renew { named, lease_ms }),
        2 => names().prop_map(|named| Op::Release { named }),
        5 => (0..4_u32).prop_map(|limit| Op::Rescue { limit }),
        1 => (0..ENGINES).prop_map(|engine| Op::Replace { engine }),
        1 => (1..6_000_u64).prop_map(|ms| Op::Back { ms }),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let scope = || proptest::option::weighted(0.3, 0..4_usize);
    prop_oneof![
        2 => submit(),
        3 => (0..99_usize, 0..4_u32, 0..4_u32)
            .prop_map(|(task, before, count)| Op::AppendItems { task, before, count }),
        1 => (0..9_usize, 0..4_u32, proptest::collection::vec(root(), 0..3))
            .prop_map(|(run, before, roots)| Op::AppendRoots { run, before, roots }),
        2 => (0..99_usize, 0..3_u32).prop_map(|(task, off_by)| Op::Seal { task, off_by }),
        2 => (0..9_usize, 0..3_u32).prop_map(|(run, off_by)| Op::SealRun { run, off_by }),
        6 => (scope(), 0..8_u32).prop_map(|(run, ids)| Op::FanOut { run, ids }),
        20 => engine_op(),
        10 => operator_op(),
        20 => (0..999_usize, reports()).prop_map(|(task, reports)| Op::Report { task, reports }),
        4 => (scope(), 1..4_u32).prop_map(|(run, limit)| Op::Retry { run, limit }),
        2 => (scope(), 1..4_u32).prop_map(|(run, limit)| Op::Promote { run, limit }),
        5 => (scope(), 1..4_u32).prop_map(|(run, limit)| Op::Aggregate { run, limit }),
        2 => (1..3_000_u64).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Reopen),
    ]
}

/// Operations for programs in which engines do most of the work.
pub(crate) fn op_among_engines() -> impl Strategy<Value = Op> {
    let leaves = (1..5_usize, 0..4_u8).prop_map(|(leaves, retries)| Op::Submit {
        roots: vec![Root::leaf(); leaves],
        open: false,
        retries,
        options: ParentOptions::default(),
        deadline_ms: None,
    });
    let submit_and_claim = (0..5_usize, claim_op());
    prop_oneof![
        2 => leaves,
        2 => submit_and_claim.prop_map(|(leaves, claim)| Op::SubmitAndClaim(leaves, claim)),
        3 => op(),
        1 => (8..16_u32).prop_map(|ids| Op::FanOut { run: None, ids }),
        24 => engine_op(),
        6 => Just(Op::Rescue { limit: 2 }),
        8 => Just(Op::Retry { run: None, limit: 9 }),
        4 => (1..3_000_u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// Programs of a few runs with parents, and many cancels and revivals.
pub(crate) fn cancel_and_revive_program() -> impl Strategy<Value = Vec<Op>> {
    let shape = prop_oneof![
        2 => (1..5_u32).prop_map(RootShape::Count),
        3 => proptest::collection::vec(proptest::option::weighted(0.5, 1..3_u32), 1..4).prop_map(RootShape::Items),
        1 => Just(RootShape::Leaf),
    ];
    let policy = prop_oneof![3 => Just(Policy::Ignore), 2 => Just(Policy::Tolerate(1)), 3 => policy()];
    let join = proptest::option::weighted(0.7, (0..KINDS.len(), 0..2_i64));
    let options = (policy, join).prop_map(|(policy, join)| ParentOptions { policy, join });
    let root = (shape, options).prop_map(|(shape, options)| Root { shape, delay_ms: None, options });
    let deadline = proptest::option::weighted(0.6, 200..2_000_u64);
    let run = (proptest::collection::vec(root, 1..3), 0..2_u8, parent_options(), deadline).prop_map(
        |(roots, retries, options, deadline_ms)| Op::Submit {
            roots,
            open: false,
            retries,
            options,
            deadline_ms,
        },
    );
    let (runs, ops) =
        (proptest::collection::vec(run, 1..3), proptest::collection::vec(cancel_and_revive_op(), 1..100));
    (runs, ops).prop_map(|(runs, ops)| runs.into_iter().chain(ops).collect())
}

fn cancel_and_revive_op() -> impl Strategy<Value = Op> {
    let scope = || proptest::option::weighted(0.1, 0..4_usize);
    let claim = (0..ENGINES, 1..9_u32, any::<bool>()).prop_map(|(engine, limit, isolated)| {
        Op::Claim(ClaimOp { engine, limits: [limit; 2], limit, lease_ms: 4_000, isolated })
    });
    let results = prop_oneof![
        4 => Just(AttemptResult::Succeeded { output: None }),
        1 => Just(AttemptResult::Succeeded { output: Some("[1]".parse().unwrap()) }),
        2 => Just(AttemptResult::Failed(AttemptFailure::fatal("it never works"))),
        1 => result(),
    ];
    let settlement = (0..9_usize, proptest::collection::vec(results, 1..9));
    prop_oneof![
        2 => op(),
        10 => (4..12_u32).prop_map(|ids| Op::FanOut { run: None, ids }),
        16 => claim,
        16 => settlement.prop_map(|(first, results)| Op::SettleHeld { first, results }),
        3 => (0..999_usize, reports()).prop_map(|(task, reports)| Op::Report { task, reports }),
        12 => (scope(), 1..4_u32).prop_map(|(run, limit)| Op::Aggregate { run, limit }),
        3 => Just(Op::Retry { run: None, limit: 9 }),
        18 => operator_op(),
        2 => (1..3_000_u64).prop_map(|ms| Op::Wait { ms }),
    ]
}
