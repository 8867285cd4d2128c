//! The newest update, for what is served.

use std::sync::Arc;

use anyhow::Result;
use weir_signals::Update;

use super::Sink;
use crate::serve::Latest;

/// Keeps the newest update where servers find it.
pub(crate) struct LatestOutput(pub(crate) Arc<Latest>);

impl Sink for LatestOutput {
    fn name(&self) -> &'static str {
        "what is served"
    }

    fn update(&mut self, update: Update) -> Result<()> {
        self.0.put(update);
        Ok(())
    }
}
