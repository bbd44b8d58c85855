//! The lists of the tests, one per folder, and the macros that generate a test from each name.

mod admin;
mod cancellation;
mod claims;
mod generate;
mod lifecycle;
mod read;

/// Generates the tests of the suite, for the stores that a factory creates.
///
/// The argument is an expression that can be called without arguments, for instance a closure or the path of a
/// function. It is called once per test, and returns a [`Fixture`](crate::Fixture) with an empty store.
///
/// Each test is an item `topic::name`, so that a module holds at most one call. See [the crate](crate) for an
/// example.
#[macro_export]
macro_rules! suite {
    ($factory:expr $(,)?) => {
        fn fixture() -> impl $crate::Fixture {
            ($factory)()
        }

        $crate::__lifecycle_tests!();
        $crate::__claims_tests!();
        $crate::__cancellation_tests!();
        $crate::__read_tests!();
        $crate::__admin_tests!();
    };
}
