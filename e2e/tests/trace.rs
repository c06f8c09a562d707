//! Every flow of every scenario against the rendered rules of every mode: what `portolan trace` says is what packets meet. No kernel is
//! asked, so this is the quickest look at all scenarios.

use std::path::Path;

use portolan_e2e::{
    RENDERED_MODES,
    scenario::Scenario,
    traced::{Rules, mismatch},
};

#[test]
fn rules_say_what_every_scenario_expects() {
    let scenarios = Scenario::load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios")).unwrap();
    let (mut flows, mut wrong) = (0, Vec::new());
    for (mode, scenario) in
        RENDERED_MODES.into_iter().flat_map(|mode| scenarios.iter().map(move |scenario| (mode, scenario)))
    {
        if scenario.not_in.contains(&mode) {
            continue;
        }
        let mut rules = Rules::new(scenario, mode);
        for (number, step) in scenario.steps.iter().enumerate() {
            rules.enter(number).unwrap();
            // Rules say what a new connection meets; a socket that stays may be on an older one.
            for flow in step.flows.iter().filter(|flow| flow.socket.is_none()) {
                let met = rules.follow(flow);
                rules.remember(&met);
                let (_, trace) = met.last().unwrap();
                let failed = mismatch(flow, mode, trace);
                wrong.extend(failed.map(|text| format!("{mode}/{}, step {number}: {text}", scenario.name)));
                flows += 1;
            }
        }
    }
    println!("{flows} flows of {} scenarios in {} modes", scenarios.len(), RENDERED_MODES.len());
    assert!(wrong.is_empty(), "{} of {flows} flows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(flows > 1000);
}
