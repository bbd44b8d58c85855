//! The parts of a scheduler that never change.

use crate::engine::config::Settings;
use crate::engine_store::EngineStore;
use crate::handler::attempt::Attempt;
use conductor_model::Kind;
use conductor_store::Environment;
use std::sync::Arc;

/// The parts of a scheduler that never change.
pub(crate) struct Base {
    pub(crate) store: Arc<dyn EngineStore>,
    pub(crate) env: Arc<Environment>,
    pub(crate) settings: Settings,
}

impl Base {
    pub(crate) fn kind_of(&self, attempt: &Attempt) -> &Kind {
        &self.settings.kinds[attempt.kind].0
    }
}
