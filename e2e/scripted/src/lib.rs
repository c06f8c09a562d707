//! A scripted API server: for faults that a real one does not produce on demand, and for tens of thousands of objects at
//! once.
//!
//! ```text
//!   Server::start --> on("/api/v1/services", Verb::List, [page, page]) ...    what to answer, in this order; the last
//!                     on("/api/v1/services", Verb::Watch, [watch, ...])       answer is given again and again
//!                 --> send("/api/v1/services", line)                          into all watches that are open
//!                 --> requests()                                              what was asked
//! ```
//!
//! It runs on a thread of its own, on loopback, plain (HTTP/1.1) or with certificates of an [`Authority`] made
//! for the test (HTTP/2 too), and ends
//! with the [`Server`]. Selectors are recorded and not applied: a script answers what it is told to.
#![forbid(unsafe_code)]

mod answer;
mod objects;
mod relay;
mod request;
mod script;
mod server;
mod tls;

pub use answer::{Answer, Step};
pub use objects::{endpoint_slice, event, list, pages, service};
pub use relay::Relay;
pub use request::{Recorded, Verb};
pub use server::{Server, ServerError};
pub use tls::{Authority, Identity, TlsError};
