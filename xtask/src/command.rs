//! The command line, read into a value.

use std::ffi::OsString;

use crate::ci::Step;

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask <command>

  demo [args…]        run the scenarios of conductor-demo on a real database file (`demo --help` shows its options)
  test [args…]        run every test and doctest, then the tidy checks; args go to `cargo test`
  tidy [--bless]      run the tidy checks alone; --bless rewrites the generated sections of the documentation
  bench [args…]       run the benches of conductor-bench, each beside its baseline (`bench --help` shows its options)
  instructions        count the instructions of a fan-out, a claim and a settlement beside what is recorded
  mutants [name…]     make known mistakes in a copy of the tree, one at a time: a test must catch each
  ci [--skip <step>]  run everything that must hold before a change is merged; --skip may be repeated
                      steps: fmt, clippy, alone, test, doc, deny, package, demo, bench, mutants
  help                print this";

/// A command line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Run the demo with these arguments.
    Demo(Vec<OsString>),
    /// Run the tests, with these arguments for `cargo test`, and the tidy checks.
    Test(Vec<OsString>),
    /// Run the tidy checks.
    Tidy {
        /// Rewrite the generated sections first.
        bless: bool,
    },
    /// Run the benches with these arguments.
    Bench(Vec<OsString>),
    /// Count instructions.
    Instructions,
    /// Plant bugs and see that tests catch them.
    Mutants {
        /// Which bugs; all of them if none is named.
        names: Vec<String>,
    },
    /// Run every step that is not skipped.
    Ci {
        /// The steps to leave out.
        skip: Vec<Step>,
    },
}

/// Reads the arguments after `cargo xtask`; the error is a sentence for the person who typed them.
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
        "instructions" => Err("`instructions` takes no arguments.".to_owned()),
        "mutants" => {
            let names = rest.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            Ok(Command::Mutants { names })
        }
        "ci" => ci(&rest),
        other => Err(format!("There is no command `{other}`; use one of those below.")),
    }
}

fn tidy(args: &[OsString]) -> Result<Command, String> {
    match args {
        [] => Ok(Command::Tidy { bless: false }),
        [bless] if bless == "--bless" => Ok(Command::Tidy { bless: true }),
        _ => Err("`tidy` takes `--bless` and nothing else.".to_owned()),
    }
}

fn ci(args: &[OsString]) -> Result<Command, String> {
    let skip = args.chunks(2).map(skipped).collect::<Result<_, _>>()?;
    Ok(Command::Ci { skip })
}

fn skipped(pair: &[OsString]) -> Result<Step, String> {
    match pair {
        [skip, step] if skip == "--skip" => Step::named(&step.to_string_lossy())
            .ok_or_else(|| format!("There is no step `{}` to skip.", step.display())),
        _ => Err("`ci` takes `--skip <step>`, as often as needed, and nothing else.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn no_arguments_and_help_print_the_usage() {
        for line in ["", "help", "--help", "-h"] {
            assert_eq!(parsed(line), Ok(Command::Help), "{line}");
        }
    }

    #[test]
    fn arguments_of_demo_test_and_bench_pass_through_untouched() {
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
    fn tidy_and_ci_know_their_options() {
        assert_eq!(parsed("tidy"), Ok(Command::Tidy { bless: false }));
        assert_eq!(parsed("tidy --bless"), Ok(Command::Tidy { bless: true }));
        assert_eq!(parsed("ci"), Ok(Command::Ci { skip: vec![] }));
        let skip = vec![Step::Test, Step::Demo];
        assert_eq!(parsed("ci --skip test --skip demo"), Ok(Command::Ci { skip }));
    }

    #[test]
    fn everything_else_is_refused_with_a_sentence() {
        for line in [
            "tests",
            "tidy --fix",
            "tidy --bless now",
            "ci --skip",
            "ci --skip lunch",
            "ci test",
            "instructions now",
        ] {
            let sentence = parsed(line).unwrap_err();
            assert!(sentence.ends_with('.'), "{line}: {sentence}");
        }
    }

    #[test]
    fn the_usage_names_every_step() {
        let list = Step::ALL.map(Step::name).join(", ");
        assert!(USAGE.contains(&format!("steps: {list}\n")), "write `steps: {list}`");
    }
}
