//! /metrics of the mode that runs.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::{Mode, RENDERED_MODES, daemon::Daemon, has_kernel_for};
use portolan_scripted::endpoint_slice;

use crate::world::{METRICS, SLICES, World, webs};

const TOTAL: &str = "kubeproxy_sync_proxy_rules_iptables_total";
const LAST: &str = "kubeproxy_sync_proxy_rules_iptables_last";

/// kube-proxy's families on the page, with their types.
fn families(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    typed.filter(|(name, _)| name.starts_with("kubeproxy_"))
}

/// Those that docs/metrics.md explains, with their types.
fn explained() -> Result<BTreeMap<String, String>> {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md"))?;
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let typed = rows.filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(" | ")?.0.to_owned())));
    Ok(typed.collect())
}

pub(crate) fn each_mode_has_its_own_families() -> Result<()> {
    let explained = explained()?;
    for mode in RENDERED_MODES.into_iter().filter(|mode| has_kernel_for(*mode)) {
        let world = World::new()?;
        let (services, slices) = webs(&[0]);
        world.lists(&services, &slices);
        let daemon = world.run_until_ready(&[&format!("--proxy-mode={mode}")])?;
        let page = world.get(METRICS, "/metrics")?.body;
        let mut own = Vec::new();
        for (name, kind) in families(&page) {
            ensure!(explained.get(name).is_some_and(|explained| explained == kind), "{name} {kind} is not explained");
            own.extend(RENDERED_MODES.into_iter().filter(|of| name.contains(of.name())).map(|of| (of, name)));
        }
        ensure!(own.iter().all(|(of, _)| *of == mode), "in {mode} mode: {own:?}");
        if mode == Mode::Iptables {
            ensure!(own.len() == 3, "{own:?}");
            rules_are_counted(&world, &daemon)?;
        } else {
            ensure!(own.is_empty(), "nothing has failed, nothing is listened for: {own:?}");
        }
    }
    Ok(())
}

fn rules_are_counted(world: &World, daemon: &Daemon) -> Result<()> {
    let counted = |name: &str, family: &str, table: &str| {
        world.metric(&format!("{name}{{ip_family=\"{family}\",table=\"{table}\"}}"))
    };
    let as_listed = || -> Result<()> {
        for (family, program) in [("IPv4", "iptables-save"), ("IPv6", "ip6tables-save")] {
            for table in ["filter", "nat"] {
                let saved = world.node.command(program).args(["-t", table]).expect_exit(0)?;
                let rules = saved.lines().filter(|line| line.starts_with("-A KUBE-")).count();
                let told = counted(TOTAL, family, table)?;
                ensure!(told == f64::from(u32::try_from(rules)?), "{told} of {rules} rules in {table} of {family}");
            }
        }
        Ok(())
    };
    as_listed()?;
    let before = counted(TOTAL, "IPv4", "nat")?;
    world.tell(SLICES, "MODIFIED", &endpoint_slice(0, 3))?;
    world.until("two endpoints more", daemon, || Ok(counted(TOTAL, "IPv4", "nat")? > before))?;
    as_listed().context("after a change")?;
    let (last, whole) = (counted(LAST, "IPv4", "nat")?, counted(TOTAL, "IPv4", "nat")?);
    ensure!(0.0 < last && last < whole, "{last} of {whole} rules were written for a change");
    ensure!(counted(LAST, "IPv6", "nat")? == 0.0);
    Ok(())
}
