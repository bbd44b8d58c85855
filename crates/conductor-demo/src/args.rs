//! The command line, read into a value.

use crate::scenarios;
use clap::Parser;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The exit code for arguments that are wrong.
const WRONG_ARGUMENTS: u8 = 2;

/// What the user wants.
#[derive(Debug)]
pub(crate) enum Command {
    /// The scenarios.
    Play(Play),
    /// Their titles.
    List,
    /// To be the process that scenario 8 kills.
    CrashWorker {
        /// Where it works.
        database: PathBuf,
    },
}

/// How the scenarios are played.
#[derive(Debug)]
pub(crate) struct Play {
    /// Their numbers, in order.
    pub(crate) numbers: BTreeSet<u8>,
    /// Where the database is.
    pub(crate) place: Place,
    /// Whether a machine reads the output.
    pub(crate) json: bool,
    /// The folder whose words are counted.
    pub(crate) input: PathBuf,
}

/// Where the database is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a folder that goes away.
    Temporary,
    /// In a new file, which is kept.
    New(PathBuf),
    /// In a file that was kept, whose counting is gone on with.
    Again(PathBuf),
}

impl Play {
    /// Where the database is kept, if it is.
    pub(crate) fn kept(&self) -> Option<&Path> {
        match &self.place {
            Place::Temporary => None,
            Place::New(path) | Place::Again(path) => Some(path),
        }
    }
}

/// Plays the scenarios of Origin Conductor on a real database file.
#[derive(Debug, Parser)]
#[command(name = "conductor-demo", version, disable_help_subcommand = true)]
struct Args {
    /// The folder whose words scenario 9 counts [default: the sources of Origin Conductor]
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// The same folder, as an option
    #[arg(long, value_name = "FOLDER", conflicts_with = "folder")]
    input: Option<PathBuf>,

    /// Play this scenario only; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',',
        value_parser = clap::value_parser!(u8).range(1..=scenarios::COUNT))]
    only: Vec<u8>,

    /// Keep the database in this file, which must not exist yet
    #[arg(long, value_name = "PATH")]
    keep: Option<PathBuf>,

    /// Go on counting words where an interrupted start with this database left off
    #[arg(long, value_name = "PATH", conflicts_with_all = ["keep", "only", "input", "folder"])]
    resume: Option<PathBuf>,

    /// Print one JSON object per scenario, and nothing else
    #[arg(long)]
    json: bool,

    /// List the scenarios
    #[arg(long, exclusive = true)]
    list: bool,

    #[arg(long, value_name = "DATABASE", hide = true, exclusive = true)]
    crash_worker: Option<PathBuf>,
}

/// Reads the arguments of this process; help and complaints are printed, and leave only the exit code.
pub(crate) fn read() -> Result<Command, ExitCode> {
    match Args::try_parse() {
        Ok(args) => command(args).map_err(|sentence| complain(&sentence)),
        Err(help) if !help.use_stderr() => {
            // A reader who has gone away needs no help.
            let _ = help.print();
            Err(ExitCode::SUCCESS)
        }
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Err(complain(line.trim_start_matches("error: ")))
        }
    }
}

fn complain(sentence: &str) -> ExitCode {
    eprintln!("conductor-demo: {sentence} (`--help` says what there is)");
    ExitCode::from(WRONG_ARGUMENTS)
}

fn command(args: Args) -> Result<Command, String> {
    if args.list {
        return Ok(Command::List);
    }
    if let Some(database) = args.crash_worker {
        return Ok(Command::CrashWorker { database });
    }
    let place = place(args.keep, args.resume)?;
    let input = args.input.or(args.folder);
    if let Some(input) = &input {
        must_be_a_folder(input)?;
    }
    let mut numbers = BTreeSet::from_iter(args.only);
    if let Place::Again(_) = place {
        numbers.insert(scenarios::COUNTING);
    } else if numbers.is_empty() {
        numbers = scenarios::numbers().collect();
    }
    Ok(Command::Play(Play { numbers, place, json: args.json, input: input.unwrap_or_else(own_sources) }))
}

fn place(keep: Option<PathBuf>, resume: Option<PathBuf>) -> Result<Place, String> {
    match (keep, resume) {
        (Some(keep), _) => must_be_free(&keep).map(|()| Place::New(keep)),
        (None, Some(resume)) if resume.is_file() => Ok(Place::Again(resume)),
        (None, Some(resume)) => Err(format!("there is no database {} to go on with", resume.display())),
        (None, None) => Ok(Place::Temporary),
    }
}

/// Nothing that somebody has is overwritten.
fn must_be_free(keep: &Path) -> Result<(), String> {
    // A dangling link is something, too.
    if keep.symlink_metadata().is_ok() {
        let keep = keep.display();
        return Err(format!("{keep} exists already: choose another path for --keep, or go on with --resume"));
    }
    Ok(())
}

fn must_be_a_folder(input: &Path) -> Result<(), String> {
    match input.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is not a folder", input.display())),
        Err(error) => Err(format!("there is no folder {}: {error}", input.display())),
    }
}

/// The repository that this program was built from, if it is still there.
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
            Ok(Command::Play(play)) => play.numbers.into_iter().collect(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn all_scenarios_are_played_unless_some_are_named() {
        assert_eq!(numbers(""), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(numbers("--only 3"), [3]);
        assert_eq!(numbers("--only 9 --only 2,4 --only 9"), [2, 4, 9]);
    }

    #[test]
    fn what_is_gone_on_with_is_the_counting() {
        let Ok(Command::Play(play)) = parsed("--resume Cargo.toml --json") else { panic!() };
        assert_eq!(play.place, Place::Again("Cargo.toml".into()));
        assert!(play.numbers.into_iter().eq([scenarios::COUNTING]));
    }

    #[test]
    fn the_folder_is_found_unless_it_is_given() {
        assert!(
            matches!(parsed(""), Ok(Command::Play(Play { input, .. })) if input.join("Cargo.lock").is_file())
        );
        for line in [".", "--input ."] {
            assert!(matches!(parsed(line), Ok(Command::Play(Play { input, .. })) if input == Path::new(".")));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
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
