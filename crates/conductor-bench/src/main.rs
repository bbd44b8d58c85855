//! Benchmarks. Each result is beside its baseline: the shortest raw SQL that writes the same rows with the same durability. The
//! bench `layout` compares this raw SQL with a second floor: raw SQL on tables with a row for each task and each event.
//!
//! `cargo xtask bench` runs each bench in its own process, so that the memory of one does not count for another.
//! [`benches`] has the workloads, [`baseline`] the raw SQL, [`measure`] the method, [`report`] the output.

mod baseline;
mod benches;
mod instructions;
mod measure;
mod memory;
mod outcome;
mod report;
mod subprocess;
mod workspace;

use benches::BENCHES;
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use conductor_store::Synchronous;
use measure::Bench;
use outcome::Outcome;
use report::{Record, compare, plot, summary};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Measures Origin Conductor, each result beside its baseline in the same run.
///
/// The baseline is raw SQL that writes the same rows of blocks, sets, ended tasks and events, in transactions of its best size. It
/// runs no handler and checks nothing. In the bench `layout`, the value is that raw SQL, and the baseline is raw SQL on a row for
/// each task.
///
/// A whole run takes about half an hour. A row has the median and the median of the baseline. The ratio of both is 1 if they are
/// equal; more is better. The spread is the slowest round divided by the fastest. The last columns are the peak memory of the
/// process and the growth of the file for each task. Plots are written to target/bench.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    /// Run small sizes and one round, only to see that the benches work
    #[arg(long)]
    quick: bool,
    /// Run only this bench; may be repeated
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(BENCHES.map(|(name, _)| name)))]
    only: Vec<String>,
    /// Write the records to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the ratios to the records of an earlier run
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The hidden commands of the processes that this one starts.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
enum Part {
    /// Runs one bench and prints its records.
    #[command(hide = true)]
    One { name: String },
    /// Runs an engine on a file until its run is settled.
    #[command(hide = true)]
    Worker { file: PathBuf, sync: Sync },
    /// Runs an engine that reports each start of a handler.
    #[command(hide = true)]
    Listener { file: PathBuf, sync: Sync },
    /// Runs one operation under callgrind.
    #[command(hide = true)]
    Count { name: String },
}

/// A durability on the command line, written like [`Synchronous`].
#[derive(Clone, Copy)]
struct Sync(Synchronous);

impl std::str::FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Synchronous::Full, Synchronous::Normal];
        let found = all.into_iter().find(|sync| format!("{sync:?}") == text);
        found.map(Self).ok_or_else(|| format!("`{text}` is not a durability; use Full or Normal"))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.part {
        None => run(&args),
        Some(Part::One { name }) => bench(name).and_then(|bench| bench(&Bench::new(args.quick))),
        Some(Part::Worker { file, sync }) => subprocess::work(file, sync.0),
        Some(Part::Listener { file, sync }) => subprocess::run_listener(file, sync.0),
        Some(Part::Count { name }) => instructions::run(name),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conductor-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(name: &str) -> Outcome<benches::Entry> {
    let found = BENCHES.iter().find(|(known, _)| *known == name);
    found.map(|(_, bench)| *bench).ok_or_else(|| format!("bench `{name}` does not exist").into())
}

fn run(args: &Args) -> Outcome<()> {
    // Check the arguments before measuring.
    let earlier = args.compare.as_deref().map(report::read).transpose()?;
    let is_asked = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let mut json = args.json.as_deref().map(create).transpose()?;
    let mut records = Vec::new();
    let mut out = std::io::stdout();
    writeln!(out, "{}", summary::header())?;
    for (name, _) in BENCHES.into_iter().filter(|(name, _)| is_asked(name)) {
        run_one(name, args.quick, |record| {
            writeln!(out, "{}", summary::row(&record))?;
            if let Some(json) = &mut json {
                writeln!(json, "{}", serde_json::to_string(&record)?)?;
            }
            records.push(record);
            Ok(())
        })?;
    }
    let folder = folder()?;
    std::fs::create_dir_all(&folder)?;
    for plot in plot::all(&folder, &records)? {
        writeln!(out, "plot: {}", plot.display())?;
    }
    if let Some(earlier) = earlier {
        write!(out, "{}", compare::table(&earlier, &records))?;
    }
    Ok(())
}

/// Returns the folder of the plots: `bench` beside the build profile of this program.
fn folder() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).ok_or("a program without a folder")?;
    Ok(target.join("bench"))
}

fn create(path: &Path) -> Outcome<std::fs::File> {
    std::fs::File::create(path)
        .map_err(|error| format!("{} cannot be written: {error}.", path.display()).into())
}

/// Runs one bench in its own process.
fn run_one(name: &str, quick: bool, mut take: impl FnMut(Record) -> Outcome<()>) -> Outcome<()> {
    let mut command = Command::new(std::env::current_exe()?);
    if quick {
        command.arg("--quick");
    }
    let mut child = command.args(["one", name]).stdout(Stdio::piped()).spawn()?;
    let lines = child.stdout.take().ok_or("a child without its output")?;
    for line in BufReader::new(lines).lines() {
        take(serde_json::from_str(&line?)?)?;
    }
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(format!("the bench `{name}` failed ({status}); its error is above.").into()),
    }
}
