//! Metrics as they are made: each with its name and its help.

use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::labels::{Label, PerLabel};
use super::process;

/// Registers metrics as it makes them.
pub(super) struct Declare(Registry);

impl Declare {
    pub(super) fn with_what_is_of_the_process() -> Self {
        let mut registry = Registry::with_prefix("cuttlebone");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What this server was built from", build);
        registry.register_collector(Box::new(process::Process));
        Self(registry)
    }

    pub(super) fn one<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    pub(super) fn with_unit<M: Metric + Clone + Default>(&mut self, name: &str, help: &str, unit: Unit) -> M {
        let metric = M::default();
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }

    pub(super) fn each<L: Label, M: Metric + TypedMetric + Clone + Default>(
        &mut self,
        name: &str,
        help: &str,
    ) -> PerLabel<L, M> {
        let family = Family::default();
        self.0.register(name, help, family.clone());
        PerLabel::new(&family)
    }

    pub(super) fn into_registry(self) -> Registry {
        self.0
    }
}
