//! The configuration of the daemon: kube-proxy's file and flags, read, judged and made into what the daemon acts
//! upon.
//!
//! ```text
//!   arguments --> go_arguments --> Flags ---+
//!                                           +--> resolve --> Resolved --> Settings::new --> the daemon
//!   the text of --config --> Configuration -+      |            |
//!                                                  v            +--> Reload::between, with the one before it
//!                                              Problems         +--> effective(): --write-config-to, /configz
//! ```
//!
//! Nothing here reads a file, a clock or the host: texts go in, values come out. Whatever a text holds, it ends in a
//! value or in a list of all that is wrong with it, one line each. What every field and flag does is in
//! docs/configuration.md.
#![forbid(unsafe_code)]

mod anchor;
pub mod configuration;
mod detect;
mod duration;
mod fields;
mod flags;
mod gates;
mod ignored;
mod mode;
mod nearest;
mod problem;
mod reload;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;
mod tree;
mod validate;
mod value;

pub use anchor::{ANCHOR, Release};
pub use configuration::Configuration;
pub use detect::DetectLocalMode;
pub use duration::{GoDuration, NotADuration};
pub use flags::{ConntrackFlags, Flags, IpvsFlags, LoggingFlags, OwnFlags, flag_values, go_arguments};
pub use gates::Features;
pub use mode::Mode;
pub use problem::{Problem, Problems, Warning};
pub use reload::Reload;
pub use resolve::{AskedVersion, Resolved, Run, resolve};
pub use settings::{ClientSettings, ConntrackSettings, IpvsSettings, LogFormat, LoggingSettings, Settings};
pub use value::{ClusterCidr, Hostname, MasqueradeBit, NodePortList, Rule, ValueError};
