//! The input of a task: its own, or the one of its parent.

use crate::backend::{ParentInput, ParentKey, Position};
use conductor_model::{Fanout, Json};
use std::collections::HashMap;

/// The input of a task, or why it has none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// Its own.
    Own(Json),
    /// The input of its parent without the key `fanout`.
    Inherited(Json),
    /// It was created without one.
    None,
    /// It had one of its own, and another program deleted it.
    Missing,
}

impl Input {
    /// Returns the input, if there is one.
    pub(crate) fn into_json(self) -> Option<Json> {
        match self {
            Self::Own(input) | Self::Inherited(input) => Some(input),
            Self::None | Self::Missing => None,
        }
    }
}

/// The inputs of parents, for their children. The input of each parent is evaluated once.
#[derive(Debug, Default)]
pub(crate) struct ParentInputs {
    parents: HashMap<ParentKey, ParentInput>,
    /// What a task without an input of its own gets; or why that cannot be read.
    inherited: HashMap<Position, Result<Input, String>>,
}

impl ParentInputs {
    /// Adds inputs that were read.
    pub(crate) fn learn(&mut self, inputs: impl IntoIterator<Item = (ParentKey, ParentInput)>) {
        self.parents.extend(inputs);
    }

    /// Returns the input of a task at this position, which has `own` as the input of its own. A parent whose input was
    /// not read has none.
    ///
    /// # Errors
    /// Why the input of its parent cannot be read.
    pub(crate) fn input_of(&mut self, position: Position, own: Option<Json>) -> Result<Input, String> {
        match own {
            Some(own) => Ok(Input::Own(own)),
            None if position.parent.task.is_none() => Ok(Input::None),
            None => {
                let parents = &self.parents;
                let inherited = self.inherited.entry(position).or_insert_with(|| {
                    let nothing = ParentInput::default();
                    inherit(parents.get(&position.parent).unwrap_or(&nothing), position.is_join)
                });
                inherited.clone()
            }
        }
    }
}

/// The input of a task below a parent that has none of its own.
///
/// Only the children of a counted fan-out are created without an input, and those of an imported parent that has none
/// itself. A join is not a child: it inherits any input.
fn inherit(parent: &ParentInput, is_join: bool) -> Result<Input, String> {
    let input = parent.input.as_ref().map(Result::as_ref).transpose().map_err(String::clone)?;
    if !is_join && children_have_own_input(input, parent.imported) {
        return Ok(Input::Missing);
    }
    Ok(input.map_or(Input::None, |input| Input::Inherited(input.without_fanout())))
}

/// Returns whether each child of a parent with this input must have an input of its own. `imported` says whether the run
/// was imported from the TypeScript version.
pub(crate) fn children_have_own_input(input: Option<&Json>, imported: bool) -> bool {
    match input {
        Some(input) if is_counted(input) => false,
        Some(input) if input.as_str() != NO_INPUT => true,
        _ => !imported,
    }
}

/// Returns whether the children of a parent with this input inherit it.
pub(crate) fn is_counted(input: &Json) -> bool {
    matches!(Fanout::of(input), Ok(Some(Fanout::Count(_))))
}

/// The input of an imported child that had none and must not inherit.
const NO_INPUT: &str = "null";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{RunKey, TaskKey};

    /// The input of a child, or of a join, of a parent with this input.
    fn input_below(parent: Option<&str>, imported: bool, is_join: bool) -> Result<Input, String> {
        let key = ParentKey::task(RunKey(1), TaskKey(2));
        let input = parent.map(|input| input.parse().map_err(|_| "not JSON".to_owned()));
        let mut inputs = ParentInputs::default();
        inputs.learn([(key, ParentInput { input, imported })]);
        inputs.input_of(Position { parent: key, is_join }, None)
    }

    fn inherited(input: &str) -> Input {
        Input::Inherited(input.parse().unwrap())
    }

    #[test]
    fn children_of_counted_fan_out_inherit() {
        assert_eq!(input_below(Some(r#"{"fanout":2,"a":1}"#), false, false), Ok(inherited(r#"{"a":1}"#)));
        assert_eq!(input_below(Some(r#"{"fanout":["x"],"a":1}"#), false, false), Ok(Input::Missing));
        assert_eq!(input_below(None, false, false), Ok(Input::Missing));
    }

    #[test]
    fn children_of_imported_parent_have_its_nothing() {
        assert_eq!(input_below(None, true, false), Ok(Input::None));
        assert_eq!(input_below(Some("null"), true, false), Ok(inherited("null")));
        assert_eq!(input_below(Some("7"), true, false), Ok(Input::Missing));
    }

    #[test]
    fn joins_inherit_any_input() {
        assert_eq!(input_below(Some(r#"{"fanout":["x"],"a":1}"#), false, true), Ok(inherited(r#"{"a":1}"#)));
        assert_eq!(input_below(None, false, true), Ok(Input::None));
    }

    #[test]
    fn corrupt_parent_input_is_error() {
        assert_eq!(input_below(Some("{"), false, false), Err("not JSON".into()));
        let position = Position { parent: ParentKey::run(RunKey(1)), is_join: false };
        let mut inputs = ParentInputs::default();
        assert_eq!(inputs.input_of(position, None), Ok(Input::None));
        let own: Json = "1".parse().unwrap();
        assert_eq!(inputs.input_of(position, Some(own.clone())), Ok(Input::Own(own)));
    }
}
