//! Benchmarks, each figure beside its floor: the shortest raw SQL that writes the same rows with the same durability.
//!
//! `cargo xtask bench` runs all of them, each in a process of its own, so that what one leaves in memory is no other's.
//! [`benches`] says what is measured, [`floor`] against what, [`measure`] how, [`figure`] what comes out.

mod benches;
mod compare;
mod count;
mod figure;
mod floor;
mod helper;
mod measure;
mod memory;
mod place;
mod plot;
mod summary;

use benches::BENCHES;
use clap::{Parser, Subcommand};
use conductor_store::Synchronous;
use figure::Figure;
use measure::Bench;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measure Origin Conductor, each figure beside its floor in the same run.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Args {
    /// Small sizes, one round: whether all of it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Only this bench; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Write the figures here, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the ratios to an earlier file of figures.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the processes are asked to do that this one starts.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
enum Part {
    /// One bench; its figures go to standard output.
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
        Some(Part::One { name }) => find(name).and_then(|(_, bench)| bench(&Bench::new(args.quick))),
        Some(Part::Worker { file, sync }) => helper::work(file, sync.0),
        Some(Part::Listener { file, sync }) => helper::listen(file, sync.0),
        Some(Part::Count { name }) => count::run(name),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conductor-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn find(name: &str) -> Outcome<benches::Entry> {
    let names = || BENCHES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = BENCHES.iter().find(|(known, _)| *known == name);
    found.copied().ok_or_else(|| format!("there is no bench `{name}`; there are: {}.", names()).into())
}

fn run(args: &Args) -> Outcome<()> {
    // What cannot be used is said before hours of measuring.
    let earlier = args.compare.as_deref().map(figure::read).transpose()?;
    let asked = args.only.iter().map(|name| find(name)).collect::<Outcome<Vec<_>>>()?;
    let benches = if asked.is_empty() { BENCHES.to_vec() } else { asked };
    let mut json = args.json.as_deref().map(create).transpose()?;
    let mut figures = Vec::new();
    let mut out = std::io::stdout();
    writeln!(out, "{}", summary::header())?;
    for (name, _) in benches {
        one(name, args.quick, |figure| {
            writeln!(out, "{}", summary::row(&figure))?;
            if let Some(json) = &mut json {
                writeln!(json, "{}", serde_json::to_string(&figure)?)?;
            }
            figures.push(figure);
            Ok(())
        })?;
    }
    let folder = folder()?;
    std::fs::create_dir_all(&folder)?;
    for plot in plot::all(&folder, &figures)? {
        writeln!(out, "plot: {}", plot.display())?;
    }
    if let Some(earlier) = earlier {
        write!(out, "{}", compare::table(&earlier, &figures))?;
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
fn one(name: &str, quick: bool, mut take: impl FnMut(Figure) -> Outcome<()>) -> Outcome<()> {
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
