//! The programs of the corpus. They depend on their number alone, so this file must not change.

use crate::programs::{Among, ClaimOp, ENGINES, KINDS, Named, Op, ParentOptions, Root, RootShape};
use conductor_model::{AttemptFailure, ErrorText, Policy};
use conductor_store::{AttemptResult, ReportedResult, ReviveFilter};

/// The program with this number. A third each: all operations, mostly engines, mostly cancels and revivals.
pub(super) fn program(number: usize) -> Vec<Op> {
    let mut random = Random(number as u64);
    let first = random.between(1, 3);
    let mut ops: Vec<Op> = (0..first).map(|_| random.submit()).collect();
    for _ in 0..random.between(5, 45) {
        ops.push(match number % 3 {
            0 => random.op(),
            1 if random.one_in(8) => random.op(),
            1 => random.engine_op(),
            _ if random.one_in(3) => random.operator_op(),
            _ => random.progress_op(),
        });
    }
    ops
}

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `first` to `last`.
    fn between(&mut self, first: u32, last: u32) -> u32 {
        first + u32::try_from(self.next() % u64::from(last - first + 1)).unwrap()
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.between(1, n) == 1
    }

    fn number(&mut self) -> usize {
        self.between(0, 998) as usize
    }

    fn ms(&mut self, last: u32) -> u64 {
        u64::from(self.between(1, last))
    }

    /// The run of a step, or none.
    fn scope(&mut self) -> Option<usize> {
        self.one_in(4).then(|| self.number())
    }

    fn several<T>(&mut self, first: u32, last: u32, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.between(first, last)).map(|_| make(self)).collect()
    }

    fn policy(&mut self) -> Policy {
        match self.between(0, 9) {
            0..=2 => Policy::Fail,
            3 | 4 => Policy::Tolerate(self.between(0, 2)),
            5 => Policy::tolerate_percent(u8::try_from(self.between(0, 100)).unwrap()).unwrap(),
            6 | 7 => Policy::Ignore,
            _ => Policy::FailFast,
        }
    }

    fn options(&mut self) -> ParentOptions {
        if self.one_in(3) {
            return ParentOptions::default();
        }
        let policy = self.policy();
        let join = (!self.one_in(2)).then(|| (self.number() % KINDS.len(), i64::from(self.between(0, 1))));
        ParentOptions { policy, join }
    }

    fn root(&mut self) -> Root {
        let shape = match self.between(0, 9) {
            0..=2 => RootShape::Leaf,
            3..=5 => RootShape::Count(self.between(1, 6)),
            6..=8 => {
                let item = |random: &mut Self| random.one_in(3).then(|| random.between(1, 3));
                RootShape::Items(self.several(1, 4, item))
            }
            _ => RootShape::Open,
        };
        let delay_ms = self.one_in(7).then(|| self.ms(2_000));
        Root { shape, delay_ms, options: self.options() }
    }

    fn submit(&mut self) -> Op {
        Op::Submit {
            roots: self.several(0, 4, Self::root),
            open: self.one_in(4),
            retries: u8::try_from(self.between(0, 2)).unwrap(),
            options: self.options(),
            deadline_ms: self.one_in(5).then(|| self.ms(6_000)),
        }
    }

    fn op(&mut self) -> Op {
        match self.between(0, 27) {
            0 | 1 => self.submit(),
            2 | 3 => {
                Op::AppendItems { task: self.number(), before: self.between(0, 3), count: self.between(0, 3) }
            }
            4 => Op::AppendRoots {
                run: self.number(),
                before: self.between(0, 3),
                roots: self.several(0, 2, Self::root),
            },
            5 => Op::Seal { task: self.number(), off_by: self.between(0, 2) },
            6 => Op::SealRun { run: self.number(), off_by: self.between(0, 2) },
            7 => Op::Promote { run: self.scope(), limit: self.between(1, 3) },
            8..=11 => self.operator_op(),
            12..=19 => self.engine_op(),
            _ => self.progress_op(),
        }
    }

    /// Operations that bring tasks nearer to their end.
    fn progress_op(&mut self) -> Op {
        match self.between(0, 11) {
            0 | 1 => Op::FanOut { run: self.scope(), ids: self.between(0, 12) },
            2 | 3 => Op::Claim(self.claim()),
            4 | 5 => Op::SettleHeld { first: self.number(), results: self.several(1, 8, Self::result) },
            6 | 7 => Op::Report { task: self.number(), reports: self.several(1, 4, Self::report) },
            8 => Op::Retry { run: self.scope(), limit: self.between(1, 3) },
            9 | 10 => Op::Aggregate { run: self.scope(), limit: self.between(1, 3) },
            _ => Op::Wait { ms: self.ms(3_000) },
        }
    }

    fn engine_op(&mut self) -> Op {
        match self.between(0, 20) {
            0..=4 => Op::Claim(self.claim()),
            5 | 6 => Op::SubmitAndClaim(self.between(0, 4) as usize, self.claim()),
            7..=9 => Op::Settle {
                results: self.several(0, 4, |random| (random.named(), random.result())),
                next: self.one_in(2).then(|| self.claim()),
            },
            10 | 11 => Op::SettleHeld { first: self.number(), results: self.several(1, 4, Self::result) },
            12 => Op::Renew { named: self.several(0, 3, Self::named), lease_ms: self.ms(4_000) },
            13 => Op::Release { named: self.several(0, 3, Self::named) },
            14 | 15 => Op::Rescue { limit: self.between(0, 3) },
            16 => Op::Replace { engine: self.number() % ENGINES },
            17 => Op::Retry { run: None, limit: 9 },
            18 => Op::FanOut { run: None, ids: self.between(8, 16) },
            19 => Op::Wait { ms: self.ms(3_000) },
            _ => Op::Back { ms: self.ms(6_000) },
        }
    }

    fn operator_op(&mut self) -> Op {
        match self.between(0, 20) {
            0..=4 => {
                let among = [
                    Among::All,
                    Among::Open,
                    Among::OpenParents,
                    Among::OpenJoins,
                    Among::ParentsWithOpenJoin,
                ];
                Op::CancelTask {
                    task: self.number(),
                    among: among[self.number() % among.len()],
                    is_swept: self.one_in(2),
                }
            }
            5 => Op::CancelRun { run: self.number() },
            6..=9 => Op::Sweep { run: self.scope(), limit: self.between(1, 3), until_done: self.one_in(2) },
            10 | 11 => Op::Expire { run: self.scope(), limit: self.between(1, 2) },
            12..=15 => Op::ReviveLeaf { task: self.number(), among_all: self.one_in(10) },
            _ => Op::ReviveAll {
                node: self.number(),
                among_all: self.one_in(5),
                which: [ReviveFilter::Failed, ReviveFilter::FailedAndCancelled][self.number() % 2],
                limit: self.between(1, 3),
            },
        }
    }

    fn claim(&mut self) -> ClaimOp {
        let limits = [0, 1].map(|_| if self.one_in(7) { 0 } else { self.between(1, 8) });
        ClaimOp {
            engine: self.number() % ENGINES,
            limits,
            limit: self.between(0, 8),
            lease_ms: self.ms(4_000),
            isolated: self.one_in(2),
        }
    }

    fn named(&mut self) -> Named {
        let back = if self.one_in(9) { self.number() } else { self.between(0, 5) as usize };
        (back, u32::from(self.one_in(13)))
    }

    fn result(&mut self) -> AttemptResult {
        match self.between(0, 8) {
            0..=2 => AttemptResult::Succeeded { output: None },
            3..=5 => AttemptResult::Succeeded { output: Some("[1]".parse().unwrap()) },
            6 | 7 => AttemptResult::Failed(AttemptFailure::Error {
                error: "it broke".into(),
                retryable: !self.one_in(5),
                retry_after_ms: self.one_in(3).then(|| self.ms(3_000)),
            }),
            _ => AttemptResult::Failed(AttemptFailure::TimedOut),
        }
    }

    /// A report on a task near the first one.
    fn report(&mut self) -> (usize, ReportedResult, Option<u32>) {
        let result = match self.between(0, 13) {
            0 | 1 => ReportedResult::Started,
            2..=7 => {
                let output = ["0", "false", "\"\"", "null", ""][self.number() % 5];
                ReportedResult::Succeeded { output: output.parse().ok() }
            }
            8..=12 => ReportedResult::Failed {
                error: ErrorText::from(["timeout", ""][self.number() % 2]),
                retryable: !self.one_in(5),
                retry_after_ms: self.one_in(3).then(|| self.ms(3_000)),
            },
            _ => ReportedResult::Cancelled,
        };
        (self.number() % 3, result, self.one_in(3).then(|| self.between(0, 3)))
    }
}
