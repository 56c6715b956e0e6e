//! Two nodes of one region, real processes on one real Redis: one owns it, the other stands by.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::demo::harness::{WAIT_MAX, binary, eventually};
use crate::demo::http::{Request, Trouble, send};
use crate::stores::harness::Server;

/// The promise is 5 s; a machine that runs this beside compilers gets twice that.
const TAKE_OVER_MAX: Duration = Duration::from_secs(2 * 5);

struct Process {
    child: Child,
    http: u16,
    directory: TempDir,
}

impl Process {
    fn start(redis: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Held until all three are known, so that they differ.
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
            .collect();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        let (http, grpc, peer) = (ports[0], ports[1], ports[2]);
        let config = format!(
            "[region]\nname = \"here\"\nid = 1\n[http]\nlisten = \"127.0.0.1:{http}\"\n[resp]\nlisten = \"127.0.0.1:0\"\n[grpc]\nlisten = \
             \"127.0.0.1:{grpc}\"\n[peer]\nlisten = \"127.0.0.1:{peer}\"\n[store]\nkind = \"redis\"\nurl = \"{}\"\n",
            redis.url()
        );
        fs::write(directory.path().join("node.toml"), config).unwrap();
        drop(listeners);
        let child = spawn(directory.path());
        Process {
            child,
            http,
            directory,
        }
    }

    fn again(&mut self) {
        self.child = spawn(self.directory.path());
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// What `/readyz` says: 200, or 503 and why.
    async fn ready(&self) -> Result<(), String> {
        match send(self.http, &Request::new("GET", "/readyz")).await {
            Ok(reply) if reply.status == 200 => Ok(()),
            Ok(reply) => Err(reply.text()),
            Err(trouble) => Err(trouble.to_string()),
        }
    }

    async fn until_ready(&self, bound: Duration) -> Duration {
        eventually("the node is ready", bound, async || self.ready().await.is_ok()).await
    }

    async fn add_one(&self) -> Added {
        let request = Request::new("POST", "/v1/carts/c/items").json(&json!({"sku": "a", "quantity": 1}));
        match send(self.http, &request).await {
            Ok(reply) if reply.status == 200 => Added::Yes,
            Ok(reply) if reply.json()["error"]["outcome"] == "definite" => Added::No,
            Ok(_) | Err(Trouble::Lost(_)) => Added::Perhaps,
            Err(Trouble::NotSent(_)) => Added::No,
        }
    }

    async fn quantity(&self) -> u64 {
        let reply = send(self.http, &Request::new("GET", "/v1/carts/c"))
            .await
            .unwrap();
        reply.json()["lines"][0]["quantity"].as_u64().unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("node.log"))
        .unwrap();
    Command::new(binary())
        .args(["node", "--config"])
        .arg(directory.join("node.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

enum Added {
    Yes,
    No,
    Perhaps,
}

/// Adds one by one through the owner until it answers no more; gives the least and the most that may be there then.
async fn write_until_gone(owner: &Process, kill_after: usize, signal: Signal) -> (u64, u64) {
    let (mut least, mut most, mut failed) = (0, 0, 0);
    for n in 0_usize.. {
        if n == kill_after {
            owner.signal(signal);
        }
        match owner.add_one().await {
            Added::Yes => {
                least += 1;
                most += 1;
            }
            Added::Perhaps => most += 1,
            Added::No => failed += 1,
        }
        if failed >= 3 {
            break;
        }
    }
    (least, most)
}

#[tokio::test]
async fn a_standby_takes_over_when_the_owner_is_killed_and_nothing_acknowledged_is_lost() {
    let redis = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut first = Process::start(&redis);
    first.until_ready(WAIT_MAX).await;
    let second = Process::start(&redis);
    let names = format!("http://127.0.0.1:{}", first.http);
    eventually("the standby names the owner", WAIT_MAX, async || {
        second.ready().await.is_err_and(|why| why.contains(&names))
    })
    .await;
    assert!(first.ready().await.is_ok(), "they do not take turns");

    let (least, most) = write_until_gone(&first, 100, Signal::KILL).await;
    let took = second.until_ready(TAKE_OVER_MAX).await;
    println!("killed: the standby was ready after {took:?}");
    let shown = second.quantity().await;
    assert!(
        (least..=most).contains(&shown),
        "{least} to {most} expected, {shown} there"
    );
    assert!(least >= 100, "{least}");

    // The one that was killed comes back and stands by; the owner is asked to stop, and hands over at once.
    let _ = first.child.wait();
    first.again();
    let names = format!("http://127.0.0.1:{}", second.http);
    eventually("the first one stands by", WAIT_MAX, async || {
        first.ready().await.is_err_and(|why| why.contains(&names))
    })
    .await;
    let (more, most_more) = write_until_gone(&second, 50, Signal::TERM).await;
    let took = first.until_ready(TAKE_OVER_MAX).await;
    println!("stopped: the standby was ready after {took:?}");
    let then = first.quantity().await;
    assert!(
        (shown + more..=shown + most_more).contains(&then),
        "{} to {} expected, {then} there",
        shown + more,
        shown + most_more
    );
}
