//! Runs the scenarios in order and prints a summary.

use crate::{
    args::{Database, Options},
    failure::Failure,
    fixture::{self, Fixture},
    interrupt::Interrupt,
    output::{Output, counted},
    scenarios::{self, Scenario},
};
use serde::Serialize;
use std::{env, path::Path, time::Instant};
use tempfile::TempDir;

/// The JSON output of one scenario.
#[derive(Debug, Serialize)]
struct Line {
    scenario: u8,
    title: &'static str,
    ok: bool,
    seconds: f64,
}

/// The result of the whole demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All selected scenarios passed.
    Passed,
    /// At least one scenario failed.
    Failed,
    /// Ctrl-C ended the demo.
    Interrupted,
}

/// Runs the selected scenarios.
pub(crate) fn all(options: &Options) -> Result<End, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("conductor-demo-")
        .tempdir()
        .map_err(|error| Failure::from(error).during("creating a temporary folder"))?;
    let fixture = Fixture {
        database: options.kept_path().map_or_else(|| folder.path().join("demo.db"), Path::to_path_buf),
        input: options.input.clone(),
        resume: matches!(options.database, Database::Resumed(_)),
        output: if options.json { Output::for_programs() } else { Output::for_people() },
        interrupt: Interrupt::listen()?,
    };
    // If the database cannot be created, fail once and not in every scenario.
    fixture::open(&fixture.database)?;
    let began = Instant::now();
    let mut outcomes = Vec::new();
    for (number, scenario) in scenarios::numbered().filter(|(number, _)| options.numbers.contains(number)) {
        match one(&fixture, number, scenario)? {
            Some(held) => outcomes.push(held),
            None => return interrupted(&fixture, options, folder),
        }
    }
    end(&fixture, options, &outcomes, began);
    fixture.output.outcome()?;
    Ok(if outcomes.iter().all(|held| *held) { End::Passed } else { End::Failed })
}

/// Prints where the database is, and how to continue.
fn interrupted(fixture: &Fixture, options: &Options, folder: TempDir) -> Result<End, Failure> {
    let can_continue = scenarios::has_unfinished_count(&fixture.store()?)?;
    if can_continue && options.kept_path().is_none() {
        // The word count can continue, so keep the temporary folder.
        let _ = folder.keep();
    }
    let database = fixture.database.display();
    eprint!("conductor-demo: stopped by Ctrl-C");
    if can_continue || options.kept_path().is_some() {
        eprint!("; the database is {database}");
    }
    if can_continue {
        let program = env::args().next().unwrap_or_else(|| "conductor-demo".to_owned());
        eprint!(". To continue:\n   {program} --resume '{database}'");
    }
    eprintln!();
    fixture.output.outcome()?;
    Ok(End::Interrupted)
}

/// Prints the titles of the scenarios.
pub(crate) fn list() -> Result<End, Failure> {
    let output = Output::for_people();
    for (number, scenario) in scenarios::numbered() {
        output.line(format_args!("{number}  {}", scenario.title));
    }
    output.outcome()?;
    Ok(End::Passed)
}

/// Runs and prints one scenario. Returns whether it passed; `None` if Ctrl-C ended it.
fn one(fixture: &Fixture, number: u8, scenario: &Scenario) -> Result<Option<bool>, Failure> {
    if fixture.interrupt.was_pressed() {
        return Ok(None);
    }
    let output = &fixture.output;
    output.line(output.bold(format_args!("{number}. {}", scenario.title)));
    scenario.about.lines().for_each(|line| fixture.say(output.dim(line)));
    fixture.gap();
    let (line, failure) = perform(fixture, number, scenario);
    if failure.is_some() && fixture.interrupt.was_pressed() {
        return Ok(None);
    }
    let verdict = output.verdict(line.ok, if line.ok { "✓ passed" } else { "✗ failed" });
    output.line(format_args!("\n   {verdict}, {:.2} s\n", line.seconds));
    if output.is_for_programs() {
        output.program_line(serde_json::to_string(&line)?);
    }
    if let Some(failure) = failure {
        eprintln!("conductor-demo: {failure}");
    }
    Ok(Some(line.ok))
}

/// Runs one scenario and measures its time.
fn perform(
    fixture: &Fixture,
    scenario: u8,
    Scenario { title, play, .. }: &Scenario,
) -> (Line, Option<Failure>) {
    let began = Instant::now();
    let failure = play(fixture).err().map(|why| why.during(format_args!("scenario {scenario} failed")));
    let millis = began.elapsed().as_secs_f64() * 1000.0;
    (Line { scenario, title, ok: failure.is_none(), seconds: millis.round() / 1000.0 }, failure)
}

fn end(fixture: &Fixture, options: &Options, outcomes: &[bool], began: Instant) {
    let count = |held: &[bool]| u64::try_from(held.len()).unwrap_or(u64::MAX);
    let held = outcomes.iter().filter(|held| **held).count();
    let all_held = held == outcomes.len();
    let scenarios = counted(count(outcomes), "scenario", "scenarios");
    let held = fixture.output.verdict(all_held, format_args!("{held} passed"));
    fixture.output.line(format_args!("{scenarios}, {held}, {:.1} s", began.elapsed().as_secs_f64()));
    if let Some(path) = options.kept_path() {
        let look = format!("sqlite3 '{}' \"SELECT name, state FROM tasks LIMIT 20\"", path.display());
        fixture.output.line(format_args!("\nThe database is kept. Read it with\n   {look}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn performed(play: fn(&Fixture) -> Result<(), Failure>) -> (String, Option<String>) {
        let (database, input, resume, output, interrupt) = Default::default();
        let fixture = Fixture { database, input, resume, output, interrupt };
        let (mut line, failure) = perform(&fixture, 3, &Scenario { title: "x", about: "", play });
        line.seconds = 0.5;
        (serde_json::to_string(&line).unwrap(), failure.map(|failure| failure.to_string()))
    }

    #[test]
    fn passed_scenario_is_ok() {
        let (line, failure) = performed(|_| Ok(()));
        assert_eq!(line, r#"{"scenario":3,"title":"x","ok":true,"seconds":0.5}"#);
        assert_eq!(failure, None);
    }

    #[test]
    fn failed_scenario_names_its_reason() {
        let (line, failure) = performed(|_| crate::failure::check("the run", "FAILED", "SUCCEEDED"));
        assert_eq!(line, r#"{"scenario":3,"title":"x","ok":false,"seconds":0.5}"#);
        let sentence = "scenario 3 failed: the run is FAILED and should be SUCCEEDED";
        assert_eq!(failure.as_deref(), Some(sentence));
    }
}
