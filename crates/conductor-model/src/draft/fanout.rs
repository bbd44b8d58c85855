//! What `fanout` in a task's input asks for.

use crate::issue::{Issue, IssueCode};
use crate::json::Json;

/// The greatest number of children that one parent may have.
pub const MAX_FANOUT: u32 = 10_000_000;

/// What the input of a task asks for under its key `fanout`.
///
/// ```
/// use conductor_model::{Fanout, Json};
///
/// let by_count: Json = r#"{"fanout": 3, "width": 80}"#.parse()?;
/// assert_eq!(Fanout::of(&by_count)?, Some(Fanout::Count(3)));
///
/// // An item that itself holds `fanout` makes that child a parent.
/// let by_items: Json = r#"{"fanout": ["a.png", {"fanout": 2}]}"#.parse()?;
/// assert_eq!(Fanout::of(&by_items)?, Some(Fanout::Items(2)));
///
/// let wrong: Json = r#"{"fanout": ["a.png", {"fanout": 0}]}"#.parse()?;
/// assert_eq!(Fanout::of(&wrong).unwrap_err().issues()[0].path, "fanout[1].fanout");
/// # Ok::<(), conductor_model::ValidationError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fanout {
    /// N children, each with the parent's input without the key `fanout`.
    Count(u32),
    /// One child per item of the array, each with its item as its input; the number of items.
    Items(u32),
}

/// One item of a fan-out by items: the input of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FanoutItem<'a> {
    /// Its JSON text.
    pub input: &'a str,
    /// What it asks for itself, if it makes its child a parent.
    pub fanout: Option<Fanout>,
}

impl Fanout {
    /// Reads and checks the key `fanout` of an input, at every depth.
    ///
    /// `None` when the input is no object or has no such key: the task is a leaf.
    ///
    /// # Errors
    /// [`ValidationError`](crate::ValidationError) with the path of each `fanout` that is neither an integer in
    /// 1..=[`MAX_FANOUT`] nor an array of 1 to [`MAX_FANOUT`] items.
    pub fn of(input: &Json) -> Result<Option<Self>, crate::ValidationError> {
        Ok(Self::with_items(input)?.map(|(fanout, _)| fanout))
    }

    /// The same, and the items; none of a count.
    ///
    /// # Errors
    /// As [`Fanout::of`].
    pub fn with_items(input: &Json) -> Result<Option<(Self, Vec<FanoutItem<'_>>)>, crate::ValidationError> {
        let mut issues = Vec::new();
        let fanout = read(input.as_str(), &mut issues);
        crate::ValidationError::unless_empty(issues, || fanout)
    }

    /// How many children the parent will have.
    pub fn total(self) -> u32 {
        match self {
            Self::Count(total) | Self::Items(total) => total,
        }
    }
}

fn read<'a>(input: &'a str, issues: &mut Vec<Issue>) -> Option<(Fanout, Vec<FanoutItem<'a>>)> {
    let fanout = crate::json::member(input, "fanout")?;
    let wrong = |code, issues: &mut Vec<Issue>| {
        let message =
            format!("must be an integer in 1..={MAX_FANOUT} or an array of 1 to {MAX_FANOUT} items");
        issues.push(Issue::new(code, message).at("fanout"));
        None
    };
    if let Some(inputs) = crate::json::elements(fanout) {
        let item = |(i, input)| {
            let from = issues.len();
            let fanout = read(input, issues).map(|(fanout, _)| fanout);
            for issue in &mut issues[from..] {
                *issue = issue.clone().at(&format!("fanout[{i}]"));
            }
            FanoutItem { input, fanout }
        };
        let items: Vec<_> = inputs.into_iter().enumerate().map(item).collect();
        return match u32::try_from(items.len()) {
            Ok(0) => wrong(IssueCode::TooSmall, issues),
            Ok(total) if total <= MAX_FANOUT => Some((Fanout::Items(total), items)),
            _ => wrong(IssueCode::TooBig, issues),
        };
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match fanout.parse() {
        Ok(0) => wrong(IssueCode::TooSmall, issues),
        Ok(count @ 1..=MAX_FANOUT) => Some((Fanout::Count(count), Vec::new())),
        Ok(_) => wrong(IssueCode::TooBig, issues),
        Err(_) if digits(fanout) => wrong(IssueCode::TooBig, issues),
        Err(_) if fanout.strip_prefix('-').is_some_and(digits) => wrong(IssueCode::TooSmall, issues),
        Err(_) => wrong(IssueCode::InvalidType, issues),
    }
}
