//! The macro that forwards the methods of the store traits.

/// Writes the methods of one store trait for a type that wraps another store. Use it inside the `impl` block.
///
/// | form | each method |
/// |---|---|
/// | `Query, \|this\| this.store` | calls the same method of the store that the expression names |
/// | `Store except [claim, settle], \|this\| this.store` | the same without the listed methods, which the `impl` block writes itself; for `Store` only |
/// | `Query through Self::call` | calls `Self::call(self, "name", \|store\| …)`, which decides whether and when the closure runs |
///
/// The form `through` leaves `on_idle` and `write_notifier` at their defaults, because they return no [`Result`].
///
/// ```
/// use conductor_store::{Query, SqliteStore, StoreError, forward_store_methods};
///
/// struct Logged(SqliteStore);
///
/// impl Logged {
///     fn call<T>(
///         &self,
///         name: &'static str,
///         call: impl FnOnce(&SqliteStore) -> Result<T, StoreError>,
///     ) -> Result<T, StoreError> {
///         println!("{name}");
///         call(&self.0)
///     }
/// }
///
/// impl Query for Logged {
///     forward_store_methods!(Query through Self::call);
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! forward_store_methods {
    // The forms that callers write.
    ($trait:ident, |$this:ident| $store:expr) => {
        $crate::forward_store_methods!(@$trait { to $this ($store) } []);
    };
    (Store except [$($own:ident),* $(,)?], |$this:ident| $store:expr) => {
        $crate::forward_store_methods!(@Store { to $this ($store) } [$($own)*]);
    };
    ($trait:ident through $call:path) => {
        $crate::forward_store_methods!(@$trait { through $call } []);
    };

    // The methods of each trait.
    (@Store $how:tt $own:tt) => {
        $crate::forward_store_methods! { @each Store $how $own
            submit(request: &$crate::Submit) -> Result<$crate::SubmitOutcome, $crate::SubmitError>;
            submit_and_claim(request: &$crate::Submit, claim: &$crate::Claim)
                -> Result<($crate::SubmitOutcome, $crate::ClaimOutcome), $crate::SubmitError>;
            append(request: &$crate::Append) -> Result<$crate::AppendOutcome, $crate::AppendError>;
            seal(request: &$crate::Seal) -> Result<(), $crate::SealError>;
            report(request: &$crate::ReportBatch) -> Result<Vec<$crate::ReportOutcome>, $crate::StoreError>;
            fan_out(step: &$crate::FanOut) -> Result<$crate::FanOutOutcome, $crate::StoreError>;
            aggregate(step: &$crate::Step) -> Result<$crate::AggregateOutcome, $crate::StoreError>;
            retry(step: &$crate::Step) -> Result<$crate::StepOutcome, $crate::StoreError>;
            promote(step: &$crate::Step) -> Result<$crate::StepOutcome, $crate::StoreError>;
            sweep(step: &$crate::Step) -> Result<$crate::SweepOutcome, $crate::StoreError>;
            expire(step: &$crate::Step) -> Result<$crate::StepOutcome, $crate::StoreError>;
            register_engine(request: &$crate::RegisterEngine)
                -> Result<$crate::EngineRegistration, $crate::StoreError>;
            claim(request: &$crate::Claim) -> Result<$crate::ClaimOutcome, $crate::StoreError>;
            renew(request: &$crate::Renew) -> Result<Vec<$crate::FenceOutcome>, $crate::StoreError>;
            settle(request: &$crate::Settle) -> Result<$crate::SettleOutcome, $crate::StoreError>;
            release(request: &$crate::Release) -> Result<Vec<$crate::FenceOutcome>, $crate::StoreError>;
            record_progress(request: &$crate::RecordProgress)
                -> Result<Vec<$crate::FenceOutcome>, $crate::StoreError>;
            rescue(request: &$crate::Rescue) -> Result<$crate::StepOutcome, $crate::StoreError>;
        }
        $crate::forward_store_methods!(@plain Store $how on_idle() -> (););
    };
    (@Admin $how:tt $own:tt) => {
        $crate::forward_store_methods! { @each Admin $how $own
            cancel(request: &$crate::Cancel) -> Result<$crate::CancelOutcome, $crate::CancelError>;
            revive(request: &$crate::Revive) -> Result<$crate::ReviveOutcome, $crate::ReviveError>;
            prune(request: &$crate::Prune) -> Result<$crate::PruneOutcome, $crate::StoreError>;
            verify(request: &$crate::Verify) -> Result<$crate::VerifyReport, $crate::StoreError>;
            repair(request: &$crate::Repair) -> Result<$crate::RepairReport, $crate::StoreError>;
        }
    };
    (@Query $how:tt $own:tt) => {
        $crate::forward_store_methods! { @each Query $how $own
            run(id: $crate::RunId) -> Result<Option<$crate::Run>, $crate::StoreError>;
            runs(cursor: Option<$crate::RunId>, limit: u32)
                -> Result<$crate::Page<$crate::Run, $crate::RunId>, $crate::StoreError>;
            task(id: $crate::TaskId) -> Result<Option<$crate::Task>, $crate::StoreError>;
            tasks(run: $crate::RunId, filter: $crate::TaskFilter, cursor: Option<$crate::TaskId>, limit: u32)
                -> Result<$crate::Page<$crate::Task, $crate::TaskId>, $crate::StoreError>;
            children(parent: $crate::TaskId, cursor: u32, limit: u32)
                -> Result<$crate::Page<$crate::Task, u32>, $crate::StoreError>;
            child_outputs(parent: $crate::NodeId, cursor: u32, limit: u32)
                -> Result<$crate::Page<$crate::ChildOutput, u32>, $crate::StoreError>;
            child_failures(parent: $crate::NodeId, cursor: u32, limit: u32)
                -> Result<$crate::Page<$crate::ChildFailure, u32>, $crate::StoreError>;
            events(filter: $crate::EventFilter<'_>, cursor: u64, limit: u32)
                -> Result<$crate::Page<$crate::Event, u64>, $crate::StoreError>;
            task_progress(task: $crate::TaskId) -> Result<Option<$crate::TaskProgress>, $crate::StoreError>;
            run_progress(run: $crate::RunId, cursor: Option<$crate::TaskId>, limit: u32)
                -> Result<$crate::Page<$crate::TaskProgress, $crate::TaskId>, $crate::StoreError>;
            state_counts(scope: $crate::Scope) -> Result<$crate::StateCounts, $crate::StoreError>;
            change_token() -> Result<u64, $crate::StoreError>;
            next_due() -> Result<Option<$crate::Timestamp>, $crate::StoreError>;
            ready_kinds(limit: u32) -> Result<Vec<$crate::Kind>, $crate::StoreError>;
            explain(node: $crate::NodeId, now: $crate::Timestamp)
                -> Result<Option<$crate::Explanation>, $crate::StoreError>;
            stale_claims(fences: &[$crate::Fence]) -> Result<Vec<$crate::Fence>, $crate::StoreError>;
            unknown_claims(engine: $crate::EngineKey, known: &[$crate::Fence], limit: u32)
                -> Result<Vec<$crate::Fence>, $crate::StoreError>;
            run_blockers(run: $crate::RunId, limit: u32) -> Result<$crate::RunBlockers, $crate::StoreError>;
        }
        $crate::forward_store_methods! {
            @plain Query $how write_notifier() -> Option<Box<dyn $crate::WriteNotifier>>;
        }
    };
    (@Monitor $how:tt $own:tt) => {
        $crate::forward_store_methods! { @each Monitor $how $own
            health(scope: $crate::Scope, threshold: $crate::StuckThreshold)
                -> Result<$crate::HealthReport, $crate::StoreError>;
            stuck(scope: $crate::Scope, threshold: $crate::StuckThreshold, limit: u32)
                -> Result<Vec<$crate::StuckItem>, $crate::StoreError>;
            retry_metrics(scope: $crate::Scope) -> Result<$crate::RetryMetrics, $crate::StoreError>;
            eta(run: $crate::RunId, now: $crate::Timestamp)
                -> Result<Option<$crate::Eta>, $crate::StoreError>;
            summary(run: $crate::RunId, threshold: $crate::StuckThreshold)
                -> Result<Option<$crate::RunSummary>, $crate::StoreError>;
        }
    };

    (@each $trait:ident $how:tt $own:tt $($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        $crate::forward_store_methods! {
            @unless $name $own { $trait $how $name($($arg: $type),*) -> $answer }
        }
    )*};

    // A method that the caller writes itself is left out. Macros cannot compare two names, so each has its rule.
    (@unless submit [submit $($own:ident)*] $method:tt) => {};
    (@unless submit_and_claim [submit_and_claim $($own:ident)*] $method:tt) => {};
    (@unless append [append $($own:ident)*] $method:tt) => {};
    (@unless seal [seal $($own:ident)*] $method:tt) => {};
    (@unless report [report $($own:ident)*] $method:tt) => {};
    (@unless fan_out [fan_out $($own:ident)*] $method:tt) => {};
    (@unless aggregate [aggregate $($own:ident)*] $method:tt) => {};
    (@unless retry [retry $($own:ident)*] $method:tt) => {};
    (@unless promote [promote $($own:ident)*] $method:tt) => {};
    (@unless sweep [sweep $($own:ident)*] $method:tt) => {};
    (@unless expire [expire $($own:ident)*] $method:tt) => {};
    (@unless register_engine [register_engine $($own:ident)*] $method:tt) => {};
    (@unless claim [claim $($own:ident)*] $method:tt) => {};
    (@unless renew [renew $($own:ident)*] $method:tt) => {};
    (@unless settle [settle $($own:ident)*] $method:tt) => {};
    (@unless release [release $($own:ident)*] $method:tt) => {};
    (@unless record_progress [record_progress $($own:ident)*] $method:tt) => {};
    (@unless rescue [rescue $($own:ident)*] $method:tt) => {};
    (@unless $name:ident [$other:ident $($own:ident)*] $method:tt) => {
        $crate::forward_store_methods!(@unless $name [$($own)*] $method);
    };
    (@unless $name:ident [] { $($method:tt)* }) => {
        $crate::forward_store_methods!(@method $($method)*);
    };

    // Methods that return no `Result`.
    (@plain $trait:ident { through $call:path } $name:ident() -> $answer:ty;) => {};
    (@plain $trait:ident $how:tt $name:ident() -> $answer:ty;) => {
        $crate::forward_store_methods!(@method $trait $how $name() -> $answer);
    };

    // One method.
    (@method $trait:ident { to $this:ident ($store:expr) } $name:ident($($arg:ident: $type:ty),*) -> $answer:ty) => {
        fn $name(&self, $($arg: $type),*) -> $answer {
            let $this = self;
            $crate::$trait::$name(&$store, $($arg),*)
        }
    };
    (@method $trait:ident { through $call:path } $name:ident($($arg:ident: $type:ty),*) -> $answer:ty) => {
        fn $name(&self, $($arg: $type),*) -> $answer {
            $call(self, stringify!($name), |store| $crate::$trait::$name(store, $($arg),*))
        }
    };
}
