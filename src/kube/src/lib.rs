//! The API server: what it has is watched, and Events are written to it.
//!
//! ```text
//!   kubeconfig, token, CA files --client--> requests --watch--> Event: Applied, Deleted, Listed --> the receiver
//!                                  ^
//!                                  '-------- Notice <-- EventSink: Events that users read
//! ```
//!
//! Nothing here ends because the API server is away, slow or wrong: requests are repeated for ever, further and further
//! apart, and what was told before stays valid. Everything runs as futures of the caller's runtime, on one thread.
//!
//! kube knows the fields of a kubeconfig. Lists, watches and credential plug-ins are our own: docs/design/kube.md says why.
#![forbid(unsafe_code)]

mod client;
mod credentials;
mod failure;
mod identity;
mod limit;
mod notice;
mod observe;
mod pace;
mod plugin;
mod proxy;
mod tls;
mod transport;
mod watch;

pub use client::{Client, ClientOptions};
pub use credentials::{ConnectError, Place, Unusable};
pub use identity::{Identity, last_change_trigger_time};
pub use notice::{EventSink, Notice, NoticeType, Regarding};
pub use observe::{PluginCall, Request, RequestObserver};
pub use pace::Pace;
pub use plugin::PluginMistake;
pub use watch::{Event, WatchOptions, watch};
