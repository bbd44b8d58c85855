//! The macro that generates the tests of one list.

/// Generates one test per name, in a module per topic.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($folder:ident: $($topic:ident { $($test:ident)* })*) => {
        $(
            mod $topic {
                $(
                    #[test]
                    fn $test() {
                        $crate::check(&super::fixture(), $crate::$folder::$topic::$test);
                    }
                )*
            }
        )*
    };
}
