//! How long plans take: of every shipped playbook in its world, and of a playbook with ten thousand steps.
//!
//! `cargo bench --bench plan`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`.

#[path = "../tests/support/fidelity.rs"]
mod fidelity;
#[path = "../tests/support/variants.rs"]
#[allow(dead_code, reason = "each file uses what it needs")]
mod variants;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use muster::plan::Plan;
use muster::playbook::params::Given;
use muster::playbook::shipped;

/// Steps of the generated playbook.
const STEPS: usize = 10_000;
/// Of so many tries the best counts.
const TRIES: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--long").skip(1);
    if let Some(steps) = arguments.next() {
        return long(steps.parse().expect("a number of steps"));
    }
    for name in shipped::names() {
        at_most(&format!("plan-{name}"), best(|| in_process(name)), "ms", 50.0);
        at_most(&format!("plan-{name}-whole-process"), best(|| whole_process(name)), "ms", 50.0);
    }
    let (short, _) = long_of(STEPS / 10);
    let (took, peak) = long_of(STEPS);
    at_most("plan-10000-steps", took, "s", 3.0);
    at_most("plan-10000-steps-resident", peak, "MB", 300.0);
    at_most("plan-10000-steps-to-1000-steps", took / short, "times", 20.0);
}

/// Seconds and peak megabytes of a plan of so many steps, in a process of its own, so that nothing else counts.
fn long_of(steps: usize) -> (f64, f64) {
    let itself = std::env::current_exe().expect("this program has a path");
    let output = Command::new(itself).args(["--long", &steps.to_string()]).output().expect("it runs again");
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{steps} steps: {}", faults.chars().take(400).collect::<String>());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut figures = said.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    (figures.next().unwrap_or(f64::INFINITY), figures.next().unwrap_or(f64::INFINITY))
}

fn best(measure: impl Fn() -> f64) -> f64 {
    (0..TRIES).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

fn at_most(name: &str, value: f64, unit: &str, goal: f64) {
    println!("bench {name} {value:.2} {unit} goal <= {goal} {}", if value <= goal { "ok" } else { "short" });
}

/// Milliseconds from a loaded playbook to its plan.
fn in_process(name: &str) -> f64 {
    let home = tempfile::tempdir().expect("a folder");
    let app = fidelity::app(home.path());
    let world = variants::own(name).world;
    let start = app.prepare_in(&fidelity::folder(name), Given::default(), &world).expect("it can be started");
    let begun = Instant::now();
    let (records, program) = app.plan_in(&start, world, None).expect("it is planned");
    let plan = Plan::of(&records, &program).expect("a plan");
    assert!(!plan.steps.is_empty());
    begun.elapsed().as_secs_f64() * 1e3
}

/// Milliseconds that `muster plan --sandbox` takes, all told.
fn whole_process(name: &str) -> f64 {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.arg("plan").arg(fidelity::folder(name)).arg("--sandbox").env("MUSTER_STORE", home.path().join("muster.db"));
    // The first one makes the store.
    command.output().expect("muster runs");
    let begun = Instant::now();
    let output = command.output().expect("muster runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed().as_secs_f64() * 1e3
}

/// Ten chains of steps, each of which writes a file.
fn long(steps: usize) {
    let home = tempfile::tempdir().expect("a folder");
    let mut text =
        "muster: 1\nname: long\nversion: 1.0.0\ntitle: A long one\nparallel: 10\ncapabilities: [fs.*]\nsteps:\n"
            .to_owned();
    for n in 0..steps {
        let needs = if n < 10 { String::new() } else { format!("    needs: [s{}]\n", n - 10) };
        // Short: a playbook's file is limited to a megabyte.
        let _ = write!(text, "  - id: s{n}\n{needs}    uses: fs.write_text\n    with: {{path: /srv/{n}, text: x}}\n");
    }
    let playbook = home.path().join("long");
    std::fs::create_dir(&playbook).expect("a folder");
    std::fs::write(playbook.join("playbook.yaml"), text).expect("a playbook");
    let world = "files:\n  /srv/here: text\n";
    std::fs::write(playbook.join("world.yaml"), world).expect("a world");
    let begun = Instant::now();
    let planned = plan_of(&playbook);
    assert_eq!(planned, steps, "each step has its effect");
    let took = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
    println!("{took} {}", peak / 1024.0);
}

fn plan_of(playbook: &Path) -> usize {
    let app = fidelity::app(playbook);
    let name = playbook.display().to_string();
    let world = app.world_of(&name, None).expect("a world");
    let start = app.prepare_in(&name, Given::default(), &world).expect("it can be started");
    let (records, program) = app.plan_in(&start, world, None).expect("it is planned");
    Plan::of(&records, &program).expect("a plan").effects
}
