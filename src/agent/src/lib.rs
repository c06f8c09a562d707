//! The agent: everything between the world and the pure middle ([`portolan_core`]).
//!
//! ```text
//!   main thread (tokio)                                  sync thread (blocking)
//!
//!   API server or manifests --Message--> mailbox ------> Cluster -PortChange-> Dataplane -> kernel
//!   configuration file, signals                             |                      ^          |
//!                                                           v                      '----------' notifications
//!   http thread (tokio): /healthz, /metrics, ... <------ Telemetry
//!   loopback thread (tokio): NodePorts at 127.0.0.1 <--- LoopbackNodePorts
//! ```
//!
//! A batch is worked on by the kernel inside one system call, for as long as a tenth of a second: the thread that
//! sends it does nothing else, so that signals, files and whoever asks for our health are never kept waiting.

pub mod backends;
pub mod cli;
pub mod commands;
pub mod config_file;
pub mod conntrack;
pub mod counters;
pub mod daemon;
pub mod events;
pub mod exit;
pub mod feed;
pub mod health_checks;
pub mod http;
mod listen;
pub mod load;
pub mod local_addresses;
pub mod logging;
pub mod loopback;
pub mod mailbox;
pub mod manifest;
pub mod metrics;
pub mod oom;
pub mod output;
pub mod signals;
pub mod sync_loop;
pub mod sysctl;
pub mod telemetry;
