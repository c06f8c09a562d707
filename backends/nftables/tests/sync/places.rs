//! Which number each endpoint has: it keeps the one that the kernel gives it.

use super::*;

/// A ServicePort with these endpoints, all of them on this node, and with a frontend that may use no others.
fn with(endpoints: impl IntoIterator<Item = u16>, family: Family) -> DesiredPort {
    let mut desired = port(3, family, 0);
    let of = |number: u16| port(2 * number, family, 1).endpoints[0];
    desired.endpoints = endpoints.into_iter().map(of).collect();
    desired.endpoints.sort_unstable();
    desired.local_endpoints = desired.endpoints.clone();
    desired.frontends[1].policy = TrafficPolicy::Local;
    desired
}

/// Cluster IP, NodePort, and the NodePort's local endpoints: so often each endpoint is in a map.
const MAPS: u64 = 3;

#[test]
fn one_endpoint_of_many_is_one_element_in_each_map() {
    for family in Family::ALL {
        let mut syncer = syncer(Kernel::new());
        syncer.update(&change(with(0..1000, family)));
        syncer.sync().unwrap();

        // The lowest goes and the highest comes: numbered in order, all would change. The other element is in `hairpin`.
        syncer.update(&change(with(1..1001, family)));
        let report = syncer.sync().unwrap();
        assert_eq!(report.operations, MAPS + 2, "replaced");

        // The last one takes the place of the one that goes, and its own place goes; for each map, the verdict that says how
        // many there are, two chains with their rules, and `hairpin`.
        syncer.update(&change(with((1..1001).filter(|number| *number != 5), family)));
        let report = syncer.sync().unwrap();
        assert_eq!(report.operations, 2 * MAPS + MAPS + 4 + 1, "scaled down by one");

        // The chains are there still.
        syncer.update(&change(with((0..1001).filter(|number| *number != 5), family)));
        let report = syncer.sync().unwrap();
        assert_eq!(report.operations, MAPS + MAPS + 1, "scaled up by one");
    }
}

#[test]
fn few_endpoints_stay_where_they_are_too() {
    for count in 2..=4 {
        let mut syncer = syncer(Kernel::new());
        let elsewhere = |mut desired: DesiredPort| {
            desired.endpoints.iter_mut().for_each(|endpoint| endpoint.local = false);
            desired
        };
        syncer.update(&change(elsewhere(port(1, Family::V4, count))));
        syncer.sync().unwrap();
        let mut other = elsewhere(port(1, Family::V4, count + 1));
        other.endpoints.remove(0);
        syncer.update(&change(other));
        assert_eq!(syncer.sync().unwrap().operations, 1, "of {count}");
    }
}

/// As a former process may have left it.
fn shuffled(objects: &mut BTreeMap<Key, Value>, seed: &mut Seed) {
    let mut places: BTreeMap<String, Vec<Key>> = BTreeMap::new();
    for (key, value) in objects.iter() {
        if let (Key::Element(family, set, element), Value::Element(Data::Endpoint(..), _)) = (key, value) {
            let bytes = element.as_slice();
            let frontend = format!("{family:?} {set} {:?}", &bytes[..bytes.len() - 4]);
            if *set != SetName::Direct(1) {
                places.entry(frontend).or_default().push(key.clone());
            }
        }
    }
    for keys in places.into_values() {
        for end in (1..keys.len()).rev() {
            let (one, other) = (&keys[end], &keys[seed.below(end + 1)]);
            let (a, b) = (objects[one].clone(), objects[other].clone());
            objects.insert(one.clone(), b);
            objects.insert(other.clone(), a);
        }
    }
}

