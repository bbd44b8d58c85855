//! The conditions of tasks in two bytes each.

use super::node::Node;
use crate::state::State;
use std::collections::HashMap;

/// The conditions of tasks, by number: all that their parents and indices do not say.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    codes: Vec<u16>,
    /// The attempts and the retries of tasks that have more than a code can say.
    many: HashMap<u32, (u32, u32)>,
}

/// A number that is only reserved.
const RESERVED: u16 = u16::MAX;

/// From the lowest bit on: three for the state, one for a scheduled retry, one for a parent, five for the attempts, and five for
/// the retries. The highest bit is 0.
const RETRY_SCHEDULED: u16 = 1 << 3;
const IS_PARENT: u16 = 1 << 4;
const ATTEMPT: u32 = 5;
const RETRIES: u32 = 10;
/// The attempts and the retries are in the map.
const MANY: u16 = 31;

impl Conditions {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.codes.len()).unwrap_or(u32::MAX)
    }

    /// Adds a task.
    pub(super) fn push(&mut self, node: &Node) {
        self.reserve();
        self.set(self.len() - 1, node);
    }

    /// Adds a number without a task.
    pub(super) fn reserve(&mut self) {
        self.codes.push(RESERVED);
    }

    /// Changes a task, or adds one under a reserved number.
    pub(super) fn set(&mut self, number: u32, node: &Node) {
        let Some(code) = self.codes.get_mut(number as usize) else { return };
        let had_many = *code >> ATTEMPT & MANY == MANY;
        let small = |count: u32| u16::try_from(count).ok().filter(|count| *count < MANY);
        let counts = small(node.attempt).zip(small(node.retry_count));
        let (attempt, retries) = counts.unwrap_or((MANY, MANY));
        *code = state_code(node.state) | attempt << ATTEMPT | retries << RETRIES;
        if node.retry_scheduled {
            *code |= RETRY_SCHEDULED;
        }
        if node.is_parent {
            *code |= IS_PARENT;
        }
        if counts.is_none() {
            self.many.insert(number, (node.attempt, node.retry_count));
        } else if had_many {
            self.many.remove(&number);
        }
    }

    /// The task with this number, which has the parent and the index of `node`; `None` if there is none.
    pub(super) fn get(&self, number: u32, node: Node) -> Option<Node> {
        let code = *self.codes.get(number as usize).filter(|code| **code != RESERVED)?;
        let counts = (code >> ATTEMPT & MANY, code >> RETRIES & MANY);
        let (attempt, retry_count) = match counts {
            (MANY, _) => self.many.get(&number).copied()?,
            (attempt, retries) => (u32::from(attempt), u32::from(retries)),
        };
        let state = State::from_code(i64::from(code & 7))?;
        let (is_parent, retry_scheduled) = (code & IS_PARENT != 0, code & RETRY_SCHEDULED != 0);
        Some(Node { retry_count, attempt, is_parent, state, retry_scheduled, ..node })
    }
}

/// The state in three bits.
fn state_code(state: State) -> u16 {
    u16::try_from(state.code()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_is_kept() {
        let mut conditions = Conditions::default();
        conditions.reserve();
        conditions.push(&Node::new(None, 7));
        assert!(conditions.get(0, Node::new(None, 1)).is_none(), "only reserved");
        let counts = [0, 1, 30, 31, 32, u32::MAX];
        for (attempt, retry_count) in
            counts.iter().flat_map(|attempt| counts.map(|retries| (*attempt, retries)))
        {
            for state in State::ALL {
                for (is_parent, retry_scheduled) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let node = Node {
                        parent: Some(9),
                        index: 4,
                        retry_count,
                        attempt,
                        is_parent,
                        state,
                        retry_scheduled,
                    };
                    for number in [0, 1] {
                        conditions.set(number, &node);
                        assert_eq!(conditions.get(number, Node::new(Some(9), 4)), Some(node));
                    }
                }
            }
        }
        conditions.set(0, &Node::new(None, 1));
        assert_eq!(conditions.many.len(), 1, "a task with few attempts is not in the map");
    }
}
