//! Changes are noticed as they happen, by real inotify.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code as a whole")]

mod support;

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::Path,
};

use portolan::manifest::Follower;
use support::{line, service, write};

/// Waits for changes and reads them until something is told.
async fn next(follower: &mut Follower) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.is_empty() {
        follower.changed().await.unwrap();
        follower.scan(&mut |event| lines.extend(line(&event))).unwrap();
    }
    lines
}

/// Reads for the first time.
fn first(path: &Path) -> (Follower, Vec<String>) {
    let mut follower = Follower::open(path).unwrap();
    let mut lines = Vec::new();
    follower.scan(&mut |event| lines.extend(line(&event))).unwrap();
    (follower, lines)
}

#[tokio::test]
async fn files_that_are_written_renamed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut follower, lines) = first(folder.path());
    assert!(lines.is_empty());
    write(folder.path(), "a.yaml", &service("a", "172.30.0.1"));
    assert_eq!(next(&mut follower).await, ["+Service default/a"]);
    // As editors save.
    write(folder.path(), ".a.yaml.swp", &service("a", "172.30.0.2"));
    fs::rename(folder.path().join(".a.yaml.swp"), folder.path().join("a.yaml")).unwrap();
    assert_eq!(next(&mut follower).await, ["+Service default/a"]);
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    assert_eq!(next(&mut follower).await, ["-Service default/a"]);
}

#[tokio::test]
async fn a_file_is_read_when_its_writer_has_closed_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &service("a", "172.30.0.1"));
    let (mut follower, _) = first(folder.path());

    let mut file = File::create(folder.path().join("a.yaml")).unwrap();
    file.write_all(service("b", "172.30.0.2").as_bytes()).unwrap();
    // Something else changes meanwhile: half of a.yaml must not be read with it.
    write(folder.path(), "c.yaml", &service("c", "172.30.0.3"));
    assert_eq!(next(&mut follower).await, ["+Service default/c"]);
    file.write_all(service("a", "172.30.0.1").as_bytes()).unwrap();
    drop(file);
    assert_eq!(next(&mut follower).await, ["+Service default/b"]);
}

/// As the kubelet updates a mounted ConfigMap: the names are symlinks through `..data`, which is renamed over.
#[tokio::test]
async fn a_config_map_is_swapped() {
    let mount = tempfile::tempdir().unwrap();
    let version = |name: &str, files: &[(&str, String)]| {
        fs::create_dir(mount.path().join(name)).unwrap();
        for (file, content) in files {
            write(&mount.path().join(name), file, content);
        }
        symlink(name, mount.path().join("..data_tmp")).unwrap();
        fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
    };
    version("..1", &[("a.yaml", service("a", "172.30.0.1")), ("b.yaml", service("b", "172.30.0.2"))]);
    for file in ["a.yaml", "b.yaml"] {
        symlink(format!("..data/{file}"), mount.path().join(file)).unwrap();
    }
    let (mut folder, lines) = first(mount.path());
    assert_eq!(lines, ["+Service default/a", "+Service default/b"]);
    let (mut single, lines) = first(&mount.path().join("a.yaml"));
    assert_eq!(lines, ["+Service default/a"]);

    version("..2", &[("a.yaml", service("a", "172.30.0.9")), ("b.yaml", service("b", "172.30.0.2"))]);
    fs::remove_dir_all(mount.path().join("..1")).unwrap();
    assert_eq!(next(&mut folder).await, ["+Service default/a"]);
    assert_eq!(next(&mut single).await, ["+Service default/a"]);

    // A key is taken away: the kubelet removes its name after the swap.
    version("..3", &[("a.yaml", service("a", "172.30.0.9"))]);
    fs::remove_file(mount.path().join("b.yaml")).unwrap();
    fs::remove_dir_all(mount.path().join("..2")).unwrap();
    assert_eq!(next(&mut folder).await, ["-Service default/b"]);
}

#[tokio::test]
async fn symlinks_are_followed_and_the_folder_itself_may_be_replaced() {
    let outside = tempfile::tempdir().unwrap();
    for folder in ["1", "2", "elsewhere"] {
        fs::create_dir(outside.path().join(folder)).unwrap();
    }
    write(&outside.path().join("elsewhere"), "x", &service("x", "172.30.0.1"));
    symlink("../elsewhere/x", outside.path().join("1/x.yaml")).unwrap();
    write(&outside.path().join("2"), "v.yaml", &service("v", "172.30.0.1"));
    symlink("1", outside.path().join("current")).unwrap();

    let (mut follower, lines) = first(&outside.path().join("current"));
    assert_eq!(lines, ["+Service default/x"]);
    write(&outside.path().join("elsewhere"), "x", &service("x", "172.30.0.2"));
    assert_eq!(next(&mut follower).await, ["+Service default/x"]);

    symlink("2", outside.path().join("next")).unwrap();
    fs::rename(outside.path().join("next"), outside.path().join("current")).unwrap();
    assert_eq!(next(&mut follower).await, ["+Service default/v", "-Service default/x"]);
    write(&outside.path().join("2"), "z.yaml", &service("z", "172.30.0.3"));
    assert_eq!(next(&mut follower).await, ["+Service default/z"]);
}

#[tokio::test]
async fn a_file_that_becomes_readable_is_read() {
    let folder = tempfile::tempdir().unwrap();
    symlink("target", folder.path().join("a.yaml")).unwrap();
    let (mut follower, lines) = first(folder.path());
    assert_eq!(lines.last().unwrap(), "incomplete");
    write(folder.path(), "target", &service("a", "172.30.0.1"));
    assert_eq!(next(&mut follower).await, ["+Service default/a"]);
}
