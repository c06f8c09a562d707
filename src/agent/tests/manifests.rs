//! What a folder of manifests tells, when it is read first and when it changes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code as a whole")]

mod support;

use std::{fs, path::Path};

use portolan::manifest::{Event, Source};
use support::{scan, service, write};

const SLICE: &str = r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"web-1"}}"#;

fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    let source = Source::open(folder.path()).unwrap();
    (folder, source)
}

#[test]
fn the_files_of_a_folder_in_the_order_of_their_names() {
    let (folder, mut source) = folder(&[
        ("b.yml", &service("b", "172.30.0.2")),
        ("a.yaml", &(service("a2", "172.30.0.3") + "---\n# nothing\n" + &service("a1", "172.30.0.1"))),
        ("c.json", SLICE),
        (".hidden.yaml", "not: [read"),
        ("notes.txt", "not: [read"),
    ]);
    fs::create_dir(folder.path().join("folder.yaml")).unwrap();
    let all = ["+Service default/a2", "+Service default/a1", "+Service default/b", "+EndpointSlice default/web-1"];
    assert_eq!(scan(&mut source), all);
    assert_eq!(scan(&mut source), [""; 0], "nothing has changed");
}

#[test]
fn lists_of_every_form() {
    let (_folder, mut source) = folder(&[
        ("a.yaml", "kind: List\napiVersion: v1\nitems:\n- {kind: Service, apiVersion: v1, metadata: {name: a}}\n- 5\n"),
        ("b.json", r#"{"apiVersion":"v1","items":[{"metadata":{"name":"b"}}],"kind":"ServiceList"}"#),
        ("c.yaml", "kind: EndpointSliceList\nitems: [{metadata: {name: c, namespace: ns}}]\n"),
        ("d.json", r#"{"items":[{"metadata":{"name":"d"}}],"kind":"NodeList","metadata":{"items":["e"]}}"#),
        ("e.json", r#"{"items":null,"kind":"List"}"#),
        ("e.yaml", "kind: ServiceCIDRList\nitems: [{metadata: {name: e}}]\n"),
        ("f.json", r#"{"items":[{"kind":"Pod","metadata":{"name":"p"}}],"kind":"PodList","metadata":{}}"#),
    ]);
    let lines = scan(&mut source);
    let (refused, applied): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with('!'));
    assert_eq!(
        applied,
        ["+Service default/a", "+Service default/b", "+EndpointSlice ns/c", "+Node d", "+ServiceCIDR e"]
    );
    assert!(refused[0].contains("a.yaml: document 1, items[1] is not an object"), "{refused:?}");
    assert!(refused[1].contains("f.json: PodList (no name): `kind` = `PodList` is not a kind"), "{refused:?}");
    assert_eq!(refused.len(), 2);
}

#[test]
fn what_is_no_business_of_ours_is_refused_by_document_and_only_once() {
    let other = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team-a}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: web}
---
apiVersion: discovery.k8s.io/v1beta1
kind: EndpointSlice
metadata: {name: web-1}
---
metadata: {name: \"two\\nlines\"}
";
    let (folder, mut source) = folder(&[("a.yaml", &(other.to_owned() + &service("a", "172.30.0.1")))]);
    let lines = scan(&mut source);
    let path = folder.path().join("a.yaml").display().to_string();
    let expected = [
        "+Service default/a".to_owned(),
        format!(
            "!{path}: document 1: Deployment team-a/web: `kind` = `Deployment` is not a kind that Portolan reads (Service, \
             EndpointSlice, Node, ServiceCIDR and Lists of them); it is ignored, everything else is used; keep it in a file that \
             Portolan is not given"
        ),
        format!(
            "!{path}: document 2: Service web: `apiVersion` = `serving.knative.dev/v1` is not v1, the version of Service \
             that Portolan reads; it is ignored, everything else is used; correct it"
        ),
        format!(
            "!{path}: document 3: EndpointSlice web-1: `apiVersion` = `discovery.k8s.io/v1beta1` is not \
             discovery.k8s.io/v1, the version of EndpointSlice that Portolan reads; it is ignored, everything else is \
             used; correct it"
        ),
        format!(
            "!{path}: document 4: Object two\\nlines: `kind` is missing or is not text; it is ignored, everything else is \
             used; correct it"
        ),
    ];
    assert_eq!(lines, expected);

    write(folder.path(), "a.yaml", &(other.to_owned() + &service("a", "172.30.0.9")));
    assert_eq!(scan(&mut source), ["+Service default/a"]);
    assert_eq!(source.refused().count(), 4);
}

#[test]
fn only_what_changed_is_told() {
    let (folder, mut source) =
        folder(&[("a.yaml", &(service("a", "172.30.0.1") + &service("b", "172.30.0.2"))), ("c.json", SLICE)]);
    scan(&mut source);
    write(folder.path(), "a.yaml", &(service("b", "172.30.0.3") + &service("d", "172.30.0.4")));
    assert_eq!(scan(&mut source), ["+Service default/b", "+Service default/d", "-Service default/a"]);
    fs::rename(folder.path().join("a.yaml"), folder.path().join("z.yaml")).unwrap();
    assert_eq!(scan(&mut source), [""; 0], "the same objects from another file");
    fs::remove_file(folder.path().join("z.yaml")).unwrap();
    assert_eq!(scan(&mut source), ["-Service default/b", "-Service default/d"]);
}

#[test]
fn a_broken_file_keeps_its_last_good_objects_as_a_whole() {
    for (name, good, broken) in [
        ("a.yaml", service("a", "172.30.0.1"), service("new", "172.30.0.2") + "---\nports: [\n"),
        ("a.yaml", service("a", "172.30.0.1"), service("new", "172.30.0.2") + "---\na: 1\na: 2\n"),
        ("a.yaml", service("a", "172.30.0.1"), "this is prose".to_owned()),
        ("a.json", SLICE.to_owned(), format!(r#"{{"kind":"List","items":[{SLICE},"#)),
        ("a.json", SLICE.to_owned(), format!("{SLICE} x")),
        ("a.json", SLICE.to_owned(), r#"{"kind":"List","items":5}"#.to_owned()),
        ("a.json", SLICE.to_owned(), "[]".to_owned()),
        ("a.json", SLICE.to_owned(), String::new()),
    ] {
        let (folder, mut source) = folder(&[(name, &good)]);
        let first = scan(&mut source);
        assert_eq!(first.len(), 1);
        write(folder.path(), name, &broken);
        let lines = scan(&mut source);
        assert_eq!(lines.len(), 1, "{broken}: {lines:?}");
        assert!(lines[0].starts_with('!') && lines[0].contains("stay, and nothing is deleted"), "{lines:?}");
        assert_eq!(scan(&mut source), [""; 0], "told once");
        write(folder.path(), name, &good);
        assert_eq!(scan(&mut source), [""; 0], "nothing had been lost");
        assert!(source.is_complete());
    }
}

#[test]
fn a_parser_s_complaint_has_line_and_column() {
    let (_folder, mut source) = folder(&[("a.yaml", "a: 1\nb: [\n"), ("b.json", "{\n \"a\": }")]);
    let lines = scan(&mut source);
    assert!(lines[0].contains("a.yaml cannot be read as YAML: line 2, column 4: unclosed bracket '['; "), "{lines:?}");
    assert!(lines[1].contains("b.json cannot be read as JSON: line 2, column 7: expected value; "), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains('\n')));
}

#[test]
fn while_a_file_was_never_read_nothing_is_deleted() {
    let (folder, mut source) = folder(&[("a.yaml", &service("a", "172.30.0.1")), ("b.yaml", "b: [")]);
    assert_eq!(scan(&mut source).last().unwrap(), "incomplete");
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    assert_eq!(scan(&mut source), ["incomplete"]);
    // What was in the file is now in the other: it had only moved.
    write(folder.path(), "b.yaml", &service("a", "172.30.0.1"));
    assert_eq!(scan(&mut source), [""; 0]);
    fs::remove_file(folder.path().join("b.yaml")).unwrap();
    assert_eq!(scan(&mut source), ["-Service default/a"]);
}

#[test]
fn a_duplicate_is_taken_from_the_first_file_whatever_changed_last() {
    let (folder, mut source) = folder(&[("b.yaml", &service("x", "172.30.0.2"))]);
    let in_folder = |name: &str| folder.path().join(name).display().to_string();
    scan(&mut source);

    write(folder.path(), "c.yaml", &service("x", "172.30.0.3"));
    let lines = scan(&mut source);
    let expected = format!(
        "!{}: document 1: Service default/x: `metadata.name` is in {} already; the earlier one is used; take one of them away",
        in_folder("c.yaml"),
        in_folder("b.yaml")
    );
    assert_eq!(lines, [expected]);

    write(folder.path(), "a.yaml", &(service("x", "172.30.0.1") + &service("x", "172.30.0.9")));
    let lines = scan(&mut source);
    assert_eq!(lines[0], "+Service default/x");
    assert!(lines[1].contains("a.yaml: document 2"), "{lines:?}");
    assert!(lines[2].contains("b.yaml: document 1") && lines[2].contains("a.yaml already"), "{lines:?}");

    // The heir is the next in order, which is read again although it did not change.
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    assert_eq!(scan(&mut source), ["+Service default/x"]);
    assert_eq!(source.refused().count(), 1, "c.yaml's is a duplicate still");
    fs::remove_file(folder.path().join("b.yaml")).unwrap();
    assert_eq!(scan(&mut source), ["+Service default/x"]);
    assert_eq!(source.refused().count(), 0);
    fs::remove_file(folder.path().join("c.yaml")).unwrap();
    assert_eq!(scan(&mut source), ["-Service default/x"]);
}

#[test]
fn what_cannot_be_opened_is_refused_without_waiting_for_it() {
    let (folder, mut source) = folder(&[]);
    nix::unistd::mkfifo(&folder.path().join("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.yaml")).unwrap();
    let lines = scan(&mut source);
    assert!(lines[0].contains("link.yaml cannot be read: No such file"), "{lines:?}");
    assert!(lines[1].contains("pipe.yaml is not a regular file"), "{lines:?}");
    assert_eq!(lines[2], "incomplete");
    assert!(Source::open(Path::new("/nowhere/at/all")).is_err());
}

#[test]
fn a_folder_or_single_file_that_vanishes_keeps_its_objects() {
    let (folder, mut source) = folder(&[("a.yaml", &service("a", "172.30.0.1"))]);
    let mut single = Source::open(&folder.path().join("a.yaml")).unwrap();
    assert_eq!(scan(&mut source), ["+Service default/a"]);
    assert_eq!(scan(&mut single), ["+Service default/a"]);
    let path = folder.path().to_owned();
    folder.close().unwrap();
    let lines = scan(&mut source);
    assert!(lines[0].contains("cannot be read: No such file"), "{lines:?}");
    assert_eq!(scan(&mut single).len(), 1);
    fs::create_dir(&path).unwrap();
    write(&path, "a.yaml", &service("a", "172.30.0.1"));
    assert_eq!(scan(&mut source), [""; 0]);
    assert_eq!(scan(&mut single), [""; 0]);
    fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_file_without_a_telling_name_is_read_by_its_first_character() {
    let folder = tempfile::tempdir().unwrap();
    for (content, told) in [
        (format!("\n \t{{\"kind\":\"List\",\"items\":[{SLICE}]}}"), "+EndpointSlice default/web-1"),
        (service("a", "172.30.0.1"), "+Service default/a"),
    ] {
        write(folder.path(), "manifest", &content);
        assert_eq!(scan(&mut Source::open(&folder.path().join("manifest")).unwrap()), [told]);
    }
}

#[test]
fn aliases_cannot_multiply_a_small_file() {
    let names = "abcdefghij";
    let mut laughs = format!("a: &a [{}]\n", ["lol"; 9].join(","));
    for pair in names.as_bytes().windows(2) {
        let (from, to) = (char::from(pair[0]), char::from(pair[1]));
        laughs += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","));
    }
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1_000_000), vec!["*a"; 900].join(","));
    let deep = format!("a: {}\n", "[".repeat(100_000));
    let (_folder, mut source) = folder(&[("a.yaml", &laughs), ("b.yaml", &long), ("c.yaml", &deep)]);
    let lines = scan(&mut source);
    assert_eq!(lines.len(), 4);
    assert!(lines[..3].iter().all(|line| line.contains("cannot be read as YAML")), "{lines:?}");
}

#[test]
fn everyday_yaml_is_read() {
    let (_folder, mut source) = folder(&[(
        "a.yaml",
        "\u{feff}%YAML 1.2\n---\napiVersion: v1 # comment\nkind: Service\nmetadata:\n  name: a\n  labels: &l {on: 'yes', 1: x}\n  \
         annotations:\n    <<: *l\n    text: |\n      --- not a document\n    size: .nan\n    tagged: !Ref x\nspec:\n  \
         ports:\n  - port: 80\n    targetPort: 0x50\n...\n---\n",
    )]);
    assert_eq!(scan(&mut source), ["+Service default/a"]);
}

#[test]
fn a_file_that_is_busy_is_left_alone() {
    let (folder, mut source) = folder(&[("a.yaml", &service("a", "172.30.0.1"))]);
    let mut lines = Vec::new();
    let mut note = |event: Event| lines.extend(support::line(&event));
    source.scan(&mut |_| true, &mut note);
    source.scan(&mut |_| false, &mut note);
    write(folder.path(), "a.yaml", "");
    source.scan(&mut |_| true, &mut note);
    // Truncated while it was read: the second question is asked at the end.
    let mut answers = [false, true].into_iter();
    source.scan(&mut |_| answers.next().unwrap(), &mut note);
    source.scan(&mut |_| false, &mut note);
    assert_eq!(lines, ["incomplete", "+Service default/a", "-Service default/a"]);
}
