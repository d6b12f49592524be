//! Real children. A test that needs standard streams or signals of its own starts this binary again, in which
//! `as_a_process` then stands for `staysigned run`.

use std::{
    env,
    ffi::OsStr,
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{self, Output},
};

use super::*;

fn argv(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn shell(script: &str) -> Vec<OsString> {
    argv(&["sh", "-c", script])
}

#[tokio::test]
#[ignore = "started by the other tests, as a process of its own"]
#[expect(clippy::exit, reason = "the exit code is what is tested")]
async fn as_a_process() {
    let script = env::var("SCRIPT").expect("started by another test");
    // Whoever waits for the start reads this line.
    println!("started");
    let code = run(&shell(&script), &Environment::default()).await.unwrap();
    process::exit(code.into());
}

/// Returns a command that runs a shell script as `staysigned run` would.
fn ours(script: &str) -> process::Command {
    let mut command = process::Command::new(env::current_exe().unwrap());
    command
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "cli::run::child::tests::as_a_process",
        ])
        .env("SCRIPT", script)
        // Whatever terminal the tests run in: its foreground is not ours.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Returns the command with no signal ignored: what runs in the background of a script ignores SIGINT, and no shell can
/// take that back.
fn heedful(program: &OsStr, args: &[&OsStr]) -> process::Command {
    let mut command = process::Command::new("env");
    command.arg("--default-signal").arg(program).args(args);
    command
}

/// Returns what the script wrote, behind what the test harness does.
fn said(output: &Output) -> Vec<u8> {
    let marker = b"started\n";
    let at = output
        .stdout
        .windows(marker.len())
        .position(|w| w == marker);
    output.stdout[at.unwrap() + marker.len()..].to_vec()
}

#[tokio::test]
async fn exit_codes_are_those_of_a_shell() {
    let plain = Environment::default();
    for (script, expected) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -PIPE $$", 141),
    ] {
        assert_eq!(
            run(&shell(script), &plain).await.unwrap(),
            expected,
            "{script}"
        );
    }
    let folder = tempfile::TempDir::new().unwrap();
    let (file, script) = (folder.path().join("file"), folder.path().join("script"));
    fs::write(&file, "exit 9").unwrap();
    // By another process: a child that another thread starts may have open what we write, and then it cannot be run.
    let install = Command::new("install").args([&file, &script]).status();
    assert!(install.await.unwrap().success());
    for (program, expected) in [
        ("/no/such/program", 127),
        ("no-such-program", 127),
        ("/etc", 126),
    ] {
        let error = run(&argv(&[program]), &plain).await.unwrap_err();
        assert_eq!(error.code(), expected, "{program}");
        assert!(error.to_string().contains(program), "{error}");
    }
    let error = run(&[file.into()], &plain).await.unwrap_err();
    assert_eq!(error.code(), 126);
    // A script without an interpreter line is a script still.
    assert_eq!(run(&[script.into()], &plain).await.unwrap(), 9);
    assert_eq!(run(&[], &plain).await.unwrap_err().code(), FAILED);
}

#[tokio::test]
async fn variables_are_set_and_taken_out() {
    let mut environment = Environment::default();
    environment.set.insert("ADDED".into(), "yes".into());
    environment.unset.push("PATH".into());
    let script = "test \"$ADDED\" = yes && ! /usr/bin/env | /bin/grep -q ^CARGO_PKG_NAME=";
    environment.unset.push("CARGO_PKG_NAME".into());
    let argv = argv(&["/bin/sh", "-c", script]);
    assert_eq!(run(&argv, &environment).await.unwrap(), 0);
}

#[test]
fn streams_pass_untouched() {
    let mut child = ours("echo to stderr >&2; cat; exit 4")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n * 7) as u8).collect();
    let mut stdin = child.stdin.take().unwrap();
    let copy = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&copy).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output) == bytes, "bytes differ");
    assert_eq!(output.stderr, b"to stderr\n");
}

#[test]
fn signals_reach_the_child() {
    use std::io::{BufRead as _, BufReader};
    for (signal, name) in [
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        // A minute is for ever.
        let script = format!(
            "trap 'exit 7' {name}; echo ready; n=0; while [ $n -lt 1200 ]; do sleep 0.05; n=$((n+1)); done"
        );
        let inner = ours(&script);
        let args: Vec<_> = inner.get_args().collect();
        let mut child = heedful(inner.get_program(), &args)
            .env("SCRIPT", &script)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7), "{name}");
    }
}

#[test]
fn what_is_ignored_stays_ignored() {
    let mut through = process::Command::new("sh");
    let inner = ours("grep SigIgn /proc/self/status");
    // As `nohup` does.
    through
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        through.env(name, value.unwrap());
    }
    let output = through.output().unwrap();
    let line = String::from_utf8(said(&output)).unwrap();
    let mask = line.trim().rsplit_once('\t').unwrap().1;
    let mask = u64::from_str_radix(mask, 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP is not ignored: {line}");
    // And SIGPIPE, which this runtime ignores, is as the tool expects it.
    assert_eq!(mask & 1 << 12, 0, "SIGPIPE is ignored: {line}");
}

/// ^C in a terminal interrupts the child once: many tools take the second for "now at once".
#[test]
fn the_terminal_interrupts_once() {
    let python = "import os, pty, sys, time\n\
        pid, fd = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
        said = b''\n\
        while b'ready' not in said: said += os.read(fd, 4096)\n\
        os.write(fd, b'\\x03')\n\
        try:\n    \
        while True:\n        \
        more = os.read(fd, 4096)\n        \
        if not more: break\n        \
        said += more\n\
        except OSError: pass\n\
        print(said.decode())\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let script = "n=0; trap 'n=$((n+1))' INT; echo ready; i=0; \
        while [ $i -lt 20 ]; do sleep 0.05; i=$((i+1)); done; echo interrupted $n; exit 6";
    let inner = ours(script);
    let mut args: Vec<&OsStr> = vec!["-c".as_ref(), python.as_ref(), inner.get_program()];
    args.extend(inner.get_args());
    let output = heedful("python3".as_ref(), &args)
        .env("SCRIPT", script)
        .output()
        .expect("python3 is needed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("interrupted 1"), "{said}");
    assert_eq!(output.status.code(), Some(6));
}

#[tokio::test]
#[ignore = "started by the other tests, as a process of its own"]
#[expect(clippy::exit, reason = "the exit code is what is tested")]
async fn as_the_first_process() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut command = process::Command::new("sh");
    // The inner shell is orphaned at once, and ends; it is gone only if somebody waited for it.
    let script =
        "o=$( (sh -c 'echo $$' &) ); sleep 0.3; [ -n \"$o\" ] && [ ! -e /proc/$o ] && exit 5";
    command.args(["-c", script]);
    process::exit(reaping(command).await.unwrap().into());
}

#[test]
fn orphans_are_reaped() {
    let mut command = process::Command::new(env::current_exe().unwrap());
    let output = command
        .args([
            "--ignored",
            "--exact",
            "cli::run::child::tests::as_the_first_process",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(!is_init());
}
