//! What tests of every backend need: a kernel in memory that keeps the real one's rules and misbehaves by seed.

mod kernel;
mod laws;
mod manner;
mod seed;
mod servers;

pub use kernel::{Faults, MemoryKernel};
pub use manner::{Manner, Unit};
pub use seed::Seed;
pub use servers::{ServerKey, ServerValue, Servers};
