//! The programs that `cargo test` would run, and those that the tests use.

use std::path::PathBuf;

use serde_json::Value;

use crate::cargo::{self, Failure};

/// A test program: the unit tests of a crate, one of its integration tests, or an example that is a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The name of the target, such as `conformance`.
    pub(crate) name: String,
    /// The kind of the target, such as `lib` or `test`.
    pub(crate) kind: String,
    /// The folder of the crate, in which its tests run.
    pub(crate) folder: PathBuf,
    /// The path of the program.
    pub(crate) path: PathBuf,
}

/// The output of a build.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Programs {
    /// The test programs.
    pub(crate) tests: Vec<Program>,
    /// The programs of the crates, such as the demo.
    pub(crate) binaries: Vec<Program>,
}

/// Builds the tests of all packages with all features.
pub(crate) fn build() -> Result<Programs, Failure> {
    let args = ["test", "--workspace", "--all-features", "--no-run"];
    let mut command = cargo::command(args);
    command.args(["--message-format", "json-render-diagnostics"]).current_dir(cargo::root());
    Ok(read(&cargo::messages(&mut command)?))
}

/// Reads the messages of cargo, one JSON value on each line.
pub(crate) fn read(messages: &str) -> Programs {
    let mut programs = Programs::default();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(program) = program(&message) else { continue };
        if message["profile"]["test"] == true {
            programs.tests.push(program);
        } else if program.kind == "bin" {
            programs.binaries.push(program);
        }
    }
    programs
}

fn program(message: &Value) -> Option<Program> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let path = PathBuf::from(text(&message["executable"])?);
    let folder = PathBuf::from(text(&message["manifest_path"])?).parent()?.to_owned();
    let target = &message["target"];
    Some(Program { name: text(&target["name"])?, kind: text(&target["kind"][0])?, folder, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, is_test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/a/crates/b/Cargo.toml","target":{{"kind":["{kind}"],"name":"c"}},"profile":{{"test":{is_test}}},"executable":{executable}}}"#
        )
    }

    #[test]
    fn programs_are_read_from_messages() {
        let messages = [
            message("lib", false, "null"),
            "not a message".to_owned(),
            message("custom-build", false, "\"/t/script\""),
            message("bin", false, "\"/t/demo\""),
            message("test", true, "\"/t/conformance\""),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let program = |kind: &str, path: &str| Program {
            name: "c".to_owned(),
            kind: kind.to_owned(),
            folder: "/a/crates/b".into(),
            path: path.into(),
        };
        let expected = Programs {
            tests: vec![program("test", "/t/conformance")],
            binaries: vec![program("bin", "/t/demo")],
        };
        assert_eq!(read(&messages.join("\n")), expected);
    }
}
