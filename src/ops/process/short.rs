//! Short programs: started, fed, captured whole and waited for, with a deadline on all they started.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};

use super::program::{Captured, ReadCommand, base_environment, check_program};
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::model::fault::{ErrorClass, OpError};

/// How much of a stream is captured; a program that prints more is ended.
const CAPTURE_LIMIT: usize = 16 << 20;
/// How long a program may take that does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream may stay open after its program has ended, held by something that the program left behind.
const LINGER: Duration = Duration::from_secs(1);
/// How often a program is looked at that has closed its streams but not ended.
const LOOK: Duration = Duration::from_millis(5);

pub(in crate::ops) fn run_read(
    command: &ReadCommand,
    deadline: Option<Timestamp>,
    clock: &dyn Clock,
) -> Result<Captured, OpError> {
    run(command, deadline, clock, ErrorClass::Transient)
}

pub(in crate::ops) fn run_write(
    command: &ReadCommand,
    deadline: Option<Timestamp>,
    clock: &dyn Clock,
) -> Result<Captured, OpError> {
    run(command, deadline, clock, ErrorClass::Unknown)
}

/// `cut_off` is the class of the error when the program had to be ended.
fn run(
    command: &ReadCommand,
    deadline: Option<Timestamp>,
    clock: &dyn Clock,
    cut_off: ErrorClass,
) -> Result<Captured, OpError> {
    let mut env = base_environment();
    env.extend(command.env.clone());
    check_program(&command.argv, command.cwd.as_deref(), &env)?;
    let named = name_of(&command.argv);
    let left =
        deadline.map(|deadline| Duration::try_from(deadline.duration_since(clock.now())).unwrap_or(Duration::ZERO));
    let allowed = command.timeout.unwrap_or(USUAL_TIMEOUT).min(left.unwrap_or(Duration::MAX));
    if allowed.is_zero() {
        return Err(OpError::transient(format!("{named} was not started: its time was over before")));
    }
    let (program, args) = command.argv.split_first().map_or(("", &[][..]), |(program, args)| (program.as_str(), args));
    let stdin = match (&command.stdin_file, &command.stdin) {
        (Some(path), _) => std::fs::File::open(path).map_err(|e| crate::ops::files::cannot("read", path, &e))?.into(),
        (None, Some(_)) => Stdio::piped(),
        (None, None) => crate::ops::files::nothing()?.into(),
    };
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(&env)
        .current_dir(command.cwd.as_deref().unwrap_or(std::path::Path::new("/")))
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| OpError::transient(format!("cannot start {named}: {e}")))?;
    feed(&mut child, command.stdin.clone());
    let (sender, events) = channel();
    let stdout = capture(child.stdout.take(), sender.clone());
    let stderr = capture(child.stderr.take(), sender);
    let ended = wait(&mut child, &events, Instant::now() + allowed);
    if !matches!(ended, End::Exited(_)) {
        // The program has not been waited for, so its id is still its own.
        kill_group(&child);
        let _ = child.wait();
    }
    let printed_last = || tail_of(&stderr.lock());
    match ended {
        End::Exited(status) => {
            let code = code_of(status);
            let errors = String::from_utf8_lossy(&stderr.lock()).into_owned();
            if code != 0 && !command.any_exit {
                return Err(OpError::failed(format!("{named} ended with exit code {code}"))
                    .with_detail(tail_of(errors.as_bytes())));
            }
            let stdout = String::from_utf8(std::mem::take(&mut *stdout.lock())).map_err(|_| {
                OpError::failed(format!("{named} printed something that is not UTF-8 text"))
                    .with_hint("let it write to a file with `exec.run` or `docker.exec`")
            })?;
            Ok(Captured { code, stdout, stderr: errors })
        }
        End::Late => Err(OpError::new(cut_off, format!("{named} did not end within {allowed:.1?} and was ended"))
            .with_detail(printed_last())),
        End::Overflow => {
            let class = if cut_off == ErrorClass::Unknown { ErrorClass::Unknown } else { ErrorClass::Failed };
            Err(OpError::new(class, format!("{named} printed more than 16 MiB and was ended"))
                .with_hint("ask for less, or let it write to a file with `exec.run` or `docker.exec`"))
        }
        End::Broken(error) => Err(OpError::new(cut_off, format!("cannot follow {named}: {error}"))),
    }
}

enum End {
    Exited(ExitStatus),
    Late,
    Overflow,
    Broken(std::io::Error),
}

enum Event {
    Closed,
    Overflow,
}

