//! The checks that keep the house in order.
//!
//! A check takes text and returns complaints; a complaint is a place and a sentence that says what to do. All
//! complaints are printed, not the first alone. What reads files or runs programs is apart from what judges,
//! so that every check is tested without either, and tested to be able to fail.

mod arrows;
mod code;
mod files;
mod generated;
mod manifests;
mod migrations;
mod promises;
mod sources;
mod text;

use crate::{
    cargo::{Failure, root},
    tidy::files::Files,
};

/// Runs every check; with `bless`, rewrites the generated sections before.
pub(crate) fn run(bless: bool) -> Result<(), Failure> {
    if bless {
        let files = Files::read(root()).map_err(Failure::Say)?;
        for path in generated::bless(root(), &files).map_err(Failure::Say)? {
            println!("tidy: rewrote the generated sections of {path}");
        }
    }
    let files = Files::read(root()).map_err(Failure::Say)?;
    let checks = [
        ("arrows", arrows::check()),
        ("generated sections", generated::check(&files)),
        ("manifests", manifests::check(&files)),
        ("sources", sources::check(&files)),
        ("migrations", migrations::check(&files)),
        ("promises", promises::check(&files)),
        ("text", text::check(&files)),
    ];
    report(&checks)
}

fn report(checks: &[(&str, Vec<String>)]) -> Result<(), Failure> {
    for (check, complaints) in checks {
        for complaint in complaints {
            eprintln!("tidy ({check}): {complaint}");
        }
    }
    match checks.iter().map(|(_, complaints)| complaints.len()).sum::<usize>() {
        0 => {
            let names: Vec<&str> = checks.iter().map(|(name, _)| *name).collect();
            println!("tidy: ok ({})", names.join(", "));
            Ok(())
        }
        1 => Err(Failure::Say("tidy has one complaint, printed above.".to_owned())),
        count => Err(Failure::Say(format!("tidy has {count} complaints, printed above."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_complaint_in_any_check_fails() {
        assert!(report(&[("a", vec![]), ("b", vec![])]).is_ok());
        assert!(report(&[("a", vec![]), ("b", vec!["x".to_owned()])]).is_err());
    }
}
