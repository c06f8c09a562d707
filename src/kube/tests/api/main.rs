//! Portolan as a client of a scripted API server: every fault that an API server, or what lies before it, can have.
#![expect(
    clippy::unwrap_used,
    clippy::unreachable,
    clippy::indexing_slicing,
    reason = "a test that does not find what it expects has failed"
)]

mod certificates;
mod credentials;
mod events;
mod lists;
mod mute;
mod observed;
mod outage;
mod plugins;
mod proxies;
mod streamed;
mod watches;
mod world;
