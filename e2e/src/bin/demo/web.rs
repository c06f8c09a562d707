//! Web servers in pods, and their clients.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use portolan_core::addr::Family;
use portolan_e2e::host::Host;

use crate::Failure;

const PORT: u16 = 8080;
const CURLS: u32 = 12;

/// What takes its time.
pub(crate) const SLOW: &str = "slow";

/// Who holds it keeps slow answers from their end.
static SLOWNESS: Mutex<()> = Mutex::new(());

fn slowness() -> MutexGuard<'static, ()> {
    SLOWNESS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A web server in a pod, in both families, that tells its name and the client's address.
pub(crate) fn serve(pod: &Host) -> Result<(), Failure> {
    for family in Family::ALL {
        let address = SocketAddr::new(pod.member().address(family), PORT);
        let listener = pod.enter(|| TcpListener::bind(address))??;
        let name = pod.name();
        thread::spawn(move || {
            while let Ok((stream, client)) = listener.accept() {
                // A client that goes away in the middle is its own business.
                thread::spawn(move || answer(stream, name, client));
            }
        });
    }
    Ok(())
}

fn answer(mut stream: TcpStream, name: &str, client: SocketAddr) -> io::Result<()> {
    let mut request = [0; 1024];
    // curl sends its request in one segment.
    let length = stream.read(&mut request)?;
    let text = format!("{name} answers; the client came from {}\n", client.ip());
    write!(stream, "HTTP/1.0 200 OK\r\n\r\n{text}")?;
    if request.get(..length).is_some_and(|request| request.starts_with(format!("GET /{SLOW} ").as_bytes())) {
        drop(slowness());
        writeln!(stream, "{name} has told all of it")?;
    }
    Ok(())
}

/// Asks so many times, and says who answered how often.
pub(crate) fn curl(from: &Host, url: &str) -> Result<(), Failure> {
    println!("\n{}$ curl {url}     ({CURLS} times)", from.name());
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

/// A download that goes on.
pub(crate) struct Download {
    curl: Child,
    lines: BufReader<ChildStdout>,
    /// Its first line.
    pub(crate) first: String,
    goes_on: MutexGuard<'static, ()>,
}

impl Download {
    /// Starts it, and reads its first line.
    pub(crate) fn start(from: &Host, url: &str) -> Result<Self, Failure> {
        let goes_on = slowness();
        let mut curl = from.command("curl").args(["-sS", "-g", "-N"]).arg(format!("{url}{SLOW}")).spawn()?;
        let mut lines = BufReader::new(curl.stdout.take().ok_or("curl has no output")?);
        let first = line(&mut lines)?;
        Ok(Self { curl, lines, first, goes_on })
    }

    /// Lets it come to its end: its last line.
    pub(crate) fn finish(mut self) -> Result<String, Failure> {
        drop(self.goes_on);
        let last = line(&mut self.lines)?;
        let status = self.curl.wait()?;
        if status.success() { Ok(last) } else { Err(format!("curl: {status}").into()) }
    }
}

fn line(lines: &mut BufReader<ChildStdout>) -> io::Result<String> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
