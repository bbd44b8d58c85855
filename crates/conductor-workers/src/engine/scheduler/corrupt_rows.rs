//! What the engine does about rows that a store cannot read: it goes on with all the others, and says so.

use conductor_store::StoreError;

/// What could not be read, for whoever runs the engine.
#[derive(Debug, Default)]
pub(crate) struct CorruptRows(Vec<StoreError>);

impl CorruptRows {
    /// Notes a row that cannot be read; any other fault goes on its way.
    pub(crate) fn note(&mut self, fault: StoreError) -> Result<(), StoreError> {
        if !matches!(fault, StoreError::CorruptRow { .. }) {
            return Err(fault);
        }
        self.0.push(fault);
        Ok(())
    }

    /// The answer, or as much as nothing if a row cannot be read.
    pub(crate) fn past<T: Default>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        answer.or_else(|fault| self.note(fault).map(|()| T::default()))
    }

    /// Makes a request about all of these. If a row among them cannot be read it makes one about each half, and so on, so
    /// that it harms none of the others. One answer per item, in their order; `None` for one that cannot be read.
    pub(crate) fn in_halves<T, A>(
        &mut self,
        items: &[T],
        ask: &mut impl FnMut(&[T]) -> Result<Vec<A>, StoreError>,
    ) -> Result<Vec<Option<A>>, StoreError> {
        match ask(items) {
            Ok(answers) => Ok(answers.into_iter().map(Some).collect()),
            Err(StoreError::CorruptRow { .. }) if items.len() > 1 => {
                let (one, other) = items.split_at(items.len() / 2);
                let mut answers = self.in_halves(one, ask)?;
                answers.extend(self.in_halves(other, ask)?);
                Ok(answers)
            }
            Err(fault) => self.note(fault).map(|()| items.iter().map(|_| None).collect()),
        }
    }

    /// What was noted since the last call.
    pub(crate) fn take(&mut self) -> Vec<StoreError> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreadable() -> StoreError {
        StoreError::CorruptRow { row: "task 5".into(), reason: "somebody wrote into it".into() }
    }

    #[test]
    fn one_row_that_cannot_be_read_harms_none_of_the_others() {
        let mut damage = CorruptRows::default();
        let mut requests = 0;
        let answers = damage.in_halves(&[0, 1, 2, 3, 4, 5, 6, 7], &mut |items| {
            requests += 1;
            if items.contains(&5) { Err(unreadable()) } else { Ok(items.to_vec()) }
        });
        let expected = [0, 1, 2, 3, 4, 5, 6, 7].map(|item| (item != 5).then_some(item));
        assert_eq!(answers.unwrap(), expected);
        // All; both halves; both quarters of the second; both of its rows.
        assert_eq!(requests, 7);
        assert_eq!(damage.take().len(), 1);
        assert!(damage.take().is_empty());
    }

    #[test]
    fn any_other_fault_is_one_of_the_whole() {
        let mut damage = CorruptRows::default();
        let mut requests = 0;
        let answers = damage.in_halves(&[0, 1, 2, 3], &mut |items| -> Result<Vec<i32>, StoreError> {
            requests += 1;
            Err(if items.len() > 2 { unreadable() } else { StoreError::Busy("somebody else writes".into()) })
        });
        assert!(matches!(answers, Err(StoreError::Busy(_))));
        assert_eq!(requests, 2);
        assert!(damage.take().is_empty());
    }
}
