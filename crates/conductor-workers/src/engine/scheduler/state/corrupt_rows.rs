//! Works past corrupt rows: the engine processes all other rows, and reports the corrupt ones.

use conductor_store::StoreError;

/// The errors of corrupt rows, until they are reported.
#[derive(Debug, Default)]
pub(crate) struct CorruptRows(Vec<StoreError>);

impl CorruptRows {
    /// Records the error of a corrupt row. Returns every other error.
    fn record(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !matches!(error, StoreError::CorruptRow { .. }) {
            return Err(error);
        }
        self.0.push(error);
        Ok(())
    }

    /// Returns the answer; the default if a row is corrupt.
    pub(crate) fn skip<T: Default>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        answer.or_else(|error| self.record(error).map(|()| T::default()))
    }

    /// Sends a request about all items. If a row of them is corrupt, repeats it for each half, and so on: so a corrupt row
    /// affects only its own item. Returns one answer per item, in their order; `None` for a corrupt one.
    pub(crate) fn bisect<T, A>(
        &mut self,
        items: &[T],
        send: &mut impl FnMut(&[T]) -> Result<Vec<A>, StoreError>,
    ) -> Result<Vec<Option<A>>, StoreError> {
        match send(items) {
            Ok(answers) => Ok(answers.into_iter().map(Some).collect()),
            Err(StoreError::CorruptRow { .. }) if items.len() > 1 => {
                let (left, right) = items.split_at(items.len() / 2);
                let mut answers = self.bisect(left, send)?;
                answers.extend(self.bisect(right, send)?);
                Ok(answers)
            }
            Err(error) => self.record(error).map(|()| items.iter().map(|_| None).collect()),
        }
    }

    /// Takes the errors since the last call.
    pub(crate) fn take(&mut self) -> Vec<StoreError> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupt() -> StoreError {
        StoreError::CorruptRow { row: "task 5".into(), reason: "another program wrote into it".into() }
    }

    #[test]
    fn corrupt_row_affects_only_its_own_item() {
        let mut corrupt_rows = CorruptRows::default();
        let mut requests = 0;
        let answers = corrupt_rows.bisect(&[0, 1, 2, 3, 4, 5, 6, 7], &mut |items| {
            requests += 1;
            if items.contains(&5) { Err(corrupt()) } else { Ok(items.to_vec()) }
        });
        let expected = [0, 1, 2, 3, 4, 5, 6, 7].map(|item| (item != 5).then_some(item));
        assert_eq!(answers.unwrap(), expected);
        // All; both halves; both quarters of the second half; both rows of the first of these.
        assert_eq!(requests, 7);
        assert_eq!(corrupt_rows.take().len(), 1);
        assert!(corrupt_rows.take().is_empty());
    }

    #[test]
    fn other_error_stops_request() {
        let mut corrupt_rows = CorruptRows::default();
        let mut requests = 0;
        let answers = corrupt_rows.bisect(&[0, 1, 2, 3], &mut |items| -> Result<Vec<i32>, StoreError> {
            requests += 1;
            Err(if items.len() > 2 { corrupt() } else { StoreError::Busy("another process writes".into()) })
        });
        assert!(matches!(answers, Err(StoreError::Busy(_))));
        assert_eq!(requests, 2);
        assert!(corrupt_rows.take().is_empty());
    }
}
