//! The checks of conventions that neither rustc nor clippy has.
//!
//! A check takes text and returns complaints. A complaint has a place and tells the developer what to do. All complaints are
//! printed, not only the first. The code that reads files and runs programs is separate from the checks. Therefore each
//! check is tested without either, and each test shows that the check can fail.

mod arrows;
mod documents;
mod files;
mod generated;
mod guarantees;
mod lexer;
mod manifests;
mod migrations;
mod sizes;
mod sources;
mod sql_numbers;
mod test_names;
mod text;
mod words;

use crate::{
    cargo::{Failure, root},
    tidy::files::Files,
};

/// Runs every check. With `fix`, it rewrites the generated sections first.
pub(crate) fn run(fix: bool) -> Result<(), Failure> {
    if fix {
        let files = Files::read(root()).map_err(Failure::Message)?;
        for path in generated::fix(root(), &files).map_err(Failure::Message)? {
            println!("tidy: rewrote the generated sections of {path}");
        }
    }
    let files = Files::read(root()).map_err(Failure::Message)?;
    let checks = [
        ("crate arrows", arrows::check_crates()),
        ("module arrows", arrows::check_modules(&files)),
        ("documents", documents::check(&files)),
        ("generated sections", generated::check(&files)),
        ("guarantees", guarantees::check(&files)),
        ("manifests", manifests::check(&files)),
        ("migrations", migrations::check(&files)),
        ("sizes", sizes::check(&files)),
        ("sources", sources::check(&files)),
        ("SQL numbers", sql_numbers::check(&files)),
        ("test names", test_names::check(&files)),
        ("text", text::check(&files)),
        ("words", words::check(&files)),
    ];
    report(&checks)
}

/// Prints every complaint; fails if there is one.
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
        1 => Err(Failure::Message("tidy has one complaint; correct it as printed above".to_owned())),
        count => Err(Failure::Message(format!("tidy has {count} complaints; correct them as printed above"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_complaint_fails_the_run() {
        assert!(report(&[("a", vec![]), ("b", vec![])]).is_ok());
        assert!(report(&[("a", vec![]), ("b", vec!["x".to_owned()])]).is_err());
    }
}
