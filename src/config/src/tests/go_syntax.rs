//! Go's ways to write flags.

use std::ffi::OsString;

use super::{Daemon, flags};
use crate::{AskedVersion, go_arguments};
use clap::CommandFactory;

fn read(arguments: &[&str]) -> Result<String, String> {
    let (read, mistakes) = go_arguments(&Daemon::command(), arguments.iter().map(OsString::from));
    let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let read = read.join(&OsString::from(" ")).into_string().unwrap();
    if mistakes.is_empty() { Ok(read) } else { Err(mistakes.join("\n")) }
}

#[test]
fn every_spelling_has_one_meaning() {
    for (arguments, expected) in [
        (&[][..], ""),
        (&["--config=x"], "--config=x"),
        (&["--config", "x"], "--config=x"),
        (&["--config", "--cleanup"], "--config=--cleanup"),
        (&["--config", "-v"], "--config=-v"),
        (&["--oom-score-adj", "-998"], "--oom-score-adj=-998"),
        (&["--oom_score_adj=-998"], "--oom-score-adj=-998"),
        (&["--hostname-override="], "--hostname-override="),
        (&["--hostname-override", ""], "--hostname-override="),
        (&["--hostname-override=a=b"], "--hostname-override=a=b"),
        (&["--cleanup"], "--cleanup=true"),
        (&["--cleanup=false"], "--cleanup=false"),
        (&["--cleanup=T"], "--cleanup=T"),
        (&["--cleanup", "--init_only"], "--cleanup=true --init-only=true"),
        (&["-v", "2"], "--v=2"),
        (&["-v=2"], "--v=2"),
        (&["-v2"], "--v=2"),
        (&["--v", "2"], "--v=2"),
        (&["--v=2", "-v4"], "--v=4"),
        (&["-f", "x"], "--manifests=x"),
        (&["--cleanup", "--cleanup=false"], "--cleanup=false"),
        (&["--config=a", "--v=1", "--config=b"], "--v=1 --config=b"),
        (&["--nodeport-addresses=a,b", "--nodeport-addresses=c"], "--nodeport-addresses=a,b --nodeport-addresses=c"),
        (&["--feature_gates=A=true", "--feature-gates", "B=false"], "--feature-gates=A=true --feature-gates=B=false"),
        (&["", "--v=1", ""], "--v=1"),
        (&["--v=1", "--"], "--v=1"),
        (&["--", ""], ""),
        (&["--help"], "--help"),
        (&["-h"], "--help"),
        (&["--version"], "--version=true"),
        (&["--version=raw"], "--version=raw"),
    ] {
        assert_eq!(read(arguments), Ok(expected.to_owned()), "{arguments:?}");
    }
}

#[test]
fn what_is_no_flag_is_told_all_at_once() {
    for (arguments, expected) in [
        (&["--cleanup", "false"][..], "`false` is not a flag; write flags as --name=value"),
        (&["run"], "`run` is not a flag; write flags as --name=value"),
        (&["-"], "`-` is not a flag; write flags as --name=value"),
        (&["--", "--v=1"], "`--v=1` is not a flag; write flags as --name=value"),
        (&["--clustercidr=x"], "`--clustercidr` is not a flag; did you mean `--cluster-cidr`?"),
        (&["--hlep"], "`--hlep` is not a flag; did you mean `--help`?"),
        (&["--windows"], "`--windows` is not a flag; see --help"),
        (&["--=x"], "`--` is not a flag; see --help"),
        (&["-config=x"], "`-c` is not a flag; long names have two dashes"),
        (&["--config"], "`--config` needs a value; write it behind `=`"),
        (&["-v"], "`-v` needs a value; write it behind `=`"),
        (
            &["--clenup", "x", "--hostname-overide=a"],
            "`--clenup` is not a flag; did you mean `--cleanup`?\n\
             `x` is not a flag; write flags as --name=value\n\
             `--hostname-overide` is not a flag; did you mean `--hostname-override`?",
        ),
    ] {
        assert_eq!(read(arguments), Err(expected.to_owned()), "{arguments:?}");
    }
}

#[test]
fn the_version_is_asked_for_in_two_ways() {
    let asked = |arguments: &[&str]| flags(arguments).asked_version();
    assert_eq!(asked(&[]), None);
    assert_eq!(asked(&["--version"]), Some(AskedVersion::Short));
    assert_eq!(asked(&["--version=1"]), Some(AskedVersion::Short));
    assert_eq!(asked(&["--version=raw"]), Some(AskedVersion::Raw));
    assert_eq!(asked(&["--version=false"]), None);
    assert_eq!(asked(&["--version=v1.2.3"]), None);
}

#[test]
fn the_flags_are_sound_and_each_has_help() {
    let command = Daemon::command();
    command.clone().debug_assert();
    for flag in command.get_arguments() {
        assert!(flag.get_help().is_some(), "{flag}");
    }
}
