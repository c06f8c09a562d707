//! `portolan run`: kube-proxy's place on a node. What follows when.
//!
//! ```text
//!   flags, file --resolve--> Settings      every mistake at once, before anything is touched
//!        |
//!   sysctls, OOM score                     --init-only ends here
//!        |
//!   HTTP servers                           healthy, not ready
//!        |
//!   sync thread                            waits for complete lists
//!        |
//!   main thread: API server or manifests --> sync thread --> kernel: ready
//!                the file of --config    --> live settings
//!                SIGTERM, SIGINT         --> the end; the rules stay
//! ```

mod closed_inputs;
mod configuration;
mod objects;
mod reload;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portolan_config::{AskedVersion, Flags, Problems, Resolved, Settings};
use portolan_core::{
    addr::{Family, PerFamily},
    object::BackendError,
};
use portolan_kube::{ConnectError, NoticeType};
use tokio::{sync::oneshot, time::timeout};

use self::{configuration::Shown, objects::Objects, reload::Reloader};
use crate::{
    backends,
    commands::CommandError,
    counters::{counted, kernel_figures},
    events::Reporter,
    exit::Exit,
    feed::FeedError,
    health_checks::HealthChecks,
    http::{About, Addresses, Health, HealthCheckServers, HttpServers, StartError},
    logging,
    mailbox::{Mailbox, mailbox},
    manifest::FollowError,
    metrics::{Build, Metrics},
    oom,
    output::print,
    signals::Shutdown,
    sync_loop::{Message, SYNC_THREAD, SyncLoop},
    sysctl,
    telemetry::Telemetry,
};

/// How long the sync thread has after a signal for what was handed over to it. Half of the second in which we want to be gone.
const LAST_WORK: Duration = Duration::from_millis(500);

