//! `make demo`: the main job in one minute. A small cluster in network namespaces, Portolan on its two nodes, web
//! servers in its pods, and curl from everywhere; then somebody flushes the rules and Portolan puts them back.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, ExitCode},
    thread,
    time::{Duration, Instant},
};

use portolan_core::addr::Family;
use portolan_e2e::{
    Error, Lab, Options,
    cast::CLUSTER_CIDR,
    host::{Host, HostCommand},
    inside,
    product::Portolan,
};

const WEB_PORT: u16 = 8080;
const CURLS: u32 = 12;
/// As seen from the root of the project.
const MANIFESTS: &str = "e2e/demo/cluster.yaml";
/// What a lost packet would cost: far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if let Err(refused) = inside::enter() {
        eprintln!("demo: {refused}");
        return ExitCode::FAILURE;
    }
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn demo() -> Result<(), Failure> {
    let portolan = Portolan::find()?;
    let start = Instant::now();
    let lab = Lab::new(&Options::default())?;
    println!(
        "A cluster of six network namespaces, made in {:.1?}: outside, node-a, node-b, pod-a1, pod-a2, pod-b1.",
        start.elapsed()
    );
    println!("Nothing of it touches this machine's own rules and links.");
    for pod in ["pod-a1", "pod-a2", "pod-b1"] {
        serve_web(lab.host(pod)?)?;
    }

    title("Portolan programs nftables on both nodes");
    let agents = Agents::start(&lab, &portolan)?;
    let node_a = lab.host("node-a")?;
    wait_until("the Services are programmed", || Ok(diff(&portolan, node_a)?.0))?;
    wait_until("the Services are programmed", || Ok(diff(&portolan, lab.host("node-b")?)?.0))?;

    title("curl through the cluster IP and the NodePort: who answers, and whom it saw");
    for (from, url) in [
        ("pod-a1", "http://10.96.0.10/"),
        ("pod-b1", "http://[fd00:10:96::10]/"),
        ("node-a", "http://10.96.0.10/"),
        ("outside", "http://192.168.100.11:30080/"),
        ("outside", "http://[fd00:100::12]:30080/"),
        ("pod-a2", "http://10.96.0.99/"),
    ] {
        curl(lab.host(from)?, url)?;
    }

    title("What the kernel holds");
    show(&portolan.on(node_a).arg("list").output()?.stdout);

    title("Is the kernel what Portolan thinks?");
    println!("node-a$ portolan diff --mode=nftables --manifests {MANIFESTS}");
    show(diff(&portolan, node_a)?.1.as_bytes());

    title("Somebody flushes all rules");
    let flushed = Instant::now();
    node_a.command("nft").args(["flush", "ruleset"]).expect_exit(0)?;
    println!("node-a$ nft flush ruleset");
    wait_until("the rules are repaired", || Ok(diff(&portolan, node_a)?.0))?;
    println!(
        "repaired when looked at {:.1?} later; Portolan's own log line above says how long it took",
        flushed.elapsed()
    );
    curl(lab.host("pod-a1")?, "http://10.96.0.10/")?;
    show(diff(&portolan, node_a)?.1.as_bytes());

    drop(agents);
    println!("\nThe whole cluster is gone now. Next: README.md says how to run Portolan on manifests of your own.");
    Ok(())
}

fn title(text: &str) {
    println!("\n== {text}\n");
}

fn show(text: &[u8]) {
    for line in String::from_utf8_lossy(text).lines() {
        println!("  {line}");
    }
}

/// `portolan run` on each node. They end when this is dropped.
struct Agents(Vec<Child>);

impl Agents {
    fn start(lab: &Lab, portolan: &Portolan) -> Result<Self, Failure> {
        let mut agents = Self(Vec::new());
        for node in lab.nodes() {
            let command = with_cluster(portolan.on(node).arg("run"), node);
            println!(
                "{}$ portolan run --mode=nftables --manifests {MANIFESTS} --hostname-override {0} --cluster-cidr {CLUSTER_CIDR}",
                node.name()
            );
            let mut agent = command.spawn()?;
            if let Some(log) = agent.stderr.take() {
                let name = node.name();
                thread::spawn(move || {
                    BufReader::new(log).lines().map_while(Result::ok).for_each(|line| println!("  {name}: {line}"));
                });
            }
            agents.0.push(agent);
        }
        Ok(agents)
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for agent in &mut self.0 {
            // One that has ended by itself has said why.
            let _ = agent.kill().and_then(|()| agent.wait());
        }
    }
}

fn with_cluster(command: HostCommand, node: &Host) -> HostCommand {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(MANIFESTS);
    let command = command.arg("--mode=nftables").arg("--manifests").arg(manifests);
    command.args(["--hostname-override", node.name(), "--cluster-cidr", CLUSTER_CIDR])
}

/// Whether the kernel holds what is wanted, and what `portolan diff` says.
fn diff(portolan: &Portolan, node: &Host) -> Result<(bool, String), Error> {
    let output = with_cluster(portolan.on(node).arg("diff"), node).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool, Error>) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(format!("waited {PATIENCE:?} until {what}, in vain").into());
        }
    }
    Ok(())
}

/// Asks so many times, and says who answered how often.
fn curl(from: &Host, url: &str) -> Result<(), Failure> {
    println!("{}$ curl {url}     ({CURLS} times)", from.name());
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..CURLS {
        let output = from.command("curl").args(["-sS", "-g", "--max-time", "5", url]).output()?;
        let text = if output.status.success() { output.stdout } else { output.stderr };
        *answers.entry(String::from_utf8_lossy(&text).trim().to_owned()).or_default() += 1;
    }
    for (answer, count) in answers {
        println!("  {count:2} x {answer}");
    }
    Ok(())
}

/// A web server in a pod, in both families, that tells its name and the client's address.
fn serve_web(pod: &Host) -> Result<(), Failure> {
    for family in Family::ALL {
        let address = SocketAddr::new(pod.member().address(family), WEB_PORT);
        let listener = pod.enter(|| TcpListener::bind(address))??;
        let name = pod.name();
        thread::spawn(move || {
            // A client that goes away in the middle is its own business.
            while let Ok((stream, client)) = listener.accept() {
                let _ = answer(stream, name, client);
            }
        });
    }
    Ok(())
}

fn answer(mut stream: std::net::TcpStream, name: &str, client: SocketAddr) -> std::io::Result<()> {
    let mut request = [0; 1024];
    // curl sends its request in one segment; what it says does not matter.
    let _ = stream.read(&mut request)?;
    let body = format!("{name} answers; the client came from {}\n", client.ip());
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
