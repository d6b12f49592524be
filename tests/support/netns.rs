//! Two network namespaces with a cable between them that can be cut.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::net::{TcpListener, UnixStream};

use super::{
    by,
    child::Running,
    client::eventually,
    proxy::Proxy,
    tool::{run, succeed},
};

/// The addresses at the two ends.
pub const NEAR: &str = "10.77.0.1";
pub const FAR: &str = "10.77.0.2";

/// What a shell does before a program that is to have a list of name servers of its own, the file `servers`: gone with it.
pub const MOUNT: &str = "mount --bind servers /etc/resolv.conf && exec \"$0\" \"$@\"";

/// A process that keeps the namespace while it sleeps.
const KEEP: &str = "ip link set lo up && exec sleep 100000";

const READY: Duration = Duration::from_secs(30);

pub struct Net {
    near: Running,
    far: Running,
}

/// Which end of the cable.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Near,
    Far,
}

// === impl Net ===

impl Net {
    /// Only root may make namespaces; others may where the system lets them be root of one of their own.
    pub async fn new() -> Self {
        let own = if rustix::process::geteuid().is_root() {
            "-n"
        } else {
            "-rn"
        };
        let near = keeper(Command::new("unshare").args([own, "sh", "-c", KEEP])).await;
        let mut far = within(near.id());
        far.extend(["unshare", "-n", "sh", "-c", KEEP].map(str::to_owned));
        let far = keeper(Command::new(&far[0]).args(&far[1..])).await;
        let net = Self { near, far };
        let peer = net.far.id().to_string();
        let cable = format!("ip link add near0 type veth peer name far0 netns {peer}");
        net.ip(End::Near, &cable).await;
        net.ip(End::Near, &format!("ip addr add {NEAR}/24 dev near0"))
            .await;
        net.ip(End::Near, "ip link set near0 up").await;
        net.ip(End::Far, &format!("ip addr add {FAR}/24 dev far0"))
            .await;
        net.ip(End::Far, "ip link set far0 up").await;
        net
    }

    /// The words before a command that is to run at this end.
    pub fn at(&self, end: End) -> Vec<String> {
        within(match end {
            End::Near => self.near.id(),
            End::Far => self.far.id(),
        })
    }

    /// A program at this end, whose output is read.
    pub fn program(&self, end: End, program: &str, arguments: &[&str]) -> Command {
        let words = self.at(end);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Nothing passes any more, and nobody is told.
    pub async fn cut(&self) {
        self.ip(End::Far, "ip link set far0 down").await;
    }

    /// What the near end sends arrives; what the far end answers does not.
    pub async fn mute(&self) {
        self.ip(End::Far, &format!("ip route add blackhole {NEAR}/32"))
            .await;
    }

    pub async fn mend(&self) {
        self.ip(End::Far, "ip link set far0 up").await;
        // It need not be there.
        run(self.command(End::Far, &format!("ip route del blackhole {NEAR}/32"))).await;
    }

    /// Starts the proxy within the near end, by the command that leads there: for the tests it is where it always is.
    pub async fn serve(&self, proxy: &mut Proxy, within: Command) {
        // A path leads into a network namespace, a port does not.
        let (listen, admin) = (proxy.listen, proxy.admin);
        proxy.edit(|text| {
            text.replace(&format!("\"{listen}\""), "\"unix:proxy.sock\"")
                .replace(&format!("\"{admin}\""), "\"unix:admin.sock\"")
        });
        let socket = proxy.path().join("proxy.sock");
        let listener = TcpListener::bind(listen).await.expect("bind");
        tokio::spawn(relay(listener, socket.clone()));
        let serve = proxy.command(&["serve"]);
        proxy.start_as(by(within, &serve)).await;
        let begun = Instant::now();
        while UnixStream::connect(&socket).await.is_err() {
            assert!(begun.elapsed() < READY, "{}", proxy.log());
            assert!(proxy.running(), "{}", proxy.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ip(&self, end: End, line: &str) {
        succeed(self.command(end, line)).await;
    }

    fn command(&self, end: End, line: &str) -> Command {
        let words = self.at(end);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(line.split(' '));
        command.stdin(Stdio::null());
        command
    }
}

/// Brings what comes to a port of ours to the socket.
async fn relay(listener: TcpListener, socket: PathBuf) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            return;
        };
        let socket = socket.clone();
        tokio::spawn(async move {
            let Ok(mut proxy) = UnixStream::connect(socket).await else {
                return;
            };
            // Either side may go at any time.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut proxy).await;
        });
    }
}

fn within(pid: u32) -> Vec<String> {
    let pid = pid.to_string();
    let mut words = vec!["nsenter", "-t", &pid];
    if !rustix::process::geteuid().is_root() {
        words.extend(["-U", "--preserve-credentials"]);
    }
    words.push("-n");
    words.into_iter().map(str::to_owned).collect()
}

/// Waits until the process sleeps: then all before that is done.
async fn keeper(command: &mut Command) -> Running {
    let mut process = Running::start(command);
    eventually("a network namespace", READY, || {
        let ended = process.try_wait().expect("wait");
        assert!(
            ended.is_none(),
            "no network namespace (only root may): {ended:?}"
        );
        let name = std::fs::read_to_string(format!("/proc/{}/comm", process.id()));
        (name.ok()?.trim_end() == "sleep").then_some(())
    })
    .await;
    process
}
