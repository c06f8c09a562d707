//! What the tests share.

use std::process::Command;

/// A named test of this program.
pub(crate) type Test = (&'static str, fn());

/// What a shell prints, in the namespaces of this thread; it has to succeed.
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("/bin/sh").args(["-ec", script]).output().expect("a shell starts");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
