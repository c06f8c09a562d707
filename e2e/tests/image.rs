//! The image that charts/image/build makes: the same each time, nothing in it but what Portolan needs, and all of that.

#![allow(clippy::indexing_slicing, reason = "test code as a whole: fields that are missing fail it")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_e2e::{
    cast::named,
    controlplane::must_judge,
    daemon::{lone, test},
    harness::{self, Failure, Test},
    host::{Host, HostCommand},
    objects::service,
    product::Portolan,
    repository,
};
use serde_json::Value;
use tempfile::TempDir;

/// With /proc, which a container has as well, in a mount namespace that ends with the program.
const IN_CONTAINER: &str = r#"mount --rbind /proc "$0/proc" && exec env -i PATH=/usr/bin:/usr/sbin chroot "$0" "$@""#;

/// The programs of iptables, of both kinds.
const KINDS: [(&str, &str); 2] = [("nft", "(nf_tables)"), ("legacy", "(legacy)")];

fn main() -> ExitCode {
    harness::run(tests, || ())
}

fn tests() -> Result<Vec<Test>, Failure> {
    if Command::new("dpkg-query").arg("--version").output().is_err() && !must_judge() {
        println!("NOT RUN, the tests of the image: it is made of Debian's packages, and here is no dpkg-query");
        return Ok(Vec::new());
    }
    Ok(vec![
        test("it is the same each time", the_same_each_time),
        test("nothing is in it but what Portolan needs", nothing_else),
        test("all its programs run in it, and serve with each kind of iptables", its_programs),
    ])
}

/// An image in a temporary folder, and what is in it.
struct Image {
    folder: TempDir,
}

impl Image {
    /// Of a binary, which needs not be Portolan's.
    fn of(binary: &Path) -> Result<Self> {
        let folder = TempDir::new()?;
        let image = Self { folder };
        fs::create_dir(image.layout())?;
        fs::create_dir(image.root())?;
        output(Command::new(repository::root().join("charts/image/build")).arg(binary).arg(image.archive()))?;
        output(Command::new("tar").arg("-xf").arg(image.archive()).arg("-C").arg(image.layout()))?;
        let layer = image.blob(&image.manifest()?["layers"][0])?;
        output(Command::new("tar").arg("-xzf").arg(layer).arg("-C").arg(image.root()))?;
        Ok(image)
    }

    /// Of Portolan, without what debuggers need.
    fn of_portolan() -> Result<Self> {
        let folder = TempDir::new()?;
        let stripped = folder.path().join("portolan");
        output(Command::new("strip").arg("-o").arg(&stripped).arg(Portolan::find()?.path()))?;
        let image = Self::of(&stripped)?;
        // Where a container's runtime mounts it.
        fs::create_dir(image.root().join("proc"))?;
        Ok(image)
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("image.tar")
    }

    fn layout(&self) -> PathBuf {
        self.folder.path().join("layout")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn manifest(&self) -> Result<Value> {
        let index: Value = json(&self.layout().join("index.json"))?;
        json(&self.blob(&index["manifests"][0])?)
    }

    fn config(&self) -> Result<Value> {
        json(&self.blob(&self.manifest()?["config"])?)
    }

    /// What a descriptor leads to, whose size and digest are as it says.
    fn blob(&self, descriptor: &Value) -> Result<PathBuf> {
        let digest =
            descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).context("digest")?;
        let blob = self.layout().join("blobs/sha256").join(digest);
        ensure!(Some(fs::metadata(&blob)?.len()) == descriptor["size"].as_u64(), "the size of {descriptor}");
        let sum = output(Command::new("sha256sum").arg(&blob))?;
        ensure!(sum.starts_with(digest), "the digest of {descriptor} is {sum}");
        Ok(blob)
    }

    /// A program of it, run as in a container in a host's network.
    fn command(&self, host: &Host, program: &str) -> HostCommand {
        let command = host.command("unshare").args(["--mount", "sh", "-c", IN_CONTAINER]);
        command.arg(self.root()).arg(program)
    }
}

