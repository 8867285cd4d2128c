//! The cluster, where weir is built with it: without the feature `kubernetes` no name comes from there.

#[cfg(not(feature = "kubernetes"))]
pub use off::{Config, Counts, Kubernetes, Mode, Status};
#[cfg(feature = "kubernetes")]
pub use weir_kubernetes::{Config, Counts, Kubernetes, Mode, Status};

#[cfg(not(feature = "kubernetes"))]
mod off;
