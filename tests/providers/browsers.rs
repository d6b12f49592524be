//! Real browsers: their cookies are read while they run.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::{
    canary::canary,
    client::eventually,
    origin::{Origin, full, origin},
    proxy::{Proxy, proxy},
    routes, seen, tool,
};

/// Chromium writes what it has half a minute late, and browsers are slow to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// How often the page has itself loaded again, in seconds.
const AGAIN: &str = "1";

/// A site where whoever opens the page is signed in. Each load sets the cookie anew, to what the site takes now.
struct Site {
    origin: Origin,
    good: Arc<Mutex<String>>,
    /// What the browser calls itself.
    browser: Arc<Mutex<String>>,
}

impl Site {
    async fn start() -> Self {
        let good = Arc::new(Mutex::new(canary("first")));
        let shared = good.clone();
        let browser = Arc::new(Mutex::new(String::new()));
        let called = browser.clone();
        let origin = origin(&["localhost"])
            .handler(move |request| {
                let good = shared.lock().unwrap().clone();
                let called = called.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let mut reply = match path.as_str() {
                        "/login" => routes::html("signed in"),
                        "/api" => {
                            let cookies = request.headers().get("cookie");
                            let cookies = cookies.and_then(|value| value.to_str().ok());
                            let cookies = cookies.unwrap_or_default().to_owned();
                            let is_good = |name| cookies.contains(&format!("{name}={good}"));
                            return Ok(match is_good("sid") && is_good("visit") {
                                true => routes::text("welcome"),
                                false => routes::unauthorized(),
                            });
                        }
                        _ => routes::reply(http::StatusCode::NOT_FOUND, full("nothing")),
                    };
                    if path == "/login" {
                        let agent = request.headers().get("user-agent").cloned();
                        let agent = agent.expect("browsers say who they are");
                        let agent = agent.to_str().unwrap().replace("Headless", "");
                        *called.lock().unwrap() = agent;
                        let fields = reply.headers_mut();
                        let set = [
                            format!("sid={good}; Max-Age=86400; HttpOnly; SameSite=Lax"),
                            format!("visit={good}; Path=/"),
                        ];
                        for cookie in set {
                            fields.append("set-cookie", cookie.parse().unwrap());
                        }
                        fields.insert("refresh", AGAIN.parse().unwrap());
                    }
                    Ok(reply)
                }
            })
            .start_plain()
            .await;
        Self {
            origin,
            good,
            browser,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.origin.address.port())
    }
}

/// A program with all that it has started; they end with this.
struct Group(Child);

impl Group {
    fn start(mut command: Command, log: &Path) -> Self {
        let log = || std::fs::File::options().append(true).create(true).open(log);
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log().expect("a log"))
            .stderr(log().expect("a log"));
        let line = format!("{command:?}");
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{line}: {error}")),
        )
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

async fn session(site: &Site, refresh: &str, bus: Option<&str>) -> Proxy {
    let port = site.origin.address.port();
    let config = format!(
        "[session.site]\nbind = [{{ host = \"localhost\", scheme = \"http\", port = {port} }}]\nuser_agent = \"learnt\"\n\
         [session.site.cookies]\nrequired = [\"sid\", \"visit\"]\n\
         [session.site.refresh]\nkind = \"import\"\n{refresh}\n"
    );
    let mut builder = proxy().config(config);
    if let Some(bus) = bus {
        builder = builder.env("DBUS_SESSION_BUS_ADDRESS", bus);
    }
    builder.start().await
}

