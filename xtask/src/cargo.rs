//! Runs cargo and other programs, and describes their failures.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
};

/// The reason why a command of xtask failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program that was run has printed the reason. xtask exits with its exit code.
    Exit(u8),
    /// A message that is not printed yet.
    Message(String),
}

/// Returns the root folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Runs cargo in the current folder of the user, on their terminal.
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

/// Runs cargo at the root of the workspace and returns its standard output.
pub(crate) fn capture<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Result<String, String> {
    output(command(args).current_dir(root()))
}

/// Runs a program and returns its standard output.
///
/// # Errors
/// Returns the standard error of a program that fails.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().map_err(|error| error.to_string())?;
    if status.success() {
        String::from_utf8(stdout).map_err(|error| error.to_string())
    } else {
        Err(String::from_utf8_lossy(&stderr).trim().to_owned())
    }
}

/// Runs cargo with messages in JSON, and returns them. Its errors and warnings go to the user's terminal.
pub(crate) fn messages(command: &mut Command) -> Result<String, Failure> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Failure::Message(format!("cargo could not be started: {error}")))?;
    finish(Ok(output.status))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Creates a command of the cargo that runs xtask, so that a toolchain chosen with `cargo +…` is kept.
pub(crate) fn command<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(cargo);
    command.args(args);
    command
}

/// Turns the end of a program into an outcome.
pub(crate) fn finish(status: io::Result<ExitStatus>) -> Result<(), Failure> {
    match status {
        Ok(status) if status.success() => Ok(()),
        // A process that was ended by a signal has no exit code.
        Ok(status) => Err(Failure::Exit(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
        Err(error) => Err(Failure::Message(format!("cargo could not be started: {error}"))),
    }
}
