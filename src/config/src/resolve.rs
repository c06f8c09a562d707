//! Flags and file together: what counts, what is wrong with it, and what in it has no effect.

use crate::{
    configuration::Configuration,
    flags::{self, Flags, boolean, flag_of, switch},
    gates::{self, Features},
    ignored,
    problem::{Findings, Problem, Problems, Warning},
    validate,
    value::Hostname,
};

/// A configuration that keeps all rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The file, or the flags, or kube-proxy's defaults. What it comes to in its mode is `effective()`.
    pub configuration: Configuration,
    /// Whether no mode was said, so that it is nftables with NodePorts on all the node's addresses.
    pub mode_defaulted: bool,
    /// What the feature gates switch on.
    pub features: Features,
    /// What only the command line says.
    pub run: Run,
    /// What has no effect.
    pub warnings: Vec<Warning>,
}

/// What only the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Remove everything, and end.
    pub cleanup: bool,
    /// Do what needs privileges, and end.
    pub init_only: bool,
    /// Where the configuration is written, and then the end.
    pub write_config_to: Option<String>,
    /// URL of the API server.
    pub master: Option<String>,
    /// Manifests in place of the API server.
    pub manifests: Option<String>,
    /// Program everything once, and end.
    pub once: bool,
    /// Count new connections for each frontend.
    pub count_connections: bool,
    /// Also remove unanswered TCP SYN entries to gone endpoints.
    pub conntrack_delete_syn_sent: bool,
    /// Let the API server stream its lists.
    pub streaming_lists: bool,
}

/// How much of the version is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedVersion {
    /// `--version`
    Short,
    /// `--version=raw`
    Raw,
}

impl Resolved {
    /// The feature gates that are given and that no release has.
    #[must_use]
    pub fn unknown_gates(&self) -> Vec<&str> {
        self.configuration.feature_gates.keys().map(String::as_str).filter(|name| gates::is_unknown(name)).collect()
    }
}

impl Flags {
    /// Whether the version is asked for, which comes before all else; not where the command line is not understood.
    #[must_use]
    pub fn asked_version(&self) -> Option<AskedVersion> {
        match self.version.as_ref().filter(|_| self.mistakes.is_empty())?.as_deref() {
            Some("raw") => Some(AskedVersion::Raw),
            None => Some(AskedVersion::Short),
            Some(text) => boolean(text)?.then_some(AskedVersion::Short),
        }
    }

    /// Whether everything is to be removed, whatever else the command line and the file say; not where the command line is
    /// not understood.
    #[must_use]
    pub fn asks_cleanup(&self) -> bool {
        let asked = self.cleanup.as_ref().filter(|_| self.mistakes.is_empty());
        asked.is_some_and(|value| value.as_deref().is_none_or(|text| boolean(text) == Some(true)))
    }
}

/// Makes one configuration of flags and the text of the file that `--config` names.
///
/// # Errors
/// Everything that is wrong, of flags and file; what of the command line is not understood comes first.
pub fn resolve(flags: &Flags, file_text: Option<&str>) -> Result<Resolved, Problems> {
    let judged = judge(flags, file_text);
    if flags.mistakes.is_empty() {
        return judged;
    }
    let (judged, warnings) = match judged {
        Ok(resolved) => (Vec::new(), resolved.warnings),
        Err(Problems { problems, warnings }) => (problems, warnings),
    };
    Err(Problems { problems: flags.mistakes.iter().cloned().chain(judged).collect(), warnings })
}

