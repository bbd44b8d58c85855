//! The problems of rows that cannot be imported.

/// The number of problems that are kept as text.
const SHOWN: usize = 20;

/// The first problems as text, and the number of the others.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) shown: Vec<String>,
    pub(crate) more: usize,
}

impl Problems {
    /// Adds a problem.
    pub(crate) fn add(&mut self, problem: String) {
        if self.shown.len() < SHOWN {
            self.shown.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Whether there are no problems.
    pub(crate) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_after_twentieth_are_counted() {
        let mut problems = Problems::default();
        assert!(problems.is_empty());
        for number in 0..22 {
            problems.add(number.to_string());
        }
        assert_eq!((problems.shown.len(), problems.more), (20, 2));
        assert!(!problems.is_empty());
    }
}
