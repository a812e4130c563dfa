//! Input that means harm, or is broken: no panic, no forged line, no moved cursor, a clear error, and in bounded time.

#[path = "support/cli.rs"]
mod support;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Desk, Said};

const RECOVER: &str = r#"muster: 1
name: recover
version: 1.0.0
title: Recover by a hand-made file
params:
  folder: { type: path, default: "." }
capabilities:
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: write
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: a }
"#;

/// Ends a line and says something else, moves the cursor (as C0 and as C1), sets the title, turns the direction of writing.
const EVIL: &str = "x\nrun succeeded\r\u{1b}[2J\u{9b}2J\u{1b}]0;t\u{7}\u{202e}y";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("playbooks/recover/playbook.yaml", RECOVER);
    desk
}

/// Runs the program to its end, which has to come soon.
fn soon(desk: &Desk, args: &[&OsStr]) -> Said {
    let mut command = desk.command(&[]);
    let piped = command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program starts");
    let begun = Instant::now();
    // What it says is bounded too: a pipe that nobody reads yet has room for it.
    while child.try_wait().expect("it can be waited for").is_none() {
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().expect("it is killed");
            panic!("{args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("it has ended");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it speaks UTF-8");
    Said { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn said(desk: &Desk, args: &[&str]) -> Said {
    soon(desk, &args.iter().map(OsStr::new).collect::<Vec<_>>())
}

/// Nothing in it moves a cursor, and no line of it is the one that was smuggled in.
fn is_calm(said: &Said, what: &dyn std::fmt::Debug) {
    let text = format!("{}{}", said.stdout, said.stderr);
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || c == '\u{202e}';
    assert!(!text.contains(odd), "{what:?} moves the cursor: {text:?}");
    assert!(!text.lines().any(|line| line.trim().starts_with("run succeeded")), "{what:?} forges a line: {text}");
    assert!(!text.contains("internal error"), "{what:?}: {text}");
}

#[test]
fn no_argument_can_forge_a_line_or_move_the_cursor() {
    let desk = desk();
    let folder = format!("folder=/nonesuch/{EVIL}");
    let unknown = format!("{EVIL}=1");
    let colon = format!("recover@{EVIL}");
    let runs: &[(&[&str], i32)] = &[
        (&["run", "recover", "-p", &folder], 7),
        (&["show", "@latest", "--calls", "--results"], 0),
        (&["logs", "@latest"], 0),
        (&["logs", "@latest", "-o", "json"], 0),
        (&["show", "@latest", "-o", "json"], 0),
        (&["ps"], 0),
        (&["ps", "-o", "json"], 0),
        (&["note", "@latest", EVIL], 0),
        (&["skip", "@latest", "write", "-m", EVIL], 12),
        (&["show", "@latest"], 0),
        (&["logs", "@latest"], 0),
        (&["run", "recover", "-p", &unknown], 3),
        (&["run", "recover", "-p", EVIL], 3),
        (&["run", "recover", "-f", EVIL], 3),
        (&["plan", "recover", "-p", &folder], 4),
        (&["run", EVIL], 3),
        (&["lint", EVIL], 3),
        (&["plan", EVIL], 3),
        (&["new", EVIL], 1),
        (&["show", EVIL], 1),
        (&["retry", "@latest", EVIL], 1),
        (&["fork", "@latest", "--from", EVIL], 1),
        (&["ops", EVIL], 1),
        (&["playbook", "history", EVIL], 1),
        (&["playbook", "diff", &colon, EVIL], 1),
        (&["playbook", "show", EVIL], 3),
        (&["completions", EVIL], 1),
        (&["--store", EVIL, "show", "@latest"], 1),
        (&[EVIL], 1),
        (&["ps", "--output", EVIL], 1),
    ];
    for (args, code) in runs {
        let told = said(&desk, args);
        is_calm(&told, args);
        assert_eq!(told.code, *code, "{args:?}: {told:?}");
    }
}

#[test]
fn a_playbook_cannot_forge_a_line_or_move_the_cursor() {
    let desk = Desk::new();
    let title = serde_json::to_string(EVIL).expect("a string");
    let text = RECOVER
        .replace("Recover by a hand-made file", &title)
        .replace("text: a }", &format!("text: {title} }}\n  # comment \u{9b}2J\u{202e}\n  - oops"));
    desk.file("playbooks/recover/playbook.yaml", &text);
    let lint = said(&desk, &["lint", "recover"]);
    assert_eq!(lint.code, 3, "{lint:?}");
    is_calm(&lint, &"lint");
    let sound =
        RECOVER.replace("Recover by a hand-made file", &title).replace("text: a }", &format!("text: {title} }}"));
    desk.file("playbooks/recover/playbook.yaml", &sound);
    for args in [&["plan", "recover"][..], &["run", "recover"], &["show", "@latest", "--calls"], &["playbook", "list"]]
    {
        is_calm(&said(&desk, args), &args);
    }
}

#[test]
fn who_gives_an_order_cannot_forge_a_line() {
    let desk = desk().env("MUSTER_ACTOR", EVIL);
    for args in [&["run", "recover"][..], &["show", "@latest"], &["logs", "@latest"]] {
        is_calm(&said(&desk, args), &args);
    }
}

#[test]
fn invalid_utf_8_is_told_as_such() {
    let desk = desk();
    let broken = OsStr::from_bytes(b"a\xff");
    for args in [vec!["run"], vec!["show"], vec!["note", "@latest"], vec!["run", "recover", "-p"]] {
        let args: Vec<&OsStr> = args.into_iter().map(OsStr::new).chain([broken]).collect();
        let told = soon(&desk, &args);
        assert_eq!(told.code, 1, "{args:?}: {told:?}");
        assert!(told.stderr.contains("invalid UTF-8"), "{args:?}: {}", told.stderr);
    }
    // A path may hold any bytes.
    let store = soon(&desk, &["--store".as_ref(), broken, "ps".as_ref()]);
    assert_eq!(store.code, 0, "{store:?}");
    std::fs::write(desk.path().join("broken.yaml"), b"folder: \"\xff\"\n").expect("a file");
    let file = said(&desk, &["run", "recover", "-f", "broken.yaml"]);
    assert_eq!(file.code, 3);
    assert!(file.stderr.contains("is not UTF-8"), "{}", file.stderr);
}

#[test]
fn a_parameter_file_that_is_no_file_or_too_much_is_refused_soon() {
    let desk = desk();
    let made = std::process::Command::new("mkfifo").arg(desk.path().join("pipe")).status().expect("mkfifo is there");
    assert!(made.success());
    desk.file("big.yaml", &format!("folder: \"{}\"\n", "x".repeat(10_000_000)));
    desk.file("deep.yaml", &format!("folder: {}\n", "[".repeat(200_000)));
    desk.file("many.yaml", &(0..400_000).map(|n| format!("k{n}: 1\n")).collect::<String>());
    symlink("loop", desk.path().join("loop")).expect("a link");
    for (file, why) in [
        ("pipe", "nobody writes into"),
        ("/dev/zero", "no plain file"),
        ("/dev/tty", "cannot read parameters"),
        ("playbooks", "it is a folder"),
        ("nonesuch", "No such file"),
        ("loop", "symbolic links"),
        ("big.yaml", "larger than 1048576 bytes"),
        ("deep.yaml", "nested deeper"),
        ("many.yaml", "larger than 1048576 bytes"),
    ] {
        let told = said(&desk, &["run", "recover", "-f", file]);
        assert_eq!((told.code, told.stdout.as_str()), (3, ""), "{file}: {told:?}");
        assert!(told.stderr.contains(why), "{file}: {}", told.stderr);
        assert!(told.stderr.len() < 2000, "{file}: {} bytes are said", told.stderr.len());
    }
    assert_eq!(said(&desk, &["ps", "--all", "-o", "json"]).stdout, "[]\n", "nothing was begun");
}

#[test]
fn parameters_can_come_through_a_pipe() {
    let desk = desk();
    let muster = desk.command(&[]).get_program().to_owned();
    let script = r#""$1" run recover -f <(sleep 0.2; echo 'folder: "/nonesuch"')"#;
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c".as_ref(), OsStr::new(script), "bash".as_ref(), &muster]).current_dir(desk.path());
    let output = shell.env("MUSTER_STORE", desk.store_path()).output().expect("bash is there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(said.contains("/nonesuch/a.txt"), "{said}");
}

#[test]
fn a_playbook_that_is_no_folder_of_files_is_refused_soon() {
    let desk = desk();
    let path = desk.path();
    std::fs::create_dir_all(path.join("zero")).expect("a folder");
    symlink("/dev/zero", path.join("zero/playbook.yaml")).expect("a link");
    std::fs::create_dir_all(path.join("piped")).expect("a folder");
    let pipe = path.join("piped/playbook.yaml");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().expect("mkfifo is there").success());
    std::fs::create_dir_all(path.join("module/lib")).expect("a folder");
    desk.file("module/playbook.yaml", &RECOVER.replace("params:", "imports: [lib/zero]\nparams:"));
    symlink("/dev/zero", path.join("module/lib/zero.rhai")).expect("a link");
    symlink("round", path.join("round")).expect("a link");
    let mut deep = OsString::from("recover");
    for level in 0..60 {
        let link = path.join(format!("playbooks/deep{level}"));
        symlink(&deep, &link).expect("a link");
        deep = OsString::from(format!("deep{level}"));
    }
    let deepest = "./playbooks/deep59";
    for playbook in ["./zero", "./piped", "./module", "./round", "/dev/zero", "./piped/playbook.yaml", deepest] {
        for verb in ["run", "plan", "lint"] {
            let told = said(&desk, &[verb, playbook]);
            assert_eq!(told.code, 3, "{verb} {playbook}: {told:?}");
        }
    }
    assert_eq!(said(&desk, &["lint", "./playbooks/deep20"]).code, 0, "a few links are followed");
}

#[test]
fn what_is_long_is_not_repeated_whole() {
    let desk = desk();
    assert_eq!(said(&desk, &["run", "recover"]).code, 0);
    let long = "a".repeat(100_000);
    for args in [
        &["show", &long][..],
        &["run", &long],
        &["new", &long],
        &["retry", "@latest", &long],
        &["fork", "@latest", "--from", &long],
        &["ops", &long],
        &["ps", "-o", &long],
        &[&long],
        &["--store", &long, "ps"],
        &["playbook", "history", &long],
    ] {
        let told = said(&desk, args);
        assert!(matches!(told.code, 1 | 3), "{}: {}", args[0], told.code);
        assert!(told.stderr.len() < 4000, "{} says {} bytes", &args[0][..10.min(args[0].len())], told.stderr.len());
    }
}
