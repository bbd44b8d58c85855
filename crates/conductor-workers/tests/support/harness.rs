//! A test harness for programs with a `main` of their own, because they also run as their own child processes.

use std::process::ExitCode;
use std::time::Instant;

/// The result of a test or helper that may fail with any error.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// A test by name. It returns a summary that is printed.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Fallible<String>,
}

/// Lists functions as [`Test`]s under their own names.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        [$($crate::harness::Test { name: stringify!($test), run: $test }),*]
    };
}
pub(crate) use tests;

/// Runs the tests that the command line selects, and prints results in the form of the standard harness.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let options = Options::parse(std::env::args().skip(1));
    let selected: Vec<&Test> = tests.iter().filter(|test| options.selects(test.name)).collect();
    if options.list {
        for test in selected {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} test{}", selected.len(), if selected.len() == 1 { "" } else { "s" });
    let (start, mut failed) = (Instant::now(), 0);
    for Test { name, run } in &selected {
        match run() {
            Ok(summary) => println!("test {name} ... ok ({summary})"),
            Err(error) => {
                println!("test {name} ... FAILED: {error}");
                failed += 1;
            }
        }
    }
    println!(
        "\ntest result: {}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        selected.len() - failed,
        tests.len() - selected.len(),
        start.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// The supported options of the standard harness. All others are accepted and ignored.
#[derive(Default)]
struct Options {
    list: bool,
    exact: bool,
    ignored: bool,
    filters: Vec<String>,
    skipped: Vec<String>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => options.list = true,
                "--exact" => options.exact = true,
                "--ignored" => options.ignored = true,
                "--skip" => options.skipped.extend(arguments.next()),
                "--format" | "--color" | "--test-threads" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    arguments.next();
                }
                option if option.starts_with('-') => {
                    options.skipped.extend(option.strip_prefix("--skip=").map(Into::into));
                }
                _ => options.filters.push(argument),
            }
        }
        options
    }

    fn selects(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        let is_selected = self.filters.is_empty() || self.filters.iter().any(matches);
        is_selected && !self.ignored && !self.skipped.iter().any(matches)
    }
}
