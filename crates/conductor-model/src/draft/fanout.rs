//! The key `fanout` in the input of a task.

use crate::issue::{Issue, IssueCode, ValidationError, shown_json};
use crate::json::{self, Json};
use crate::state::MAX_FANOUT;

/// The fan-out that the input of a task requests under its key `fanout`.
///
/// ```
/// use conductor_model::{Fanout, Json};
///
/// let by_count: Json = r#"{"fanout": 3, "width": 80}"#.parse()?;
/// assert_eq!(Fanout::of(&by_count)?, Some(Fanout::Count(3)));
///
/// // An item that contains `fanout` itself makes its child a parent.
/// let by_items: Json = r#"{"fanout": ["a.png", {"fanout": 2}]}"#.parse()?;
/// assert_eq!(Fanout::of(&by_items)?, Some(Fanout::Items(2)));
///
/// let invalid: Json = r#"{"fanout": ["a.png", {"fanout": 0}]}"#.parse()?;
/// assert_eq!(Fanout::of(&invalid).unwrap_err().issues()[0].path, "fanout[1].fanout");
/// # Ok::<(), conductor_model::ValidationError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fanout {
    /// This number of children. Each has the input of the parent without the key `fanout`.
    Count(u32),
    /// One child per item of an array with this length. The item is the input of the child.
    Items(u32),
}

/// One item of a fan-out over an array: the input of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FanoutItem<'a> {
    /// The JSON text of the item.
    pub input: &'a str,
    /// The fan-out that the item itself requests; `None` if the child is a leaf.
    pub fanout: Option<Fanout>,
}

impl Fanout {
    /// Reads and checks the key `fanout` of an input, at every depth.
    ///
    /// Returns `None` if the input is not an object or lacks the key: the task is a leaf.
    ///
    /// # Errors
    /// Returns [`ValidationError`] with the path of each `fanout` that is neither an integer in 1..=[`MAX_FANOUT`] nor an
    /// array of 1 to [`MAX_FANOUT`] items.
    pub fn of(input: &Json) -> Result<Option<Self>, ValidationError> {
        Ok(Self::with_items(input)?.map(|(fanout, _)| fanout))
    }

    /// Reads the fan-out like [`Fanout::of`], and returns its items as well; they are empty for a count.
    ///
    /// # Errors
    /// Returns the same errors as [`Fanout::of`].
    pub fn with_items(input: &Json) -> Result<Option<(Self, Vec<FanoutItem<'_>>)>, ValidationError> {
        let mut issues = Vec::new();
        let fanout = read(input.as_str(), &mut issues);
        ValidationError::unless_empty(issues, || fanout)
    }

    /// Returns the number of children.
    pub fn total(self) -> u32 {
        match self {
            Self::Count(total) | Self::Items(total) => total,
        }
    }
}

fn read<'a>(input: &'a str, issues: &mut Vec<Issue>) -> Option<(Fanout, Vec<FanoutItem<'a>>)> {
    let fanout = json::member(input, "fanout")?;
    let result = match json::elements(fanout) {
        Some(inputs) => read_items(inputs, issues),
        None => read_count(fanout).map(|count| (Fanout::Count(count), Vec::new())),
    };
    let invalid = |code| {
        let message = format!(
            "must be an integer in 1..={MAX_FANOUT} or an array of 1 to {MAX_FANOUT} items, but is {}",
            shown_json(fanout)
        );
        issues.push(Issue::new(code, message).at("fanout"));
    };
    result.map_err(invalid).ok()
}

fn read_items<'a>(
    inputs: Vec<&'a str>,
    issues: &mut Vec<Issue>,
) -> Result<(Fanout, Vec<FanoutItem<'a>>), IssueCode> {
    let item = |(i, input)| {
        let first_issue = issues.len();
        let fanout = read(input, issues).map(|(fanout, _)| fanout);
        for issue in &mut issues[first_issue..] {
            *issue = issue.clone().at(&format!("fanout[{i}]"));
        }
        FanoutItem { input, fanout }
    };
    let items: Vec<_> = inputs.into_iter().enumerate().map(item).collect();
    match u32::try_from(items.len()) {
        Ok(0) => Err(IssueCode::TooSmall),
        Ok(total) if total <= MAX_FANOUT => Ok((Fanout::Items(total), items)),
        _ => Err(IssueCode::TooBig),
    }
}

fn read_count(fanout: &str) -> Result<u32, IssueCode> {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match fanout.parse() {
        Ok(0) => Err(IssueCode::TooSmall),
        Ok(count @ 1..=MAX_FANOUT) => Ok(count),
        Ok(_) => Err(IssueCode::TooBig),
        Err(_) if is_digits(fanout) => Err(IssueCode::TooBig),
        Err(_) if fanout.strip_prefix('-').is_some_and(is_digits) => Err(IssueCode::TooSmall),
        Err(_) => Err(IssueCode::InvalidType),
    }
}
