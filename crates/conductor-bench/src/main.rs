//! Benchmarks, each record beside its floor: the shortest raw SQL that writes the same rows with the same durability.
//!
//! `cargo xtask bench` runs all of them, each in a process of its own, so that what one leaves in memory is no other's.
//! [`benches`] says what is measured, [`floor`] against what, [`measure`] how, [`record`] what comes out.

mod baseline;
mod benches;
mod instructions;
mod measure;
mod memory;
mod report;
mod subprocess;
mod workspace;

use benches::BENCHES;
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use conductor_store::Synchronous;
use measure::Bench;
use report::{Record, compare, plot, summary};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measure Origin Conductor, each record beside its floor in the same run.
///
/// All of it takes about half an hour. The table and the plots in target/bench say for each record: the value and the floor's, both
/// the median of the rounds; their ratio, where 1 is as good and more is better; the slowest of our rounds over the fastest; the most
/// memory that this process held; and what the file grew by for each task.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    /// Small sizes, one round: whether all of it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Only this bench; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(BENCHES.map(|(name, _)| name)))]
    only: Vec<String>,
    /// Write the records here, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the ratios to an earlier file of records.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the processes are asked to do that this one starts.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
enum Part {
    /// One bench; its records go to standard output.
    #[command(hide = true)]
    One { name: String },
    /// An engine that works on a file until its run is settled.
    #[command(hide = true)]
    Worker { file: PathBuf, sync: Sync },
    /// An engine that says when a handler starts.
    #[command(hide = true)]
    Listener { file: PathBuf, sync: Sync },
    /// What is counted under callgrind.
    #[command(hide = true)]
    Count { name: String },
}

/// The durability, as [`Synchronous`] writes it.
#[derive(Clone, Copy)]
struct Sync(Synchronous);

impl std::str::FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Synchronous::Full, Synchronous::Normal];
        let found = all.into_iter().find(|sync| format!("{sync:?}") == text);
        found.map(Self).ok_or_else(|| format!("`{text}` is no durability"))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.part {
        None => run(&args),
        Some(Part::One { name }) => bench(name).and_then(|bench| bench(&Bench::new(args.quick))),
        Some(Part::Worker { file, sync }) => subprocess::work(file, sync.0),
        Some(Part::Listener { file, sync }) => subprocess::listen(file, sync.0),
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
    found.map(|(_, bench)| *bench).ok_or_else(|| format!("there is no bench `{name}`").into())
}

fn run(args: &Args) -> Outcome<()> {
    // What cannot be used is said before hours of measuring.
    let earlier = args.compare.as_deref().map(report::read).transpose()?;
    let is_asked = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let mut json = args.json.as_deref().map(create).transpose()?;
    let mut records = Vec::new();
    let mut out = std::io::stdout();
    writeln!(out, "{}", summary::header())?;
    for (name, _) in BENCHES.into_iter().filter(|(name, _)| is_asked(name)) {
        one(name, args.quick, |record| {
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

/// Where the plots go: `target/bench`, wherever this program was built.
fn folder() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).ok_or("a program without a folder")?;
    Ok(target.join("bench"))
}

fn create(path: &Path) -> Outcome<std::fs::File> {
    std::fs::File::create(path)
        .map_err(|error| format!("{} cannot be written: {error}.", path.display()).into())
}

/// Runs one bench in a process of its own.
fn one(name: &str, quick: bool, mut take: impl FnMut(Record) -> Outcome<()>) -> Outcome<()> {
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
        status => Err(format!("the bench `{name}` failed ({status}); it says why above.").into()),
    }
}
