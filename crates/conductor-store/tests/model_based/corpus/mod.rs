//! 10,000 recorded programs and their answers.
//!
//! The answers were recorded from two stores that agreed on all of them: the first one had a row for each task. Line `n` of
//! `answers.txt` has the checksum of all answers of program `n`. A program is made from its number by [`program`].
//!
//! A test runs every tenth program. `CORPUS=all` runs all of them, `CORPUS=17` prints the operations and answers of program 17,
//! and `CORPUS=record` writes the file again, after an answer has changed on purpose:
//!
//! ```text
//! CORPUS=all cargo test -p conductor-store --test model_based recorded -- --nocapture
//! ```

mod program;
mod text;

use crate::harness::{Harness, StoreKind};
use program::program;
use std::path::Path;
use text::{Checksum, answers};

const PROGRAMS: usize = 10_000;

/// The checksum of all answers of a program.
fn checksum(kind: StoreKind, number: usize, is_shown: bool) -> String {
    let mut harness = Harness::new(kind);
    let mut checksum = Checksum::new();
    let ops = program(number);
    for (i, op) in ops.iter().enumerate() {
        harness.apply(op);
        harness.tasks = harness.read();
        let is_last = i + 1 == ops.len();
        let lines = answers(&*harness.store, harness.now, &harness.runs, &harness.tasks, is_last);
        if is_shown {
            println!("{op:?}\n  {}", lines.join("\n  "));
        }
        for line in &lines {
            checksum.add(line);
        }
    }
    checksum.to_string()
}

/// The checksums of these programs, made by two threads.
fn checksums(kind: StoreKind, numbers: &[usize]) -> Vec<String> {
    let of = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| checksum(kind, *number, false)).collect()
    };
    let (left, right) = numbers.split_at(numbers.len() / 2);
    std::thread::scope(|scope| {
        let left = scope.spawn(|| of(left));
        let right = of(right);
        [left.join().unwrap(), right].concat()
    })
}

fn assert_recorded(kind: StoreKind) {
    let wanted = std::env::var("CORPUS").unwrap_or_default();
    if let Ok(number) = wanted.parse() {
        checksum(kind, number, true);
    }
    let is_recorded_again = wanted == "record";
    let step = if is_recorded_again || wanted == "all" { 1 } else { 10 };
    let numbers: Vec<usize> = (0..PROGRAMS).step_by(step).collect();
    let found = checksums(kind, &numbers);
    if is_recorded_again {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model_based/corpus/answers.txt");
        std::fs::write(path, found.join("\n") + "\n").unwrap();
        return;
    }
    let recorded: Vec<&str> = include_str!("answers.txt").lines().collect();
    assert_eq!(recorded.len(), PROGRAMS);
    let differs = |(number, found): &(usize, String)| recorded[*number] != found;
    let other: Vec<usize> =
        numbers.into_iter().zip(found).filter(differs).map(|(number, _)| number).collect();
    assert!(other.is_empty(), "{} programs have other answers than recorded: {other:?}", other.len());
}

#[test]
fn recorded_programs_give_recorded_answers() {
    assert_recorded(StoreKind::SqliteInMemory);
}
