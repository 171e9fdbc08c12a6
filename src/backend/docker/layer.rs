//! How much of the engine's disk a run takes: its container's writable layer.

use bollard::query_parameters::InspectContainerOptions;

use super::backend::Shared;
use crate::ports::{BackendError, RunRef};

impl Shared {
    /// What is in the writable layer of the run's container, which the engine walks through for this. Neither what is mounted
    /// into it is there, nor a volume.
    pub(super) async fn layer_size(&self, run: &RunRef) -> Result<Option<u64>, BackendError> {
        let options = InspectContainerOptions { size: true };
        let size = self.inspect_with(run, Some(options)).await?.and_then(|found| found.size_rw);
        // Docker says -1 where it could not look.
        Ok(size.and_then(|size| u64::try_from(size).ok()))
    }
}
