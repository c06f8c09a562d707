//! Manifests that change while the daemon runs: each change is seen in the kernel.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path, process::ExitCode, time::Duration};

use anyhow::Result;
use portolan_core::addr::Protocol;
use portolan_e2e::{
    Lab, Mode, Options,
    cast::named,
    daemon::{Daemon, Rules as _, lone_for, test, until},
    harness::{self, Failure, Test},
    host::Host,
    modes,
    objects::{NODE_A, service, tcp_targets},
    probe::Outcome,
    product::Portolan,
};

fn main() -> ExitCode {
    let tests = || Ok::<_, Failure>(modes().into_iter().flat_map(of_mode).collect());
    harness::run(tests, || ())
}

fn of_mode(mode: Mode) -> [Test; 4] {
    let of_mode = |name: &str, check: fn(Mode) -> Result<()>| test(&format!("{mode}/{name}"), move || check(mode));
    [
        of_mode("a file is rewritten, added and removed, and packets follow", packets_follow_files),
        of_mode("a ConfigMap's symlink is swapped", a_configmap_is_swapped),
        of_mode("an unreadable file keeps its last good objects", an_unreadable_file_keeps_its_last_good_objects),
        of_mode("while a file was never read nothing is deleted", while_a_file_was_never_read_nothing_is_deleted),
    ]
}

/// Frontend 10.96.0.`last`, with the endpoint pod-a1:`port`.
fn one(last: u8, port: u16) -> Result<String> {
    Ok(service(&format!("svc-{last}"), &format!("10.96.0.{last}"), &[(named("pod-a1")?, port)]))
}

/// Waits until `portolan list` would show exactly these frontends and endpoints.
fn holds(mode: Mode, node: &Host, daemon: &Daemon, wanted: &[(u8, u16)]) -> Result<()> {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(last, port)| (SocketAddr::from(([10, 96, 0, *last], 80)), SocketAddr::from(([10, 244, 1, 11], *port))))
        .collect();
    let looked = until::<_, anyhow::Error>("the kernel to hold what the manifests want", || {
        let frontends = node.frontends(mode)?;
        let held = frontends.iter().flat_map(|frontend| {
            let vip = SocketAddr::new(frontend.vip.addr, frontend.vip.port);
            frontend.endpoints.iter().map(move |endpoint| (vip, *endpoint))
        });
        Ok((held.collect::<Vec<_>>() == wanted).then_some(()))
    });
    looked
        .map_err(|error| anyhow::anyhow!("{error:#}: {wanted:?}\n{}\n{:?}", daemon.log().join("\n"), node.listed(mode)))
}

fn packets_follow_files(mode: Mode) -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let (a2, b1) = (named("pod-a2")?, named("pod-b1")?);
    let _servers = lab.serve(tcp_targets(&[(a2, 8080), (b1, 8080)]))?;
    let (node, client) = (lab.host("node-a")?, lab.host("pod-a1")?);
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    let answers = |last: u8, wanted: &str| -> Result<()> {
        until::<_, anyhow::Error>(&format!("{wanted:?} from 10.96.0.{last}"), || {
            let to = SocketAddr::from(([10, 96, 0, last], 80));
            Ok(match client.connect(Protocol::Tcp, to, Duration::from_millis(200))? {
                Outcome::Answered(answer) => (answer.server == wanted).then_some(()),
                other => (format!("{other:?}") == wanted).then_some(()),
            })
        })
    };
    fs::write(file("one.yaml"), service("one", "10.96.0.1", &[(a2, 8080)]))?;
    let _daemon = Daemon::start(&Portolan::find()?.in_mode(mode), node, folder.path())?;
    answers(1, "pod-a2:8080")?;
    fs::write(file("one.yaml"), service("one", "10.96.0.1", &[(b1, 8080)]))?;
    answers(1, "pod-b1:8080")?;
    fs::write(file("two.json"), r#"{"apiVersion": "v1", "kind": "List", "items": []}"#)?;
    fs::write(file("three.yml"), service("three", "10.96.0.3", &[(a2, 8080)]))?;
    answers(3, "pod-a2:8080")?;
    fs::write(file("one.yaml"), service("one", "10.96.0.1", &[]))?;
    answers(1, "Refused")?;
    fs::remove_file(file("three.yml"))?;
    answers(3, "Silent")
}

