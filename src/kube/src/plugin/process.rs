//! A plug-in's process: no terminal, a limit for its time and for what it prints, and nothing of it left behind.

use std::{collections::HashMap, process::Stdio, time::Duration};

use kube::config::ExecConfig;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use super::PluginError;

/// How long it may take. client-go waits for ever; those of the clouds ask a server, and take a second or two.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// How much it may print: tokens and certificates are a few kilobytes.
const LARGEST: u64 = 1 << 20;

/// The name of an entry of `env`.
pub(super) fn name(entry: &HashMap<String, String>) -> Option<&String> {
    entry.get("name").filter(|name| !name.is_empty())
}

/// Runs it, and gives what it printed.
pub(super) async fn run(exec: &ExecConfig, question: &str) -> Result<Vec<u8>, PluginError> {
    let mut command = Command::new(exec.command.as_deref().unwrap_or_default());
    command.args(exec.args.iter().flatten());
    command.envs(exec.env.iter().flatten().filter_map(|entry| Some((name(entry)?, entry.get("value")?))));
    command.env("KUBERNETES_EXEC_INFO", question);
    // What it says besides may have secrets in it, and the log is read by many.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that a shell's children are killed with it.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(PluginError::Start)?;
    let group = Group(child.id());
    let ended = timeout(LIMIT, async {
        let mut printed = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(LARGEST + 1).read_to_end(&mut printed).await.map_err(PluginError::Start)?;
        }
        if printed.len() as u64 > LARGEST {
            return Err(PluginError::Answer("more than a megabyte"));
        }
        Ok((printed, child.wait().await.map_err(PluginError::Start)?))
    });
    let (printed, status) = ended.await.map_err(|_| PluginError::Late)??;
    group.disarm();
    if status.success() { Ok(printed) } else { Err(PluginError::Failed(status)) }
}

/// The processes of a plug-in. They are killed with whoever waits for them, be it by the time limit or by the end of the
/// daemon; those of one that has ended may go on.
struct Group(Option<u32>);

impl Group {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // Gone already: that is what was wanted.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}
