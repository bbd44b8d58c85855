//! Settle claimed tasks, and claim the next ones.

use super::SqliteStore;
use super::claim;
use super::fence::Fences;
use super::transit::Brings;
use super::write::Write;
use crate::{AttemptResult, ClaimOutcome, Fence, FenceOutcome, Settle, SettleOutcome, StoreError};
use conductor_model::{Json, MAX_TASKS, Signal};

impl SqliteStore {
    pub(super) fn settle_tasks(&self, request: &Settle) -> Result<SettleOutcome, StoreError> {
        let given = request.results.len();
        if given > MAX_TASKS {
            return Err(StoreError::BatchTooLarge { len: given, max: MAX_TASKS });
        }
        if given == 0 {
            let claimed = request.claim.as_ref().map(|claim| self.claim_tasks(claim)).transpose()?;
            return Ok(SettleOutcome { results: Vec::new(), claimed: claimed.unwrap_or_default() });
        }
        self.write(request.now, |write| {
            let endings = settle(write, request)?;
            let claimed = match &request.claim {
                Some(next) => claim::claim(write, next)?,
                None => ClaimOutcome::default(),
            };
            Ok(SettleOutcome { results: endings, claimed })
        })
    }
}

fn settle(write: &mut Write<'_>, request: &Settle) -> Result<Vec<FenceOutcome>, StoreError> {
    let fences: Vec<Fence> = request.results.iter().map(|(fence, _)| *fence).collect();
    let mut held = Fences::read(write.tx(), &fences)?;
    let mut answers = Vec::with_capacity(fences.len());
    let (mut plain, mut with_output, mut outputs) = (Vec::new(), Vec::new(), Vec::<&Json>::new());
    for (fence, ending) in &request.results {
        let Some(mut task) = held.take(*fence) else {
            answers.push(FenceOutcome::Stale);
            continue;
        };
        answers.push(FenceOutcome::Applied);
        match ending {
            AttemptResult::Succeeded { output: None } => plain.push(task),
            AttemptResult::Succeeded { output: Some(output) } => {
                with_output.push(task);
                outputs.push(output);
            }
            AttemptResult::Failed(failure) => write.fail_in_step(&mut task, failure, request.jitter)?,
        }
    }
    write.transit_leaves(&mut plain, Signal::Succeed, None)?;
    for (task, output) in with_output.iter_mut().zip(outputs) {
        let key = task.key;
        let brings = Brings { output: Some(output), ..Brings::default() };
        write.transit(task, Signal::Succeed, brings).map_err(|error| error.in_step(key))?;
    }
    Ok(answers)
}
