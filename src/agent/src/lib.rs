//! The agent: everything between the world and the pure middle ([`portolan_core`]).
//!
//! ```text
//!   main thread (tokio, one thread)                       sync thread (blocking)
//!
//!   manifest: files, inotify --Event--> mailbox --------> Cluster --PortChange--> Syncer --> kernel
//!   signals                                                                         ^          |
//!                                                                                   '----------' notifications
//! ```
//!
//! A batch is worked on by the kernel inside one system call, for as long as a tenth of a second: the thread that
//! sends it does nothing else, so that signals and files are never kept waiting.

pub mod cli;
pub mod commands;
pub mod exit;
pub mod feed;
pub mod load;
pub mod local_addresses;
pub mod logging;
pub mod mailbox;
pub mod manifest;
pub mod output;
pub mod signals;
pub mod sync_loop;
