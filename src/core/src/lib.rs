//! The pure middle of Portolan: from Kubernetes objects to a plan of kernel changes, with no I/O on the way.
//!
//! ```text
//!   objects          ingest            model            desired           object
//!  (serde) ------> parse, refuse ---> Services, ----> Frontends and ---> keyed objects,
//!                       |             slices, Node    Endpoints of       tracker, diff, plan
//!                       v                             THIS node             |        ^
//!                  Rejections                                              apply   observe
//!                                                                           v        |
//!                                                                        a `Backend` (effects)
//! ```
//!
//! Every stage is a function of its input: ordered maps, no clock, no random numbers, no files, no sockets.
//! `clippy.toml` beside this crate's manifest says so to the compiler.

pub mod addr;
pub mod desired;
pub mod ingest;
pub mod inspect;
pub mod model;
pub mod name;
pub mod object;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
pub mod trace;
