//! Several real processes on one store: this test binary starts itself again.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::*;
use crate::store::Committed;

const ROLE: &str = "STAYSIGNED_TEST_ROLE";
const FOLDER: &str = "STAYSIGNED_TEST_FOLDER";

/// Not a test of its own: what the other process does.
#[tokio::test]
#[ignore = "the other tests start it as their second process"]
async fn second_process() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("started by another test"));
    let role = std::env::var(ROLE).unwrap();
    if role == "open" {
        match Store::open(config(&folder)) {
            Ok(_) => println!("\nsays opened"),
            Err(error) => println!("\nsays {error}"),
        }
        return;
    }
    let store = Store::open(config(&folder)).unwrap();
    match &*role {
        "commit" => {
            let mut generation = match store.load(&id()).await.unwrap() {
                Some(stored) => stored.generation.0,
                None => 0,
            };
            loop {
                let mut change = to(generation + 1);
                let value = (generation + 1).to_string();
                change.cookies = patch(&[cookie("sid", &value)], &[]).cookies;
                change.keep_previous = true;
                done(&store, &id(), generation, change).await;
                generation += 1;
                println!("\nsays {generation}");
            }
        }
        "lease" => {
            let _lease = store.lease(&id(), LEASE).await.unwrap();
            println!("\nsays leased");
            std::future::pending().await
        }
        "fill" => {
            let mut generation = 0;
            loop {
                let mut change = to(generation + 1);
                let name = format!("c{generation}");
                change.cookies = patch(&[cookie(&name, &"x".repeat(4000))], &[]).cookies;
                let how = Durability::Synced;
                let committed = store
                    .commit(&id(), Generation(generation), change, how)
                    .await;
                match committed {
                    Ok(committed) => assert!(matches!(committed, Committed::Done)),
                    Err(error) => {
                        assert!(matches!(error, Error::Write(_)), "{error}");
                        break;
                    }
                }
                generation += 1;
                assert!(generation < 10_000, "the limit was not met");
            }
            // It goes on, and knows what it knew.
            let stored = held(&store, &id()).await;
            assert_eq!(stored.generation, Generation(generation));
            assert_eq!(stored.cookies.len() as u64, generation);
            println!("\nsays {generation}");
        }
        _ => panic!("no role {role}"),
    }
}

fn start(home: &Home, role: &str, shell: Option<&str>) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(program),
        Some(before) => {
            let mut command = Command::new("sh");
            command
                .arg("-c")
                .arg(format!("{before}; exec \"$0\" \"$@\""))
                .arg(program);
            command
        }
    };
    command
        .args(["--exact", "store::sqlite::tests::processes::second_process"])
        .args(["--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, home.0.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the other process prints, line by line; each is waited for, for at most a minute.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let pipe = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = pipe.lines().map_while(Result::ok);
        // Whoever looks may have seen enough.
        lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
    });
    std::iter::from_fn(
        move || match receiver.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the other process says nothing"),
        },
    )
}

fn says(line: &str) -> Option<&str> {
    line.strip_prefix("says ")
}

#[tokio::test]
async fn a_killed_process_leaves_all_that_it_was_told_is_stored() {
    let home = Home::new();
    let mut last = 0;
    for round in 0..10u64 {
        let mut child = start(&home, "commit", None);
        let mut lines = lines(&mut child);
        for _ in 0..=round * 7 {
            last = lines
                .by_ref()
                .filter_map(|l| says(&l).map(str::to_owned))
                .next()
                .unwrap()
                .parse()
                .unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            last = says(&line).and_then(|n| n.parse().ok()).unwrap_or(last);
        }
        let store = home.open();
        let stored = held(&store, &id()).await;
        assert!(stored.generation >= Generation(last), "{last} was told");
        assert!(stored.generation <= Generation(last + 1));
        // All of one commit, or nothing of it.
        let text = stored.generation.to_string();
        assert_eq!(stored.grant, grant(&format!("token-{text}")));
        assert_eq!(stored.cookies, [cookie("sid", &text)]);
        let previous = store.previous(&id()).await.unwrap().unwrap_or_default();
        assert_eq!(previous.generation.next(), stored.generation);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_leaves_its_lease() {
    let home = Home::new();
    let mut child = start(&home, "lease", None);
    let mut lines = lines(&mut child);
    assert!(lines.any(|line| line == "says leased"));
    let store = home.open();
    let short = Duration::from_millis(100);
    let lease = tokio::time::timeout(short, store.lease(&id(), LEASE)).await;
    assert!(lease.is_err(), "another process holds it");
    child.kill().unwrap();
    child.wait().unwrap();
    let lease = tokio::time::timeout(Duration::from_secs(20), store.lease(&id(), LEASE)).await;
    assert!(lease.unwrap().unwrap().is_held());
}

#[tokio::test]
async fn another_process_is_heard() {
    let home = Home::new();
    let store = home.open();
    let mut changes = store.changes();
    let mut child = start(&home, "commit", None);
    for _ in 0..5 {
        let changed = tokio::time::timeout(Duration::from_secs(60), changes.next()).await;
        let changed = changed.unwrap().unwrap();
        assert!(changed.foreign && changed.id == id());
        store.load(&id()).await.unwrap().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The file-size limit is a full disk that needs no privileges.
#[tokio::test]
async fn a_full_disk_is_an_error_and_loses_nothing() {
    let home = Home::new();
    let mut child = start(&home, "fill", Some("trap '' XFSZ; ulimit -f 1000"));
    let out = lines(&mut child).collect::<Vec<_>>().join("\n");
    assert!(child.wait().unwrap().success(), "{out}");
    let told: u64 = out.lines().find_map(says).unwrap().parse().unwrap();
    let store = home.open();
    let stored = held(&store, &id()).await;
    assert_eq!(stored.generation, Generation(told));
    assert_eq!(stored.cookies.len() as u64, told);
    done(&store, &id(), told, to(told + 1)).await;
}

/// As a user whom permissions bind: root is made another one.
#[tokio::test]
async fn a_read_only_folder_is_named_and_nothing_is_lost() {
    use std::os::unix::fs::{PermissionsExt, chown};
    const NOBODY: u32 = 65534;
    let home = Home::new();
    let store = home.open();
    done(&store, &id(), 0, to(1)).await;
    store.close().await.unwrap();
    let folder = home.0.path();
    let root = rustix::process::geteuid().is_root();
    let shell = root.then(|| {
        for file in [home.db(), home.key()] {
            chown(file, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        format!("exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups \"$0\" \"$@\"")
    });
    let mode = |mode| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode));
    mode(0o555).unwrap();
    let mut child = start(&home, "open", shell.as_deref());
    let out = lines(&mut child).collect::<Vec<_>>().join("\n");
    assert!(child.wait().unwrap().success(), "{out}");
    mode(0o700).unwrap();
    let said = out.lines().find_map(says).unwrap();
    let place = folder.to_str().unwrap();
    assert!(
        said.contains("cannot be opened") && said.contains(place),
        "{said}"
    );
    assert_eq!(held(&home.open(), &id()).await.grant, grant("token-1"));
}
