//! What is written and shown, against what the real kube-proxy writes (testdata/config/README.md says how it was
//! made).

use std::fs;

use clap::CommandFactory;

use super::{Daemon, flags, resolved, testdata};
use crate::{Configuration, Flags, Mode, Reload, Settings};

fn read(name: &str) -> String {
    fs::read_to_string(testdata(&format!("kube-proxy/{name}"))).unwrap()
}

fn names(ending: &str) -> Vec<String> {
    let files = fs::read_dir(testdata("kube-proxy")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect();
    names.sort();
    names
}

#[test]
fn files_are_written_as_kube_proxy_writes_them() {
    let names: Vec<String> = names(".yaml").into_iter().filter(|name| !name.ends_with(".written")).collect();
    assert_eq!(names.len(), 11, "{names:?}");
    for name in names {
        let (configuration, _) = Configuration::parse(&read(&format!("{name}.yaml"))).unwrap();
        assert_eq!(configuration.effective().to_yaml(), read(&format!("{name}.written.yaml")), "{name}");
    }
}

#[test]
fn flags_come_to_what_they_come_to_in_kube_proxy() {
    let names = names(".args");
    assert_eq!(names.len(), 3, "{names:?}");
    for name in names {
        let arguments = read(&format!("{name}.args"));
        let arguments: Vec<&str> = arguments.lines().collect();
        let flags: Flags = flags(&arguments);
        let file = flags.config().map(read);
        let resolved = resolved(&arguments, file.as_deref()).unwrap();
        assert_eq!(resolved.configuration.effective().to_yaml(), read(&format!("{name}.written.yaml")), "{name}");
    }
}

#[test]
fn json_has_the_order_of_kube_proxys_type() {
    let names = names(".configz.json");
    assert_eq!(names.len(), 3, "{names:?}");
    for name in names {
        let (configuration, _) = Configuration::parse(&read(&format!("{name}.yaml"))).unwrap();
        let json = format!("{{\"kubeproxy.config.k8s.io\":{}}}\n", configuration.effective().to_json());
        assert_eq!(json, read(&format!("{name}.configz.json")), "{name}");
    }
}

#[test]
fn a_blank_mode_is_written_as_iptables() {
    let block = "iptables: {masqueradeAll: true, masqueradeBit: 3, syncPeriod: 7s, minSyncPeriod: 2s}\n";
    let [effective, said] = ["", "mode: iptables\n"].map(|mode| {
        let (configuration, _) = Configuration::parse(&super::file(&format!("{mode}{block}"))).unwrap();
        configuration.effective()
    });
    assert_eq!(effective, said);
    let written = effective.to_yaml();
    for part in [
        "mode: iptables\nnftables:\n  masqueradeAll: false\n  masqueradeBit: 14\n  minSyncPeriod: 0s\n  syncPeriod: 0s\n",
        "nodePortAddresses: null\n",
        "iptables:\n  localhostNodePorts: true\n  masqueradeAll: true\n  masqueradeBit: 3\n  minSyncPeriod: 2s\n  syncPeriod: 7s\n",
    ] {
        assert!(written.contains(part), "{part}\nis not in\n{written}");
    }
    // To whoever reads the file it says the same.
    assert_eq!(Configuration::parse(&written).unwrap().0.effective(), effective);
}

#[test]
fn keywords_of_node_port_addresses_are_written_as_they_are_said() {
    let (configuration, _) =
        Configuration::parse(&super::file("nodePortAddresses: [primary, localhost, 10.0.0.1/8]\n")).unwrap();
    let written = configuration.effective().to_yaml();
    assert!(written.contains("nodePortAddresses:\n- primary\n- localhost\n- 10.0.0.1/8\n"), "{written}");
}

#[test]
fn what_kubeadm_writes_works_as_it_is() {
    let [old, new] = ["kubeadm-1.36.yaml", "kubeadm-1.37.yaml"].map(|name| {
        let arguments = ["--config=/var/lib/kube-proxy/config.conf", "--hostname-override=node-a"];
        resolved(&arguments, Some(&read(name))).unwrap()
    });
    for resolved in [&old, &new] {
        assert_eq!(super::warnings(resolved), "");
    }
    assert!(old.mode_defaulted && !new.mode_defaulted);
    let [settings, of_new] = [&old, &new].map(|resolved| Settings::new(resolved, "this-host").unwrap());
    assert_eq!((settings.mode, &*settings.node.hostname), (Mode::Iptables, "node-a"));
    assert!(settings.min_sync_period.is_zero());
    // An upgrade changes nothing.
    assert_eq!(Settings { mode_defaulted: true, ..of_new }, settings);
    assert_eq!(Reload::between(&old, &new), Reload::Same);
    assert_eq!(Reload::between(&new, &old), Reload::Same);
}

#[test]
fn every_flag_of_kube_proxy_is_known_and_its_default_needs_no_word() {
    let all = read("flags.txt");
    let all: Vec<&str> = all.lines().collect();
    assert_eq!(all.len(), 58);
    assert_eq!(super::warnings(&resolved(&all, None).unwrap()), "");
    let beside_file: Vec<&str> = all.into_iter().chain(["--config=x"]).collect();
    assert_eq!(super::warnings(&resolved(&beside_file, Some(&super::file(""))).unwrap()), "");
}

#[test]
fn every_field_and_flag_is_in_the_documentation() {
    fn fields(path: &str, value: &serde_json::Value, found: &mut Vec<String>) {
        match value.as_object().filter(|entries| !entries.is_empty()) {
            Some(entries) => {
                for (name, value) in entries {
                    fields(&format!("{path}.{name}"), value, found);
                }
            }
            None => found.push(path.trim_start_matches('.').to_owned()),
        }
    }
    let mut configuration = Configuration::default();
    configuration.windows_run_as_service = true;
    configuration.logging.options.text.split_stream = true;
    configuration.logging.options.json.split_stream = true;
    let (mut names, value) = (Vec::new(), serde_json::to_value(&configuration).unwrap());
    fields("", &value, &mut names);
    names.extend(["featureGates", "logging.vmodule"].map(str::to_owned));
    let command = Daemon::command();
    names.extend(command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}")));
    let documentation = fs::read_to_string(testdata("../../docs/configuration.md")).unwrap();
    for name in names {
        assert!(
            ["`", " ", "=", ":"].into_iter().any(|end| documentation.contains(&format!("`{name}{end}"))),
            "`{name}` is not in docs/configuration.md"
        );
    }
}
