//! How much one settlement carries.

use conductor_store::{AttemptResult, Fence};

/// What an engine's settlements carry at most, in bytes.
pub(crate) const MOST_SETTLED: usize = 4 << 20;

/// How many bytes wait to be settled at most, before nothing more is claimed and what has not begun goes back. That is far more
/// than is claimed ahead on purpose: tasks go back only when outputs became much larger, for each that does leaves an event.
pub(super) const MOST_WAITING: usize = 32 << 20;

/// How many bytes an ending brings.
pub(super) fn weight(ending: &AttemptResult) -> usize {
    match ending {
        AttemptResult::Succeeded { output } => output.as_ref().map_or(0, |output| output.as_str().len()),
        AttemptResult::Failed(failure) => failure.text().as_str().len(),
    }
}

/// Takes the first endings, as many as one settlement may carry that is to have so many bytes; one at least.
pub(super) fn take_first(
    endings: &mut Vec<(Fence, AttemptResult)>,
    most: usize,
) -> Vec<(Fence, AttemptResult)> {
    let mut bytes = 0;
    let fits = |(_, ending): &&(Fence, AttemptResult)| {
        let fits = bytes < most;
        bytes += weight(ending);
        fits
    };
    let count = endings.iter().take_while(fits).count();
    let rest = endings.split_off(count);
    std::mem::replace(endings, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_model::{Json, TaskId};

    fn endings(sizes: &[usize]) -> Vec<(Fence, AttemptResult)> {
        let ending = |(key, size): (u64, &usize)| {
            let output = Json::of(&"x".repeat(*size)).unwrap();
            let fence = Fence { task: TaskId::from_u128(1), key, attempt: 1 };
            (fence, AttemptResult::Succeeded { output: Some(output) })
        };
        (0..).zip(sizes).map(ending).collect()
    }

    #[test]
    fn large_outputs_are_settled_a_few_megabytes_at_a_time_in_their_order() {
        let mut rest = endings(&[1_000_000; 11]);
        let mut parts = Vec::new();
        while !rest.is_empty() {
            parts.push(
                take_first(&mut rest, MOST_SETTLED).iter().map(|(fence, _)| fence.key).collect::<Vec<_>>(),
            );
        }
        assert_eq!(parts, [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9], vec![10]]);
    }

    #[test]
    fn small_outputs_are_settled_together() {
        let mut rest = endings(&vec![10; 4_000]);
        assert_eq!((take_first(&mut rest, MOST_SETTLED).len(), rest.len()), (4_000, 0));
        assert!(take_first(&mut rest, MOST_SETTLED).is_empty());
    }
}
