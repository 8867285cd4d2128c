//! Names from Kubernetes, where weir is built with the feature `kubernetes`; without it, none.

#[cfg(not(feature = "kubernetes"))]
pub use off::{Config, Counts, Kubernetes, Mode, Status};
#[cfg(feature = "kubernetes")]
pub use weir_kubernetes::{Config, Counts, Kubernetes, Mode, Status};

#[cfg(not(feature = "kubernetes"))]
mod off;
