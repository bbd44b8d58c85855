//! Running cargo, and what a run that failed leaves behind.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
};

/// Why a command of ours did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What ran has said why; its exit code is ours.
    Exit(u8),
    /// A sentence that nobody has printed yet.
    Say(String),
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Runs cargo in the folder where the user stands, on their terminal.
pub(crate) fn here<const N: usize>(args: [&str; N], more: Vec<OsString>) -> Result<(), Failure> {
    finish(command(args).args(more).status())
}

/// Runs cargo at the root of the workspace, on the user's terminal.
pub(crate) fn at_root<const N: usize>(args: [&str; N], more: Vec<OsString>) -> Result<(), Failure> {
    finish(command(args).args(more).current_dir(root()).status())
}

/// As [`at_root`], with one more environment variable.
pub(crate) fn with_env<const N: usize>(name: &str, value: &str, args: [&str; N]) -> Result<(), Failure> {
    finish(command(args).env(name, value).current_dir(root()).status())
}

/// Runs cargo at the root of the workspace and returns what it printed.
pub(crate) fn capture<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Result<String, String> {
    output(command(args).current_dir(root()))
}

/// Runs a program and returns what it printed, or what it complained about.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().map_err(|error| error.to_string())?;
    if status.success() {
        String::from_utf8(stdout).map_err(|error| error.to_string())
    } else {
        Err(String::from_utf8_lossy(&stderr).trim().to_owned())
    }
}

/// The cargo that runs us, so that a toolchain chosen with `cargo +…` stays chosen.
pub(crate) fn command<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(cargo);
    command.args(args);
    command
}

fn finish(status: io::Result<ExitStatus>) -> Result<(), Failure> {
    match status {
        Ok(status) if status.success() => Ok(()),
        // A process that a signal ended has no code.
        Ok(status) => Err(Failure::Exit(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
        Err(error) => Err(Failure::Say(format!("cargo could not be started: {error}"))),
    }
}
