//! The upper bounds of the histograms' buckets, in seconds.

use prometheus_client::metrics::family::MetricConstructor;
use prometheus_client::metrics::histogram::Histogram;

/// The bounds of one kind of time; makes its histograms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds(&'static [f64]);

/// How long jobs wait and run: from a test's moment to a week.
pub(super) const JOB: Bounds = Bounds(&[
    0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0, 86_400.0,
    259_200.0, 604_800.0,
]);

/// How long an engine takes: from a look at it to the pull of a large image.
pub(super) const ENGINE: Bounds =
    Bounds(&[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0]);

/// How long a write takes until it is on the disk.
pub(super) const WRITE: Bounds =
    Bounds(&[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);

/// How long an answer takes: most are there within milliseconds, those that wait within their wait.
pub(super) const HTTP: Bounds = Bounds(&[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
]);

impl Bounds {
    pub(super) fn histogram(self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        self.histogram()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise() {
        for Bounds(bounds) in [JOB, ENGINE, WRITE, HTTP] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }
}
