//! Reads the command line into a value.

use crate::scenarios;
use clap::Parser;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The exit code for wrong arguments.
const WRONG_ARGUMENTS: u8 = 2;

/// A command of the demo.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run scenarios.
    Run(Options),
    /// Print the titles of the scenarios.
    List,
    /// Run as the process that scenario 8 kills.
    CrashWorker {
        /// The database that it works on.
        database: PathBuf,
    },
}

/// The options of a run of scenarios.
#[derive(Debug)]
pub(crate) struct Options {
    /// The numbers of the scenarios, in order.
    pub(crate) numbers: BTreeSet<u8>,
    /// The database.
    pub(crate) database: Database,
    /// Whether the output is JSON.
    pub(crate) json: bool,
    /// The folder whose words scenario 9 counts.
    pub(crate) input: PathBuf,
}

/// The database of the demo.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file in creating a temporary folder, which is deleted at the end.
    Temporary,
    /// A new file, which is kept.
    New(PathBuf),
    /// A file of an interrupted demo, whose word count continues.
    Resumed(PathBuf),
}

impl Options {
    /// Returns the path of the database, if it is kept.
    pub(crate) fn kept_path(&self) -> Option<&Path> {
        match &self.database {
            Database::Temporary => None,
            Database::New(path) | Database::Resumed(path) => Some(path),
        }
    }
}

/// Runs the scenarios of Origin Conductor on a real database file.
#[derive(Debug, Parser)]
#[command(name = "conductor-demo", version, disable_help_subcommand = true)]
struct Args {
    /// The folder whose words scenario 9 counts [default: the sources of Origin Conductor]
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// The same folder, as an option
    #[arg(long, value_name = "FOLDER", conflicts_with = "folder")]
    input: Option<PathBuf>,

    /// Run only this scenario; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',',
        value_parser = clap::value_parser!(u8).range(1..=scenarios::COUNT))]
    only: Vec<u8>,

    /// Keep the database in this file, which must not exist yet
    #[arg(long, value_name = "PATH")]
    keep: Option<PathBuf>,

    /// Continue the interrupted word count in this database
    #[arg(long, value_name = "PATH", conflicts_with_all = ["keep", "only", "input", "folder"])]
    resume: Option<PathBuf>,

    /// Print one JSON object per scenario and nothing else
    #[arg(long)]
    json: bool,

    /// List the scenarios
    #[arg(long, exclusive = true)]
    list: bool,

    #[arg(long, value_name = "DATABASE", hide = true, exclusive = true)]
    crash_worker: Option<PathBuf>,
}

/// Reads the arguments of this process. Prints help and errors; then only the exit code is left.
pub(crate) fn read() -> Result<Command, ExitCode> {
    match Args::try_parse() {
        Ok(args) => command(args).map_err(|sentence| print_error(&sentence)),
        Err(help) if !help.use_stderr() => {
            // A closed pipe is not an error here.
            let _ = help.print();
            Err(ExitCode::SUCCESS)
        }
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Err(print_error(line.trim_start_matches("error: ")))
        }
    }
}

fn print_error(sentence: &str) -> ExitCode {
    eprintln!("conductor-demo: {sentence} (see `--help`)");
    ExitCode::from(WRONG_ARGUMENTS)
}

fn command(args: Args) -> Result<Command, String> {
    if args.list {
        return Ok(Command::List);
    }
    if let Some(database) = args.crash_worker {
        return Ok(Command::CrashWorker { database });
    }
    let database = database(args.keep, args.resume)?;
    let input = args.input.or(args.folder);
    if let Some(input) = &input {
        check_is_folder(input)?;
    }
    let mut numbers = BTreeSet::from_iter(args.only);
    if let Database::Resumed(_) = database {
        numbers.insert(scenarios::COUNTING);
    } else if numbers.is_empty() {
        numbers = scenarios::numbers().collect();
    }
    Ok(Command::Run(Options { numbers, database, json: args.json, input: input.unwrap_or_else(own_sources) }))
}

fn database(keep: Option<PathBuf>, resume: Option<PathBuf>) -> Result<Database, String> {
    match (keep, resume) {
        (Some(keep), _) => check_path_is_free(&keep).map(|()| Database::New(keep)),
        (None, Some(resume)) if resume.is_file() => Ok(Database::Resumed(resume)),
        (None, Some(resume)) => Err(format!(
            "{} is not a database file; pass the path that an interrupted demo printed",
            resume.display()
        )),
        (None, None) => Ok(Database::Temporary),
    }
}

/// Refuses a path that exists, so that the demo overwrites nothing.
fn check_path_is_free(keep: &Path) -> Result<(), String> {
    // A dangling link counts as existing.
    if keep.symlink_metadata().is_ok() {
        let keep = keep.display();
        return Err(format!(
            "{keep} exists already; choose another path for --keep, or continue it with --resume"
        ));
    }
    Ok(())
}

fn check_is_folder(input: &Path) -> Result<(), String> {
    match input.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is not a folder", input.display())),
        Err(error) => Err(format!("folder {} cannot be opened: {error}", input.display())),
    }
}

/// Returns the repository that this program was built from, or the current folder if it is gone.
fn own_sources() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    repository.filter(|root| root.is_dir()).unwrap_or(Path::new(".")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(line: &str) -> Result<Command, String> {
        let args = ["conductor-demo"].into_iter().chain(line.split_whitespace());
        Args::try_parse_from(args).map_err(|error| error.to_string()).and_then(command)
    }

    fn numbers(line: &str) -> Vec<u8> {
        match parsed(line) {
            Ok(Command::Run(options)) => options.numbers.into_iter().collect(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn clap_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_only_all_scenarios_are_selected() {
        assert_eq!(numbers(""), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(numbers("--only 3"), [3]);
        assert_eq!(numbers("--only 9 --only 2,4 --only 9"), [2, 4, 9]);
    }

    #[test]
    fn resume_selects_word_count() {
        let Ok(Command::Run(options)) = parsed("--resume Cargo.toml --json") else { panic!() };
        assert_eq!(options.database, Database::Resumed("Cargo.toml".into()));
        assert!(options.numbers.into_iter().eq([scenarios::COUNTING]));
    }

    #[test]
    fn default_folder_is_repository() {
        assert!(
            matches!(parsed(""), Ok(Command::Run(Options { input, .. })) if input.join("Cargo.lock").is_file())
        );
        for line in [".", "--input ."] {
            assert!(
                matches!(parsed(line), Ok(Command::Run(Options { input, .. })) if input == Path::new("."))
            );
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in [
            "--only 0",
            "--only 10",
            "--only",
            "--only x",
            "--bogus",
            ". --input .",
            ". .",
            "--list --json",
            "--crash-worker",
            "--crash-worker x --json",
            "--input Cargo.toml",
            "nowhere",
            "--keep .",
            "--resume",
            "--resume .",
            "--resume nowhere",
            "--resume Cargo.toml --keep x",
            "--resume Cargo.toml --only 9",
            "--resume Cargo.toml .",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
