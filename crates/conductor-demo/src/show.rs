//! Performs the scenarios one after the other, and says how many held.

use crate::{
    args::{Place, Play},
    failure::Failure,
    interrupt::Interrupt,
    scenarios::{self, Scenario},
    screen::{Screen, counted},
    stage::{self, Stage},
};
use serde::Serialize;
use std::{env, path::Path, time::Instant};
use tempfile::TempDir;

/// What a machine reads of one scenario.
#[derive(Debug, Serialize)]
struct Line {
    scenario: u8,
    title: &'static str,
    ok: bool,
    seconds: f64,
}

/// How the show ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All scenarios that were wanted held.
    Held,
    /// Some did not.
    DidNotHold,
    /// Ctrl-C came before the end.
    Interrupted,
}

/// Performs what is wanted.
pub(crate) fn all(play: &Play) -> Result<End, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("conductor-demo-")
        .tempdir()
        .map_err(|error| Failure::from(error).during("a temporary folder"))?;
    let stage = Stage {
        database: play.kept().map_or_else(|| folder.path().join("demo.db"), Path::to_path_buf),
        input: play.input.clone(),
        resume: matches!(play.place, Place::Again(_)),
        screen: if play.json { Screen::for_machines() } else { Screen::for_people() },
        interrupt: Interrupt::listen()?,
    };
    // A database that cannot be made fails here, and not in every scenario.
    stage::open(&stage.database)?;
    let began = Instant::now();
    let mut outcomes = Vec::new();
    for (number, scenario) in scenarios::numbered().filter(|(number, _)| play.numbers.contains(number)) {
        match one(&stage, number, scenario)? {
            Some(held) => outcomes.push(held),
            None => return interrupted(&stage, play, folder),
        }
    }
    end(&stage, play, &outcomes, began);
    stage.screen.outcome()?;
    Ok(if outcomes.iter().all(|held| *held) { End::Held } else { End::DidNotHold })
}

/// Says where what was done is kept, and how to go on with it.
fn interrupted(stage: &Stage, play: &Play, folder: TempDir) -> Result<End, Failure> {
    let goes_on = scenarios::is_counting(&stage.store()?)?;
    if goes_on && play.kept().is_none() {
        // What can be gone on with is not thrown away.
        let _ = folder.keep();
    }
    let database = stage.database.display();
    eprint!("conductor-demo: stopped by Ctrl-C");
    if goes_on || play.kept().is_some() {
        eprint!("; what was done is in {database}");
    }
    if goes_on {
        let program = env::args().next().unwrap_or_else(|| "conductor-demo".to_owned());
        eprint!(". Go on with\n   {program} --resume '{database}'");
    }
    eprintln!();
    stage.screen.outcome()?;
    Ok(End::Interrupted)
}

/// Prints the titles.
pub(crate) fn list() -> Result<End, Failure> {
    let screen = Screen::for_people();
    for (number, scenario) in scenarios::numbered() {
        screen.line(format_args!("{number}  {}", scenario.title));
    }
    screen.outcome()?;
    Ok(End::Held)
}

/// Shows one scenario; whether it held, unless Ctrl-C came before its end.
fn one(stage: &Stage, number: u8, scenario: &Scenario) -> Result<Option<bool>, Failure> {
    if stage.interrupt.came() {
        return Ok(None);
    }
    let screen = &stage.screen;
    screen.line(screen.bold(format_args!("{number}. {}", scenario.title)));
    scenario.about.lines().for_each(|line| stage.say(screen.dim(line)));
    stage.gap();
    let (line, failure) = perform(stage, number, scenario);
    if failure.is_some() && stage.interrupt.came() {
        return Ok(None);
    }
    let verdict = screen.verdict(line.ok, if line.ok { "✓ held" } else { "✗ did not hold" });
    screen.line(format_args!("\n   {verdict}, {:.2} s\n", line.seconds));
    if screen.is_for_machines() {
        screen.machine_line(serde_json::to_string(&line)?);
    }
    if let Some(failure) = failure {
        eprintln!("conductor-demo: {failure}");
    }
    Ok(Some(line.ok))
}

/// Performs one scenario.
fn perform(stage: &Stage, scenario: u8, Scenario { title, play, .. }: &Scenario) -> (Line, Option<Failure>) {
    let began = Instant::now();
    let failure = play(stage).err().map(|why| why.during(format_args!("scenario {scenario} did not hold")));
    let millis = began.elapsed().as_secs_f64() * 1000.0;
    (Line { scenario, title, ok: failure.is_none(), seconds: millis.round() / 1000.0 }, failure)
}

fn end(stage: &Stage, play: &Play, outcomes: &[bool], began: Instant) {
    let count = |held: &[bool]| u64::try_from(held.len()).unwrap_or(u64::MAX);
    let held = outcomes.iter().filter(|held| **held).count();
    let all_held = held == outcomes.len();
    let scenarios = counted(count(outcomes), "scenario", "scenarios");
    let held = stage.screen.verdict(all_held, format_args!("{held} held"));
    stage.screen.line(format_args!("{scenarios}, {held}, {:.1} s", began.elapsed().as_secs_f64()));
    if let Some(path) = play.kept() {
        let look = format!("sqlite3 '{}' \"SELECT name, state FROM tasks LIMIT 20\"", path.display());
        stage.screen.line(format_args!("\nThe database is kept. Look at it with\n   {look}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn performed(play: fn(&Stage) -> Result<(), Failure>) -> (String, Option<String>) {
        let (database, input, resume, screen, interrupt) = Default::default();
        let stage = Stage { database, input, resume, screen, interrupt };
        let (mut line, failure) = perform(&stage, 3, &Scenario { title: "x", about: "", play });
        line.seconds = 0.5;
        (serde_json::to_string(&line).unwrap(), failure.map(|failure| failure.to_string()))
    }

    #[test]
    fn a_scenario_that_holds_is_ok() {
        let (line, failure) = performed(|_| Ok(()));
        assert_eq!(line, r#"{"scenario":3,"title":"x","ok":true,"seconds":0.5}"#);
        assert_eq!(failure, None);
    }

    #[test]
    fn a_scenario_that_does_not_hold_is_not_ok_and_says_why() {
        let (line, failure) = performed(|_| crate::failure::check("the run", "FAILED", "SUCCEEDED"));
        assert_eq!(line, r#"{"scenario":3,"title":"x","ok":false,"seconds":0.5}"#);
        let sentence = "scenario 3 did not hold: the run is FAILED and should be SUCCEEDED";
        assert_eq!(failure.as_deref(), Some(sentence));
    }
}