fn wait(child: &mut Child, events: &Receiver<Event>, until: Instant) -> End {
    let mut open = 2;
    let mut exited: Option<(ExitStatus, Instant)> = None;
    loop {
        let now = Instant::now();
        if exited.is_none() {
            match child.try_wait() {
                Ok(Some(status)) => exited = Some((status, now)),
                Ok(None) => {}
                Err(error) => return End::Broken(error),
            }
        }
        if let Some((status, at)) = exited
            && (open == 0 || now >= at + LINGER)
        {
            return End::Exited(status);
        }
        if now >= until && exited.is_none() {
            return End::Late;
        }
        let pause = if open == 0 { LOOK } else { LOOK * 20 }.min(until.saturating_duration_since(now).max(LOOK));
        match events.recv_timeout(pause) {
            Ok(Event::Closed) => open -= 1,
            Ok(Event::Overflow) => return End::Overflow,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                open = 0;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Feeds standard input from a thread of its own: a program that prints before it has read all would block us else.
fn feed(child: &mut Child, bytes: Option<Vec<u8>>) {
    if let (Some(bytes), Some(mut stdin)) = (bytes, child.stdin.take()) {
        std::thread::spawn(move || {
            // A program need not read all that it is given.
            let _ = stdin.write_all(&bytes);
        });
    }
}

fn capture<R: Read + Send + 'static>(stream: Option<R>, events: std::sync::mpsc::Sender<Event>) -> Arc<Mutex<Vec<u8>>> {
    let captured = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&captured);
    std::thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut chunk = vec![0; 64 << 10];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => {
                    let mut into = into.lock();
                    if into.len() + n > CAPTURE_LIMIT {
                        let _ = events.send(Event::Overflow);
                        return;
                    }
                    into.extend_from_slice(&chunk[..n]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = events.send(Event::Closed);
    });
    captured
}

fn kill_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// 128 + signal for a killed program, as shells have it.
pub(in crate::ops) fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The program and its subcommand: enough to know it by, and no argument that could be long.
fn name_of(argv: &[String]) -> String {
    let words: Vec<&str> = argv.iter().take(2).map(String::as_str).filter(|word| word.len() <= 40).collect();
    format!("`{}`", words.join(" "))
}

/// The last lines, at most 4 KiB.
fn tail_of(bytes: &[u8]) -> String {
    super::program::tail_text(bytes, 4096, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn sh(script: &str) -> ReadCommand {
        ReadCommand { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..ReadCommand::default() }
    }

    fn read(command: &ReadCommand) -> Result<Captured, OpError> {
        run_read(command, None, &SystemClock)
    }

    #[test]
    fn a_program_is_captured_with_its_exit_code() {
        let captured = read(&ReadCommand { any_exit: true, ..sh("echo out; echo err >&2; exit 3") }).unwrap();
        assert_eq!((captured.code, captured.stdout.as_str(), captured.stderr.as_str()), (3, "out\n", "err\n"));
    }

    #[test]
    fn an_exit_code_is_an_error_unless_it_is_asked_for() {
        let error = read(&sh("echo why >&2; exit 3")).unwrap_err();
        assert_eq!(error.class, ErrorClass::Failed);
        assert_eq!(error.detail.as_deref(), Some("why\n"));
    }

    #[test]
    fn a_missing_program_is_refused_with_a_hint() {
        let error = read(&ReadCommand { argv: vec!["no-such-program".into()], ..ReadCommand::default() }).unwrap_err();
        assert_eq!(error.class, ErrorClass::Refused);
        assert!(error.hint.unwrap().contains("install no-such-program"));
    }

    #[test]
    fn a_program_sees_only_the_environment_it_is_given() {
        let mut command = ReadCommand { argv: vec!["env".into()], ..ReadCommand::default() };
        command.env.insert("GIVEN".into(), "yes".into());
        let printed = read(&command).unwrap().stdout;
        assert!(printed.contains("GIVEN=yes") && printed.contains("LANG=C.UTF-8"), "{printed}");
        assert!(!printed.contains("CARGO"), "{printed}");
    }

    #[test]
    fn large_input_and_output_do_not_block_each_other() {
        let input = vec![b'x'; 4 << 20];
        let captured = read(&ReadCommand { stdin: Some(input.clone()), ..sh("cat") }).unwrap();
        assert_eq!(captured.stdout.len(), input.len());
    }

    #[test]
    fn output_past_the_limit_is_an_error_and_not_a_cut_text() {
        let error = read(&sh("yes")).unwrap_err();
        assert_eq!(error.class, ErrorClass::Failed);
        assert!(error.message.contains("16 MiB"), "{error}");
    }

    #[test]
    fn the_deadline_ends_what_the_program_started_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 300 & echo $! > {}; wait", file.display());
        let error = read(&ReadCommand { timeout: Some(Duration::from_millis(300)), ..sh(&script) }).unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient);
        let pid = std::fs::read_to_string(file).unwrap();
        for _ in 0..200 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the grandchild lives on");
    }

    #[test]
    fn a_writing_program_that_is_late_leaves_the_call_in_doubt() {
        let command = ReadCommand { timeout: Some(Duration::from_millis(50)), ..sh("sleep 10") };
        assert_eq!(run_write(&command, None, &SystemClock).unwrap_err().class, ErrorClass::Unknown);
    }

    #[test]
    fn something_left_behind_does_not_hold_up_the_answer() {
        let captured = read(&sh("sleep 20 & echo done")).unwrap();
        assert_eq!(captured.stdout, "done\n");
    }
}
