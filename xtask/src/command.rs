//! The command line.

use std::ffi::OsString;

use crate::ci::Step;

/// The text that `cargo xtask` and `cargo xtask help` print.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask <command>

  demo [args…]        run the scenarios of conductor-demo on a real database file (`demo --help` shows its options)
  test [args…]        run every test and doctest, then the tidy checks; with args, run `cargo test` with them
  tidy [--fix]        run the tidy checks only; --fix rewrites the generated sections of the documents first
  bench [args…]       run the benches of conductor-bench, each beside its baseline (`bench --help` shows its options)
  instructions        count the instructions of a fan-out, a claim and a settlement, and compare them with the record
  mutants [name…]     put known bugs into a copy of the tree, one at a time; a test must catch each
  ci [--skip <step>]  run all checks that a change must pass before it is merged; --skip may be repeated
                      steps: fmt, clippy, alone, test, doc, deny, package, demo, bench, mutants
  help                print this";

/// A valid command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Run the demo with these arguments.
    Demo(Vec<OsString>),
    /// Run the tests and the tidy checks; with arguments, run `cargo test` with them.
    Test(Vec<OsString>),
    /// Run the tidy checks.
    Tidy {
        /// Rewrite the generated sections first.
        fix: bool,
    },
    /// Run the benches with these arguments.
    Bench(Vec<OsString>),
    /// Count instructions.
    Instructions,
    /// Check that the tests catch known bugs.
    Mutants {
        /// The names of the bugs; all bugs if it is empty.
        names: Vec<String>,
    },
    /// Run every step that is not skipped.
    Ci {
        /// The steps to leave out.
        skip: Vec<Step>,
    },
}

/// Reads the arguments after `cargo xtask`. The error is a message for the user.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut args = args.into_iter();
    let Some(name) = args.next() else { return Ok(Command::Help) };
    let rest: Vec<OsString> = args.collect();
    match name.to_string_lossy().as_ref() {
        "help" | "-h" | "--help" => Ok(Command::Help),
        "demo" => Ok(Command::Demo(rest)),
        "test" => Ok(Command::Test(rest)),
        "tidy" => tidy(&rest),
        "bench" => Ok(Command::Bench(rest)),
        "instructions" if rest.is_empty() => Ok(Command::Instructions),
        "instructions" => Err("`instructions` takes no arguments".to_owned()),
        "mutants" => {
            let names = rest.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            Ok(Command::Mutants { names })
        }
        "ci" => ci(&rest),
        other => Err(format!("unknown command `{other}`; use one of the commands below")),
    }
}

fn tidy(args: &[OsString]) -> Result<Command, String> {
    match args {
        [] => Ok(Command::Tidy { fix: false }),
        [fix] if fix == "--fix" => Ok(Command::Tidy { fix: true }),
        _ => Err("wrong arguments; `tidy` takes only `--fix`".to_owned()),
    }
}

fn ci(args: &[OsString]) -> Result<Command, String> {
    let skip = args.chunks(2).map(skipped).collect::<Result<_, _>>()?;
    Ok(Command::Ci { skip })
}

fn skipped(pair: &[OsString]) -> Result<Step, String> {
    match pair {
        [skip, step] if skip == "--skip" => Step::named(&step.to_string_lossy())
            .ok_or_else(|| format!("unknown step `{}`; use one of the steps below", step.display())),
        _ => Err("wrong arguments; `ci` takes only `--skip <step>`, once or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn no_arguments_and_help_print_usage() {
        for line in ["", "help", "--help", "-h"] {
            assert_eq!(parsed(line), Ok(Command::Help), "{line}");
        }
    }

    #[test]
    fn arguments_of_demo_test_and_bench_are_kept() {
        let args = vec![OsString::from("--only"), OsString::from("3"), OsString::from("--help")];
        assert_eq!(parsed("demo --only 3 --help"), Ok(Command::Demo(args.clone())));
        assert_eq!(parsed("test --only 3 --help"), Ok(Command::Test(args.clone())));
        assert_eq!(parsed("bench --only 3 --help"), Ok(Command::Bench(args)));
    }

    #[test]
    fn mutants_takes_names() {
        assert_eq!(parsed("mutants"), Ok(Command::Mutants { names: vec![] }));
        let names = vec!["no-fence".to_owned(), "lost-wake-up".to_owned()];
        assert_eq!(parsed("mutants no-fence lost-wake-up"), Ok(Command::Mutants { names }));
    }

    #[test]
    fn options_of_tidy_and_ci_are_read() {
        assert_eq!(parsed("tidy"), Ok(Command::Tidy { fix: false }));
        assert_eq!(parsed("tidy --fix"), Ok(Command::Tidy { fix: true }));
        assert_eq!(parsed("ci"), Ok(Command::Ci { skip: vec![] }));
        let skip = vec![Step::Test, Step::Demo];
        assert_eq!(parsed("ci --skip test --skip demo"), Ok(Command::Ci { skip }));
    }

    #[test]
    fn wrong_command_lines_are_rejected() {
        for line in [
            "tests",
            "tidy --bless",
            "tidy --fix now",
            "ci --skip",
            "ci --skip lunch",
            "ci test",
            "instructions now",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn usage_names_every_step() {
        let list = Step::ALL.map(Step::name).join(", ");
        assert!(USAGE.contains(&format!("steps: {list}\n")), "write `steps: {list}`");
    }
}