#[test]
fn a_start_finds_the_order_of_the_kernel_and_writes_nothing() {
    for number in 0..50 {
        let mut seed = Seed::new(number);
        let mut first = syncer(Kernel::new());
        let mut ports = BTreeMap::new();
        for _ in 0..20 {
            let change = random_change(&mut seed);
            if let Some(desired) = &change.desired {
                ports.insert(change.id.clone(), desired.clone());
                first.update(&change);
            }
        }
        let (v4, v6) = (with(0..40, Family::V4), with(0..40, Family::V6));
        for large in [v4, v6] {
            ports.insert(id(&large), large.clone());
            first.update(&change(large));
        }
        first.sync().unwrap();
        let mut kernel = Kernel::new();
        kernel.edit(|objects| {
            objects.clone_from(first.backend().objects());
            shuffled(objects, &mut seed);
        });
        let found = without_unused_picks(kernel.objects());
        let mut second = syncer(kernel);
        ports.values().cloned().for_each(|port| second.update(&change(port)));
        let may_stay = |op: &&Op<Nft>| Nft::unclaimed(op.key(), &Value::Strange) == Unclaimed::UntilNextLook;
        assert_eq!(second.diff().unwrap().ops().filter(|op| !may_stay(op)).count(), 0);
        second.sync().unwrap();
        assert_eq!(without_unused_picks(second.backend().objects()), found);
        assert_eq!(second.resync().unwrap().operations, 0);
    }
}

/// What a packet that has drawn a number finds: all numbers of a map have an endpoint, or none has.
fn numbers_without_endpoint(before: &BTreeMap<Key, Value>, after: &BTreeMap<Key, Value>) -> Vec<String> {
    let mut missing = Vec::new();
    for (key, value) in before {
        let (Key::Element(family, set, frontend), Value::Element(data, _)) = (key, value) else { continue };
        let (map, count) = match (set, data) {
            (SetName::Large(scope), Data::Goto(ChainName::Pick(_, count))) => (SetName::Endpoints(*scope), *count),
            (SetName::LocalServices(scope), Data::Jump(ChainName::PickLocal(_, count))) => {
                (SetName::LocalEndpoints(*scope), *count)
            }
            _ => continue,
        };
        for number in 0..count {
            let mut bytes = frontend.as_slice().to_vec();
            bytes.extend(number.to_ne_bytes());
            let place = Key::Element(*family, map, ElementKey::found(&bytes));
            if !after.contains_key(&place) {
                missing.push(place.to_string());
            }
        }
    }
    missing
}

fn some_endpoints(seed: &mut Seed) -> DesiredPort {
    let (count, first) = (seed.below(14), seed.below(6));
    let kept = |number: &u16| !seed.one_in(5) || *number == 0;
    let numbers = (first..first + count).filter_map(|number| u16::try_from(number).ok());
    with(numbers.filter(kept).collect::<Vec<_>>(), Family::V4)
}

/// Its lookups may straddle the commit: what it found before must be enough afterwards.
#[test]
fn a_packet_finds_an_endpoint_for_every_number_and_a_start_in_between_comes_to_the_same_end() {
    for number in 0..100 {
        let mut seed = Seed::new(number);
        let mut syncer = syncer(Kernel::new());
        for _ in 0..12 {
            let desired = some_endpoints(&mut seed);
            syncer.update(&change(desired.clone()));
            let plan = syncer.diff().unwrap();
            let wanted = fresh(&[(id(&desired), desired.clone())].into());
            let mut kernel = Kernel::new();
            kernel.edit(|objects| objects.clone_from(syncer.backend().objects()));
            for batch in plan.batches {
                let before = kernel.objects().clone();
                kernel.commit(&batch.ops).unwrap();
                let after = kernel.objects().clone();
                assert_eq!(numbers_without_endpoint(&before, &after), [""; 0], "seed {number}");
                assert_eq!(numbers_without_endpoint(&after, &after), [""; 0], "seed {number}");

                let mut killed_here = Kernel::new();
                killed_here.edit(|objects| objects.clone_from(&after));
                let mut next = super::syncer(killed_here);
                next.update(&change(desired.clone()));
                next.sync().unwrap();
                let end = without_unused_picks(next.backend().objects());
                assert_eq!(differences(&end, &wanted), [""; 0], "seed {number}");
            }
            syncer.sync().unwrap();
            let end = without_unused_picks(syncer.backend().objects());
            assert_eq!(differences(&end, &wanted), [""; 0], "seed {number}");
        }
    }
}