/// Why the daemon could not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration file cannot be read.
    #[error("the configuration file {} cannot be read", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The configuration cannot be written down.
    #[error("the configuration cannot be written to {}", .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The configuration has mistakes.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// The API server cannot be asked.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Nobody can ask us.
    #[error(transparent)]
    Http(#[from] StartError),
    /// The metrics cannot be made.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// The mode cannot be used on this node.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There are no manifests.
    #[error(transparent)]
    Manifests(#[from] FollowError),
    /// Changes of the manifests cannot be followed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The operating system lacks something that the daemon needs.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// What `--cleanup` and `--once` do failed.
    #[error(transparent)]
    Command(#[from] Box<CommandError>),
}

/// The configuration that flags and their file come to.
///
/// # Errors
/// When the file cannot be read, and all mistakes in both.
pub fn settings(flags: &Flags) -> Result<(Resolved, Settings), DaemonError> {
    let (resolved, _) = configuration::read(flags)?;
    match Settings::new(&resolved, &configuration::host_name()) {
        Ok(settings) => Ok((resolved, settings)),
        Err(problems) => Err(Problems { warnings: resolved.warnings, ..problems }.into()),
    }
}

/// Does what the command line says: programs the node until a signal comes, as a rule.
///
/// # Errors
/// [`DaemonError`]
pub fn run(flags: &Flags) -> Result<Exit, DaemonError> {
    if let Some(asked) = flags.asked_version() {
        let version = match asked {
            AskedVersion::Short => format!("portolan {}", Build::CURRENT.version),
            AskedVersion::Raw => format!("{:#?}", Build::CURRENT),
        };
        return print(|out| writeln!(out, "{version}")).map(|()| Exit::Success).map_err(DaemonError::Start);
    }
    if flags.asks_cleanup() {
        logging::start(logging::PLAIN);
        return Ok(crate::commands::cleanup_all().map_err(Box::new)?);
    }
    let (resolved, text) = configuration::read(flags)?;
    if let Some(path) = &resolved.run.write_config_to {
        let yaml = resolved.configuration.clone().effective().to_yaml();
        let failed = |source| DaemonError::Write { path: path.into(), source };
        fs::write(path, yaml).map_err(failed)?;
        return Ok(Exit::Success);
    }
    let settings = Settings::new(&resolved, &configuration::host_name())?;
    let verbosity = logging::start(settings.logging);
    configuration::log(&resolved, &settings);
    if let Some(ipvs) = &settings.ipvs {
        backends::prepare_ipvs(ipvs, settings.node.scheduler)?;
    }
    if let (true, Some(manifests)) = (resolved.run.once, &resolved.run.manifests) {
        sysctl::apply(None, configuration::served_by(&settings), Path::new("/"));
        return Ok(crate::commands::once(manifests.as_ref(), settings).map_err(Box::new)?);
    }
    let failed_sysctls = sysctl::apply(Some(&settings.conntrack), configuration::served_by(&settings), Path::new("/"));
    oom::adjust(settings.oom_score_adj);
    if resolved.run.init_only {
        tracing::info!("what needs full privileges is done (--init-only); from now on CAP_NET_ADMIN is enough");
        return Ok(Exit::Success);
    }
    raise_file_limit();
    let shown = Shown::new(&resolved);
    let metrics = Metrics::new(configuration::features(&resolved), settings.node.at_loopback)?;
    metrics.kernel_counts_with(kernel_figures(settings.mode));
    if settings.node.count_connections {
        let mode = settings.mode;
        metrics.count_with(move || counted(mode));
    }
    metrics.sysctls_failed(failed_sysctls);
    let health = Arc::new(Health::new(&families(), settings.sync_period));
    let about = About {
        mode: settings.mode.name(),
        profiling: settings.profiling,
        statusz: settings.features.statusz,
        flagz: settings.features.flagz,
        configuration: shown.configuration(),
        flags: shown.flags(),
        set_verbosity: Arc::new({
            let verbosity = verbosity.clone();
            move |level| verbosity.set(level)
        }),
    };
    let addresses =
        Addresses { healthz: settings.healthz, metrics: Some(settings.metrics), hard_fail: settings.bind_hard_fail };
    let servers = HttpServers::start(addresses, Arc::clone(&health), Arc::clone(&metrics), about)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DaemonError::Start)?;
    let outcome = runtime.block_on(async {
        let mut shutdown = Shutdown::listen().map_err(DaemonError::Start)?;
        let objects = Objects::open(&resolved, &settings, &metrics).await?;
        let (sink, events) = objects.events(&settings.node.hostname);
        let reporter = Reporter::new(&settings.node.hostname, sink);
        reporter.node(NoticeType::Normal, "Starting", "StartKubeProxy", "");
        if resolved.mode_defaulted {
            reporter.node(NoticeType::Normal, "ModeDefaulted", "StartKubeProxy", configuration::MODE_DEFAULTED);
        }
        configuration::report_unknown_gates(&resolved, &reporter);
        if settings.ipvs.is_some() {
            closed_inputs::report(&reporter);
        }
        let asked = settings.healthz.is_some().then(|| Arc::clone(&health));
        let health_checks = HealthChecks::new(HealthCheckServers::new(&servers, asked));
        let telemetry = Telemetry::new(Arc::clone(&metrics), health, reporter.clone(), health_checks);
        let (mailbox, mut ended) = start_sync_thread(&settings, telemetry)?;
        let mut reloader = Reloader::new(flags, text, resolved.clone(), shown, verbosity, reporter, metrics);
        let signal = tokio::select! {
            signal = shutdown.requested() => signal,
            // Nobody else sends on it: it is dropped when the thread ends, which it does by a bug only.
            _ = &mut ended => return Ok(Exit::Failure),
            fed = objects.follow(&mailbox) => return fed.map(|()| Exit::Failure),
            () = reloader.follow(&mailbox) => return Ok(Exit::Failure),
            () = events => return Ok(Exit::Failure),
        };
        drop(mailbox);
        // Each transaction leaves every Service whole, so it may stop after any: the next start goes on from there.
        if timeout(LAST_WORK, ended).await.is_err() {
            tracing::info!("not everything that had changed is in the kernel yet: the next start goes on from here");
        }
        tracing::info!(signal, "ended; the rules stay in the kernel and go on forwarding");
        Ok(Exit::Success)
    });
    // Dropped, it would wait for a file or a host name that somebody is reading.
    runtime.shutdown_background();
    outcome
}

/// Starts the thread that owns the model and the kernel; what is received last is that it has ended.
fn start_sync_thread(
    settings: &Settings,
    telemetry: Telemetry,
) -> Result<(Mailbox<Message>, oneshot::Receiver<()>), DaemonError> {
    // Opened before anything else, so that a missing permission is an error at once and not a log line later.
    let dataplane =
        backends::dataplane(settings.mode, &settings.node.policy(None, PerFamily::default(), PerFamily::default()))?;
    let (mailbox, inbox) = mailbox().map_err(DaemonError::Start)?;
    let (alive, ended) = oneshot::channel::<()>();
    let sync_loop = SyncLoop::new(settings.mode, configuration::of_sync_loop(settings), dataplane, telemetry);
    thread::Builder::new()
        .name(SYNC_THREAD.into())
        .spawn(move || {
            let _alive = alive;
            sync_loop.run(&inbox);
        })
        .map_err(DaemonError::Start)?;
    Ok((mailbox, ended))
}

/// Those that the kernel has: without IPv6 nobody waits for it.
fn families() -> Vec<Family> {
    let has_ipv6 = Path::new("/proc/self/net/if_inet6").exists();
    Family::ALL.into_iter().filter(|family| *family == Family::V4 || has_ipv6).collect()
}

/// As Go's programs do: many runtimes start containers with 1024 files, and whoever connects to our ports takes one each.
fn raise_file_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