/// As the kubelet does it: `..data` leads to a folder, and is renamed to lead to another.
fn a_configmap_is_swapped(mode: Mode) -> Result<()> {
    let (node, folder) = (lone_for(mode)?, tempfile::tempdir()?);
    let path = folder.path();
    let version = |number: u16| -> Result<()> {
        let data = path.join(format!("..version-{number}"));
        fs::create_dir(&data)?;
        fs::write(data.join("services.yaml"), one(1, number)?)?;
        symlink(data, path.join("..data_tmp"))?;
        fs::rename(path.join("..data_tmp"), path.join("..data"))?;
        Ok(())
    };
    version(1)?;
    symlink("..data/services.yaml", path.join("services.yaml"))?;
    let daemon = Daemon::start(&Portolan::find()?.in_mode(mode), &node, path)?;
    holds(mode, &node, &daemon, &[(1, 1)])?;
    for number in 2..6 {
        version(number)?;
        holds(mode, &node, &daemon, &[(1, number)])?;
        fs::remove_dir_all(path.join(format!("..version-{}", number - 1)))?;
    }
    Ok(())
}

/// What no program can read as YAML.
const BROKEN: &str = "apiVersion: v1\nkind: [Service\n";

fn an_unreadable_file_keeps_its_last_good_objects(mode: Mode) -> Result<()> {
    let (node, folder) = (lone_for(mode)?, tempfile::tempdir()?);
    let file = |name: &str| folder.path().join(name);
    fs::write(file("one.yaml"), one(1, 1)?)?;
    fs::write(file("two.yaml"), one(2, 1)?)?;
    let daemon = Daemon::start(&Portolan::find()?.in_mode(mode), &node, folder.path())?;
    holds(mode, &node, &daemon, &[(1, 1), (2, 1)])?;
    let seen = daemon.log().len();
    fs::write(file("one.yaml"), BROKEN)?;
    daemon.logs(seen, "one.yaml")?;
    // Another file's change goes through meanwhile, and shows that the broken one has had its turn.
    fs::write(file("two.yaml"), one(2, 2)?)?;
    holds(mode, &node, &daemon, &[(1, 1), (2, 2)])?;
    fs::remove_file(file("two.yaml"))?;
    holds(mode, &node, &daemon, &[(1, 1)])?;
    fs::write(file("one.yaml"), one(1, 3)?)?;
    holds(mode, &node, &daemon, &[(1, 3)])
}

fn while_a_file_was_never_read_nothing_is_deleted(mode: Mode) -> Result<()> {
    let (node, folder) = (lone_for(mode)?, tempfile::tempdir()?);
    let file = |name: &str| folder.path().join(name);
    fs::write(file("node.yaml"), NODE_A)?;
    fs::write(file("one.yaml"), one(1, 1)?)?;
    fs::write(file("two.yaml"), one(2, 1)?)?;
    once(mode, &node, folder.path(), 0)?;
    fs::write(file("two.yaml"), BROKEN)?;
    fs::write(file("three.yaml"), one(3, 1)?)?;
    once(mode, &node, folder.path(), 3)?;
    let daemon = Daemon::start(&Portolan::find()?.in_mode(mode), &node, folder.path())?;
    holds(mode, &node, &daemon, &[(1, 1), (2, 1), (3, 1)])?;
    fs::remove_file(file("one.yaml"))?;
    fs::write(file("four.yaml"), one(4, 1)?)?;
    holds(mode, &node, &daemon, &[(1, 1), (2, 1), (3, 1), (4, 1)])?;
    // As soon as all is known, what is not wanted goes.
    fs::write(file("two.yaml"), one(5, 1)?)?;
    holds(mode, &node, &daemon, &[(3, 1), (4, 1), (5, 1)])
}

fn once(mode: Mode, node: &Host, manifests: &Path, exit: i32) -> Result<()> {
    Portolan::find()?.in_mode(mode).once(manifests, node).expect_exit(exit)?;
    Ok(())
}
