//! Repeats a step.

/// Repeats a step until it returns that nothing is left to do.
pub(super) fn drain<E>(mut step: impl FnMut() -> Result<bool, E>) -> Result<(), E> {
    while step()? {}
    Ok(())
}