/// Waits until the browser's session is the proxy's, lets the site forget it, and waits for the browser's next: as often
/// as it is said.
async fn follows(site: &Site, proxy: &Proxy, rounds: u32) {
    for round in 0..rounds {
        let begun = std::time::Instant::now();
        loop {
            let answer = proxy.client().get(&site.url("/api")).await;
            if answer.status == 200 {
                break;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{round}: {}",
                proxy.status("site")
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
            // What a person is asked to do: the browser has signed in again, or will.
            proxy.cli(&["refresh", "site"]);
        }
        let status = proxy.status("site");
        assert_eq!(status["state"], "fresh", "{status}");
        let browser = site.browser.lock().unwrap().clone();
        // The page is loaded again meanwhile, by a browser that says that it is headless.
        let seen = site.origin.seen();
        let ours = seen.iter().rfind(|seen| seen.path == "/api");
        let ours = ours.expect("the request that was answered");
        assert_eq!(ours.field("user-agent"), Some(&*browser));
        assert!(status["expires_at"].is_string(), "{status}");
        *site.good.lock().unwrap() = canary("next");
    }
}

fn read(tool: &str, program: &str) {
    let what = "its cookies, read while it runs";
    let version = seen::installed(program);
    seen::saw(
        "`mubi`, and others that read browsers",
        tool,
        &version,
        what,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox() {
    let site = Site::start().await;
    let home = tempfile::tempdir().expect("a folder");
    let profile = home.path().join("profile");
    std::fs::create_dir(&profile).expect("a folder");
    let preferences = [
        ("browser.sessionstore.interval", "1000"),
        ("browser.aboutwelcome.enabled", "false"),
        ("datareporting.policy.dataSubmissionEnabled", "false"),
        ("network.captive-portal-service.enabled", "false"),
        ("network.connectivity-service.enabled", "false"),
        ("app.normandy.enabled", "false"),
    ];
    let lines = preferences.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"));
    std::fs::write(profile.join("user.js"), lines.concat()).expect("write");
    let mut command = tool::clean(&tool::find("firefox-esr"), home.path());
    command
        .args(["--headless", "--no-remote", "--profile"])
        .arg(&profile)
        .arg(site.url("/login"));
    let _firefox = Group::start(command, &home.path().join("firefox.out"));
    let refresh = format!("from = \"firefox\"\nprofile = \"{}\"", profile.display());
    let proxy = session(&site, &refresh, None).await;
    follows(&site, &proxy, 2).await;
    read("Firefox ESR, running", "firefox-esr");
}

fn chromium(site: &Site, home: &Path, bus: Option<&str>) -> (Group, PathBuf) {
    let folder = home.join("chromium");
    let mut command = tool::clean(&tool::find("chromium"), home);
    let store = match bus {
        Some(bus) => {
            command.env("DBUS_SESSION_BUS_ADDRESS", bus);
            "gnome-libsecret"
        }
        None => "basic",
    };
    command
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .arg(format!("--password-store={store}"))
        .arg(format!("--user-data-dir={}", folder.display()))
        .arg(site.url("/login"));
    let group = Group::start(command, &home.join("chromium.out"));
    (group, folder.join("Default"))
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_without_a_keyring() {
    let site = Site::start().await;
    let home = tempfile::tempdir().expect("a folder");
    let (_chromium, profile) = chromium(&site, home.path(), None);
    let refresh = format!("from = \"chromium\"\nprofile = \"{}\"", profile.display());
    let proxy = session(&site, &refresh, None).await;
    follows(&site, &proxy, 2).await;
    assert_eq!(seal(&profile), b"v10");
    read("Chromium, running, without a keyring", "chromium");
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_with_a_keyring() {
    let site = Site::start().await;
    let home = tempfile::tempdir().expect("a folder");
    let (_desktop, bus) = desktop(home.path()).await;
    let (_chromium, profile) = chromium(&site, home.path(), Some(&bus));
    let refresh = format!("from = \"chromium\"\nprofile = \"{}\"", profile.display());
    let proxy = session(&site, &refresh, Some(&bus)).await;
    follows(&site, &proxy, 1).await;
    assert_eq!(seal(&profile), b"v11");
    // Without the keyring it says so.
    let arguments = ["import", "site", "--from", "chromium", "--profile"];
    let mut command = proxy.command(&arguments);
    command.arg(&profile).env_remove("DBUS_SESSION_BUS_ADDRESS");
    let output = tool::run(command).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the keyring gave no password"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    read("Chromium, running, with GNOME's keyring", "chromium");
}

/// A bus with a keyring that is unlocked, as a desktop has.
async fn desktop(home: &Path) -> (Group, String) {
    let run = home.join("run");
    std::fs::create_dir(&run).expect("a folder");
    for program in ["gnome-keyring-daemon", "dbus-send", "secret-tool"] {
        tool::find(program);
    }
    let mut command = tool::clean(&tool::find("dbus-run-session"), home);
    // Whoever asks before the daemon has its name makes the bus start a second one, which is locked.
    let script =
        "printf password | gnome-keyring-daemon --foreground --unlock --components=secrets &
        until dbus-send --session --print-reply --dest=org.freedesktop.DBus /org/freedesktop/DBus \
            org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets | grep -q true; do sleep 0.1; done
        until secret-tool store --label=probe probe ready </dev/null; do sleep 0.2; done
        printf %s \"$DBUS_SESSION_BUS_ADDRESS\" >bus.new && mv bus.new bus
        wait";
    command
        .args(["--", "sh", "-c", script])
        .env("XDG_RUNTIME_DIR", &run);
    let group = Group::start(command, &home.join("desktop.out"));
    let address = eventually("the keyring", PATIENCE, || {
        std::fs::read_to_string(home.join("bus")).ok()
    });
    (group, address.await)
}

/// How the values are sealed.
fn seal(profile: &Path) -> Vec<u8> {
    let database = rusqlite::Connection::open(profile.join("Cookies")).expect("a database");
    let sql = "SELECT substr(encrypted_value, 1, 3) FROM cookies WHERE name = 'sid'";
    database
        .query_row(sql, [], |row| row.get(0))
        .expect("a row")
}
