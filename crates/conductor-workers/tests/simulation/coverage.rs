//! Counts of what the random histories covered.

/// How many times each interesting event happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coverage {
    /// A join started.
    pub(crate) joins: u32,
    /// The parent of a join reopened.
    pub(crate) reopened_joins: u32,
    /// A claim ended because its task was cancelled.
    pub(crate) claims_cancelled: u32,
    /// A result or release came too late.
    pub(crate) late_results: u32,
    pub(crate) failed_fast: u32,
    pub(crate) deadlines: u32,
    pub(crate) cancels: u32,
    /// A leaf was revived.
    pub(crate) revived: u32,
    /// A parent or a run reopened.
    pub(crate) reopened: u32,
    /// A run was pruned.
    pub(crate) pruned: u32,
}

impl Coverage {
    /// Checks that every event happened often. Thousands of seeds reach this.
    pub(crate) fn assert_complete(self) {
        let Self { joins, reopened_joins, claims_cancelled, late_results, failed_fast, .. } = self;
        let Self { deadlines, cancels, revived, reopened, pruned, .. } = self;
        let all = [
            joins,
            reopened_joins,
            claims_cancelled,
            late_results,
            failed_fast,
            deadlines,
            cancels,
            revived,
            reopened,
            pruned,
        ];
        assert!(all.iter().all(|times| *times > 20), "{self:#?}");
    }
}

impl std::ops::AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        self.joins += other.joins;
        self.reopened_joins += other.reopened_joins;
        self.claims_cancelled += other.claims_cancelled;
        self.late_results += other.late_results;
        self.failed_fast += other.failed_fast;
        self.deadlines += other.deadlines;
        self.cancels += other.cancels;
        self.revived += other.revived;
        self.reopened += other.reopened;
        self.pruned += other.pruned;
    }
}
