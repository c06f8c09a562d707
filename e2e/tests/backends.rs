//! One file of the agent knows the crates of the backends: everything else is the same in every mode.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::repository::{paths_in, root, sources};

/// As Rust names them.
fn crates() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for backend in paths_in(&root().join("backends"))? {
        let text = fs::read_to_string(backend.join("Cargo.toml"))?;
        let name = text.lines().find_map(|line| line.strip_prefix("name = ")).context("a crate without a name")?;
        names.push(name.trim_matches('"').replace('-', "_"));
    }
    Ok(names)
}

#[test]
fn one_file_of_the_agent_names_the_backends() -> Result<()> {
    let crates = crates()?;
    ensure!(!crates.is_empty());
    let agent = root().join("src/agent");
    let mut naming = Vec::new();
    for file in [sources(&agent.join("src"))?, sources(&agent.join("tests"))?].concat() {
        let text = fs::read_to_string(&file)?;
        naming.extend(crates.iter().any(|name| text.contains(name)).then_some(file));
    }
    ensure!(naming == [agent.join("src/backends.rs")], "{naming:?}");
    Ok(())
}
