//! A backend whose calls are timed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::engine::Operation;
use super::exposition::Metrics;
use crate::domain::JobId;
use crate::ports::{
    Backend, BackendError, Ending, EngineFacts, FoundRun, ImageFacts, ImageRemoval, JobDirs, Progress, Pull, RunRef,
    RunSpec,
};

/// Passes everything on to another backend, and times it. A call that nobody waits for to the end is not counted.
pub struct MeasuredBackend {
    inner: Arc<dyn Backend>,
    metrics: Arc<Metrics>,
}

impl MeasuredBackend {
    /// Times what `inner` does.
    #[must_use]
    pub const fn new(inner: Arc<dyn Backend>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    async fn timed<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        let began = Instant::now();
        let result = call.await;
        self.metrics.engine.asked(operation, began.elapsed(), result.is_err());
        result
    }
}

#[async_trait]
impl Backend for MeasuredBackend {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn uses_images(&self) -> bool {
        self.inner.uses_images()
    }

    fn advisory_limits(&self) -> Option<String> {
        self.inner.advisory_limits()
    }

    fn shares_files(&self) -> bool {
        self.inner.shares_files()
    }

    async fn probe(&self) -> Result<EngineFacts, BackendError> {
        self.timed(Operation::Probe, self.inner.probe()).await
    }

    async fn identify(&self) -> Result<EngineFacts, BackendError> {
        self.timed(Operation::Identify, self.inner.identify()).await
    }

    async fn find_runs(&self) -> Result<Vec<FoundRun>, BackendError> {
        self.timed(Operation::FindRuns, self.inner.find_runs()).await
    }

    async fn fetch_image(&self, image: &str, pull: Pull, progress: Progress<'_>) -> Result<ImageFacts, BackendError> {
        self.timed(Operation::FetchImage, self.inner.fetch_image(image, pull, progress)).await
    }

    async fn find_image(&self, name: &str) -> Result<Option<String>, BackendError> {
        self.timed(Operation::FindImage, self.inner.find_image(name)).await
    }

    async fn remove_image(&self, name: &str, id: &str) -> Result<ImageRemoval, BackendError> {
        self.timed(Operation::RemoveImage, self.inner.remove_image(name, id)).await
    }

    async fn hand_over(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.timed(Operation::HandOver, self.inner.hand_over(spec)).await
    }

    async fn create(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.timed(Operation::Create, self.inner.create(spec)).await
    }

    async fn start(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.timed(Operation::Start, self.inner.start(spec)).await
    }

    async fn wait(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError> {
        self.inner.wait(run, dirs).await
    }

    async fn pause(&self, run: &RunRef) -> Result<(), BackendError> {
        self.timed(Operation::Pause, self.inner.pause(run)).await
    }

    async fn resume(&self, run: &RunRef) -> Result<(), BackendError> {
        self.timed(Operation::Resume, self.inner.resume(run)).await
    }

    /// Not timed: it takes as long as there are files.
    async fn layer_size(&self, run: &RunRef) -> Result<Option<u64>, BackendError> {
        self.inner.layer_size(run).await
    }

    async fn stop(&self, run: &RunRef, grace: Duration) -> Result<(), BackendError> {
        self.timed(Operation::Stop, self.inner.stop(run, grace)).await
    }

    async fn take_back(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.timed(Operation::TakeBack, self.inner.take_back(spec)).await
    }

    async fn remove(&self, run: &RunRef) -> Result<(), BackendError> {
        self.timed(Operation::Remove, self.inner.remove(run)).await
    }

    async fn remove_files(&self, job: JobId, dirs: &JobDirs, image: Option<&str>) -> Result<(), BackendError> {
        self.timed(Operation::RemoveFiles, self.inner.remove_files(job, dirs, image)).await
    }
}

#[cfg(test)]
mod tests {
    /// One with a body in the trait would otherwise be answered by that body, not by the backend.
    #[test]
    fn every_method_of_the_port_is_passed_on() {
        let port = include_str!("../ports/backend.rs");
        let methods = port.split("pub trait Backend").nth(1).expect("the trait").split("\n    fn ");
        let methods = methods.flat_map(|part| part.split("\n    async fn ")).skip(1);
        let methods: Vec<&str> = methods.map(|rest| rest.split('(').next().expect("a name")).collect();
        assert!(methods.len() >= 20, "{methods:?}");
        for method in methods {
            assert!(include_str!("backend.rs").contains(&format!("self.inner.{method}(")), "{method} is not passed on");
        }
    }
}
