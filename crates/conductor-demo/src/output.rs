//! The output of the demo: coloured on a terminal, plain elsewhere, silent with `--json`.

use anstyle::{AnsiColor, Effects, Style};
use origin_conductor::{Health, State};
use std::{
    cell::RefCell,
    env,
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

/// Standard output.
#[derive(Debug, Default)]
pub(crate) struct Output {
    colours: bool,
    quiet: bool,
    /// The first error of a write.
    broken: RefCell<Option<io::Error>>,
}

impl Output {
    /// Returns an output for people: with colours on a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    pub(crate) fn for_people() -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colours: io::stdout().is_terminal() && !set("NO_COLOR") && !dumb, ..Self::default() }
    }

    /// Returns an output for programs: it prints only the lines of [`Output::program_line`].
    pub(crate) fn for_programs() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// Returns whether a program reads the output.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.quiet
    }

    /// Prints a line for people.
    pub(crate) fn line(&self, text: impl Display) {
        if !self.quiet {
            self.write(text);
        }
    }

    /// Prints a line for programs.
    pub(crate) fn program_line(&self, text: impl Display) {
        self.write(text);
    }

    /// Returns the first error of a write. A reader that closed the pipe (`… | head`) is not an error.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        let broken = self.broken.take().filter(|error| error.kind() != ErrorKind::BrokenPipe);
        broken.map_or(Ok(()), Err)
    }

    fn write(&self, text: impl Display) {
        let mut broken = self.broken.borrow_mut();
        if broken.is_none() {
            *broken = writeln!(io::stdout(), "{text}").err();
        }
    }

    /// Returns the text in this style, if colours are on.
    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// Returns the text in bold.
    pub(crate) fn bold(&self, text: impl Display) -> String {
        self.paint(Style::new().effects(Effects::BOLD), text)
    }

    /// Returns the text dimmed.
    pub(crate) fn dim(&self, text: impl Display) -> String {
        self.paint(Style::new().effects(Effects::DIMMED), text)
    }

    /// Returns the text in green or red.
    pub(crate) fn verdict(&self, good: bool, text: impl Display) -> String {
        self.paint(colour(if good { AnsiColor::Green } else { AnsiColor::Red }), text)
    }
}

/// Returns the colour of a state.
pub(crate) fn of_state(state: State) -> Style {
    match state {
        State::Pending => Style::new().effects(Effects::DIMMED),
        State::Running => colour(AnsiColor::Cyan),
        State::Succeeded => colour(AnsiColor::Green),
        State::Failed => colour(AnsiColor::Red),
        State::Cancelled => colour(AnsiColor::Yellow),
    }
}

/// Returns the colour of a health.
pub(crate) fn of_health(health: Health) -> Style {
    colour(match health {
        Health::Healthy => AnsiColor::Green,
        Health::Warning => AnsiColor::Yellow,
        Health::Critical => AnsiColor::Red,
    })
}

fn colour(colour: AnsiColor) -> Style {
    colour.on_default()
}

/// Returns a number with thousands separators: `20,000`.
pub(crate) fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number with its noun: `1 child`, `3 children`.
pub(crate) fn counted(number: impl Into<u64>, one: &str, many: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        number => format!("{} {many}", grouped(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let read = |number: u32| grouped(number);
        assert_eq!(
            [0, 7, 999, 1000, 20_000, 1_234_567].map(read),
            ["0", "7", "999", "1,000", "20,000", "1,234,567"]
        );
        assert_eq!(counted(1_u32, "child", "children"), "1 child");
        assert_eq!(counted(1000_u32, "child", "children"), "1,000 children");
    }

    #[test]
    fn colours_are_used_only_when_enabled() {
        let plain = Output::default();
        let colourful = Output { colours: true, ..Output::default() };
        let style = of_state(State::Failed);
        assert_eq!(plain.paint(style, "FAILED"), "FAILED");
        assert_eq!(colourful.paint(style, "FAILED"), "\u{1b}[31mFAILED\u{1b}[0m");
    }
}
