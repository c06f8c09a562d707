//! IP Virtual Server. Portolan has no such mode: this knows only what kube-proxy's ipvs mode leaves.

mod predecessor;

pub use predecessor::Leftovers;