fn json(path: &Path) -> Result<Value> {
    serde_json::from_slice(&fs::read(path)?).with_context(|| path.display().to_string())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Whatever this machine is set to: umask, time zone and language.
fn the_same_each_time() -> Result<()> {
    let folder = TempDir::new()?;
    let build = |name: &str, umask: &str, zone: &str, language: &str| -> Result<Vec<u8>> {
        let archive = folder.path().join(name);
        let script = repository::root().join("charts/image/build");
        let mut command = Command::new("sh");
        command.args(["-c", r#"umask "$0" && exec "$@""#, umask]).arg(script).arg("/usr/bin/true").arg(&archive);
        output(command.env("TZ", zone).env("LANG", language))?;
        Ok(fs::read(&archive)?)
    };
    let (one, other) = (build("one", "022", "UTC", "C")?, build("other", "077", "Asia/Tokyo", "de_DE.UTF-8")?);
    ensure!(one == other, "two archives of the same binary differ");
    Ok(())
}

fn nothing_else() -> Result<()> {
    let image = Image::of(Path::new("/usr/bin/true"))?;
    let root = image.root();
    let mut files = Vec::new();
    list(&root, &mut files)?;
    ensure!(files.len() > 100, "{files:?}");
    for file in &files {
        let path = file.strip_prefix(&root)?.to_str().context("a path that is no text")?;
        let metadata = fs::symlink_metadata(file)?;
        let is_program = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
        ensure!(is_needed(path, is_program), "{path} is in the image");
    }
    let config = image.config()?;
    ensure!(config["config"]["Entrypoint"] == serde_json::json!(["/usr/local/bin/portolan"]), "{config}");
    ensure!(config["config"]["User"] == "0", "{config}");
    for label in ["title", "description", "version", "revision", "created", "licenses"] {
        let label = format!("org.opencontainers.image.{label}");
        let said = &config["config"]["Labels"][&label];
        ensure!(said.as_str().is_some_and(|said| !said.is_empty()), "{label}: {said}");
        ensure!(image.manifest()?["annotations"][&label] == *said, "{label} of the manifest");
    }
    Ok(())
}

/// The files in a folder and its subfolders.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in repository::paths_in(folder)? {
        if path.is_dir() && !path.is_symlink() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// README.md of charts/image says what each is for.
fn is_needed(path: &str, is_program: bool) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_library = name.contains(".so");
    match folder {
        "usr/local/bin" => ["portolan", "kube-proxy"].contains(&name),
        "usr/sbin" if is_program => ["xtables-nft-multi", "xtables-legacy-multi"].contains(&name),
        "usr/sbin" => programs().any(|program| program == path.replace("usr/sbin", "/usr/sbin")),
        "etc/ssl/certs" => name == "ca-certificates.crt" && !is_program,
        _ if folder.starts_with("usr/share/doc/") => ["copyright", "LICENSE"].contains(&name) && !is_program,
        _ if folder.ends_with("/xtables") => {
            is_library && !is_program && ["libxt_", "libipt_", "libip6t_"].iter().any(|of| name.starts_with(of))
        }
        _ => folder.starts_with("lib") && is_library,
    }
}

/// Those of iptables that Portolan looks for.
fn programs() -> impl Iterator<Item = String> {
    KINDS.into_iter().flat_map(|(kind, _)| programs_of(kind))
}

fn programs_of(kind: &str) -> impl Iterator<Item = String> {
    let families = ["iptables", "ip6tables"].into_iter();
    families.flat_map(move |family| ["", "-restore", "-save"].map(|what| format!("/usr/sbin/{family}-{kind}{what}")))
}

/// All with one image, as it takes seconds to make.
fn its_programs() -> Result<()> {
    let image = Image::of_portolan()?;
    all_run(&image)?;
    serves(&image, "nft")?;
    serves(&image, "legacy")
}

fn all_run(image: &Image) -> Result<()> {
    let node = lone()?;
    for name in ["portolan", "kube-proxy"] {
        let said = image.command(&node, &format!("/usr/local/bin/{name}")).arg("--version").expect_exit(0)?;
        ensure!(said.contains(env!("CARGO_PKG_VERSION")), "{name}: {said}");
    }
    for (kind, shown) in KINDS {
        for program in programs_of(kind) {
            let said = image.command(&node, &program).arg("--version").expect_exit(0)?;
            ensure!(said.contains(shown), "{program}: {said}");
        }
    }
    // Each extension that is a match, with the libraries that it needs. The library `standard` is none.
    let folder = repository::paths_in(&image.root().join("usr/lib"))?.pop().context("no extensions")?.join("xtables");
    let names: Vec<_> = repository::paths_in(&folder)?.iter().filter_map(|path| matcher(path)).collect();
    ensure!(names.iter().any(|name| name == "statistic"), "{names:?}");
    let arguments = names.iter().flat_map(|name| ["-m", name]);
    image.command(&node, "/usr/sbin/iptables-nft").args(arguments).arg("--help").expect_exit(0)?;
    Ok(())
}

/// The name that a rule has for an extension of both families, where it is a match: targets are in capitals.
fn matcher(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_str()?.strip_prefix("libxt_")?;
    (!name.contains(char::is_uppercase) && name != "standard").then(|| name.to_owned())
}

/// The rules of a Service, of the kind that a kubelet has left its sign in; and Portolan finds them as they should be.
fn serves(image: &Image, kind: &str) -> Result<()> {
    let node = lone()?;
    let manifests = service("web", "10.96.0.1", &[(named("pod-a1")?, 8080)]);
    fs::write(image.root().join("web.yaml"), manifests)?;
    let sign = "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n";
    image.command(&node, &format!("/usr/sbin/iptables-{kind}-restore")).input(sign).expect_exit(0)?;

    let options = ["--mode=iptables", "--manifests=/web.yaml", "--hostname-override=node-a"];
    let portolan = |command: &[&str]| image.command(&node, "/usr/local/bin/portolan").args(command).args(options);
    portolan(&["run", "--once"]).expect_exit(0)?;
    portolan(&["diff"]).expect_exit(0)?;
    for (each, _) in KINDS {
        let saved = image.command(&node, &format!("/usr/sbin/iptables-{each}-save")).expect_exit(0)?;
        if saved.contains("10.96.0.1/32") != (each == kind) {
            bail!("iptables-{each}: {saved}");
        }
    }
    Ok(())
}