fn judge(flags: &Flags, file_text: Option<&str>) -> Result<Resolved, Problems> {
    let mut findings = Findings::default();
    let mut configuration = Configuration::default();
    let changed = flags::apply(flags, &mut configuration, &mut findings);
    if let Some(text) = file_text {
        for (flag, value) in changed {
            findings.warning(flags::in_vain(flag, &value));
        }
        match Configuration::parse_into(text, &mut findings) {
            Some(from_file) => configuration = from_file,
            None => return Err(findings.into()),
        }
    }
    let beside_file = flags::apply_logging(&flags.logging, &mut configuration, &mut findings);
    hostname(flags, &mut configuration, &mut findings);
    mode(flags, file_text.is_some(), &mut configuration, &mut findings);
    let run = run(flags, &mut findings);

    let mut judged = Findings::default();
    validate::validate(&configuration, &mut judged);
    ignored::warn(&configuration, &mut judged);
    let named = |problem: &mut Problem| {
        let flag = if problem.path == "mode" && flags.own.mode.is_some() {
            Some("--mode")
        } else {
            flag_of(&problem.path).filter(|flag| file_text.is_none() || beside_file.contains(flag))
        };
        if let Some(flag) = flag {
            // A flag of many names: which one is it?
            if let (Some((_, name)), Some(value)) = (problem.path.split_once("featureGates."), &mut problem.value) {
                *value = format!("{name}={value}");
            }
            flag.clone_into(&mut problem.path);
        }
    };
    // What could not be read is judged by the default in its place, and was told already.
    let unread: Vec<String> = findings.problems.iter().map(|problem| problem.path.clone()).collect();
    judged.problems.retain(|problem| !unread.iter().any(|path| problem.path.starts_with(path)));
    judged.problems.iter_mut().for_each(named);
    judged.warnings.iter_mut().for_each(|Warning(warning)| named(warning));
    findings.problems.append(&mut judged.problems);
    findings.warnings.append(&mut judged.warnings);
    if !findings.problems.is_empty() {
        return Err(findings.into());
    }
    let mode_defaulted = configuration.mode.is_empty();
    let features = Features::of(&configuration.feature_gates);
    Ok(Resolved { configuration, mode_defaulted, features, run, warnings: findings.warnings })
}

/// The flag wins over the file; an empty one is none.
fn hostname(flags: &Flags, configuration: &mut Configuration, findings: &mut Findings) {
    let Some(text) = flags.hostname_override.as_deref().filter(|text| !text.is_empty()) else { return };
    match text.parse() {
        Ok(Hostname(name)) => configuration.hostname_override = name,
        Err(error) => {
            findings.problem(Problem::new("--hostname-override", text, error.rule, error.rule.advice()));
        }
    }
}

fn mode(flags: &Flags, has_file: bool, configuration: &mut Configuration, findings: &mut Findings) {
    let Some(mode) = &flags.own.mode else { return };
    if let Some(other) = flags.proxy_mode.as_ref().filter(|other| !has_file && *other != mode) {
        let rule = format!("is another mode than that of --proxy-mode, `{other}`");
        findings.problem(Problem::new("--mode", mode, rule, "give one of the two"));
    }
    configuration.mode.clone_from(mode);
}

fn run(flags: &Flags, findings: &mut Findings) -> Run {
    let text = |given: &Option<String>| given.clone().filter(|text| !text.is_empty());
    if let Some(Some(version)) = &flags.version
        && version != "raw"
        && boolean(version).is_none()
    {
        findings.warning(Problem::new(
            "--version",
            version,
            "has no effect: Portolan's version is what it is",
            "remove it",
        ));
    }
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    const MACHINE_ID: &str = "/etc/machine-id,/var/lib/dbus/machine-id";
    for (flag, given, default) in
        [("--boot-id-file", &flags.boot_id_file, BOOT_ID), ("--machine-id-file", &flags.machine_id_file, MACHINE_ID)]
    {
        if let Some(files) = given.as_deref().filter(|files| *files != default) {
            findings.warning(Problem::new(flag, files, "has no effect: Portolan does not read it", "remove it"));
        }
    }
    let own = &flags.own;
    let mut is_on = |flag, given: &Option<Option<String>>| switch(flag, given.as_ref(), findings).unwrap_or(false);
    let run = Run {
        cleanup: is_on("--cleanup", &flags.cleanup),
        init_only: is_on("--init-only", &flags.init_only),
        write_config_to: text(&flags.write_config_to),
        master: text(&flags.master),
        manifests: text(&own.manifests),
        once: is_on("--once", &own.once),
        count_connections: is_on("--count-connections", &own.count_connections),
        conntrack_delete_syn_sent: is_on("--conntrack-delete-syn-sent", &own.conntrack_delete_syn_sent),
        streaming_lists: is_on("--streaming-lists", &own.streaming_lists),
    };
    if run.once && run.manifests.is_none() && flags.mistakes.is_empty() {
        findings.problem(Problem::without_value(
            "--once",
            "needs --manifests",
            "give a file or folder of manifests, or take it away",
        ));
    }
    run
}
