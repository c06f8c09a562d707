//! One file of the agent knows the crates of the backends: everything else is the same in every mode.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// As Rust names them.
fn crates() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for manifest in entries(&folder("../../backends"))?.iter().map(|backend| backend.join("Cargo.toml")) {
        let text = fs::read_to_string(manifest)?;
        let name = text.lines().find_map(|line| line.strip_prefix("name = "));
        names.extend(name.map(|name| name.trim_matches('"').replace('-', "_")));
    }
    Ok(names)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn one_file_of_the_agent_names_the_backends() {
    let crates = crates().unwrap();
    assert!(!crates.is_empty());
    let (mut files, mut naming) = (Vec::new(), Vec::new());
    ["src", "tests"].iter().for_each(|part| sources(&folder(part), &mut files).unwrap());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        naming.extend(crates.iter().any(|name| text.contains(name)).then_some(file));
    }
    assert_eq!(naming, [folder("src/backends.rs")]);
}
