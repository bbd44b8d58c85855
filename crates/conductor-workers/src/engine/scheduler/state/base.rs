//! The parts of a scheduler that never change.

use crate::engine::config::Settings;
use crate::engine_store::EngineStore;
use crate::handler::batch::Batch;
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
    pub(crate) fn kind_of(&self, batch: &Batch) -> &Kind {
        &self.settings.kinds[batch.kind].0
    }
}
