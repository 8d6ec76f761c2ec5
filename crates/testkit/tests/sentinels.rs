//! The set of sentinels does what tests of failovers need.

use std::time::{Duration, Instant};

use cenote_testkit::{Sentinels, Watchdog, eventually};

#[test]
fn a_killed_master_is_replaced_by_its_replica_and_comes_back_as_one() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let began = Instant::now();
    let set = Sentinels::start();
    println!("started after {:?}", began.elapsed());
    let old = set.master().addr();
    set.node(old).kill();
    set.be_patient_for(Duration::from_millis(600));
    let killed = Instant::now();
    eventually(Duration::from_secs(30), "a failover is announced", || !set.switches().is_empty());
    println!("announced after {:?}", killed.elapsed());
    set.be_patient_for(Duration::from_secs(600));
    let switch = set.switches().pop().unwrap();
    assert_ne!(switch.master, old);
    assert_eq!(set.master().addr(), switch.master);
    let began = Instant::now();
    set.heal();
    println!("healed after {:?}", began.elapsed());
    assert_eq!(set.node(old).observer().info("role"), "slave");
}
